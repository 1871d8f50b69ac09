"""Pairs of films whose hashes are near: all of them among few films; among many, the nearest ones of each film.

Comparing all pairs of a million films would take days. So many films are compared by keys (locality-sensitive hashing,
Indyk and Motwani 1998): a key is a few bits of a hash, and only films that agree in one of several keys are compared.
A longer key for more films keeps the number of comparisons of each film about the same.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

# Of 256 bits. Altered copies of mini-MIAS films differ by 56 or less; 164 of 51,681 pairs of other films are this near.
NEAR_BITS = 64
ALL_PAIRS = 8192  # films of which all pairs are compared
NEAREST = 8  # films to which each of more films is aligned: of a million, hundreds are near by chance
KEYS = 8
_LOW = 10  # rows and columns of the hash from which keys are taken: copies differ least at low frequencies
_BLOCK = 512  # films that are compared with all others at once

FAR = np.iinfo(np.int64).max
INVERSE = np.array([0, 3, 2, 1, 4, 5, 6, 7])  # of each symmetry of `hashes.SYMMETRIES`

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # first film, second film, symmetry


def propose(hashes: np.ndarray, new: np.ndarray | None = None) -> Pairs:
    """Return the pairs whose hashes differ by at most `NEAR_BITS` under some symmetry, each with its nearest symmetry.

    Up to `ALL_PAIRS` films these are all such pairs, and those of a film and a negative. Of more films they are the
    pairs that agree in a key and in which one film is among the `NEAREST` of the other. Of films with the same hashes
    only the first is compared with others, and each of the rest with the first.

    Args:
        hashes: (films, symmetries, words) uint64.
        new: (films,) bool; pairs of two films that are not new are left out. None takes all films as new.

    Returns:
        First film, second film, symmetry, each (pairs,), ordered by the films. A negative has the symmetry plus their
        number.
    """
    new = np.ones(len(hashes), bool) if new is None else new
    found = _of_all(hashes, new) if len(hashes) <= ALL_PAIRS else _of_many(hashes, new)
    order = np.lexsort((found[1], found[0]))
    return found[0][order], found[1][order], found[2][order]


def _of_all(hashes: np.ndarray, new: np.ndarray) -> Pairs:
    """Compare all pairs of films with a new one."""
    everyone = np.arange(len(hashes))
    found = [(np.empty(0, int), np.empty(0, int), np.empty(0, np.uint8))]
    for rows, others in ((everyone[new], everyone), (everyone[~new], everyone[new])):
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            found.append(_compared(hashes, block, others[others > block[0]]))
    return _joined(found)


def _compared(hashes: np.ndarray, rows: np.ndarray, others: np.ndarray) -> Pairs:
    """Compare each of some films with each later one of others."""
    straight, turned = hashes[rows, 0], hashes[others]  # (rows, words), (others, symmetries, words)
    nearest = np.full((len(rows), len(others)), 255, np.uint8)
    which = np.zeros_like(nearest)
    for symmetry in range(hashes.shape[1]):
        bits = sum(
            np.bitwise_count(straight[:, None, word] ^ turned[None, :, symmetry, word]).astype(np.uint16)
            for word in range(hashes.shape[2])
        )
        negative = 64 * hashes.shape[2] - bits  # from the hash of the second film's negative: all bits are changed
        for far, turn in ((bits, symmetry), (negative, symmetry + hashes.shape[1])):
            nearer = far < nearest
            np.copyto(nearest, far, where=nearer, casting="unsafe")
            which[nearer] = turn
    first, second = np.nonzero((nearest <= NEAR_BITS) & (rows[:, None] < others))
    return rows[first], others[second], which[first, second]


def _of_many(hashes: np.ndarray, new: np.ndarray) -> Pairs:
    """Compare films that agree in a key, one film for all of the same hashes, and pair each with its nearest."""
    films, copies = _unlike(hashes, new)
    hashes, new = hashes[films], new[films]
    everyone = np.arange(len(films))
    nearest = np.full((len(films), NEAREST), FAR)  # of each film, see `_look`
    for bits in _keys(len(films)):
        key = _key(hashes[:, 0], bits)
        for symmetry in range(hashes.shape[1]):
            asked = _key(hashes[:, symmetry], bits)
            for rows, others in ((everyone[new], everyone), (everyone[~new], everyone[new])):
                _look(nearest, hashes, symmetry, _by_key(asked, rows), _by_key(key, others))
    return _joined([_as_pairs(films, nearest), copies])


def _as_pairs(films: np.ndarray, nearest: np.ndarray) -> Pairs:
    """Return the pairs of films and their nearest ones, each pair once.

    Args:
        films: The rows of the films.
        nearest: (films, NEAREST), see `_look`.
    """
    one, place = np.nonzero(nearest < FAR)
    of = nearest[one, place]
    other, turn = of % 2**32, of >> 32 & 7
    turn = np.where(other > one, INVERSE[turn], turn)  # it turns the second film
    first, second = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((turn, of >> 40, second, first))
    first, second, turn = first[order], second[order], turn[order]
    once = np.ones(len(first), bool)
    once[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return films[first[once]], films[second[once]], turn[once]


def _unlike(hashes: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, Pairs]:
    """Return the rows of films of different hashes, and the pairs of a new film with one of the same hashes."""
    order = np.argsort(new, kind="stable")  # a film that was compared before goes on standing for its copies
    whole = np.ascontiguousarray(hashes[order]).reshape(len(hashes), -1)
    whole = whole.view(f"V{whole.itemsize * whole.shape[1]}")[:, 0]
    _, at, group = np.unique(whole, return_index=True, return_inverse=True)
    one, other = order[at][group], order
    pairs = (one != other) & (new[one] | new[other])
    one, other = one[pairs], other[pairs]
    return np.sort(order[at]), (np.minimum(one, other), np.maximum(one, other), np.zeros(len(one), np.int64))


def _keys(films: int) -> np.ndarray:
    """Return the bits of each key, (keys, bits), as positions in a hash.

    Mammograms are alike: 12 bits of their hashes part a film from as many others as 8 bits of a random number.
    """
    low = [16 * row + column for row in range(_LOW) for column in range(_LOW) if row or column]
    rng = np.random.default_rng(0)
    return np.array([rng.permutation(low) for _ in range(KEYS)])[:, : max(3 * films.bit_length() // 2 - 18, 1)]


def _key(hashes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Return the key of hashes (films, words) as (films,) int64."""
    key = np.zeros(len(hashes), np.int64)
    for bit in bits:  # of the packed bits of `hashes.record`, eight in a byte, the first the highest
        key = key << 1 | ((hashes[:, bit // 64] >> np.uint64(bit % 64 ^ 7)) & np.uint64(1)).astype(np.int64)
    return key


def _by_key(key: np.ndarray, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Return some rows of films by their key, ascending."""
    ordered = rows[np.argsort(key[rows], kind="stable")]
    values, starts = np.unique(key[ordered], return_index=True)
    return dict(zip(values.tolist(), np.split(ordered, starts[1:]), strict=False))  # one part, if there are no rows


def _look(
    nearest: np.ndarray, hashes: np.ndarray, symmetry: int, of: dict[int, np.ndarray], among: dict[int, np.ndarray]
) -> None:
    """Compare films, turned by a symmetry, with those of the same key, and keep the nearest ones of each.

    Args:
        nearest: (films, NEAREST) int64, changed in place. A number holds the differing bits (from bit 40 on), the
            symmetry (from bit 32 on) and the row of the other film, so that the nearest is the smallest; or `FAR`.
        hashes: (films, symmetries, words) uint64.
        symmetry: The position of the symmetry.
        of: The rows of the films by their key.
        among: The rows of those that they are compared with, by their key.
    """

    def look(part: tuple[np.ndarray, np.ndarray]) -> None:
        rows, others = part
        turned, straight = (
            np.ascontiguousarray(one).view(np.uint8) for one in (hashes[rows, symmetry], hashes[others, 0])
        )
        most = min(NEAREST + 1, len(others))  # one of them may be the film itself
        far, at = cv2.batchDistance(turned, straight, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=most)
        near = far[:, 0] <= NEAR_BITS
        rows, far, at = rows[near], far[near], at[near]
        found = far.astype(np.int64) << 40 | symmetry << 32 | others[at]
        found[(far > NEAR_BITS) | (others[at] == rows[:, None])] = FAR
        together = np.sort(np.concatenate([nearest[rows], found], axis=1), axis=1)
        together[:, 1:][together[:, 1:] == together[:, :-1]] = FAR  # found by another key before
        nearest[rows] = np.sort(together, axis=1)[:, :NEAREST]

    shared = [
        (of[key][start : start + _BLOCK], among[key])
        for key in of.keys() & among.keys()
        for start in range(0, len(of[key]), _BLOCK)
    ]
    with ThreadPoolExecutor() as pool:
        deque(pool.map(look, shared), maxlen=0)


def _joined(found: list[Pairs]) -> Pairs:
    first, second, symmetry = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, symmetry
