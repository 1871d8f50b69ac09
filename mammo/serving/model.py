"""The model of a service: its predictor, and the facts that the page shows of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammo import __version__
from mammo.errors import InputError
from mammo.explaining.explanation import SAID, method_of
from mammo.inference.answers import WARNING
from mammo.inference.films import FACTS, own_films
from mammo.inference.operating import operating_point
from mammo.inference.predictor import Predictor
from mammo.reports.card import NAMES, model_card
from mammo.run_folder import RunFolder
from mammo.runs.external_data import check_run
from mammo.runs.predictor import predictor_of
from mammo.serving.limits import Limits

DRAWN = "phantom"  # the data set that shows no patient
EXAMPLES = 4  # films
MEASURES = ("auroc", "sensitivity_at_threshold", "specificity_at_threshold")


@dataclass(frozen=True)
class Example:
    """A drawn film, and what is known of it, by the name of a form's field."""

    path: Path
    facts: dict[str, Any]


def open_model(path: Path, head: str | None = None) -> Predictor[Any]:
    """Return the predictor of a finished run, a portable folder or an ONNX file.

    Raises:
        InputError: It is none of these, or has no such head.
    """
    if not path.is_file():
        check_run(RunFolder(path))
    return predictor_of(path, head)


def page_facts(predictor: Predictor[Any], limits: Limits, examples: Sequence[Example] = ()) -> dict[str, Any]:
    """Return the facts of a model as plain values; what the run does not tell is None."""
    run, config, classes = predictor.run, predictor.config, predictor.classes
    return {
        "run": run.path.resolve().name,
        "version": __version__,
        "task": config.task.name,
        "detects": config.task.kind == "detection",
        "classes": classes,
        "positive": classes[1] if len(classes) == 2 else None,
        "head": predictor.head,
        "network": config.model.name,
        "dataset": _known(lambda: str(run.provenance["dataset"]["name"])),
        "looks_at": _known(lambda: run.crop["caption"]),
        "splits": _known(lambda: _counts(run)),
        "operating": _known(lambda: operating_point(run, predictor.head).as_json()),
        "operating_said": _known(lambda: str(operating_point(run, predictor.head))),
        "tested": _known(lambda: _tested(run, predictor.head)),
        "leaks": _known(lambda: [leak.text for leak in run.leaks]),
        "recalibrated": run.recalibration is not None,
        "takes_point": predictor.takes_point,
        "spacing_mm": predictor.of_films["spacing_mm"],
        "refuses_unlike": predictor.likeness is not None,
        "map": _map(predictor),
        "examples": len(examples),
        "limits": vars(limits),
        "warning": WARNING,
    }


def _known(of: Callable[[], Any]) -> Any:
    try:
        return of()
    except (InputError, KeyError, TypeError):
        return None


def _counts(run: RunFolder) -> dict[str, dict[str, int]]:
    """Return the number of images and patients of each part of the split."""
    table = run.split
    return {
        str(part): {"images": len(of), "patients": int(of["patient"].nunique())} for part, of in table.groupby("split")
    }


def _tested(run: RunFolder, head: str) -> dict[str, Any]:
    found = run.metrics("test")[head]
    return {name: found[name].as_json() for name in MEASURES if name in found}


def _map(predictor: Predictor[Any]) -> str | None:
    """Return what a value of the model's map is; None if it has no map."""
    try:
        return SAID[method_of(predictor)]
    except InputError:
        return None


def card_page(run: RunFolder) -> str:
    """Return the page of the model card: the one in the folder, or one that is made of a run; else empty."""
    written = run.path / NAMES["html"]
    if written.is_file():
        return written.read_text()
    return "" if run.portable else model_card(run).html()


def examples_of(run: RunFolder) -> list[Example]:
    """Return drawn films to try a service with: test images of a run on the phantom; other runs have none."""
    if run.config.data.name != DRAWN:
        return []
    try:
        tested = run.split.loc[run.split["split"] == "test", "image_id"]
        findings = own_films(run).findings()  # they are drawn if they are not there
    except (InputError, OSError):
        return []
    films = findings[findings["image_id"].isin(tested)].drop_duplicates("image_id").head(EXAMPLES)
    rows = films.astype(object).where(films.notna(), None).to_dict("records")
    return [Example(Path(row["path"]), {key: row[key] for key in FACTS if row[key]}) for row in rows]
