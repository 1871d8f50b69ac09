"""Parts of films in other films: crops at any place and scale, and copies turned by any angle, mirrored or not.

Local features (SIFT, Lowe 2004, with the square roots of Arandjelovic and Zisserman 2012) propose pairs: many features
of one film look like those of another one, in one arrangement. Then the films are laid over each other, and the
correlation of their fine structure decides.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from mammo.auditing.duplicates import fine_structure, telling
from mammo.auditing.hashes import key_of, read_grey, shrunk
from mammo.errors import UnreadableFilm
from mammo.files import whole
from mammo.formats.header import read_headers
from mammo.paths import home
from mammo.processes.workers import shared_out

VERSION = "v1"  # of the features that are kept; raise it whenever they change
SIDE_PX = 1536  # a longer film is made smaller before its features are computed
MOST = 1000  # features of a film
ASKED = 200  # of these, the strongest are looked for in the other films
NEIGHBOURS = 8  # features of other films that are looked at for each
RATIO = 0.88  # a feature counts if its neighbour is nearer than this share of the distance of the last one
VOTES = 4  # features from which on a pair of films is laid over each other
INLIERS = 4  # of these, in one arrangement
NEAR_PX = 4.0  # error of a place in an arrangement
SAME = 0.6  # correlation from which on one film shows a part of the other
REST = 0.3  # that of the pixels without the strongest tenth of either film: letters alone are alike, and reach 0.1
# Share of the correlation that the pixels without the strongest three tenths have, below a CLEAR one. A watermark all
# over two films is alike, too: of 28 looks at films of mini-MIAS with a watermark or a grid 24 reach 0.46 at most, the
# others 0.55, and none a correlation of 0.8. Of 216 looks at mini-MIAS with planted parts three are below 0.8 and 0.63;
# they reach 0.32, 0.59 and 0.62.
CLEAR = 0.8
WEAK = 0.5
LEAST_PX = 400  # pixels, at the coarser resolution of both films, that must be there to compare
LEAST_SHARE = 0.3  # of what one of them shows: markers of lead are alike in all films of a clinic
SCALES = (0.1, 10.0)  # of one film against the other
STRETCHED = 2.5  # the most that one side may be stretched more than the other
SQUARE_PX = 640  # a square of at most this side may be a breast that was cut out and squeezed, so that it is asked
TALL = (1.35, 1.8)  # for at these heights, too: features are found again if their film is stretched by a tenth
_FEATURE = np.dtype([("place", "<f4", 2), ("look", "u1", 128)])


@dataclass(frozen=True)
class Part:
    """A film that shows a part of another one.

    Attributes:
        first, second: The row numbers of the films, the first the smaller number.
        correlation: That of the fine structure where both show the same.
        proof: The place and the angle, in words.
    """

    first: int
    second: int
    correlation: float
    proof: str


def find_parts(paths: Sequence[Path], among: np.ndarray) -> list[Part]:
    """Return the pairs of films of which one shows a part of the other, the clearest first.

    Args:
        paths: The files of the films, which can be read.
        among: (films,) bool, false for a film that is not compared, such as a blank one.
    """
    rows = np.flatnonzero(among).tolist()
    made = shared_out(features, [Path(paths[row]) for row in rows])
    bar = track(made, f"features of {len(rows)} films", total=len(rows), console=Console(stderr=True))
    headers = read_headers([paths[row] for row in rows])
    squares = [at for at, head in enumerate(headers) if head.height == head.width <= SQUARE_PX]
    taller = [(Path(paths[rows[at]]), tall) for at in squares for tall in TALL]
    drawn_out = dict[int, list[np.ndarray]]()
    for place, stretched in enumerate(shared_out(_taller, taller)):
        if not isinstance(stretched, UnreadableFilm):
            drawn_out.setdefault(squares[place // len(TALL)], []).append(stretched)
    empty = np.empty(0, _FEATURE)
    of = [empty if isinstance(one, UnreadableFilm) else one for one in bar]
    if sum(map(len, of)) <= NEIGHBOURS:
        return []
    owner = np.repeat(np.arange(len(rows)), [len(one) for one in of])
    together = np.concatenate(of)
    looks, places = _looks(together), together["place"]
    index = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 4}, {"checks": 96})
    index.add([looks])
    index.train()
    cv2.setRNGSeed(0)

    def of_film(one: int) -> list[Part]:
        strongest = [some[:ASKED] for some in (of[one], *drawn_out.get(one, ()))]
        asked_for = [*((False, some) for some in strongest), *((True, _mirrored(some)) for some in strongest)]
        parts = (
            _laid_over(paths, rows[one], rows[other], here, there, mirrored=mirrored, negative=negative)
            for negative, mirrored, asked in [
                *((False, *some) for some in asked_for),
                *((True, mirrored, _negative(asked)) for mirrored, asked in asked_for),
            ]
            for other, here, there in _candidates(asked, index, owner, places, one)
        )
        return [part for part in parts if part is not None]

    found: dict[tuple[int, int], Part] = {}
    looked = shared_out(of_film, range(len(rows)))
    for parts in track(looked, "looking for parts", total=len(rows), console=Console(stderr=True)):
        if isinstance(parts, UnreadableFilm):
            raise parts
        for part in parts:
            pair = part.first, part.second
            if pair not in found or part.correlation > found[pair].correlation:
                found[pair] = part
    return sorted(found.values(), key=lambda part: -part.correlation)


def _taller(of: tuple[Path, float]) -> np.ndarray:
    return features(*of)


def features(path: Path, tall: float = 1.0) -> np.ndarray:
    """Return the features of a film, the strongest first: `place` in pixels of the film, and `look`, 128 numbers.

    They are kept below `MAMMO_HOME`.

    Args:
        path: The film.
        tall: By how much its height is stretched before its features are computed.

    Raises:
        UnreadableFilm: The file cannot be used as a film.
    """
    kept = home() / "hashes" / "parts" / f"{VERSION}-{key_of(path).decode()}{f'-{tall:g}' * (tall != 1)}.npy"
    with suppress(OSError, EOFError, ValueError):
        known = np.load(kept, allow_pickle=False)
        if known.dtype == _FEATURE:
            return np.asarray(known)
    film = read_grey(path)
    made = _computed(film if tall == 1 else cv2.resize(film, None, fx=1, fy=tall, interpolation=cv2.INTER_CUBIC))
    made["place"][:, 1] /= tall
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole(kept) as temporary, temporary.open("wb") as file:
            np.save(file, made, allow_pickle=False)
    return made


def _computed(film: np.ndarray) -> np.ndarray:
    factor = min(1.0, SIDE_PX / max(film.shape))
    seen = shrunk(film, factor)
    points, looks = cv2.SIFT_create(contrastThreshold=0.01, edgeThreshold=12).detectAndCompute(seen, None)  # type: ignore[attr-defined]
    if looks is None:
        return np.empty(0, _FEATURE)
    order = np.argsort([-one.response for one in points], kind="stable")[:MOST]
    made = np.empty(len(order), _FEATURE)
    made["place"] = np.array([points[at].pt for at in order], np.float32) / factor
    made["look"] = np.clip(np.rint(looks[order]), 0, 255)
    return made


def _mirrored(of: np.ndarray) -> np.ndarray:
    """Return the features of a film as if it were mirrored: of the places, x becomes -x."""
    made = of.copy()
    made["place"][:, 0] *= -1
    grid = of["look"].reshape(-1, 4, 4, 8)  # rows across the direction of a feature, columns along it, directions
    made["look"] = grid[:, ::-1][..., [0, 7, 6, 5, 4, 3, 2, 1]].reshape(-1, 128)
    return made


def _negative(of: np.ndarray) -> np.ndarray:
    """Return the features of a film as if it were a negative: all directions are reversed, that of the feature too."""
    made = of.copy()
    made["look"] = of["look"].reshape(-1, 4, 4, 8)[:, ::-1, ::-1].reshape(-1, 128)
    return made


def _looks(of: np.ndarray) -> np.ndarray:
    """Return the looks as vectors of length 1, (features, 128) float32."""
    looks = of["look"].astype(np.float32)
    return np.ascontiguousarray(np.sqrt(looks / np.maximum(looks.sum(axis=1, keepdims=True), 1)))


def _candidates(
    asked: np.ndarray, index: cv2.FlannBasedMatcher, owner: np.ndarray, places: np.ndarray, one: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each film that has several features of film `one`, with the places of these in both films."""
    if len(asked) < VOTES:
        return
    near = index.knnMatch(_looks(asked), k=NEIGHBOURS + 4)
    votes: dict[int, list[tuple[int, int]]] = {}
    for number, matches in enumerate(near):
        others = [match for match in matches if owner[match.trainIdx] != one][:NEIGHBOURS]
        if not others:
            continue
        first, last = others[0].distance, others[-1].distance
        told = set[int]()
        for match in others:
            film = int(owner[match.trainIdx])
            clear = first < RATIO * last or first < 0.3  # many copies of one film have all the same features
            if clear and match.distance <= 1.1 * first + 0.02 and film not in told:
                told.add(film)
                votes.setdefault(film, []).append((number, match.trainIdx))
    for film, count in Counter({film: len(pairs) for film, pairs in votes.items()}).most_common(5):
        if count >= VOTES:
            here, there = np.array(votes[film]).T
            yield film, asked["place"][here], places[there]


def _laid_over(
    paths: Sequence[Path], one: int, other: int, here: np.ndarray, there: np.ndarray, *, mirrored: bool, negative: bool
) -> Part | None:
    """Return the part if two films show the same when their features lie over each other, else None."""
    for arranged in (cv2.estimateAffinePartial2D, cv2.estimateAffine2D):  # the second for a picture that was stretched
        warp, inside = arranged(here, there, ransacReprojThreshold=NEAR_PX, maxIters=500)
        if warp is None or int(inside.sum()) < INLIERS:
            continue
        across, down = np.linalg.svd(warp[:, :2], compute_uv=False)
        scale = float(np.sqrt(across * down))
        if not SCALES[0] < scale < SCALES[1] or across > STRETCHED * down:
            continue
        left, right = read_grey(paths[one]), read_grey(paths[other])
        left = 255 - left if negative else left
        if mirrored:  # x of the mirrored film begins at its left edge, -x of its features at minus the width
            left = np.ascontiguousarray(left[:, ::-1])
            warp[:, 2] -= warp[:, 0] * (left.shape[1] - 1)
        alike = _alike(left, right, warp) if scale <= 1 else _alike(right, left, cv2.invertAffineTransform(warp))
        if alike >= SAME:
            break
    else:
        return None
    angle = float(np.degrees(np.arctan2(warp[1, 0], warp[0, 0])))
    if one < other:  # told of the second film in the first
        scale, angle = 1 / scale, angle if mirrored else -angle
    words = (
        f"correlation {alike:.3f} where they overlap, turned by {round(angle) % 360} degrees, {100 * scale:.0f} % of "
        "the size"
    )
    if across > 1.02 * down:
        words += f", stretched by {across / down:.2f}"
    return Part(min(one, other), max(one, other), alike, words + ", mirrored" * mirrored + ", negative" * negative)


def _alike(fine: np.ndarray, coarse: np.ndarray, warp: np.ndarray) -> float:
    """Return the correlation of the fine structure of two films where the first lies in the second.

    Args:
        fine: (height, width) uint8, the film of the higher resolution.
        coarse: (height, width) uint8.
        warp: (2, 3) from the places of `fine` to those of `coarse`.
    """
    height, width = fine.shape
    corners = cv2.transform(np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32), warp)[0]
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int), coarse.shape[::-1])
    if (high - low < 8).any():
        return 0.0
    moved = warp.copy()
    moved[:, 2] -= low
    size = tuple(int(one) for one in high - low)
    scale = float(np.sqrt(abs(np.linalg.det(warp[:, :2]))))
    smooth = cv2.GaussianBlur(fine, (0, 0), 0.5 / scale) if scale < 0.8 else fine  # against aliasing
    seen = cv2.warpAffine(smooth, moved, size, flags=cv2.INTER_LINEAR)
    there = cv2.warpAffine(np.full_like(fine, 255), moved, size, flags=cv2.INTER_NEAREST)
    below = coarse[low[1] : high[1], low[0] : high[0]]
    inside = cv2.erode(there, np.ones((7, 7), np.uint8)) > 0
    inside &= (telling(seen) & telling(below)) > 0
    shown = min(int(telling(fine).sum()) * scale**2, int(telling(coarse).sum()))
    if inside.sum() < max(LEAST_PX, LEAST_SHARE * shown):
        return 0.0
    left, right = fine_structure(seen)[inside], fine_structure(below)[inside]
    if _of_weak(left, right, 0.9) < REST:
        return 0.0
    alike = _correlation(left, right)
    return alike if alike < SAME or alike >= CLEAR or _of_weak(left, right, 0.7) >= WEAK * alike else 0.0


def _of_weak(left: np.ndarray, right: np.ndarray, share: float) -> float:
    """Return the correlation of the pixels that are among a share of the weakest of both rows of numbers (n,)."""
    weak = np.logical_and(*(np.abs(one) <= np.quantile(np.abs(one), share) for one in (left, right)))
    return _correlation(left[weak], right[weak])


def _correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Return the correlation of two rows of numbers (n,), 0 if one of them is constant."""
    left, right = left - left.mean(), right - right.mean()
    return float(left @ right / np.sqrt((left @ left) * (right @ right) + 1e-9))
