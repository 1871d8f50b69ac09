"""The benchmark of parts: it plants crops, turned copies and squeezed breasts, and counts them by kind."""

import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mammo.auditing.boxes import all_parts
from mammo.auditing.hashes import read_grey, records
from mammo.auditing.parts import SAME
from mammo.auditing.sources import find_films
from mammo.datasets.film import write_picture
from mammo.errors import InputError
from mammo.preprocessing.region import find_region

TURNED = "turned by any angle"
SIDES_PX = (112, 160, 224, 320)  # of a crop in its film
SQUEEZED = "breast squeezed to a square"
KINDS = (TURNED, *(f"crop of {side} pixels" for side in SIDES_PX), SQUEEZED)
SQUARES_PX = (224, 512, 768, 1024, 2048)  # sides of a squeezed breast
MARGIN = 0.05  # of a breast's height and width, the most that is left around it
FACTORS = (0.5, 2.0)  # by which a crop is made smaller or larger
TISSUE = 0.9  # share of a crop that is brighter than the ground, as of a window around a lesion
GROUND = 30


def planted(film: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return a copy or a crop of a film (height, width) uint8 of one of `KINDS`; every second one is mirrored."""
    height, width = film.shape
    if kind == TURNED:
        warp = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(0, 360)), 1)
        made = cv2.warpAffine(film, warp, (width, height))
    elif kind == SQUEEZED:
        region, _ = find_region(film, 255) or (np.ones((height, width), np.uint8), [])
        left, top, across, down = np.array(cv2.boundingRect(region)) * height / len(region)
        spare = rng.uniform(0, MARGIN, 4) * [down, down, across, across]
        rows = slice(max(round(top - spare[0]), 0), round(top + down + spare[1]))
        columns = slice(max(round(left - spare[2]), 0), round(left + across + spare[3]))
        side = int(rng.choice(SQUARES_PX))
        made = cv2.resize(film[rows, columns], (side, side), interpolation=cv2.INTER_AREA)
    else:
        side = min(SIDES_PX[KINDS.index(kind) - 1], height, width)
        for _ in range(400):
            x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
            made = film[y : y + side, x : x + side]
            if (made > GROUND).mean() > TISSUE:
                break
        factor = float(rng.uniform(*FACTORS))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        made = cv2.resize(made, None, fx=factor, fy=factor, interpolation=how)
    return np.ascontiguousarray(made[:, ::-1] if rng.random() < 0.5 else made)


def benchmark(source: Path, copies: int, seed: int) -> tuple[list[str], list[str]]:
    """Write parts and copies of random films of all kinds to a temporary folder, and look for them among the films.

    Args:
        source: A findings table or a folder of films.
        copies: The number of copies of each of `KINDS`, at least 1.
        seed: Decides the films, places, angles and scales.

    Returns:
        The counts, and the missed copies and false pairs, one line each.
    """
    films = find_films(source).table
    if copies < 1:
        raise InputError(f"copies is {copies}; use 1 or more")
    rng = np.random.default_rng([seed, 0x9A875])
    paths, names = [Path(path) for path in films["path"]], films["name"].tolist()
    origin, kinds = list(range(len(films))), [""] * len(films)
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for number in range(copies):
                film = int(rng.integers(len(films)))
                path = Path(folder, f"{KINDS.index(kind)}-{number:04d}.png")
                write_picture(path, planted(read_grey(paths[film]), kind, rng))
                paths.append(path)
                names.append(f"{kind}, of {names[film]}")
                origin.append(film)
                kinds.append(kind)
        start = time.perf_counter()
        described, reasons = records(paths)
        if reasons:
            raise InputError(f"{next(iter(reasons.values()))}; leave it out for the benchmark")
        found = all_parts(paths, described, np.ones(len(paths), bool), set())
        seconds = time.perf_counter() - start
    true = [part for part in found if origin[part.first] == origin[part.second]]
    false = [part for part in found if origin[part.first] != origin[part.second]]
    hit = {part.second for part in true if part.first < len(films)}
    of = Counter(kinds[row] for row in hit)
    own = sum(part.second < len(films) for part in false)
    lowest = min((part.correlation for part in true), default=0.0)
    highest = max((part.correlation for part in false), default=0.0)
    pairs = len(films) * (len(films) - 1) // 2
    lines = [
        f"compared: {len(films)} films and {len(paths) - len(films)} planted ones",
        *(f"found: {of[kind]} of {copies}, {kind}" for kind in KINDS),
        f"false pairs: {len(false)}, of which {own} are among the {pairs:,} of the films alone",
        f"lowest correlation of a true pair: {lowest:.3f} (threshold {SAME}); highest of a false one: {highest:.3f}",
        f"seconds: {seconds:.1f}",
    ]
    missed = [f"missed: {names[row]}" for row in range(len(films), len(paths)) if row not in hit]
    return lines, missed + [f"false: {names[part.first]} and {names[part.second]}: {part.proof}" for part in false]
