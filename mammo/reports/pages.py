"""Pages of results: prose written by hand, and tables that are computed from the predictions committed beside them.

A table stands between the lines `<!-- table: KIND PATH ... -->` and `<!-- /table -->` of a page.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation.compare import compare, pairs
from mammo.evaluation.experiments import mean
from mammo.files import write_text
from mammo.reports import best, detector_differences, detector_results, leaderboard, leak_study, literature
from mammo.reports.experiments import read_experiments
from mammo.reports.markdown import markdown

BEGIN, END = "<!-- table: ", "<!-- /table -->"
MARKED = re.compile(f"({BEGIN}(.*?) -->\n)(.*?)({END})", re.DOTALL)
SINGLE = ["`python train.py ... W`", "n", "softmax accuracy", "softmax AUROC", "SVM accuracy", "SVM AUROC"]
SINGLE += ["majority class", "brightness alone, AUROC", "leaks"]


def fill(folder: Path) -> list[str]:
    """Compute the tables of all pages of a folder again; return the names of the pages that changed.

    Raises:
        InputError: No page has a marked table, or a mark names no table; nothing is written then.
    """
    before = {page: page.read_text() for page in sorted(folder.glob("*.md"))}
    if not any(BEGIN in text for text in before.values()):
        raise InputError(f"{folder}: no page with a table; expected a .md file with a line {BEGIN}csv some.csv -->")
    after = {page: filled(text, page) for page, text in before.items()}
    changed = [page for page in after if after[page] != before[page]]
    for page in changed:
        write_text(after[page], page)
    return [page.name for page in changed]


def filled(text: str, page: Path) -> str:
    """Return the text of a page with its tables computed from the files beside it.

    Raises:
        InputError: A mark names no table, or has no end.
    """
    if not text.count(BEGIN) == text.count(END) == len(MARKED.findall(text)):
        raise InputError(f"{page}: each line {BEGIN}... --> needs a line {END} after its table")
    return MARKED.sub(lambda found: found[1] + "\n".join([*_table(found[2], page), found[4]]), text)


def _table(words: str, page: Path) -> list[str]:
    """Return the lines of the table that a mark names."""
    kind, *names = words.split()
    paths = [page.parent / name for name in names]
    if kind not in ONE | SEVERAL:
        raise InputError(f"{page}: table: {words}: no kind {kind}; expected one of {', '.join(ONE | SEVERAL)}")
    if missing := [name for name, path in zip(names, paths, strict=True) if not path.exists()]:
        raise InputError(f"{page}: table: {words}: no {missing[0]} in {page.parent}")
    if kind in SEVERAL and paths:
        return SEVERAL[kind](paths)
    if len(paths) != 1:
        raise InputError(f"{page}: table: {words}: expected one path, found {len(paths)}")
    return ONE[kind](paths[0])


def plain(path: Path) -> list[str]:
    """Return a CSV file as it is."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return markdown(list(table.columns), table.to_numpy().tolist())


def single_splits(path: Path) -> list[str]:
    """Return the test numbers of runs of one split, listed in a CSV file `command, predictions, one_liner, leaks`."""
    rows = []
    for run in pd.read_csv(path, dtype=str, keep_default_na=False).itertuples():
        (one,) = read_experiments([path.parent / run.predictions])
        found = {head: mean(one, head) for head in ("softmax", "svm", "majority")}
        numbers = [str(found[head][metric].value) for head in ("softmax", "svm") for metric in ("accuracy", "auroc")]
        majority = str(found["majority"]["accuracy"].value)
        command = f"`{run.command}` ([predictions]({run.predictions}))"
        rows.append([command, one.tested("svm").n, *numbers, majority, run.one_liner, run.leaks])
    return markdown(SINGLE, rows)


def study(folder: Path) -> list[str]:
    """Return the picture and the table of a leak study; write the picture beside the page.

    Args:
        folder: Its predictions, or the CSV of its metrics, below the page.
    """
    found = leak_study.from_table(folder) if folder.is_file() else leak_study.results(leak_study.read(folder))
    picture = f"{folder.parent.name}_{folder.stem}.png"
    figures.save(leak_study.forest(found), folder.parent.parent / picture)
    return [f"![The leak study: {folder.stem}]({picture})", "", *leak_study.table(found)]


def found_leaks(folder: Path) -> list[str]:
    """Return the protocol and the leaks of each run of a leak study, once for all its recipes."""
    rows = {one.leak_study: [f"`{one.leak_study}`", one.protocol, one.leaks_text] for one in leak_study.read(folder)}
    return markdown(["`leak_study=`", "protocol", "leaks that the program found"], list(rows.values()))


def folds(paths: list[Path]) -> list[str]:
    """Return the means over folds of each head of several tables of predictions."""
    return leaderboard.table(leaderboard.results(read_experiments(paths), leaderboard.SHOWN))


def paired(paths: list[Path]) -> list[str]:
    """Return the paired differences of the heads of several tables of predictions."""
    return leaderboard.paired_table([compare(*pair) for pair in pairs(read_experiments(paths))])


ONE: dict[str, Callable[[Path], list[str]]] = {  # of one file or folder
    "csv": plain,
    "single_splits": single_splits,
    "leak_study": study,
    "leaks": found_leaks,
    "literature": literature.table,
    "detector": detector_results.table,
    "windows": detector_results.windows_table,
    "best": best.table,
}
SEVERAL: dict[str, Callable[[list[Path]], list[str]]] = {
    "folds": folds,
    "paired": paired,
    "detectors": detector_differences.table,
}
