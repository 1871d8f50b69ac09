"""The functions that `import mammo` offers: a few lines lead from films to an answer."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mammo.config import SplitConfig, TaskConfig
from mammo.datasets.base import Dataset
from mammo.datasets.findings import findings_table
from mammo.datasets.label_words import resolved
from mammo.datasets.labels import Labels, find_task
from mammo.datasets.registry import DATASETS
from mammo.datasets.split import GIVEN, split_images
from mammo.errors import InputError
from mammo.files import write_table
from mammo.paths import conf
from mammo.processes.resume import changed
from mammo.reports.external import ExternalEvaluation
from mammo.reports.markdown import Markdown
from mammo.run_folder import RunFolder
from mammo.runs.run import Run
from mammo.targets import settings_of

if TYPE_CHECKING:
    from mammo.auditing.audit import Audit

LATER = "configuration"  # weights: the settings of the model and of the data set decide


def split(
    findings: "pd.DataFrame | Dataset",
    *,
    by: str = "patient",
    seed: int = 0,
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    fold: int | None = None,
    folds: int = 5,
    task: str | Mapping[str, Any] = "abnormality",
) -> pd.DataFrame:
    """Split images into train, val and test.

    Args:
        findings: A findings table, say `films.findings()`, or the data set itself.
        by: `patient`, so that no patient is in two splits; `image`, which leaks; or another option of `split=`.
        seed: The same seed gives the same split.
        shares: The shares of train, val and test.
        fold: The fold that is the test split, from 0 to `folds` - 1; None splits by `shares`.
        folds: The number of folds.
        task: The patients of each of its classes are spread over the splits, so that a rare class is in every split.
            The name of a built-in task, or settings: `{"column": "Befund", "positive": ["krank"]}`.

    Returns:
        One row per image: `image_id`, `patient` and `split` (train, val or test).

    Raises:
        InputError: An argument is out of range.
    """
    table = findings_table(findings if isinstance(findings, pd.DataFrame) else findings.findings())
    if table.empty:
        raise InputError("findings: expected a row for each image, found none; give the findings of a data set")
    if by in GIVEN or not isinstance(seed, int) or seed < 0 or len(shares) != 3:
        raise InputError(
            f"by={by}, seed={seed}, shares={shares}: expected a way to deal, a whole number and three shares, say "
            "by='patient', seed=0, shares=(0.6, 0.2, 0.2)"
        )
    if isinstance(task, str):
        labels = find_task(task)
    else:
        settings, _ = resolved(TaskConfig(**{"name": "label", **task}), table)
        labels = Labels.from_config(settings)
    how: dict[str, Any] = {"seed": seed, "shares": list(shares), "fold": fold, "folds": folds}
    return split_images(labels.stratified(table), name=by, stratify=labels.stratify, **how)


def train(
    films: "Dataset | str",
    split: pd.DataFrame | None = None,
    *,
    crop: Any = None,
    model: str | None = None,
    weights: str | Path | RunFolder | None = LATER,
    heads: Sequence[str] | str | None = None,
    task: str | Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    settings: Sequence[str] = (),
) -> Run:
    """Train a network and its heads, and write the run folder with its report.

    Args:
        films: A data set, or the name of a built-in one.
        split: One row per image: `image_id` and `split`. None: by patient (`split=patient`).
        crop: A crop such as `mammo.crops.Lesion(22.4)`, or the name of a built-in one. None: `whole`.
        model: The backbone's name. None: `vgg16`.
        weights: `imagenet`, a .safetensors file, a finished run or its folder, or None for random weights.
        heads: Names of scikit-learn heads on the network's features, or `all`. None: `svm`.
        task: The name of a built-in task, or its settings: `name`, `column`, `classes`; or without classes, for the
            words of a column, `{"name": "label", "column": "Befund", "positive": ["krank"]}`. With
            `"kind": "detection"` other settings are those of `detection`, unless they are given. None: `abnormality`.
        out: The run folder. None: outputs/<date>/<time>.
        settings: Further settings in the words of the command line, say `["seed=1"]`; none that an argument gives.

    Returns:
        The run folder. A run that has finished with the same settings in this folder is not repeated.

    Raises:
        InputError: An input cannot be used; one line says what is wrong and what to do.
    """
    from mammo.preprocessing.crops import CROPS
    from mammo.runs import checks, compose, job, sweep, unread
    from mammo.runs.hydra_words import for_hydra

    if isinstance(settings, str):
        raise InputError(f"settings={settings}: expected a list of words, say ['seed=1']")
    folder = Path(out) if out is not None else Path("outputs") / time.strftime("%Y-%m-%d/%H-%M-%S")
    data = {"name": films} if isinstance(films, str) else settings_of(films, DATASETS, "films")
    chosen: dict[str, Any] = {"data": data}
    line = [f"data={data['name']}"] if _has_file("data", data.get("name")) else []
    groups = {group: given for group, given in (("model", model), ("task", task), ("crop", crop)) if given is not None}
    for group, given in groups.items():
        if _has_file(group, given):
            line.append(f"{group}={given}")
        elif isinstance(given, str):
            chosen[group] = {"name": given}
        else:
            chosen[group] = dict(given) if isinstance(given, Mapping) else settings_of(given, CROPS, group)
    kind = chosen.get("task", {}).get("kind")
    if _has_file("task", kind):
        line.append(f"task={kind}")  # whose further settings, such as heads, go with a task of this kind
    if weights != LATER:
        named = weights.path if isinstance(weights, RunFolder) else weights
        chosen["model"] = chosen.get("model", {}) | {"weights": None if named is None else str(named)}
    if heads is not None:
        chosen["heads"] = heads if isinstance(heads, str) else list(heads)
    if split is not None:
        chosen["split"] = {"name": "table", "table": str((folder / f"given_split-{_digest(split)}.csv").absolute())}
    _no_setting_twice(settings, chosen, {"data", *groups})
    config = compose.config_of([*line, *settings], chosen)
    unread.check_read([(config, for_hydra(list(settings)))])
    checks.check(config if split is None else replace(config, split=SplitConfig()), folder)
    if (folder / "provenance.json").is_file() and (other := changed(RunFolder(folder).asked, config)):
        raise InputError(f"out={folder} has a run with other settings ({', '.join(other)}); name another folder")
    if split is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_table(split, Path(config.split.table or ""))
    asked = {key: value for key, value in chosen.items() if key not in ("data", "split")}
    said = sweep.said([*line, *settings]) | asked
    said |= {} if split is None else {"split": f"given {_digest(split)}"}  # by content: its path is another in each run
    job.run(config, folder, said, of_sweep=True, from_python=True)  # of_sweep: an unfinished run is continued
    return Run(folder)


def _has_file(group: str, name: object) -> bool:
    """Tell whether a group of the configuration has an option of this name."""
    return isinstance(name, str) and (conf() / group / f"{name}.yaml").is_file()


def _digest(split: pd.DataFrame) -> str:
    """Return eight hexadecimal digits that name a split, so that another one makes another run."""
    if not isinstance(split, pd.DataFrame) or (lacking := {"image_id", "split"} - set(split.columns)):
        found = sorted(lacking) if isinstance(split, pd.DataFrame) else type(split).__name__
        raise InputError(f"split: expected a table with the columns image_id and split; lacking or found: {found}")
    rows = split[["image_id", "split"]].astype(str).sort_values(["image_id", "split"])
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()[:8]


def _no_setting_twice(settings: Sequence[str], chosen: Mapping[str, Any], groups: set[str]) -> None:
    """Refuse a word of `settings` that an argument gives already."""
    for word in settings:
        name = word.partition("=")[0].lstrip("+")
        group, _, key = name.partition(".")
        given = chosen.get(group)
        if name in groups | {"heads"} & set(chosen) or (isinstance(given, dict) and (key in given or group == "split")):
            raise InputError(f"settings: {word} is given by an argument already; say it once")
        if "split" in chosen and name == "protocol":
            raise InputError(f"settings: {word} deals the images, but a split is given; say one of them")


def load_run(folder: Path | str) -> Run:
    """Open the folder of a finished run.

    Raises:
        InputError: It is not a run folder.
    """
    run = Run(Path(folder))
    _ = run.provenance
    return run


def test(
    run: "RunFolder | Path | str",
    films: "Dataset | str",
    images: "pd.DataFrame | Path | str | None" = None,
    *,
    out: Path | str | None = None,
    settings: Sequence[str] = (),
) -> Run:
    """Test a finished run on other films; nothing is fitted or chosen. Write the folder of the test with its report.

    Args:
        run: The run, or its folder.
        films: A data set, or the name of a built-in one.
        images: One row per image, `image_id` and `split`: those of the test part are tested. None: all images.
        out: The folder of the test. None: outputs/<date>/<time>-test.
        settings: Further settings of the data in the words of the command line, say `["data.view=MLO"]`.

    Raises:
        InputError: An input cannot be used; one line says what is wrong and what to do.
    """
    from mammo.runs.external_data import check_run, data_of, parts_of, said_in
    from mammo.runs.external_test import test as write_test

    tested = run if isinstance(run, RunFolder) else RunFolder(Path(run))
    check_run(tested)
    words = [f"data={films}", *settings] if isinstance(films, str) else list(settings)
    data = data_of(tested, words, {} if isinstance(films, str) else settings_of(films, DATASETS, "films"))
    folder = Path(out) if out is not None else Path("outputs") / time.strftime("%Y-%m-%d/%H-%M-%S-test")
    write_test(tested, data, folder, parts=parts_of(images), said={"data": data.name, **said_in(settings)})
    return Run(folder)


def predict(
    run: "RunFolder | Path | str",
    films: "Path | str | Sequence[Path | str]",
    head: str | None = None,
    units: Sequence[str] | None = None,
    force: bool = False,
) -> pd.DataFrame:
    """Apply a finished run to films: a row for each file, predicted or left out and why, as `mammo predict` writes it.

    Args:
        run: The run, its folder, or an ONNX file that `export` wrote.
        films: Films, folders of films, or tables of films.
        head: A head of the run. None takes the network's own, and of a detector both.
        units, force: See `mammo predict`: which rows there are, and True answers for films unlike those of the run.
    """
    from mammo.inference.films import films_of
    from mammo.inference.predict import predict as answers_for
    from mammo.runs.predictor import predictor_of

    asked = films_of([films] if isinstance(films, Path | str) else films)
    return answers_for(predictor_of(run, head), asked, units=units, partners=head is None, force=force).table


def compare(*runs: "RunFolder | ExternalEvaluation | Path | str") -> Markdown:
    """Compare runs: each with its intervals, then all paired differences by patient.

    Args:
        runs: Two or more runs, their folders, or evaluations from `evaluate`, all of the same test images.

    Raises:
        InputError: They were not tested on the same images, or one is named twice.
    """
    from mammo.reports import leaderboard

    if len(runs) < 2:
        raise InputError(f"compare needs two runs or more, but found {len(runs)}; add another one")
    for one in runs:
        if not isinstance(one, RunFolder | ExternalEvaluation | Path | str):
            raise InputError(
                f"compare: found a {type(one).__name__}; expected runs, or what mammo.evaluate returns of tables"
            )
    outside = [one for one in runs if isinstance(one, ExternalEvaluation)]
    if outside and len(outside) < len(runs):
        raise InputError("compare takes runs or evaluations, but found both; evaluate each run's predictions.csv")
    if outside:
        if len(set(map(id, outside))) < len(outside):
            raise InputError("compare: one evaluation is named more than once; name each once")
        return Markdown(leaderboard.compared([one.external for one in outside]))
    return Markdown(leaderboard.side_by_side([one.path if isinstance(one, RunFolder) else Path(one) for one in runs]))  # type: ignore[arg-type]


def audit(films: "Dataset | Path | str", split: "pd.DataFrame | Path | str | None" = None) -> "Audit":
    """Find patients, images and pixels that are in two parts of a split, or could be after a random split.

    Args:
        films: A data set, a table of films or findings, or a folder of films.
        split: One row per image: `image_id`, `split` and, where the films do not tell, `patient`. None: the
            split that the table or the folders give.

    Returns:
        The audit, with `leaks`, `notes` and `unreadable` in words; `print` shows all of it.

    Raises:
        InputError: The films or the split cannot be used.
    """
    from mammo.auditing import audit as auditing
    from mammo.auditing.sources import films_of, find_films
    from mammo.auditing.splits import read_split, split_rows

    of = find_films(Path(films)) if isinstance(films, Path | str) else films_of(films)
    if split is None or isinstance(split, pd.DataFrame):
        return auditing.audit_of(of, None if split is None else split_rows(split, "the split"))
    rows, unread = read_split(Path(split))
    of.doubts += unread
    return auditing.audit_of(of, rows)
