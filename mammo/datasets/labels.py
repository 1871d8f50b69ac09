"""The tasks: their class names, and the rule that gives a row of the findings table its class."""

from dataclasses import dataclass
from functools import cache

import pandas as pd
import yaml

from mammo.config import TaskConfig
from mammo.datasets.findings import COLUMNS, IMAGE_COLUMNS
from mammo.datasets.geometry import with_circles
from mammo.datasets.label_words import fold, words_of
from mammo.errors import InputError
from mammo.paths import conf

WORST = {"normal": 0, "benign": 1, "malignant": 3}
UNKNOWN = 2  # worse than benign: an image with a benign finding and an unknown one is unknown
SEVERAL = 8  # words of a column that an error lists
MOST_WORDS = 20  # words of a column that may hold classes
SHOWN = ["finding_id", "finding", "severity", "radius_px"]  # columns that describe a square of an image


@dataclass(frozen=True)
class Labels:
    """The classes of a task, and the class of each finding.

    Attributes:
        classes: Names in the order of the network's outputs; if there are two, the second is positive.
        column: The column of the findings table that decides the class.
        of: The class of each value of that column; rows with other values take no part in the task.
        ordered: True if the classes are in ascending order, such as of severity.
        words: True if the classes come from the words of a user's column (`task=label`). Capitals and blanks then do
            not matter, and an image has one class.
    """

    classes: tuple[str, ...]
    column: str
    of: dict[str, str]
    ordered: bool = True
    words: bool = False

    @classmethod
    def from_config(cls, task: TaskConfig) -> "Labels":
        """Return the labels that a task's settings describe.

        Raises:
            InputError: There are fewer than two classes, or a value belongs to two of them.
        """
        lists = isinstance(task.classes, dict) and all(isinstance(one, list) for one in task.classes.values())
        if not lists or len(task.classes) < 2:
            raise InputError(f"task.classes={task.classes}: expected two classes or more, each with its values")
        pairs = [(str(value), str(name)) for name, values in task.classes.items() for value in values]
        values = [value for value, _ in pairs]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise InputError(f"task.classes: {', '.join(twice)} belongs to two classes; expected each value once")
        words = task.positive is not None
        of = {fold(value) if words else value: name for value, name in pairs}
        return cls(tuple(map(str, task.classes)), task.column, of, task.ordered, words)

    def label(self, table: pd.DataFrame) -> pd.Series:
        """Return the class of each row of a findings table; missing if the row takes no part in the task."""
        values = words_of(table[self.column]).map(fold, na_action="ignore") if self.words else table[self.column]
        return values.astype("string").map(self.of)

    @property
    def of_lesions(self) -> bool:
        """True if the classes describe lesions, the first being the least alarming; False if they describe images."""
        return self.column not in IMAGE_COLUMNS and not self.words

    @property
    def alarming(self) -> bool:
        """True if a class is the most alarming one: of lesions, or the positive one of a user's words."""
        return self.ordered if self.words else self.of_lesions

    @property
    def stratify(self) -> str:
        """The column that stratifies patients when they are assigned to splits, so that each split has every class."""
        return "label" if self.words else self.column if self.of_lesions else "severity"

    def stratified(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a findings table that has the column `stratify`; by a user's words it has one row for each image."""
        return self.of_images(table.assign(label=self.label(table))) if self.words else table

    def of_images(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the row of each image that gives it its class, in the order of the table.

        It is the worst finding. If the classes are a user's words, it is a row of the positive class; one whose word
        is missing comes before a negative one. Without a positive class, the rows must agree, or the image has none.

        Args:
            rows: A findings table with the `label` of each row.
        """
        if not self.words:
            return worst_findings(rows)
        rank = rows["label"].map({name: at for at, name in enumerate(self.classes)}).astype(float).fillna(0.5)
        if not self.ordered:
            differ = rows.groupby("image_id")["label"].transform("nunique", dropna=False) > 1
            rows, rank = rows.assign(label=rows["label"].mask(differ)), 0 * rank
        first = rank.sort_values(ascending=False, kind="stable").index
        return rows.loc[first].drop_duplicates("image_id").sort_index()


@cache
def known_tasks(kind: str = "classification") -> dict[str, Labels]:
    """Return the tasks of a kind in `conf/task` by name."""
    files = sorted((conf() / "task").glob("*.yaml"))
    plain = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    tasks = {name: TaskConfig(**one.get("task", one)) for name, one in plain.items()}  # one may set other groups too
    known = {name: task for name, task in tasks.items() if task.classes is not None and task.kind == kind}
    return {name: Labels.from_config(task) for name, task in known.items()}


def find_task(name: str) -> Labels:
    """Return the task of that name; the error for an unknown name lists the known ones."""
    if name not in known_tasks():
        raise InputError(f"task={name} is unknown; expected one of {', '.join(known_tasks())}")
    return known_tasks()[name]


def task_of(classes: tuple[str, ...]) -> Labels | None:
    """Return the known task with these classes in this order (no two tasks share them), or None."""
    return next((task for task in known_tasks().values() if task.classes == classes), None)


def check_task(task: Labels, table: pd.DataFrame, kind: str = "classification") -> None:
    """Refuse a findings table that lacks a class of the task; the error names tasks of its kind that it can give."""
    if missing := _missing(task, table):
        possible = [name for name, other in known_tasks(kind).items() if not _missing(other, table)]
        found = sorted(map(str, table[task.column].dropna().unique())) if task.column in table else []
        has = ", ".join([*found[:SEVERAL], *(["..."] if len(found) > SEVERAL else [])]) or "nothing"
        raise InputError(
            f"the data set has no film or finding of class {', '.join(missing)} (its column {task.column} has {has}); "
            f"set task to one that it can give: {', '.join(possible) or 'none'}{_own_columns(task, table)}"
        )


def _own_columns(task: Labels, table: pd.DataFrame) -> str:
    """Return which columns of the user's own may hold the severity, if no row has one; else nothing."""
    own = [name for name in table if name not in COLUMNS and 2 <= table[name].nunique() <= MOST_WORDS]
    if not own or task.column != "severity" or table["severity"].notna().any():
        return ""
    return (
        f"; of a table of your own, data.columns.severity={own[0]} names the column and asks for words that are "
        f"not known, task=label task.column={own[0]} takes them as they are ({', '.join(own)})"
    )


def _missing(task: Labels, table: pd.DataFrame) -> list[str]:
    found = set(task.label(table).dropna()) if task.column in table else set()
    return [name for name in task.classes if name not in found]


def worst_findings(table: pd.DataFrame, of: str = "image_id") -> pd.DataFrame:
    """Return the worst finding of each image (the first of equally bad ones), in the order of the table."""
    rank = table["severity"].map(WORST).astype(float).fillna(UNKNOWN)
    worst_first = table.assign(_rank=rank).sort_values("_rank", ascending=False, kind="stable")
    return worst_first.drop_duplicates(of).drop(columns="_rank").sort_index()


def findings_in(squares: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of a square and a finding of the same image whose centre lies in the square.

    Args:
        squares: `image_id`, the centre `x_px, y_px` and the side `size_px`, in pixels of the film.
        findings: A findings table.

    Returns:
        The columns of the finding, and `square`, the row number of the square from 0.
    """
    numbered = squares[["image_id", "x_px", "y_px", "size_px"]].assign(square=range(len(squares)))
    placed = with_circles(findings[findings["image_id"].isin(squares["image_id"])]).dropna(subset="x_px")
    pairs = numbered.merge(placed, on="image_id", suffixes=("", "_finding"))
    reach = pairs["size_px"] / 2
    inside = [(pairs[f"{axis}_finding"] - pairs[axis]).abs() <= reach for axis in ("x_px", "y_px")]
    return pairs[inside[0] & inside[1]]


def shown_in(squares: pd.DataFrame, findings: pd.DataFrame, column: str = "severity") -> pd.DataFrame:
    """Return columns of the worst finding in each square: `SHOWN`, and `column` unless it describes images.

    A square without a finding gets the values of a normal image.
    """
    worst = worst_findings(findings_in(squares, findings), of="square").set_index("square")
    rows = worst.reindex(range(len(squares)))[[*SHOWN, *({column} - {*SHOWN, *IMAGE_COLUMNS})]]
    rows.loc[~rows.index.isin(worst.index), SHOWN[:3]] = [0, "NORM", "normal"]
    return rows.set_axis(squares.index)
