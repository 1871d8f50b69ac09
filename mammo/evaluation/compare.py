"""Paired comparisons of systems and heads on the same test films, by woman: differences, and tests of them."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, difference, standard_error
from mammo.evaluation.predictions import BASELINES
from mammo.evaluation.significance import delong_mean, holm, permutation_test, smallest_detectable
from mammo.reports.experiments import System, mean
from mammo.reports.markdown import markdown, signed

Side = tuple[System, str]  # a system and one of its heads
COLUMNS = ["first less second", "n", "AUROC", "could show", "p", "Holm", "accuracy", "could show", "p", "Holm"]


@dataclass(frozen=True)
class Pair:
    """First less second.

    Attributes:
        name: Of both.
        n: Samples and women.
        differences: By metric, `auroc` and `accuracy`.
        detectable: By metric, the smallest difference that so many women would show with power 0.8.
        p: By metric, of DeLong's test and of the permutation by woman; None where there is none.
    """

    name: str
    n: str
    differences: dict[str, Value]
    detectable: dict[str, float]
    p: dict[str, float | None]


def check_paired(first: System, second: System) -> None:
    """Both tested the same samples, in the same folds and seeds.

    Raises:
        InputError: Otherwise; names what differs.
    """
    for ours, theirs in zip(first.jobs, second.jobs, strict=False):
        sides = [next(iter(job.parts["test"].values())) for job in (ours, theirs)]
        if sides[0].classes != sides[1].classes:
            raise InputError(
                f"{first.label} and {second.label} cannot be paired: their classes are {', '.join(sides[0].classes)} "
                f"and {', '.join(sides[1].classes)}; compare runs of one task"
            )
        if len(first.jobs) > 1 and (ours.seed, ours.fold) != (theirs.seed, theirs.fold):
            raise InputError(
                f"{first.label} and {second.label} cannot be paired: seed {ours.seed}, fold {ours.fold} stands "
                f"against seed {theirs.seed}, fold {theirs.fold}; compare the same folds and seeds"
            )
        samples = [set(next(iter(job.parts["test"].values())).samples) for job in (ours, theirs)]
        if odd := sorted(samples[0] ^ samples[1]):
            named = [f"{name} of {(first if name in samples[0] else second).label}" for name in odd[:3]]
            raise InputError(
                f"{first.label} and {second.label} cannot be paired: {len(odd)} test samples are of one alone, "
                f"{', '.join(named)}{', ...' if len(odd) > 3 else ''}; compare runs of one task, split, seed and crop"
            )
    if len(first.jobs) != len(second.jobs):
        raise InputError(
            f"{first.label} and {second.label} cannot be paired: they have {len(first.jobs)} and "
            f"{len(second.jobs)} jobs; compare the same folds and seeds"
        )


def pairs(systems: list[System]) -> list[tuple[Side, Side]]:
    """The same head of any two systems, and any two heads of one system; the majority class is in every table.

    Baselines are not compared between systems: they see the same.
    """
    heads = {system.label: [head for head in system.heads if head != "majority"] for system in systems}
    found: list[tuple[Side, Side]] = []
    for first, second in combinations(systems, 2):
        found += [
            ((first, head), (second, head))
            for head in heads[first.label]
            if head in heads[second.label] and head not in BASELINES
        ]
    for system in systems:
        found += [((system, one), (system, other)) for one, other in combinations(heads[system.label], 2)]
    return found


def compare(first: Side, second: Side) -> Pair:
    """The paired differences of two sides and their tests."""
    (system, head), (other, other_head) = first, second
    check_paired(system, other)
    one, two = mean(system, head), mean(other, other_head)
    answers = system.tested(head)
    women = len(set(answers.patients))
    apart = {metric: one[metric][1] - two[metric][1] for metric in ("auroc", "accuracy")}
    swapped = permutation_test(_right(system, head), _right(other, other_head), _women(system, head))
    same = system.label == other.label
    names = [h if same else s.label if head == other_head else f"{s.label} {h}" for s, h in (first, second)]
    tail = f" ({system.label})" if same else f" ({head})" if head == other_head else ""
    return Pair(
        f"{names[0]} - {names[1]}{tail}",
        f"{len(set(answers.samples))} of {women} women",
        {metric: difference(array, women) for metric, array in apart.items()},
        {metric: smallest_detectable(np.nan_to_num(standard_error(array))) for metric, array in apart.items()},
        {"auroc": _delong(first, second), "accuracy": swapped.p},
    )


def _delong(first: Side, second: Side) -> float | None:
    tests = []
    for ours, theirs in zip(first[0].jobs, second[0].jobs, strict=True):
        one, two = ours.parts["test"][first[1]], theirs.parts["test"][second[1]]
        if one.score is None or two.score is None:
            return None
        order = np.argsort(two.samples)[np.argsort(np.argsort(one.samples))]
        tests.append((one.labels == 1, one.score, two.score[order], one.patients))
    try:
        return delong_mean(tests).p
    except InputError:  # a class is of one woman alone
        return None


def _sorted(system: System, head: str) -> list[tuple[np.ndarray, np.ndarray]]:
    jobs = [job.parts["test"][head] for job in system.jobs]
    return [(one.right[order], one.patients[order]) for one in jobs for order in [np.argsort(one.samples)]]


def _right(system: System, head: str) -> np.ndarray:
    return np.concatenate([right for right, _ in _sorted(system, head)])


def _women(system: System, head: str) -> np.ndarray:
    return np.concatenate([patients for _, patients in _sorted(system, head)])


def text(found: list[Pair]) -> list[str]:
    """The lines of the table, differences first, then tests; p values corrected over all tests of the table."""
    known = [(row, metric) for row, pair in enumerate(found) for metric, p in pair.p.items() if p is not None]
    corrected = holm(np.array([found[row].p[metric] for row, metric in known], float)).tolist() if known else []
    by_test: dict[tuple[int, str], float] = dict(zip(known, corrected, strict=True))
    rows = []
    for number, pair in enumerate(found):
        cells = [pair.name, pair.n]
        for metric in ("auroc", "accuracy"):
            p = pair.p[metric]
            shown = ["", ""] if p is None else [f"{p:.3g}", f"{by_test[number, metric]:.3g}"]
            cells += [signed(pair.differences[metric]), f"{pair.detectable[metric]:.3f}", *shown]
        rows.append(cells)
    return [
        "## Paired differences",
        "",
        "By woman, with 95 % intervals; `could show` is the smallest true difference that so many women would show "
        "with power 0.8. p of AUROC: DeLong's test clustered by woman (Obuchowski 1997); of accuracy: women's answers "
        "swapped as a whole; Holm's correction over all tests of this table.",
        "",
        *markdown(COLUMNS, rows),
    ]
