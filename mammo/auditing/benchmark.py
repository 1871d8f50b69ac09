"""The benchmark of the audit: it plants altered copies of films, and counts the found, the missed and false pairs."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mammo.auditing.audit import Audit, by_pixels
from mammo.auditing.duplicates import SAME
from mammo.auditing.hashes import read_grey, records
from mammo.auditing.sources import FILMS, find_films
from mammo.datasets.film import write_picture
from mammo.errors import InputError

Alteration = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _jpeg(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, data = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 91))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def _cropped(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = film.shape
    top, bottom, left, right = rng.uniform(0, 0.02, 4) * [height, height, width, width]
    part = film[round(top) : round(height - bottom), round(left) : round(width - right)]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)


def _levels(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scaled = (film / 255.0) ** rng.uniform(0.6, 1.6)
    scaled = (scaled - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.15, 0.15)
    return (255 * scaled.clip(0, 1)).round().astype(np.uint8)


ALTERATIONS: dict[str, Alteration] = {
    "mirrored": lambda film, rng: film[:, ::-1],
    "rotated": lambda film, rng: np.rot90(film, int(rng.integers(1, 4))),
    "re-encoded": _jpeg,
    "cropped": _cropped,
    "other levels": _levels,
}
CHOICES = [(), *((one,) for one in ALTERATIONS)] + [
    (one, other) for place, one in enumerate(ALTERATIONS) for other in list(ALTERATIONS)[place + 1 :]
]


def altered(film: np.ndarray, how: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Apply the named alterations to a film (height, width) uint8, one after the other, and return it."""
    for name in how:
        film = np.ascontiguousarray(ALTERATIONS[name](film, rng))
    return film


def benchmark(source: Path, copies: int, seed: int) -> tuple[list[str], list[str]]:
    """Write altered copies of random films to a temporary folder, and audit films and copies together.

    Args:
        source: A findings table or a folder of films.
        copies: The number of copies, at least 1.
        seed: Decides the films and the alterations.

    Returns:
        The counts, and the missed copies and false pairs, one line each.
    """
    films = find_films(source).table
    if copies < 1:
        raise InputError(f"copies is {copies}; use 1 or more")
    rng = np.random.default_rng([seed, 0xC0B1E5])
    order = np.concatenate([rng.permutation(len(films)) for _ in range(-(-copies // len(films)))])[:copies]
    hows = [CHOICES[place % len(CHOICES)] for place in range(copies)]
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for number, (film, how) in enumerate(zip(order, hows, strict=True)):
            path = Path(folder, f"copy{number:04d}.png")
            write_picture(path, altered(read_grey(Path(films["path"][film])), how, rng))
            rows.append(
                [f"{path.stem} of {films['name'][film]} ({', '.join(how) or 'identical'})", path.stem, str(path)]
            )
        planted = pd.DataFrame(rows, columns=FILMS[:3]).assign(patient=pd.NA, split=pd.NA)
        together = pd.concat([films, planted.astype("string")], ignore_index=True).assign(split=pd.NA)
        start = time.perf_counter()
        described, reasons = records([Path(path) for path in together["path"]])
        if reasons:
            raise InputError(f"{next(iter(reasons.values()))}; leave it out for the benchmark")
        pairs = by_pixels(together, described, found := Audit())
        seconds = time.perf_counter() - start
    origin = np.concatenate([np.arange(len(films)), order])
    true = origin[pairs.first] == origin[pairs.second]
    same = pairs.correlation >= SAME
    own = true & (pairs.first < len(films)) & (pairs.second >= len(films))
    hit = set(pairs.second[own & same] - len(films))
    false = np.flatnonzero(same & ~true)
    names = together["name"]
    lowest, highest = _extreme(pairs.correlation[own], np.min), _extreme(pairs.correlation[~true], np.max)
    counted = [
        f"compared: {found.compared}",
        f"planted: {copies}",
        f"found: {len(hit)}",
        f"false pairs: {len(false)}",
        f"lowest correlation of a planted copy with its film: {lowest}",
        f"highest correlation of distinct films: {highest} (threshold {SAME})",
        f"seconds, hashing included: {seconds:.1f}",
    ]
    missed = [f"missed: {names[len(films) + copy]}" for copy in range(copies) if copy not in hit]
    return counted, missed + [f"false: {names[pairs.first[pair]]} and {names[pairs.second[pair]]}" for pair in false]


def _extreme(correlations: np.ndarray, which: Callable[[np.ndarray], float]) -> str:
    known = correlations[~np.isnan(correlations)]
    return f"{which(known):.3f}" if len(known) else "none was close enough to align"
