"""Contours as other programs write them: x and y of point after point, in pixels, read strictly and never guessed."""

import ast
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mammo.datasets.geometry import FARTHEST

FORMS = 'write [[60, 100], [90, 105], [85, 140]], or {"x": [60, 90, 85], "y": [100, 105, 140]}'
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
OF_NUMPY = re.compile(r"(?:np|numpy)\.(?:float|u?int)\d+\(([^()]*)\)")  # as numpy 2 shows a number
SEPARATOR = re.compile(r"[\s,;|/\\:='\"]+")
BRACKET = re.compile(r"[\[\](){}]")
WORDS = {"polygon", "polygonz", "multipolygon", "linestring", "linearring", "points", "point", "array", "x", "y", "z"}
HOLDERS = {"points", "coordinates", "segmentation", "polygon", "contour", "vertices", "shape_attributes", "geometry"}
LISTS = (("x", "y"), ("all_points_x", "all_points_y"))  # the second of VGG Image Annotator
SVG = re.compile(r"M[^MLZ]+(?:L[^MLZ]+)*Z?")
CLOSED = 3  # points of the smallest contour
DRAWN = 300  # side of the picture on which a contour is drawn to see whether it crosses itself
CLEAR = 0.9  # share of what a line encloses that does not depend on its crossings
TRIPLES = "has three numbers a point; leave out the third"
SEVERAL = "has several lines; give each finding one, in a row of its own"
MIXED = "has no x and y for each point"


def points_of(text: str) -> np.ndarray:
    """Return the points of a contour, (n, 2) x and y, at least three.

    It is JSON, or Python's words for it: a list of pairs, of numbers, or of mappings with x and y; a mapping of the
    lists x and y, or `all_points_x` and `all_points_y`. Other text holds numbers, separators, brackets, `POLYGON` of
    WKT, or M, L and Z of SVG. A third coordinate is dropped if it is named or told apart, and the same in all points.

    Raises:
        ValueError: It is none of these. The message says what it is; `FORMS` shows what is read.
    """
    if "..." in text or "\N{HORIZONTAL ELLIPSIS}" in text:
        raise ValueError("is shortened by ..., so points are missing")
    try:
        points = np.array(_of_words(OF_NUMPY.sub(r"\1", text)), float).reshape(-1, 2)
    except (OverflowError, RecursionError):
        raise ValueError("has a number that is not finite, or brackets in too many others") from None
    if len(points) < CLOSED:
        raise ValueError("needs x and y of three points or more")
    if not (np.abs(points) <= FARTHEST).all():  # false for NaN
        raise ValueError(f"has a number that is not finite, or above {FARTHEST}")
    return points


def crosses_itself(points: np.ndarray) -> bool:
    """Tell whether a line (n, 2) crosses itself so that more than a tenth of what it encloses may be in or out.

    The area by the order of the points is then not the filled one: it is smaller where two loops turn against each
    other, and larger where a loop is drawn twice. Pixels of the line itself are half inside.
    """
    line = points - points.min(axis=0)
    line = np.rint(line * (DRAWN / max(float(line.max()), 1e-6))).astype(np.int32)
    after = np.roll(line, -1, axis=0)
    area = abs(float((line[:, 0].astype(float) * after[:, 1] - line[:, 1].astype(float) * after[:, 0]).sum())) / 2
    filled = int(cv2.fillPoly(np.zeros((DRAWN + 1, DRAWN + 1), np.uint8), [line], 1).sum())
    length = float(np.hypot(*(after - line).T).sum())
    return area < CLEAR * (filled - length / 2 - 1) or CLEAR * area > filled


def _of_words(text: str) -> Sequence[object]:
    """Return x and y of point after point of JSON, of a literal of Python, or of other text."""
    text = text.strip()
    if text[:1] not in ("[", "(", "{", '"', "'"):
        return _of_text(text)
    plain = text if ":" in text else text.replace("{", "[").replace("}", "]")  # a set of Python has no order
    for read in (json.loads, ast.literal_eval):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # brackets beside brackets look like a call
            try:
                given = read(plain)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
        return _of_literal(given)
    return _of_text(text)


def _of_literal(given: object) -> Sequence[object]:
    """Return x and y of point after point of a list, mapping or text."""
    if isinstance(given, str):
        return _of_words(given)
    if isinstance(given, dict):
        return _of_mapping({str(key).casefold(): value for key, value in given.items()})
    if not isinstance(given, list | tuple):
        raise ValueError(MIXED)
    return _of_list(given)


def _of_list(given: Sequence[Any]) -> Sequence[object]:
    """Return x and y of point after point of a list of numbers, points, mappings or texts."""
    if len(given) == 1 and isinstance(given[0], list | tuple | dict | str):
        return _of_literal(given[0])
    texts = [one for one in given if isinstance(one, str)]
    mappings = [one for one in given if isinstance(one, dict)]
    if (texts or mappings) and len(given) not in (len(texts), len(mappings)):
        raise ValueError(MIXED)
    if texts:
        return _of_words(" ".join(texts))
    if mappings:
        return _of_points([{str(key).casefold(): value for key, value in one.items()} for one in mappings])
    if all(map(_is_number, given)):
        return _of_flat(given)
    rows = [one[0] if _wraps(one) else one for one in given]  # as OpenCV has points, each in a list of its own
    if not all(isinstance(one, list | tuple) and all(map(_is_number, one)) for one in rows):
        deep = any(isinstance(one, list | tuple) and any(isinstance(of, list | tuple) for of in one) for one in rows)
        raise ValueError(SEVERAL if deep else MIXED)
    return _of_rows(rows)


def _wraps(given: object) -> bool:
    return isinstance(given, list | tuple) and len(given) == 1 and isinstance(given[0], list | tuple)


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _of_mapping(given: dict[str, object]) -> Sequence[object]:
    """Return the points of a mapping: of its lists of x and y, or of the one value that holds the points."""
    lists = [(given[x], given[y]) for x, y in LISTS if x in given and y in given]
    held = [given[key] for key in HOLDERS if isinstance(given.get(key), list | dict)]
    held += [given["points"]] if isinstance(given.get("points"), str) else []
    if len(lists) + len(held) != 1:
        raise ValueError(f"has the keys {', '.join(list(given)[:6])[:60]}, and not x and y")
    if held:
        return _of_literal(held[0])
    (x, y) = lists[0]
    if not (isinstance(x, list | tuple) and isinstance(y, list | tuple) and len(x) == len(y)):
        raise ValueError("has x and y that are not two lists of the same length")
    if not all(map(_is_number, [*x, *y])):
        raise ValueError(MIXED)
    return [one for pair in zip(x, y, strict=True) for one in pair]


def _of_points(points: list[dict[str, object]]) -> Sequence[object]:
    """Return the points of mappings, each with a number x and y."""
    if not all(_is_number(one.get("x")) and _is_number(one.get("y")) for one in points):
        raise ValueError(SEVERAL if any(LISTS[1][0] in one or HOLDERS & {*one} for one in points) else MIXED)
    if len({str(one.get("z")) for one in points}) > 1:
        raise ValueError(TRIPLES)
    return [number for one in points for number in (one["x"], one["y"])]


def _of_flat(numbers: Sequence[object]) -> Sequence[object]:
    """Return numbers that may be x and y in turn; refuse those of which each third one is the same."""
    if len(numbers) % 3 == 0 and len(numbers) // 3 >= CLOSED and len({*numbers[2::3]}) == 1:
        raise ValueError(TRIPLES)
    if len(numbers) % 2:
        raise ValueError("has an odd number of numbers; it needs x and y of three points or more")
    return numbers


def _of_rows(rows: Sequence[Sequence[object]]) -> Sequence[object]:
    """Return the numbers of rows that are points, of two numbers or of three with the same third one."""
    lengths = {len(row) for row in rows}
    if lengths == {2}:
        return [number for row in rows for number in row]
    if lengths == {3} and len(rows) > CLOSED:  # three rows of three may be x, y and z
        if len({row[2] for row in rows}) == 1:
            return [number for row in rows for number in row[:2]]
        raise ValueError(TRIPLES)
    if len(rows) == 2 and len(lengths) == 1 and min(lengths) > 2:
        raise ValueError("has two long lists, which may be x and y or two lines")
    raise ValueError(TRIPLES if lengths == {3} else SEVERAL if min(lengths) > 2 else MIXED)


def _of_text(text: str) -> Sequence[object]:
    """Return the numbers of text in brackets, with separators, or of a path of SVG."""
    if re.search(r"\d,\d", text) and re.search(r"\d[\s;|]+[-\d]", text) and not re.search(r"[.\[(]", text):
        raise ValueError("has commas that may be decimal")
    if text[:1] in ("M", "m") and not text[1:2].isalpha():
        if not SVG.fullmatch(text):
            raise ValueError("is a path that is not one line of M, L and Z")
        text = re.sub("[MLZ]", " ", text)
    parts = [[one for one in SEPARATOR.split(part) if one] for part in BRACKET.split(text)]
    named = [word.casefold() for part in parts for word in part if not NUMBER.fullmatch(word)]
    if odd := [word for word in named if word not in WORDS]:
        raise ValueError(f"has {odd[0][:20]}, which is no number")
    rows = [[float(word) for word in part if NUMBER.fullmatch(word)] for part in parts]
    rows = [row for row in rows if row]
    axes = [one for one in named if one in ("x", "y", "z")]
    if len(rows) == 1 and ("polygonz" in named or {"polygon", "z"} <= {*named}):
        return _with_z(rows[0])
    count = sum(map(len, rows))
    if axes and axes != ["x", "y"] * (count // 2):
        raise ValueError("has names that are not x and y in turn")
    if len(rows) > 1:
        return _of_rows(rows)
    if any(_in_threes(text, separator) for separator in (";", r"\|", "\n", ",", r"\s+")):
        raise ValueError(TRIPLES)
    return _of_flat(rows[0] if rows else [])


def _with_z(numbers: list[float]) -> list[float]:
    """Return x and y of numbers that are x, y and z in turn."""
    if len(numbers) % 3 or len({*numbers[2::3]}) > 1:
        raise ValueError(TRIPLES)
    return [number for at, number in enumerate(numbers) if at % 3 < 2]


def _in_threes(text: str, separator: str) -> bool:
    """True if a separator parts text into three parts or more, each of three numbers."""
    parts = [one for one in re.split(separator, BRACKET.sub(" ", text).strip()) if one.strip()]
    return len(parts) >= CLOSED and all(len(NUMBER.findall(one)) == 3 for one in parts)
