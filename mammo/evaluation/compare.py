"""Paired comparisons of experiments and heads on the same test samples: differences and their tests, by patient."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
import pandas as pd

from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError
from mammo.evaluation.bootstrap import NOISE, Value, difference, standard_error
from mammo.evaluation.experiments import Experiment, Mean, mean
from mammo.evaluation.predictions import BASELINES, Patients, Predictions
from mammo.evaluation.significance import delong_mean, permutation_test, smallest_detectable
from mammo.tables.alike import row_numbers

Classifier = tuple[Experiment, str]  # an experiment and one of its heads
BY_CHANCE = 10  # different scores; the same order of so many has a chance of 1 in 10! where two have nothing in common
Means = Mapping[tuple[str, str], dict[str, Mean]]  # by the label of the experiment and the head


@dataclass(frozen=True)
class Pair:
    """The difference of two classifiers, first minus second; the keys of dictionaries are `auroc` and `accuracy`."""

    name: str  # of both classifiers
    n: str  # numbers of samples and patients, in words
    differences: dict[str, Value]
    detectable: dict[str, float | None]  # the smallest that would show with power 0.8; None if no error is known
    rests_on: dict[str, int]  # the number of patients that each difference rests on
    p: dict[str, float | None]  # of DeLong's test, and of the permutation test by patient; None if undefined


def check_paired(first: Experiment, second: Experiment) -> None:
    """Refuse two experiments that did not test the same samples in the same folds and seeds.

    Raises:
        InputError: The two differ; names the difference.
    """
    apart = f"{first.named} and {second.named} cannot be paired"
    for jobs in zip(first.jobs, second.jobs, strict=False):
        ours, theirs = (next(iter(job.predictions["test"].values())) for job in jobs)
        if ours.classes != theirs.classes:
            raise InputError(
                f"{apart}: their classes are {', '.join(ours.classes)} and {', '.join(theirs.classes)}; "
                "compare runs of one task"
            )
        if len(first.jobs) > 1 and (jobs[0].seed, jobs[0].fold) != (jobs[1].seed, jobs[1].fold):
            raise InputError(
                f"{apart}: the first has seed {jobs[0].seed}, fold {jobs[0].fold}, the second seed {jobs[1].seed}, "
                f"fold {jobs[1].fold}; compare the same folds and seeds"
            )
        if (matched := _matched(ours, theirs)) is None:
            only = _in_one_only((first.named, ours), (second.named, theirs))
            raise InputError(f"{apart}: {only}; compare runs of one task, split, seed and crop")
        if not ours.who.same(matched.who):
            raise InputError(
                f"{apart}: the same samples belong to other patients in one of them; name patients alike in both"
            )
        other = ours.labels != matched.labels
        if other.any():
            named = ours.samples["image_id"].to_numpy()[other].min()
            raise InputError(
                f"{apart}: the labels of {int(other.sum())} samples differ, {named} for example; give both the same"
            )
    if len(first.jobs) != len(second.jobs):
        raise InputError(
            f"{apart}: they have {len(first.jobs)} and {len(second.jobs)} jobs; compare the same folds and seeds"
        )


def _in_one_only(first: tuple[str, Predictions], second: tuple[str, Predictions]) -> str:
    """Return the words for the samples that one of two named predictions has and the other lacks."""
    ours, theirs = (set(one.samples.itertuples(index=False, name=None)) for _, one in (first, second))
    odd = sorted(ours ^ theirs)
    named = ", ".join(f"{one[0]} of {(first if one in ours else second)[0]}" for one in odd[:3])
    more = ", ..." if len(odd) > 3 else ""
    return f"{len(odd)} test {'sample is' if len(odd) == 1 else 'samples are'} in one of them only, {named}{more}"


def pairs(experiments: list[Experiment]) -> list[tuple[Classifier, Classifier]]:
    """Return the pairs to compare: the same head of two experiments, and two heads of one experiment.

    If two experiments share no head, each head of the first is compared with each of the second. The majority class is
    in no pair. Baselines are not compared between experiments that have other heads, because they see the same.
    """
    heads = {one.label: [head for head in one.heads if head != "majority"] for one in experiments}
    found: list[tuple[Classifier, Classifier]] = []
    for first, second in combinations(experiments, 2):
        ours, theirs = (
            [head for head in heads[one.label] if head not in BASELINES] or heads[one.label] for one in (first, second)
        )
        shared = [(head, head) for head in ours if head in theirs and head not in BASELINES]
        apart = [] if set(ours) & set(theirs) else list(product(ours, theirs))
        found += [((first, head), (second, other)) for head, other in shared or apart]
    for one in experiments:
        found += [((one, head), (one, other)) for head, other in combinations(heads[one.label], 2)]
    return found


def compare(first: Classifier, second: Classifier, means: Means | None = None) -> Pair:
    """Return the paired differences of two classifiers, with tests of them.

    Args:
        first: An experiment and one of its heads.
        second: The other ones.
        means: AUROC and accuracy of classifiers, for those of which they are known.
    """
    check_paired(first[0], second[0])
    one, two = ((means or {}).get((of.label, head)) or mean(of, head) for of, head in (first, second))
    both = tested_by_both(first, second)
    patients = Patients.apart([mine.who for mine, _ in both])
    metrics = [metric for metric in ("auroc", "accuracy") if metric in one and metric in two]
    differences: dict[str, Value] = {}
    detectable: dict[str, float | None] = {}
    for metric in metrics:
        same = all(agree(*pair, ranked=metric == "auroc") for pair in both)
        differences[metric] = _difference(one[metric], two[metric], same=same)
        error = standard_error(one[metric].resampled - two[metric].resampled)
        known = error > NOISE and one[metric].rests_on[0] > 1
        detectable[metric] = smallest_detectable(error) if known else None
    swapped = None
    if "accuracy" in metrics:
        ours, theirs = (np.concatenate([of.right for of in side]) for side in zip(*both, strict=True))
        swapped = permutation_test(ours, theirs, np.concatenate(patients))
    return Pair(
        _name(first, second),
        first[0].tested(first[1]).n,
        differences,
        detectable,
        {metric: one[metric].rests_on[0] for metric in metrics},
        {"auroc": _delong(both, patients), "accuracy": swapped},
    )


def _name(first: Classifier, second: Classifier) -> str:
    """Return the words for two classifiers; what both share is said once, in brackets."""
    (ours, head), (theirs, other_head) = first, second
    if ours.label == theirs.label:
        return f"{head} - {other_head} ({ours.label})"
    if head == other_head:
        return f"{ours.label} - {theirs.label} ({head})"
    return f"{ours.label} {head} - {theirs.label} {other_head}"


def _difference(one: Mean, two: Mean, *, same: bool) -> Value:
    return replace(difference(one.resampled, two.resampled, *one.rests_on, same=same), of=one.value.of)


def tested_by_both(first: Classifier, second: Classifier) -> list[tuple[Predictions, Predictions]]:
    """Return the predictions of two classifiers on the same test samples, in the same order, job by job."""
    (ours, head), (theirs, other_head) = first, second
    both = []
    for job, other in zip(ours.jobs, theirs.jobs, strict=True):
        mine, yours = job.predictions["test"][head], other.predictions["test"][other_head]
        both.append((mine, _matched(mine, yours) or yours))
    return both


def agree(ours: Predictions, theirs: Predictions, *, ranked: bool) -> bool:
    """Tell if two predictions of the same samples, in the same order, say the same of each.

    Args:
        ours: The first predictions.
        theirs: The other ones.
        ranked: True if ranks are enough, as for AUROC; then there must be more than `BY_CHANCE` different scores.
    """
    if ours.score is not None and theirs.score is not None:
        rank_alike = np.array_equal(ours.levels, theirs.levels)
        if ranked and rank_alike and ours.levels.max(initial=0) >= BY_CHANCE:
            return True
        if not rank_alike or not np.array_equal(ours.score, theirs.score):
            return False
    return np.array_equal(ours.probabilities, theirs.probabilities, equal_nan=True)


def _matched(ours: Predictions, theirs: Predictions) -> Predictions | None:
    """Return the second predictions in the order of the first ones' samples; None if they are of other samples."""
    samples = [one.samples.reset_index(drop=True) for one in (ours, theirs)]
    if samples[0].equals(samples[1]):
        return theirs
    numbers = row_numbers(pd.concat(samples), SAMPLE)
    mine, yours = np.split(numbers, [len(ours)])
    order = [np.argsort(one, kind="stable") for one in (mine, yours)]
    if len(mine) != len(yours) or (mine[order[0]] != yours[order[1]]).any():
        return None
    place = np.empty_like(order[0])
    place[order[0]] = order[1]
    return theirs[place]


def _delong(both: list[tuple[Predictions, Predictions]], patients: list[np.ndarray]) -> float | None:
    tests = []
    for (one, two), clusters in zip(both, patients, strict=True):
        if one.score is None or two.score is None:
            return None
        tests.append((one.labels == 1, one.levels, two.levels, clusters))  # the test asks for ranks only
    try:
        return delong_mean(tests).p
    except InputError:  # a class has one patient only
        return None
