"""A program that compares the hashes of many made films with altered copies, and writes such films as files.

A made film is a mixture of the phantom's films, so its thumbnail and its hashes follow from their weights, and a
million need no room on a disk. It prints one line of JSON: seconds, the pairs to align, and the copies that are found.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from mammo.auditing.benchmark import CHOICES, altered
from mammo.auditing.duplicates import SAME, correlation
from mammo.auditing.hashes import SYMMETRIES, read_grey, record, turned
from mammo.auditing.nearest import propose
from mammo.datasets.film import write_picture
from mammo.datasets.phantom import Phantom

PATIENTS = 32
PLANTED = 0.01  # of the films, altered copies of others; these are the new films, too
ALIGNED = 500  # pairs that are aligned to learn the time of one
SPREAD = 2  # the larger, the fewer of the phantom's films make up a film
_BITS = 16  # along a side of a hash
_AT_ONCE = 10_000
KINDS = ("identical, turned or encoded again", "cropped or of other levels")


class Made:
    """Films by their number: mixtures of the phantom's films with random weights."""

    def __init__(self) -> None:
        dataset = Phantom(patients=PATIENTS)
        dataset.prepare()
        films = [read_grey(path) for path in sorted(Path(dataset.root).glob("*.pgm"))]
        self.films = np.array([record(film)["thumb"] for film in films], np.float32)

    def weights(self, film: int) -> np.ndarray:
        """Return the weights of the phantom's films in a film, (films,) float32; they sum to 1."""
        weights = np.random.default_rng(film).exponential(1, len(self.films)).astype(np.float32) ** SPREAD
        return weights / weights.sum()

    def thumb(self, film: int) -> np.ndarray:
        """Return the thumbnail (side, side) uint8 of a film."""
        return np.rint(np.tensordot(self.weights(film), self.films, 1)).astype(np.uint8)

    def hashes(self, films: int) -> np.ndarray:
        """Return the hashes of the first films, (films, symmetries, words) uint64, as `record` computes them.

        They are signs of cosine coefficients, which mix as the films do.
        """
        small = [cv2.resize(one, (4 * _BITS, 4 * _BITS), interpolation=cv2.INTER_AREA) for one in self.films]
        symmetries = range(len(SYMMETRIES))
        of_films = np.array(
            [
                np.concatenate(
                    [_unscaled(cv2.dct(turned(one, symmetry)))[:_BITS, :_BITS].ravel() for symmetry in symmetries]
                )
                for one in small
            ]
        )
        made = np.empty((films, len(SYMMETRIES), _BITS**2 // 64), np.uint64)
        for start in range(0, films, _AT_ONCE):
            weights = np.array([self.weights(film) for film in range(start, min(start + _AT_ONCE, films))])
            values = (weights @ of_films).reshape(len(weights), len(SYMMETRIES), -1)
            bits = values > np.median(values, axis=2, keepdims=True)
            made[start : start + len(weights)] = np.packbits(bits, axis=2).view(np.uint64)
        return made


def _unscaled(cosines: np.ndarray) -> np.ndarray:
    """Return cosine coefficients without OpenCV's smaller factor of the first row and column."""
    cosines[0] *= np.sqrt(2)
    cosines[:, 0] *= np.sqrt(2)
    return cosines


def write(folder: Path, start: int, end: int) -> None:
    """Write the thumbnails of some films as files."""
    made = Made()
    folder.mkdir(parents=True, exist_ok=True)
    for film in range(start, end):
        write_picture(folder / f"f{film:07}.png", made.thumb(film))


def compare(films: int) -> None:
    """Compare the hashes of some films, and print what it took."""
    made, copies = Made(), max(int(films * PLANTED), 1)
    originals = films - copies
    rng = np.random.default_rng(0)
    of = rng.choice(originals, copies, replace=False)

    def copy(number: int) -> np.ndarray:
        how = CHOICES[number % len(CHOICES)]
        return np.asarray(record(altered(made.thumb(int(of[number])), how, np.random.default_rng(number)))["thumb"])

    hashes = np.concatenate([made.hashes(originals), [record(copy(number))["hashes"] for number in range(copies)]])
    seconds, start, spent = dict[str, float](), time.perf_counter(), time.process_time()
    first, second, symmetry = propose(hashes)
    seconds["all"], seconds["cores"] = time.perf_counter() - start, time.process_time() - spent
    start = time.perf_counter()
    new = np.arange(films) >= originals
    again = propose(hashes, new)
    seconds["new"] = time.perf_counter() - start
    known = first.astype(np.int64) * films + second  # ascending, as the pairs are
    planted = of.astype(np.int64) * films + np.arange(originals, films)
    place = np.searchsorted(known, planted)
    proposed, proposed_new = np.isin(planted, known), np.isin(planted, again[0].astype(np.int64) * films + again[1])
    hard = np.array([bool({"cropped", "other levels"} & set(CHOICES[one % len(CHOICES)])) for one in range(copies)])
    aligned = [number for number in rng.permutation(copies)[:ALIGNED].tolist() if proposed[number]]
    thumbs = [(made.thumb(int(of[one])), turned(copy(one), int(symmetry[place[one]]))) for one in aligned]
    start = time.perf_counter()
    same = sum(correlation(*both) >= SAME for both in thumbs)
    seconds["aligning"] = (time.perf_counter() - start) / max(len(aligned), 1)
    kinds = dict(zip(KINDS, (~hard, hard), strict=True))
    found = {
        "films": films, "seconds": seconds, "pairs": len(known), "aligned": len(aligned), "same": int(same),
        "planted": {kind: int(rows.sum()) for kind, rows in kinds.items()},
        "proposed": {kind: int(proposed[rows].sum()) for kind, rows in kinds.items()},
        "proposed_new": {kind: int(proposed_new[rows].sum()) for kind, rows in kinds.items()},
    }  # fmt: skip
    sys.stdout.write(json.dumps(found) + "\n")


def main(work: str, *given: str) -> None:
    """Compare films (`compare FILMS`), or write them (`write FOLDER FIRST END`)."""
    if work == "write":
        write(Path(given[0]), int(given[1]), int(given[2]))
    else:
        compare(int(given[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
