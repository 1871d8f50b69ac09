"""The best recipes beside the paper's, from tables of predictions that lie beside an index of them.

The index is a CSV file with a row for each line of the table; `Recipe` has its columns.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd

from mammo.datasets.findings import SAMPLE
from mammo.datasets.labels import find_task
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit
from mammo.evaluation.bootstrap import difference
from mammo.evaluation.compare import check_paired
from mammo.evaluation.experiments import Experiment, Mean, mean
from mammo.evaluation.external import read_external
from mammo.evaluation.predictions import BASELINES
from mammo.files import check_new_table, read_json, write_table
from mammo.reports.experiments import JOBS, jobs_of, read_experiments
from mammo.reports.markdown import markdown, signed
from mammo.run_folder import RunFolder

BRIGHTNESS = "brightness"  # the head of centre-minus-surround brightness, which learns nothing
COLUMNS = ["task", "recipe", "unit", "metric", "recipe's", "paper's recipe", "recipe minus the paper's", "shortcuts"]
COLUMNS += ["recipe minus shortcuts", "brightness alone", "majority class", "n"]


@dataclass(frozen=True)
class Recipe:
    """A row of the index.

    Attributes:
        task: The name of the task, whose classes are those of the tables.
        recipe: The words of the command line.
        unit: `sample`, or the unit that is judged: image, breast, exam or patient.
        rule: The rule that makes the number of a unit from its samples, see `evaluation.aggregate`; empty for `sample`.
        metric: `auroc` or `accuracy`.
        predictions: A table in the folder of the index, as `collect` writes it.
        head: The head of that table that is the recipe's.
        paper: The table of the paper's recipe, on the same folds and seeds.
        paper_head: The head of that table.
    """

    task: str
    recipe: str
    unit: str
    rule: str
    metric: str
    predictions: str
    head: str
    paper: str
    paper_head: str


INDEX = [one.name for one in fields(Recipe)]


def collect(sweep: Path, path: Path, head: str) -> None:
    """Write the test rows of a head and of the baselines, of all jobs of a sweep, to one table.

    Of windows, the table has a further head, `brightness`: its score is the brightness of the middle minus that of the
    surround, and its probabilities are those of the majority class.

    Raises:
        InputError: The table exists, or the folder is no sweep of one experiment, the experiment leaks, or has no such
            head.
    """
    check_new_table(path, "--to")
    if not (sweep / JOBS).is_file():
        raise InputError(f"{sweep}: no {JOBS} in it; expected the folder of a sweep that has ended")
    experiments = read_experiments([sweep])
    if len(experiments) > 1:
        names = " and ".join(one.label for one in experiments[:2])
        raise InputError(f"{sweep}: one table is of one experiment, found {len(experiments)}, {names}; sweep one alone")
    (experiment,) = experiments
    if head not in experiment.heads:
        raise InputError(f"{sweep}: head={head} is not in all jobs; expected one of {', '.join(experiment.heads)}")
    if experiment.leaks:
        raise InputError(f"{sweep}: expected a sweep without leaks, found {experiment.leaks_text}")
    tables = [_tested(RunFolder(sweep / name), head) for name in read_json(sweep / JOBS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pd.concat(tables, ignore_index=True), path, new=True)


def _tested(run: RunFolder, head: str) -> pd.DataFrame:
    predictions, _ = run.predictions()
    tested = predictions[predictions["split"] == "test"]
    rows = tested[tested["head"].isin([head, *BASELINES])]
    if not run.crop["caption"]:
        return rows
    contrast = run.samples.set_index(SAMPLE[:3])["contrast"]
    majority = tested[tested["head"] == "majority"]
    score = contrast.loc[pd.MultiIndex.from_frame(majority[SAMPLE[:3]])].to_numpy(float)
    return pd.concat([rows, majority.assign(head=BRIGHTNESS, score=score)])


def table(index: Path) -> list[str]:
    """Return a row for each recipe of an index: its number, the paper's, the baselines', and paired differences.

    Raises:
        InputError: The index lacks a column, or a recipe and the paper's have not tested the same samples.
    """
    found = pd.read_csv(index, dtype=str, keep_default_na=False)
    if lacking := [column for column in INDEX if column not in found]:
        raise InputError(f"{index}: no column {lacking[0]}; expected {', '.join(INDEX)}")
    recipes = [Recipe(*row) for row in found[INDEX].itertuples(index=False, name=None)]
    return markdown(COLUMNS, [_row(index.parent, recipe) for recipe in recipes])


def _row(folder: Path, recipe: Recipe) -> list[str]:
    """Return the cells of one recipe."""
    ours, theirs = (_experiment(folder / name, recipe) for name in (recipe.predictions, recipe.paper))
    check_paired(ours, theirs)
    metric = recipe.metric
    found = {name: mean(ours, name, metrics=[metric])[metric] for name in ours.heads}
    own, paper = found[recipe.head], mean(theirs, recipe.paper_head, metrics=[metric])[metric]

    def less(one: Mean) -> str:
        return signed(replace(difference(own.resampled, one.resampled, *own.rests_on), of=own.value.of))

    unit = f"{recipe.unit}, {recipe.rule}" if recipe.rule else recipe.unit
    brightness = str(found[BRIGHTNESS].value) if BRIGHTNESS in found and metric == "auroc" else ""
    shortcuts, majority = found["shortcuts"], found["majority"].value.value
    return [
        *(recipe.task, f"`{recipe.recipe}`", unit, metric.replace("auroc", "AUROC"), str(own.value), str(paper.value)),
        *(less(paper), str(shortcuts.value), less(shortcuts), brightness, f"{majority:.3f}"),
        ours.tested(recipe.head).n,
    ]


def _experiment(path: Path, recipe: Recipe) -> Experiment:
    """Return the experiment that a table holds, its rows joined to the unit of a recipe."""
    external = read_external(path)
    rows = external.table
    if recipe.unit != "sample":
        rows, _ = by_unit(rows, find_task(recipe.task), recipe.unit, recipe.rule)
    return Experiment(f"{path.name} by {recipe.unit}", jobs_of(rows, external.classes))
