"""Signatures: can a small model tell the label of a film from what is no tissue, such as its size or its border?

If it can, so can a network, and its result says nothing about tissue. The model is a logistic regression on the ranks
of a few numbers, tested on patients that it was not fitted on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mammo.auditing.hashes import read_grey, shrunk
from mammo.errors import InputError, UnreadableFilm
from mammo.evaluation.areas import weighted_auroc
from mammo.evaluation.bootstrap import Value, interval, resampled
from mammo.formats.header import read_headers
from mammo.processes.workers import shared_out
from mammo.wording import number_of

FOLDS = 5
FEWEST = 10  # patients of each class
RIDGE = 1.0
SIDE_PX = 256  # of the longer side of the film on which border and ground are looked at
BORDER = 0.02  # of the shorter side
NUMBERS, WORDS = ("spacing_mm", "bits", "kvp"), ("format", "scanner", "photometric")  # the facts of a header
MOST_WORDS = 20  # of a fact; what is rarer counts as one more
GROUPS = ("image size", "file size", "header", "border", "burnt-in text", "all of them")


@dataclass(frozen=True)
class Signatures:
    """The result of the test.

    Attributes:
        compared: What was looked at, in one line.
        scores: The AUROC of each of `GROUPS`, with its interval by patient.
        unreadable: The films that could not be looked at, one line each.
    """

    compared: str
    scores: dict[str, Value]
    unreadable: list[str]

    @property
    def found(self) -> bool:
        """True if all signatures together tell the label better than chance, at the lower end of the interval."""
        low = self.scores[GROUPS[-1]].low
        return low is not None and low > 0.5

    def lines(self) -> Iterator[str]:
        """Yield the lines to print."""
        yield f"compared: {self.compared}; header: spacing, bits, format, scanner, PhotometricInterpretation and KVP"
        yield from (f"AUROC from {name} alone: {value}" for name, value in self.scores.items())
        yield from (f"not looked at: {one}" for one in self.unreadable)
        left = f"; {len(self.unreadable)} could not be looked at" * bool(self.unreadable)
        if self.found:
            yield f"signature: the label can be told without tissue{left}"
        else:
            yield f"no signature found among image size, file size, header, border and burnt-in text{left}"


def find_signatures(films: pd.DataFrame, positive: str) -> Signatures:
    """Test whether labels can be told without tissue.

    Args:
        films: A table with `path`, `patient` and `label`, one row for each film.
        positive: The label whose films are told from all others.

    Raises:
        InputError: A class has too few patients, or no film can be read.
    """
    made = list(shared_out(ground_of, [Path(path) for path in films["path"]]))
    lost = [f"{path}: {one}" for path, one in zip(films["path"], made, strict=True) if isinstance(one, UnreadableFilm)]
    kept = np.array([not isinstance(one, UnreadableFilm) for one in made], bool)
    films = films[kept].reset_index(drop=True)
    is_positive = (films["label"] == positive).to_numpy(bool)
    patients = films["patient"].astype(str).to_numpy()
    for name, rows in ((positive, is_positive), (f"not {positive}", ~is_positive)):
        if (known := len(set(patients[rows]))) < FEWEST:
            raise InputError(f"expected {FEWEST} patients or more of class {name}, found {known}; name another task")
    grounds = pd.DataFrame([one for one in made if not isinstance(one, UnreadableFilm)])
    numbers = _of_files(list(films["path"])) | {
        "border": grounds.filter(like="border"), "burnt-in text": grounds.filter(like="text"),
    }  # fmt: skip
    numbers[GROUPS[-1]] = pd.concat(numbers.values(), axis=1)
    scores = {}
    for name in GROUPS:
        score = _told(_ranks(numbers[name]), is_positive, patients)
        values = resampled(patients, _auroc(is_positive, score))
        scores[name] = interval(values["auroc"], len(set(patients)))
    compared = (
        f"{number_of(len(films), 'image')} of {number_of(len(set(patients)), 'patient')}, "
        f"{int(is_positive.sum()):,} of them "
        f"{positive}; a model of {FOLDS} folds by patient"
    )
    return Signatures(compared, scores, lost)


def _auroc(positive: np.ndarray, score: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    return lambda weights: {"auroc": weighted_auroc(positive, score, weights)}


def ground_of(path: Path) -> dict[str, float]:
    """Return numbers of a film's border, and of what is bright outside the largest bright area, such as text.

    Raises:
        UnreadableFilm: The file cannot be used as a film.
    """
    film = read_grey(path)
    small = shrunk(film, SIDE_PX / max(film.shape))
    width = max(round(BORDER * min(small.shape)), 1)
    found: dict[str, float] = {}
    for name, strip in (("top", small[:width]), ("bottom", small[-width:]), ("left", small[:, :width]),
                        ("right", small[:, -width:])):  # fmt: skip
        found |= {f"border {name}": float(strip.min()), f"border {name} spread": float(strip.std())}
    _, bright = cv2.threshold(small, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    number, _, facts, _ = cv2.connectedComponentsWithStats(bright)
    areas = np.sort(facts[1:, cv2.CC_STAT_AREA])[::-1]
    return found | {
        "text parts": float(number - 2),
        "text area": float(areas[1:].sum() / small.size),
        "text white": float((small >= 250).mean()),
    }


def _of_files(paths: Sequence[str]) -> dict[str, pd.DataFrame]:
    headers = read_headers(paths)
    height, width = (np.array([getattr(one, name) for one in headers], float) for name in ("height", "width"))
    sizes = np.array([Path(path).stat().st_size for path in paths], float)
    told = pd.DataFrame({name: [getattr(one, name) for one in headers] for name in NUMBERS}, dtype=float)
    parts = [told.fillna(0), told.isna().astype(float)]
    for name in WORDS:
        words = pd.Series([getattr(one, name) for one in headers], dtype=object).fillna("")
        parts.append(pd.get_dummies(words.where(words.isin(words.value_counts().index[:MOST_WORDS]))).astype(float))
    return {
        "image size": pd.DataFrame({"height": height, "width": width, "ratio": height / width}),
        "file size": pd.DataFrame({"bytes": sizes, "bytes of a pixel": sizes / (height * width)}),
        "header": pd.concat(parts, axis=1),
    }


def _ranks(numbers: pd.DataFrame) -> np.ndarray:
    """Return the ranks of each column from -1 to 1, their squares, and a column of ones, (images, columns)."""
    ranks = 2 * (numbers.rank(pct=True) - numbers.rank(pct=True).mean()).to_numpy(float)
    return np.column_stack([ranks, ranks**2, np.ones(len(ranks))])


def _told(numbers: np.ndarray, positive: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return the score of each image by a model that was fitted on the patients of the other folds, (images,)."""
    names = np.unique(patients)
    fold = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % FOLDS, strict=True))
    of = np.array([fold[one] for one in patients])
    score = np.zeros(len(numbers))
    for one in range(FOLDS):
        inside = of != one
        weights = _fitted(numbers[inside], positive[inside])
        raw, train = numbers[of == one] @ weights, numbers[inside] @ weights
        score[of == one] = (raw - train.mean()) / (train.std() + 1e-9)  # folds have scales of their own
    return np.round(score, 9)


def _fitted(numbers: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression with a ridge, both classes weighing alike (Newton's method)."""
    share = positive.mean()
    balance = np.where(positive, 0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else np.ones(len(positive))
    weights, ridge = np.zeros(numbers.shape[1]), np.full(numbers.shape[1], RIDGE)
    ridge[-1] = 1e-6  # of the column of ones
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.clip(numbers @ weights, -30, 30)))
        slope = numbers.T @ (balance * (positive - chance)) - ridge * weights
        curve = (numbers * (balance * chance * (1 - chance))[:, None]).T @ numbers + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    return weights
