"""Recalibrate a run: choose threshold and probabilities anew on a lab's own labelled films, and write a model folder.

The films are predicted as in an external test, or their predictions are given in a table. The model folder has what
predicting needs, no name of a patient or image, and what was chosen before beside what was chosen now.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets.labels import Labels
from mammo.datasets.same_patients import alike_names
from mammo.errors import InputError
from mammo.evaluation import recalibration as arithmetic
from mammo.evaluation.aggregate import by_unit, telling_units, with_places
from mammo.evaluation.predictions import BASELINES, by_head
from mammo.evaluation.recalibration import Recalibration
from mammo.files import take_name, workshop, write_text
from mammo.inference.build import heads_of
from mammo.inference.operating import FILMS, choices_of
from mammo.reports import recalibration as report
from mammo.run_folder import RunFolder
from mammo.runs.external_data import check_run, data_of, said_in
from mammo.runs.labelled import is_of_films, labelled_predictions
from mammo.runs.learnt import COUNTED, copies, learnt_samples, same_pixels
from mammo.runs.plugins import load_plugins_of
from mammo.runs.portable import write_portable
from mammo.runs.run import Run
from mammo.runs.write import keep_self_test
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of, some

Found = dict[str, dict[str, Recalibration]]  # by unit, `sample` the finest, and head


@dataclass(frozen=True)
class Question:
    """The numbers that are asked for; see `evaluation.recalibration.recalibrate`."""

    sensitivity: float | None = None
    prevalence: float | None = None
    half_width: float = 0.05


def recalibrate(
    run: RunFolder | Path | str,
    films: Path | str,
    *,
    out: Path | str,
    sensitivity: float | None = None,
    prevalence: float | None = None,
    half_width: float = 0.05,
    settings: Sequence[str] = (),
) -> Run:
    """Choose threshold and probabilities of a run anew on your own labelled films; the network stays as it is.

    Args:
        run: The run, or its folder.
        films: A table of films with labels, as `data=table` reads it; or of predictions of this run: `predictions.csv`
            of a test, or what `mammo predict --out` wrote with a column `label`.
        out: The model folder to write, which predicts like a run; it must not exist.
        sensitivity: The sensitivity that the threshold has to reach; None takes the rule of the run.
        prevalence: The share of positive patients where the model will be used; None takes that of the films.
        half_width: Half the width of an interval, for which the number of further films is told.
        settings: Settings of the table in the words of the command line, say `["data.columns.patient=PatientID"]`.

    Returns:
        The model folder. `recalibration.md` in it is the report.

    Raises:
        InputError: The films cannot answer the question, or the run has learnt from them.
    """
    given, folder = run if isinstance(run, RunFolder) else RunFolder(Path(run)), Path(out)
    check_run(given)
    if given.recalibration is not None:
        raise InputError(f"{given.path} was recalibrated before; name the run that it was made from")
    if given.portable or given.shared:
        raise InputError(
            f"{given.path} is a portable or shared model, which does not tell what it has learnt; name the run"
        )
    if folder.exists():
        raise InputError(f"{folder} exists and is not overwritten; name another folder with --out")
    sheet = read_spreadsheet(Path(films), "a table of films or predictions").rows
    load_plugins_of(given)
    folder.parent.mkdir(parents=True, exist_ok=True)
    question = Question(sensitivity, prevalence, half_width)
    with workshop(folder) as temporary:
        if is_of_films(sheet):
            table, notes = _tested(given, Path(films), temporary / "test", settings)
        elif settings:
            raise InputError(f"{settings[0]}: {films} is a table of predictions, which takes no settings of the data")
        else:
            table, notes = labelled_predictions(given, sheet, str(films))
            _check_names(given, table)
        found, more = chosen(given, table, question)
        record = _record(given, found, question) | {"table": Path(films).name, "notes": [*notes, *more]}
        made = write_portable(given, temporary / "model", heads_of(given), record)
        if (temporary / "test").is_dir():
            shutil.move(temporary / "test", made.path / "test")
        write_text(report.text(found, record), made.path / "recalibration.md")
        keep_self_test(made)
        take_name(made.path, folder)
    return Run(folder)


def chosen(run: RunFolder, table: pd.DataFrame, question: Question) -> tuple[Found, list[str]]:
    """Return the choices of each head for each unit, and notes.

    Args:
        run: The run.
        table: A predictions table with the split `test`, and the columns `exam` and `laterality`.
        question: The numbers that are asked for. The finest unit must answer, or it is an error; another one that
            cannot is a note.
    """
    classes, labels = list(run.provenance["classes"]), Labels.from_config(run.config.task)
    tables, notes, found = {"sample": table}, list[str](), Found()
    tables |= {unit: by_unit(table, labels, unit, run.config.aggregate)[0] for unit in telling_units(table)}
    images = run.crop["several_per_image"] and not table.duplicated(["image_id", "head"]).any()
    file = run.path / "metrics.json"
    for unit, of_unit in tables.items():
        named = "image" if unit == "sample" and images else unit  # of `mammo predict`, which answers for images
        numbers = run.numbers if named == "sample" else run.numbers.get(f"by_{named}", {})
        try:
            found[unit] = {
                head: arithmetic.recalibrate(
                    one, choices_of(file, numbers.get("operating", {}).get(head, {})), **vars(question)
                )
                for head, one in by_head(of_unit, classes, "test").items()
                if head not in BASELINES
            }
        except InputError as error:
            if unit == "sample":
                raise
            notes.append(f"nothing is chosen by {unit}: {error}")
        for head, one in found.get(unit, {}).items():
            if (why := report.doubt(one.values.get("auroc"), classes)) is not None:
                notes.append(f"{head}, by {unit}: {why}")
    return found, notes


def _tested(run: RunFolder, films: Path, folder: Path, words: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the predictions of an external test on the films of a table, and notes; its folder is written."""
    from mammo.runs.external_test import test

    own, asked = run.config.data.voi, said_in(words).get("data.voi")
    if asked not in (None, own):
        raise InputError(f"data.voi={asked}: the run reads films with data.voi={own}, now and later; leave it out")
    data = data_of(run, list(words), {"name": "table", "table": str(films), "voi": own})
    test(run, data, folder, command=("mammo", "recalibrate", str(run.path), str(films), *words))
    tested = RunFolder(folder)
    if learnt := tested.provenance["tested_on_learnt"]:
        seen = tested.samples.loc[same_pixels(tested.samples, learnt_samples(run)), "patient"]
        raise _known(learnt, None if set(learnt) <= set(seen.astype(str)) else films.stem)
    if almost := tested.provenance.get("almost_learnt"):
        raise _almost_known(almost, films.stem)
    notes = ["notes on the films, which name some of them, are in test/report.md"]
    if again := len(copies(tested.samples)):
        notes.append(f"{number_of(again, 'image has', 'images have')} the pixels of another one: {COUNTED}")
    return with_places(tested.predictions()[0], tested.samples), notes


def _check_names(run: RunFolder, table: pd.DataFrame) -> None:
    """Refuse predictions of images that the run has learnt from, by the names of image and patient."""
    names = ["image_id", "patient"]
    known = set(learnt_samples(run)[names].astype(str).itertuples(index=False, name=None))
    pairs = table[names].astype(str).itertuples(index=False, name=None)
    if learnt := sorted({patient for image, patient in pairs if (image, patient) in known}):
        raise _known(learnt, "these")
    own = learnt_samples(run)
    of = {one: at for at, group in enumerate(alike_names(table["patient"], own["patient"])) for one in group}
    met = {(image, of[name]) for image, name in own[names].astype(str).itertuples(index=False) if name in of}
    pairs = table[names].astype(str).itertuples(index=False, name=None)
    if almost := sorted({patient for image, patient in pairs if (image, of.get(patient)) in met}):
        raise _almost_known(almost, "these")


def _known(patients: Sequence[str], name: str | None) -> InputError:
    """Return the error that names learnt patients; `name` is that of a table whose patients may be other people."""
    told = ", told by the pixels of their films," if name is None else ""
    other = "" if name is None else f"; if {name} are other people of the same names, give the table another name"
    return InputError(
        f"the run has learnt from {len(patients)} of the patients ({some(patients)}){told or ','} so their numbers "
        f"are too good; leave them out{other}"
    )


def _almost_known(patients: Sequence[str], name: str) -> InputError:
    return InputError(
        f"{number_of(len(patients), 'patient has', 'patients have')} almost the name of one that the run has learnt "
        f"from ({some(patients)}): one patient? Write each as in the table of the run, or leave them out; if {name} "
        "are other people, give the table another name"
    )


def _record(run: RunFolder, found: Found, question: Question) -> dict[str, Any]:
    """Return the content of `recalibration.json`, in the form of `metrics.json` with the part `films`."""
    record: dict[str, Any] = {"run": run.path.resolve().name, "question": vars(question)}
    for unit, heads in found.items():
        numbers = {
            "n": {FILMS: next(iter(heads.values())).counts},
            "operating": {head: vars(one.operating) for head, one in heads.items()},
            "prevalence": {head: one.prevalence for head, one in heads.items()},
            "more": {head: one.more for head, one in heads.items()},
        }
        for name in (FILMS, "before"):
            of = {head: one.values if name == FILMS else one.before for head, one in heads.items()}
            numbers[name] = {head: {key: value.as_json() for key, value in one.items()} for head, one in of.items()}
        record |= numbers if unit == "sample" else {f"by_{unit}": numbers}
    return record
