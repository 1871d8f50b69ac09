"""The errors of a run with their names, for those who have the films: a table and a sheet of pictures."""

from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.cells import for_people
from mammo.datasets.findings import PARTS, SAMPLE
from mammo.datasets.summary import picture_of
from mammo.errors import InputError
from mammo.evaluation.predictions import BASELINES, originals
from mammo.files import write_table
from mammo.inference.films import own_films
from mammo.run_folder import RunFolder
from mammo.runs.plugins import load_plugins_of

SHOWN = 12  # films of each kind in the picture
KEY = SAMPLE[:3]  # a copy of a sample has the facts of the sample
NAMES = {"table": "errors.csv", "sheet": "errors.png"}
KINDS = ("false negative", "false positive", "wrong class")
FACTS = ["dataset", "exam", "laterality", "view", "density", "finding", "severity"]  # of samples.csv


def mistakes(run: RunFolder, head: str | None = None, part: str = "test") -> pd.DataFrame:
    """Return the samples that a head calls wrongly, those that are furthest from the threshold first.

    Of two classes, a sample is called positive if its score is above the threshold that the run chose, or where there
    is none, if the positive class is the more probable one. Of more classes, the most probable one is called.

    Args:
        run: A finished run, or an external test.
        head: The head; None takes the network's own, which is the first one.
        part: train, val or test.

    Returns:
        Columns `kind` (one of `KINDS`), `image_id`, `finding_id`, `patch`, `patient`, `label`, `called`, `score`,
        `threshold`, those of `FACTS` that the run has, and the probabilities.

    Raises:
        InputError: The run has no such head, or no such part.
    """
    if part not in PARTS:
        raise InputError(f"--part {part}: expected {', '.join(PARTS[:-1])} or {PARTS[-1]}")
    table, classes = run.predictions()
    heads = [str(one) for one in table["head"].unique() if one not in BASELINES]
    if (head := head or heads[0]) not in heads:
        raise InputError(f"--head {head}: {run.path} has {', '.join(heads)}")
    threshold = run.choices(table, classes)[head].threshold
    rows = originals(table)
    rows = rows[(rows["head"] == head) & (rows["split"] == part)].reset_index(drop=True)
    if rows.empty:
        has = ", ".join(one for one in PARTS if one in set(table["split"]))
        raise InputError(f"--part {part}: {run.path} has no predictions of this part; it has {has or 'none'}")
    called, reach = _called(rows, classes, threshold)
    label = rows["label"].map({name: at for at, name in enumerate(classes)}).to_numpy()
    kind = np.where(label == 1, KINDS[0], KINDS[1]) if len(classes) == 2 else np.full(len(rows), KINDS[2])
    probable = [f"p_{name}" for name in classes]
    found = rows[[*KEY, "patient", "label", "score", *probable]].assign(
        kind=kind, called=np.array(classes)[called], threshold=threshold, reach=reach
    )
    found = found[called != label].sort_values(["kind", "reach"], ascending=[True, False], kind="stable")
    samples = run.samples
    facts = samples[[*KEY, *(name for name in FACTS if name in samples)]].drop_duplicates(KEY)
    found = found.merge(facts, on=KEY, how="left")
    order = ["kind", *KEY, "patient", "label", "called", "score", "threshold"]
    return found[[*order, *(name for name in FACTS if name in found), *probable]]


def _called(rows: pd.DataFrame, classes: list[str], threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the (N,) number of the class that each row is called, and how far the row is from another one."""
    if len(classes) == 2 and threshold is not None:
        score = rows["score"].to_numpy(float)
        return (score > threshold).astype(int), np.abs(score - threshold)
    chances = rows[[f"p_{name}" for name in classes]].to_numpy(float)
    return chances.argmax(axis=1), chances.max(axis=1)


def write(run: RunFolder, table: pd.DataFrame, folder: Path) -> tuple[list[Path], str | None]:
    """Write the table, and a sheet with the first films of each kind if they can be read.

    Returns:
        The paths of the files, and the reason why there is no sheet; None if there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAMES["sheet"]).unlink(missing_ok=True)  # it may be of another head or part
    write_table(for_people(table), folder / NAMES["table"])
    shown = table.drop_duplicates(["kind", "image_id"]).groupby("kind", sort=False).head(SHOWN)
    if shown.empty:
        return [folder / NAMES["table"]], "there is no error"
    try:
        load_plugins_of(run)
        dataset = own_films(run)
        findings = dataset.findings()
        drawn = [picture_of(dataset, findings, image) for image in shown["image_id"]]
    except (InputError, OSError) as error:
        return [folder / NAMES["table"]], f"the films cannot be read ({error})"
    names = [f"{row.kind}\n{figures.plain(row.image_id)}  {row.score:.3g}" for row in shown.itertuples()]
    figures.save(
        figures.films([one for one, _ in drawn], [lines for _, lines in drawn], names), folder / NAMES["sheet"]
    )
    return [folder / name for name in NAMES.values()], None
