"""The numbers of a detector over seeds, each film tested once a seed, from tables that lie beside a page of results.

The tables hold the test parts of all folds: `predictions.csv.xz` (`image_id, patient, seed, head, positive, score`),
`candidates.csv.xz` (`image_id, seed, head, x_px, y_px, score`), `lesions.csv` as a run writes it, and if all runs have
it `windows.csv.xz`, with `positive` beside `label`. `seeds.json` names the seeds on which the recipe was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, interval
from mammo.evaluation.detection import evaluate_marks
from mammo.evaluation.lesion_windows import BRIGHTNESS, HEAT, areas
from mammo.evaluation.mark_tables import (
    MARK,
    PLACE,
    check_alike,
    check_columns,
    check_different,
    check_places,
    lesions_of_file,
    with_numbers,
    with_truths,
    with_words,
)
from mammo.evaluation.marks import Detection, judge
from mammo.evaluation.metrics import mean_auroc, support
from mammo.evaluation.predictions import NO_TABLE, Predictions
from mammo.files import check_own_folder, read_json, write_json, write_table
from mammo.reports.experiments import finished_runs
from mammo.reports.markdown import markdown, signed
from mammo.wording import number_of

PREDICTIONS, CANDIDATES, LESIONS = "predictions.csv.xz", "candidates.csv.xz", "lesions.csv"
COLUMNS = {
    PREDICTIONS: ["image_id", "patient", "seed", "head", "positive", "score"],
    CANDIDATES: ["image_id", "seed", "head", "x_px", "y_px", "score"],
    LESIONS: PLACE,
}
WINDOWS, SEEDS = "windows.csv.xz", "seeds.json"  # not in every folder
UNITS = {
    "film with that of the other breast": ("detector_partner", "image_id"),
    "film alone": ("detector", "image_id"),
    "patient": ("detector", "patient"),
}
DRAWN = {"as_drawn": "as drawn", "recentred": "re-centred"}  # kinds of lesion windows
MARKS = {
    "lesions found at 1/4 false mark a film": "froc_0.25",
    "at 1/2": "froc_0.5",
    "at 1": "froc_1",
    "at 2": "froc_2",
    "CPM": "cpm",
    "abnormal films whose first mark hits": "first_mark",
}


@dataclass(frozen=True)
class Tables:
    """The tables of a folder: scores, marks and lesions."""

    predictions: pd.DataFrame
    marks: pd.DataFrame
    lesions: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> "Tables":
        """Read the tables of a folder.

        Raises:
            InputError: One is not there, or is no such table; a head has no mark of a seed of the predictions, or lacks
                the score of a film that others have.
        """
        path = folder / PREDICTIONS
        predictions = _scores(path, COLUMNS[PREDICTIONS])
        check_alike(predictions, ["patient", "positive"], path)
        if "detector" not in set(predictions["head"]):
            raise InputError(f"{path}: no row has head=detector; expected the scores of task=detection")
        _check_films(predictions, path)
        path = folder / CANDIDATES
        marks = with_words(_read(path, COLUMNS[CANDIDATES]), ["image_id", "head"], path)
        marks = with_numbers(marks, ["seed", *MARK[1:]], path)
        seeds = set(predictions["seed"])
        for head, own in marks.groupby("head", sort=False)["seed"]:
            if lacking := seeds - set(own):
                raise InputError(
                    f"{path}: {head} has no mark of seed {min(lacking):g}, which {PREDICTIONS} has; collect the same "
                    "seeds"
                )
        check_different(marks, COLUMNS[CANDIDATES], path, "mark")
        check_places(marks, path)
        return cls(predictions, marks, lesions_of_file(_read(folder / LESIONS, COLUMNS[LESIONS]), folder / LESIONS))


def _scores(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table of scores and labels, checked row by row."""
    found = with_words(_read(path, columns), ["image_id", "patient", "head"], path)
    return with_truths(with_numbers(found, ["seed", "score"], path), path)


def _check_films(predictions: pd.DataFrame, where: Path) -> None:
    """Refuse a head that lacks a film in some seed."""
    films = set(predictions["image_id"])
    for (head, seed), own in predictions.groupby(["head", "seed"], sort=False)["image_id"]:
        if lacking := sorted(films - set(own)):
            raise InputError(
                f"{where}: {head} of seed {float(seed):g} lacks {number_of(len(lacking), 'film')} that other rows "
                f"have, {lacking[0]} for example; collect the same folds of each seed and head"
            )


def _windows(path: Path) -> pd.DataFrame:
    """Return the scores of windows, checked; each seed may have drawn those of normal films on others."""
    windows = _scores(path, COLUMNS[PREDICTIONS])
    _check_films(windows[windows["positive"]], path)
    for _, of_seed in windows.groupby("seed"):
        _check_films(of_seed, path)
    return windows


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        found = pd.read_csv(path, dtype={"image_id": str, "patient": str})
    except (OSError, *NO_TABLE) as error:
        raise InputError(f"{path}: expected a table that --to writes; reading gave {str(error).strip()}") from None
    check_columns(found, columns, path)
    return found


def table(folder: Path) -> list[str]:
    """Return a table of AUROC and of marks, of the detector and its baselines.

    It has one column for all seeds, or one for those on which the recipe was chosen and one for the others.
    """
    read = Tables.read(folder)
    predictions = read.predictions
    seeds = sorted(predictions["seed"].unique())
    chosen_on = read_json(folder / SEEDS)["chosen_on"] if (folder / SEEDS).is_file() else []
    parts = [[seed for seed in seeds if (seed in chosen_on) == first] for first in (True, False)]
    parts = [part for part in parts if part]
    rows = []
    for unit, (head, column) in UNITS.items():
        if head not in set(predictions["head"]):
            continue  # partner=false
        rows.append([f"AUROC, {unit}", *(str(area(predictions, part, head, column)) for part in parts)])
    if (folder / WINDOWS).is_file():
        rows += window_rows(_windows(folder / WINDOWS), parts)
    for head in read.marks["head"].unique():
        values = [evaluate_marks([judged_marks(read, seed, head) for seed in part]) for part in parts]
        rows += [[f"{head}: {name}", *(str(one[key]) for one in values)] for name, key in MARKS.items()]
    return markdown(["", *(f"seed {', '.join(map(str, part))}" for part in parts)], rows)


def area(predictions: pd.DataFrame, seeds: Sequence[int], head: str, unit: str) -> Value:
    """Return the AUROC of a head, the mean over seeds, with its interval by patient.

    Args:
        predictions: The rows of all seeds.
        seeds: The seeds that count.
        head: The head.
        unit: `image_id`, or `patient`: the highest score of a patient's films, positive if one of them is.

    Raises:
        InputError: A film is not tested once in each seed.
    """
    tests = tested(predictions, seeds, head, unit)
    return interval(mean_auroc(tests), *support(tests[0], "auroc"))


def tested(predictions: pd.DataFrame, seeds: Sequence[int], head: str, unit: str) -> list[Predictions]:
    """Return the scores and labels of the units of each seed, as `area` judges them."""
    of_unit = {"patient": ("patient", "first"), "positive": ("positive", "any"), "score": ("score", "max")}
    of_head, tests = predictions[predictions["head"] == head], []
    for seed in seeds:
        rows = of_head[of_head["seed"] == seed]
        if rows["image_id"].duplicated().any():
            raise InputError(
                f"seed {seed}: expected each film once, but one has two rows; collect the test parts alone"
            )
        tests.append(Predictions.ranked(rows.groupby(unit, sort=False).agg(**of_unit)))
    return tests


def windows_table(folder: Path) -> list[str]:
    """Return a table of AUROC on lesion windows, over all seeds of the folder's `windows.csv.xz`."""
    windows = _windows(folder / WINDOWS)
    seeds = sorted(windows["seed"].unique())
    return markdown(["", f"seed {', '.join(map(str, seeds))}"], window_rows(windows, [seeds]))


def window_rows(windows: pd.DataFrame, parts: Sequence[Sequence[int]]) -> list[list[str]]:
    """Return the rows of AUROC on lesion windows of the detector's heat, of brightness, and of their difference.

    Args:
        windows: The rows of all seeds.
        parts: The seeds of each column.
    """
    found = [areas(windows[windows["seed"].isin(part)]) for part in parts]
    rows = []
    for drawing, name in DRAWN.items():
        for key, said in ((HEAT, "heat of the detector"), (BRIGHTNESS, "brightness")):
            rows.append([f"AUROC, lesion window {name}: {said}", *(str(of[drawing][key]) for of in found)])
        rows.append(["heat minus brightness", *(signed(of[drawing]["difference"]) for of in found)])
    return rows


def judged_marks(of: Tables, seed: int, head: str) -> Detection:
    """Return the judged marks of a head in one seed, on all films."""
    images = of.predictions[(of.predictions["seed"] == seed) & (of.predictions["head"] == "detector")]
    marks = of.marks[(of.marks["seed"] == seed) & (of.marks["head"] == head)]
    return judge(marks, of.lesions, images[["image_id", "patient", "positive"]])


def collect(sweep: Path, folder: Path, chosen_on: Sequence[int] = ()) -> None:
    """Write the tables of a page from the run folders of a sweep over folds and seeds.

    Args:
        sweep: The folder of the sweep.
        folder: The folder of the tables.
        chosen_on: The seeds on which the recipe was chosen; their numbers stand apart.

    Raises:
        InputError: The sweep has not ended, or one of its runs has not; the folder has no run of a detector, or none of
            such a seed; or a seed lacks films of another one.
    """
    predictions, marks, lesions, windows = [], [], [], list[pd.DataFrame]()
    finished = [run for run in finished_runs(sweep) if run.detects]
    if not finished:
        raise InputError(f"{sweep}: expected a sweep folder with finished runs of task=detection, found none")
    if strange := set(chosen_on) - (seeds := {run.config.seed for run in finished}):
        raise InputError(f"chosen on seed {min(strange)}: expected some of {', '.join(map(str, sorted(seeds)))}")
    for run in finished:
        table, classes = run.predictions()
        table["positive"] = table["label"] == classes[1]
        predictions.append(table[(table["split"] == "test") & table["head"].str.startswith("detector")])
        marks.append(run.candidates[run.candidates["split"] == "test"].assign(seed=run.config.seed))
        lesions.append(run.lesions[run.lesions["split"] == "test"])
        if (of_run := run.windows) is not None:
            windows.append(of_run.assign(positive=of_run["label"] == classes[1]))
    check_own_folder(folder, (*COLUMNS, LESIONS, WINDOWS, SEEDS), "--to", CANDIDATES)
    _check_films(pd.concat(predictions), sweep)
    folder.mkdir(parents=True, exist_ok=True)
    kept = pd.concat(lesions).drop_duplicates(["image_id", "finding_id"]).sort_values(["image_id", "finding_id"])
    write_table(pd.concat(predictions)[COLUMNS[PREDICTIONS]], folder / PREDICTIONS)
    write_table(pd.concat(marks)[COLUMNS[CANDIDATES]], folder / CANDIDATES)
    write_table(kept, folder / LESIONS)
    for name in (WINDOWS, SEEDS):
        (folder / name).unlink(missing_ok=True)
    if len(windows) == len(finished):  # a fold that lacks them would leave its films out
        write_table(pd.concat(windows).drop(columns=["x_px", "y_px"]), folder / WINDOWS)
    if chosen_on:
        write_json({"chosen_on": sorted(chosen_on)}, folder / SEEDS)
