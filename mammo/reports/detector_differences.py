"""Two detectors on the same patients and seeds: the numbers of each, and their paired differences by patient."""

from collections.abc import Iterator
from pathlib import Path

from mammo.errors import InputError
from mammo.evaluation.bootstrap import difference
from mammo.evaluation.compare import agree
from mammo.evaluation.detection import BASELINES, compare, evaluate_marks
from mammo.evaluation.mark_tables import IMAGE
from mammo.evaluation.metrics import mean_auroc, support
from mammo.reports.detector_results import MARKS, UNITS, Tables, area, judged_marks, tested
from mammo.reports.markdown import markdown, signed


def table(paths: list[Path]) -> list[str]:
    """Return a row for each number of two detectors, over the seeds of the first, all of which the second has too.

    Marks of a head of the first are compared with those of the same head of the second, and if it has none such, with
    those of `detector`. There is no row for marks beside which the second has none.

    Args:
        paths: Two folders, as `detector_results.collect` writes them.

    Raises:
        InputError: There are not two folders, or they have not tested the same patients, films and lesions in the same
            seeds.
    """
    if len(paths) != 2:
        raise InputError(f"expected two folders of detectors, found {len(paths)}")
    first, second = (Tables.read(path) for path in paths)
    seeds = sorted(first.predictions["seed"].unique())
    if lacking := set(seeds) - set(second.predictions["seed"]):
        raise InputError(f"{paths[1]}: no seed {min(lacking)}, which {paths[0]} has; compare the same seeds")
    films = [set(one.predictions[IMAGE].itertuples(index=False, name=None)) for one in (first, second)]
    if odd := sorted(films[0] ^ films[1]):
        raise InputError(
            f"{paths[0]} and {paths[1]} have not tested the same patients and films with the same labels, the first "
            f"that differs is {odd[0][0]}; compare the same data"
        )
    names = [path.name for path in paths]
    rows = [*_of_units(first, second, seeds), *_of_marks(first, second, seeds)]
    return markdown([f"seed {', '.join(map(str, seeds))}", *names, "paired difference"], rows)


def _of_units(first: Tables, second: Tables, seeds: list[int]) -> Iterator[list[str]]:
    """Yield a row for the AUROC of each unit that both have: films, breasts or patients."""
    known = set(first.predictions["head"]) & set(second.predictions["head"])
    for unit, (head, column) in UNITS.items():
        if head not in known:
            continue  # partner=false in one of them
        ours, theirs = (tested(one.predictions, seeds, head, column) for one in (first, second))
        same = all(agree(one, two, ranked=True) for one, two in zip(ours, theirs, strict=True))
        apart = difference(mean_auroc(ours), mean_auroc(theirs), *support(ours[0], "auroc"), same=same)
        values = (str(area(one.predictions, seeds, head, column)) for one in (first, second))
        yield [f"AUROC, {unit}", *values, signed(apart)]


def _of_marks(first: Tables, second: Tables, seeds: list[int]) -> Iterator[list[str]]:
    """Yield a row for each number of the marks of each head of the first, beside those of the second."""
    marking = set(second.marks["head"])
    for head in first.marks["head"].unique():
        other = head if head in marking else "detector"
        if head in BASELINES or other not in marking:
            continue
        ours, theirs = (
            [judged_marks(of, seed, name) for seed in seeds] for of, name in ((first, head), (second, other))
        )
        apart, values = compare(ours, theirs), [evaluate_marks(one) for one in (ours, theirs)]
        said = head if other == head else f"{head}, beside {other}"
        for name, key in MARKS.items():
            yield [f"{said}: {name}", *(str(of[key]) for of in values), signed(apart[key])]
