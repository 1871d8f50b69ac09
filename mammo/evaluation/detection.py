"""The numbers of a detector: FROC, CPM, first mark and localisation ROC, with intervals by patient. All are fractions.

**FROC** (Bunch et al. 1978, Journal of Applied Photographic Engineering 4:166-171; Chakraborty 1989, Medical Physics
16:561-568). A threshold t keeps the marks with a score of t or more. The ordinate is the share of lesions with a kept
mark on them; the abscissa is the number of kept false marks by the number of images, normal and abnormal ones. The
sensitivity at a rate is that of the lowest threshold with no more false marks than the rate allows. There is no
interpolation between thresholds, so marks with equal scores are kept together or not at all. Where a head has fewer
marks than the rate allows, its curve stays at its end. A second curve takes the false marks on normal images by the
number of normal images.

**CPM** (Niemeijer et al. 2011, IEEE Transactions on Medical Imaging 30:215-223; the score of LUNA16, Setio et al. 2017,
Medical Image Analysis 42:1-13) is the mean sensitivity at seven rates: 1/8, 1/4, 1/2, 1, 2, 4 and 8 false marks per
image. LUNA16 interpolates between thresholds; here it is the curve above, so CPM is never higher for that.

**First mark** is the share of abnormal images whose hottest mark hits a lesion. If k marks share the highest score and
h of them hit, the image counts h / k. An image without a mark counts 0.

**Localisation ROC** (Starr et al. 1975, Radiology 116:533-538; Swensson 1996, Medical Physics 23:1709-1725). The
rating of an image is the score of its hottest mark. The ordinate is the share of abnormal images with a rating above t
whose hottest mark hits; the abscissa is the share of normal images with a rating above t. The area is the probability
that a random abnormal image has its hottest mark on a lesion and a higher rating than a random normal image, where
equal ratings count half. It ends at the first-mark share, so this is its largest possible area.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from mammo.datasets.findings import PARTS
from mammo.errors import InputError
from mammo.evaluation.areas import sum_by_level
from mammo.evaluation.bootstrap import RESAMPLES, Value, difference, interval, resampled
from mammo.evaluation.curves import Band
from mammo.evaluation.mark_tables import check_images
from mammo.evaluation.marks import Detection, agree, check_paired, judge
from mammo.evaluation.subgroups import subgroups
from mammo.wording import number_of

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # false marks per image
CPM_RATES = (*RATES, 8.0)
BRIEF_RATES = (0.25, 1.0, 4.0)  # in subgroups
NAMES = [
    *(f"froc_{rate:g}" for rate in RATES),
    *(f"froc_normal_{rate:g}" for rate in RATES),
    *("cpm", "first_mark", "localisation_roc"),
]
BASELINES = ("position_prior", "brightest_blob", "blob_minus_surround")  # heads that no network gives
AT_ONCE = 512  # false marks that are summed at a time, so that their weights stay in the processor's cache
GRID = np.geomspace(1 / 8, 8, 61)  # of the drawn curve

Detections = dict[str, dict[str, Detection]]  # by split and head


@dataclass(frozen=True)
class Subgroup:
    """Some of the lesions, and the share of them that is found at each of `BRIEF_RATES`."""

    name: str
    lesions: int
    patients: int
    found: dict[float, Value]


def detections(
    candidates: pd.DataFrame, lesions: pd.DataFrame, images: pd.DataFrame, parts: Sequence[str] = PARTS
) -> Detections:
    """Return the judged marks of each split and head; a head without any mark in a split is there too.

    Args:
        candidates: The rows of `candidates.csv`.
        lesions: The rows of `lesions.csv`.
        images: One row per image of the run: `image_id, patient, split, positive`.
        parts: The splits to judge.

    Raises:
        InputError: A mark or lesion is of no such image, or of another split than its image; or a split has images,
            and no head marks any of them. See `judge`.
    """
    heads, found = list(dict.fromkeys(candidates["head"])), {}
    check_images(candidates, images, "candidates")
    check_images(lesions, images, "lesions")
    for split, own in images[images["split"].isin(parts)].groupby("split", sort=False):
        if not (candidates["split"] == split).any():
            raise InputError(f"candidates: no mark is on an image of {split}; the file may be cut: copy it again")
        inside = lesions[lesions["image_id"].isin(own["image_id"])]
        marks = candidates[candidates["split"] == split]
        found[str(split)] = {str(head): judge(marks[marks["head"] == head], inside, own) for head in heads}
    return found


def evaluate_marks(jobs: Sequence[Detection], resamples: int = RESAMPLES) -> dict[str, Value]:
    """Return `NAMES` of one head with their intervals by patient.

    Args:
        jobs: The judged marks of the head; those of several folds or seeds give the means over them.
        resamples: The number of resamples.
    """
    if not any(len(one.lesions) for one in jobs):
        return {name: Value(None, reason=undefined(jobs[0], name)) for name in NAMES}
    arrays = _means(jobs, resamples)
    values = {}
    for name in NAMES:
        patients = len(_support(jobs, name))
        found = interval(arrays[name], patients) if patients else Value(None, reason=undefined(jobs[0], name))
        values[name] = replace(found, of=_folds(jobs, name))
    return values


def weighted_marks(one: Detection, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the (W,) values of each of `NAMES` for (W, N) weights of the images; NaN where undefined.

    `froc_<rate>` is the sensitivity at this rate; `froc_normal_<rate>` counts false marks on normal images only.
    """
    froc = sensitivities(one, weights, CPM_RATES)
    of_normal = sensitivities(one, weights, RATES, normal=True)
    found = {f"froc_{rate:g}": froc[:, at] for at, rate in enumerate(RATES)}
    found |= {f"froc_normal_{rate:g}": of_normal[:, at] for at, rate in enumerate(RATES)}
    return found | {
        "cpm": froc.mean(axis=1),
        "first_mark": first_mark(one, weights),
        "localisation_roc": localisation_roc(one, weights),
    }


def sensitivities(one: Detection, weights: np.ndarray, rates: Sequence[float], *, normal: bool = False) -> np.ndarray:
    """Return the (W, rates) shares of lesions that are found at so many false marks per image.

    Args:
        one: The judged marks.
        weights: (W, N) how often each image counts.
        rates: False marks per image.
        normal: True counts false marks and images among the normal ones only.
    """
    return _found(one, weights, _limits(one, weights, rates, normal=normal), np.arange(len(one.lesion_score)))


def first_mark(one: Detection, weights: np.ndarray) -> np.ndarray:
    """Return the (W,) shares of abnormal images whose hottest mark hits a lesion."""
    abnormal = np.take(weights, np.flatnonzero(one.positive), axis=1)
    with np.errstate(invalid="ignore"):
        return (abnormal @ one.top_hit[one.positive]) / abnormal.sum(axis=1)


def localisation_roc(one: Detection, weights: np.ndarray) -> np.ndarray:
    """Return the (W,) areas under the localisation ROC curve."""
    if not len(one.images):
        return np.full(len(weights), np.nan)
    _, level = np.unique(one.top_score, return_inverse=True)
    up = sum_by_level(weights * (one.positive * one.top_hit), level)  # (W, levels)
    down = sum_by_level(weights * ~one.positive, level)
    below = np.cumsum(down, axis=1) - down
    pairs = (weights @ one.positive) * (weights @ ~one.positive)
    with np.errstate(invalid="ignore"):
        return (up * (below + down / 2)).sum(axis=1) / pairs


def by_subgroup(one: Detection, resamples: int = RESAMPLES) -> list[Subgroup]:
    """Return the lesions found by finding, severity, density, thirds of size and data set.

    A subgroup has the same thresholds as all lesions together: a rate counts the false marks of all images.
    """
    masks = subgroups(one.lesions) if len(one.lesions) else []

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        limits = _limits(one, weights, BRIEF_RATES)
        shares = {name: _found(one, weights, limits, np.flatnonzero(mask)) for name, mask in masks}
        return {f"{name}/{at}": share[:, at] for name, share in shares.items() for at in range(len(BRIEF_RATES))}

    arrays = resampled(one.patients, compute, resamples, each=True) if masks else {}
    found = []
    for name, mask in masks:
        patients = len(np.unique(one.lesion_patients[mask]))
        values = {rate: interval(arrays[f"{name}/{at}"], patients) for at, rate in enumerate(BRIEF_RATES)}
        found.append(Subgroup(name, int(mask.sum()), patients, values))
    return found


def compare(first: Sequence[Detection], second: Sequence[Detection], resamples: int = RESAMPLES) -> dict[str, Value]:
    """Return the first detector's numbers minus those of the second, paired by patient; means over several jobs.

    Args:
        first: The judged marks of a head; one for each job, such as the folds of a sweep.
        second: Those of another head or run on the same images, in the same order of jobs.
        resamples: The number of resamples.

    Raises:
        InputError: The numbers of jobs differ, or the two were not judged on the same images and lesions.
    """
    if len(first) != len(second):
        raise InputError(f"the detectors have {len(first)} and {len(second)} jobs; compare the same folds and seeds")
    for one, two in zip(first, second, strict=True):
        check_paired(one, two)
    if not any(len(one.lesions) for one in first):
        return {name: Value(None, reason=undefined(first[0], name)) for name in NAMES}
    ours, theirs = _means(first, resamples), _means(second, resamples)
    found, same = {}, all(agree(one, two) for one, two in zip(first, second, strict=True))
    for name in NAMES:
        patients, both = len(_support(first, name)), (ours[name], theirs[name])
        apart = difference(*both, patients, same=same) if patients else None
        found[name] = replace(apart or Value(None, reason=undefined(first[0], name)), of=_folds(first, name))
    return found


def _means(jobs: Sequence[Detection], resamples: int) -> dict[str, np.ndarray]:
    """Return the (1 + resamples,) means over jobs that have a value; a patient is drawn in all jobs together."""
    everyone = np.unique(np.concatenate([one.patients for one in jobs]))
    by_job = [resampled(one.patients, partial(weighted_marks, one), resamples, everyone, each=True) for one in jobs]
    means = {}
    for name in NAMES:
        values = np.stack([one[name] for one in by_job])
        there = np.isfinite(values)
        with np.errstate(invalid="ignore"):  # NaN where no job has a value
            means[name] = np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)
    return means


def froc_curve(one: Detection, *, normal: bool = False, resamples: int = 500) -> Band:
    """Return the FROC curve over `GRID`, false marks per (normal) image, with its pointwise 95 % band by patient."""

    def rows(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": sensitivities(one, weights, GRID.tolist(), normal=normal)}

    y = resampled(one.patients, rows, resamples, each=True)["y"]
    low, high = np.nanpercentile(y[1:], [2.5, 97.5], axis=0)
    return Band(GRID, y[0], low, high)


def undefined(one: Detection, name: str) -> str | None:
    """Return why a number of `weighted_marks` has no value for this detection; None if it has one."""
    if not len(one.lesions):
        return "undefined: no lesion has a place"
    if _needs_normal(name) and one.positive.all():
        return "undefined: there is no normal image"
    return None


def _support(jobs: Sequence[Detection], name: str) -> np.ndarray:
    """Return the patients that a number rests on: those with a lesion, or with a normal image if these are fewer."""
    defined = [one for one in jobs if undefined(one, name) is None]
    with_lesion = [patient for one in defined for patient in one.lesion_patients]
    normal = [patient for one in defined for patient in one.patients[~one.positive]]
    fewer = _needs_normal(name) and len(set(normal)) < len(set(with_lesion))
    return np.unique(normal if fewer else with_lesion)


def _folds(jobs: Sequence[Detection], name: str) -> str | None:
    """Return the words for the jobs in which a number is defined; None if these are all or none."""
    defined = [one for one in jobs if undefined(one, name) is None]
    if len(defined) in (0, len(jobs)):
        return None
    patients = len(np.unique(np.concatenate([one.patients for one in defined])))
    images = len(np.unique(np.concatenate([one.images["image_id"].to_numpy(str) for one in defined])))
    return f"{len(defined)} of {len(jobs)} folds ({images} of {number_of(patients, 'patient')})"


def _needs_normal(name: str) -> bool:
    return "normal" in name or name == "localisation_roc"


def _limits(one: Detection, weights: np.ndarray, rates: Sequence[float], *, normal: bool = False) -> np.ndarray:
    """Return the (W, rates) scores of the first false mark that is too many; -inf if none is.

    Thresholds above it keep no more false marks than the rate allows. Marks with the same score are too many with it.
    """
    chosen = ~one.positive[one.false_image] if normal else np.ones(len(one.false_image), bool)
    image, score = one.false_image[chosen], one.false_score[chosen]
    allowed = np.multiply.outer(weights @ ~one.positive if normal else weights.sum(axis=1), np.asarray(rates))
    kept, total = np.zeros(allowed.shape, int), np.zeros(len(weights))
    for start in range(0, len(image), AT_ONCE):
        sums = np.cumsum(np.take(weights, image[start : start + AT_ONCE], axis=1), axis=1) + total[:, None]
        for rate in range(len(rates)):
            kept[:, rate] += (sums <= allowed[:, rate : rate + 1]).sum(axis=1)
        total = sums[:, -1]
        if (total > allowed.max(axis=1)).all():
            break
    limits = np.append(score, -np.inf)[kept]
    limits[allowed.max(axis=1) == 0] = np.nan  # no image was drawn
    return limits


def _found(one: Detection, weights: np.ndarray, limits: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the (W, rates) shares of the counted lesions that have a mark above the limit."""
    own, score = np.take(weights, one.lesion_image[counted], axis=1), one.lesion_score[counted]
    shares = np.full(limits.shape, np.nan)
    with np.errstate(invalid="ignore"):
        for rate in range(limits.shape[1]):
            shares[:, rate] = (own * (score > limits[:, rate : rate + 1])).sum(axis=1) / own.sum(axis=1)
    shares[np.isnan(limits)] = np.nan
    return shares
