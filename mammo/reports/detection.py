"""The part of a report that says where a detector looks: from `candidates.csv` and `lesions.csv` to tables in words."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.detection import (
    BASELINES,
    BRIEF_RATES,
    CPM_RATES,
    RATES,
    Detections,
    by_subgroup,
    compare,
    detections,
    evaluate_marks,
)
from mammo.evaluation.evaluate import flat
from mammo.evaluation.experiments import Experiment
from mammo.evaluation.lesion_windows import BRIGHTNESS, HEAT, areas
from mammo.evaluation.marks import HIT_MM, Detection
from mammo.reports.markdown import markdown, signed
from mammo.run_folder import RunFolder

JUDGED = ("val", "test")
UNTRAINED = ("brightest_blob", "blob_minus_surround")  # heads that every run has, an external test too
NAMED = 5  # images that a line names
RULE = (
    f"A mark hits a lesion if it lies in the lesion's circle or box, or within {HIT_MM} mm of its centre. "
    "The mark with the highest score finds the lesion; further marks on it are neither hits nor false. "
    "A mark on no lesion is false. A mark in two lesions hits both."
)
HEADS = {
    "detector_partner": "the marks of `detector`, their scores lowered by a share of the score of the other breast",
    "position_prior": "a baseline: it marks where lesions of the training part lie, without looking at the film",
    "brightest_blob": "a baseline: it marks the brightest spots, without any training",
    "blob_minus_surround": "a baseline: it marks spots that are brighter than their surround, without any training",
}
FRACTIONS = {0.125: "1/8", 0.25: "1/4", 0.5: "1/2"}
WINDOWS = {"as_drawn": "windows as drawn", "recentred": "windows re-centred on the brightest blob, which is harder"}
SHORT = ("froc_0.25", "froc_1", "froc_4", "cpm", "first_mark", "localisation_roc")  # numbers of a comparison


@dataclass(frozen=True)
class Marks:
    """The part of a report on marks: its lines, what `metrics.json` gets, and `<split>/<head>/<number>`: value."""

    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    flat: dict[str, float] = field(default_factory=dict)


NONE = Marks()  # of a run that marks nothing


def judged(run: RunFolder) -> Detections:
    """Return the judged marks of a run on its validation and test parts, by split and head.

    An image is positive if its label is not the first class.
    """
    samples, normal = run.samples, run.provenance["classes"][0]
    images = samples.assign(positive=samples["label"] != normal)[["image_id", "patient", "split", "positive"]]
    candidates = run.candidates
    check_heads(candidates, [*candidates["head"], *UNTRAINED], images["image_id"], "candidates.csv", "mark")
    return detections(candidates, run.lesions, images, JUDGED)


def check_heads(table: pd.DataFrame, heads: Iterable[str], images: pd.Series, file: str, what: str) -> None:
    """Refuse a table that lacks a head on an image; every film has a place, and so a mark of every head.

    Args:
        table: Its rows, with `image_id` and `head`.
        heads: The heads that every image has.
        images: The images.
        file: The name of the table.
        what: The word for what a row is.

    Raises:
        InputError: The line names the head and an image.
    """
    for head in dict.fromkeys(heads):
        there = images.isin(table.loc[table["head"] == head, "image_id"])
        if not there.all():
            raise InputError(
                f"{file}: {(~there).sum()} of {_n(len(images), 'image')} have no {what} of {head}, "
                f"{images[~there].iloc[0]} for example, but each has one; the file may be cut: copy it again"
            )


def write(run: RunFolder) -> Marks:
    """Judge the marks of a run, draw their FROC curves into its `figures`, and return its part of the report."""
    of_split = judged(run)
    values = {split: {head: evaluate_marks([one]) for head, one in heads.items()} for split, heads in of_split.items()}
    facts: dict[str, Any] = {"rule": RULE, "n": {split: _counts(heads) for split, heads in of_split.items() if heads}}
    for split, heads in values.items():
        facts[split] = {head: {name: one.as_json() for name, one in of.items()} for head, of in heads.items()}
    if not of_split.get("test"):
        return Marks([], {"detection": facts}, flat(values))
    tested, apart = of_split["test"], _differences(of_split["test"])
    facts["differences"] = {name: {key: one.as_json() for key, one in of.items()} for name, of in apart.items()}
    from mammo.reports import detection_figures  # noqa: PLC0415 - matplotlib

    detection_figures.draw(run.path / "figures", tested)
    lines = ["## Where the lesions are", "", *_first_lines(tested), "", *table_of(values["test"]), ""]
    lines += [
        f"CPM is the mean share of lesions found at {_rates(CPM_RATES)} false marks per image. The localisation ROC "
        "area is the chance that an abnormal image has its first mark on a lesion, and a higher score there than a "
        "normal image has anywhere. So it cannot be above the share of first marks that hit. Where a head has fewer "
        "false marks than a row allows, all its marks count.",
        "",
        *_difference_lines(apart),
        *subgroup_lines(tested),
    ]
    if (windows := run.windows) is not None:
        said, facts["windows"] = _windows(windows, run.provenance["classes"])
        lines += said
    return Marks(lines, {"detection": facts}, flat(values))


def side_by_side(experiments: list[Experiment], *, refuse: bool = True) -> list[str]:
    """Return a table of the detectors of several experiments and their paired differences; nothing without detectors.

    Args:
        experiments: The experiments; those without a detector are passed over.
        refuse: False says in a line that there are no differences, where True raises.

    Raises:
        InputError: Two of them were not judged on the same images and lesions.
    """
    experiments = [one for one in experiments if one.detectors]
    if not experiments:
        return []
    rows = []
    for one in experiments:
        for head in one.detectors:
            found = evaluate_marks([job.marks[head] for job in one.jobs])
            rows.append([one.label, head, *(str(found[name]) for name in SHORT)])
    header = ["experiment", "head", *(_short(name) for name in SHORT)]
    lines = ["## Where the lesions are", "", RULE, "", *markdown(header, rows), ""]
    try:
        return [*lines, *_paired_lines(experiments)]
    except InputError as error:
        if refuse:
            raise
        return [*lines, f"There are no paired differences of detectors: {error}.", ""]


def _paired_lines(experiments: list[Experiment]) -> list[str]:
    """Return the differences of the same detector between each two experiments; baselines see the same in both."""
    rows = []
    for first, second in combinations(experiments, 2):
        for head in first.detectors:
            if head in second.detectors and head not in BASELINES:
                sides = [[job.marks[head] for job in one.jobs] for one in (first, second)]
                apart = compare(sides[0], sides[1])
                name = f"{first.label} - {second.label} ({head})"
                rows.append([name, *(signed(apart[one]) for one in SHORT)])
    if not rows:
        return []
    header = ["first minus second", *(_short(name) for name in SHORT)]
    return ["The same detectors, first minus second, on the same patients:", "", *markdown(header, rows), ""]


def _first_lines(heads: dict[str, Detection]) -> list[str]:
    """Return what was judged, by which rule, and who marked."""
    one = next(iter(heads.values()))
    counts = _counts(heads)
    lines = [
        "The detector marks places on a film; a higher score is more suspicious.",
        f"- {RULE}",
        f"- Test: {_n(counts['images'], 'image')} of {_n(counts['patients'], 'patient')}: "
        f"{_n(counts['normal'], 'normal image')}, and {_n(counts['images'] - counts['normal'], 'abnormal image')} "
        f"with {_n(counts['lesions'], 'lesion')}.",
    ]
    if one.unplaced:
        named = f"{', '.join(one.unplaced[:NAMED])}{', ...' if len(one.unplaced) > NAMED else ''}"
        were = "image is left out with its marks, because its lesion has"
        if len(one.unplaced) > 1:
            were = "images are left out with their marks, because their lesions have"
        lines.append(f"- {len(one.unplaced)} abnormal {were} no known place ({named}).")
    return [lines[0], "", *lines[1:], *(f"- {head}: {HEADS[head]}." for head in heads if head in HEADS)]


def _counts(heads: dict[str, Detection]) -> dict[str, int]:
    one = next(iter(heads.values()))
    return {
        "images": len(one.images), "normal": int((~one.positive).sum()), "lesions": len(one.lesions),
        "patients": len(np.unique(one.patients)), "unplaced": len(one.unplaced),
    }  # fmt: skip


def table_of(values: dict[str, dict[str, Value]]) -> list[str]:
    """Return the table of all numbers, with a column for each head."""
    names = {f"froc_{rate:g}": f"lesions found at {_rate(rate)} per image" for rate in RATES}
    names |= {f"froc_normal_{rate:g}": f"lesions found at {_rate(rate)} per normal image" for rate in RATES}
    names |= {"cpm": "CPM", "first_mark": "abnormal images whose first mark hits"}
    names |= {"localisation_roc": "localisation ROC, area"}
    rows = [[said, *(str(of[name]) for of in values.values())] for name, said in names.items()]
    return markdown(["", *values], rows)


def _differences(heads: dict[str, Detection]) -> dict[str, dict[str, Value]]:
    """Return the numbers of each detector minus those of each baseline, by the names of both."""
    return {
        f"{head} - {baseline}": compare([one], [heads[baseline]])
        for head, one in heads.items()
        if head not in BASELINES
        for baseline in heads
        if baseline in BASELINES
    }


def _difference_lines(apart: dict[str, dict[str, Value]]) -> list[str]:
    if not apart:
        return []
    header = ["detector minus baseline", *(_short(name) for name in SHORT)]
    rows = [[name, *(signed(of[one]) for one in SHORT)] for name, of in apart.items()]
    said = "Each row is on the same patients. If an interval contains 0, no difference is shown."
    return ["### Detector minus baselines", "", said, "", *markdown(header, rows), ""]


def subgroup_lines(heads: dict[str, Detection]) -> list[str]:
    """Return the lesions that each detector finds, by finding, severity, density and size."""
    lines = []
    for head, one in heads.items():
        groups = by_subgroup(one) if head not in BASELINES else []
        if groups:
            header = ["subgroup", "lesions", "patients", *(f"found at {_rate(rate)}" for rate in BRIEF_RATES)]
            rows = [
                [group.name, str(group.lesions), str(group.patients), *(str(of) for of in group.found.values())]
                for group in groups
            ]
            said = "The thresholds are those of all lesions together, and false marks are counted on all images."
            lines += [f"### Lesions found by subgroup: {head}", "", said, "", *markdown(header, rows), ""]
    return lines


def _windows(windows: pd.DataFrame, classes: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the section on lesion windows, and its numbers."""
    of_drawing = areas(windows.assign(positive=windows["label"] == classes[1]))
    one = windows[windows["head"] == windows["head"].iloc[0]]
    counts = {name: int((one["label"] == name).sum()) for name in classes}
    found = " and ".join(f"{count} {name}" for name, count in counts.items())
    rows = [
        [WINDOWS[drawing], str(of[HEAT]), str(of[BRIGHTNESS]), signed(of["difference"])]
        for drawing, of in of_drawing.items()
    ]
    lines = [
        "### Lesion windows",
        "",
        f"crop=lesion cuts these windows of the test films under the same seed and split: {found}. A window lies on an "
        "annotated lesion, or on a normal film where lesions lie, so this is classification, not detection. The heat "
        "is that of the detector at the place nearest to the centre of the window. The brightness is that of the "
        "middle of the window minus that of its surround. Nothing is trained for either.",
        "",
        *markdown(["AUROC", "heat", "brightness", "heat minus brightness"], rows),
        "",
    ]
    numbers = {name: {key: value.as_json() for key, value in of.items()} for name, of in of_drawing.items()}
    return lines, {"n": counts | {"patients": int(one["patient"].nunique())}, **numbers}


def _rate(rate: float) -> str:
    return f"{FRACTIONS.get(rate, f'{rate:g}')} false mark{'s' if rate > 1 else ''}"


def _rates(rates: tuple[float, ...]) -> str:
    shown = [FRACTIONS.get(rate, f"{rate:g}") for rate in rates]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def _short(name: str) -> str:
    words = {"cpm": "CPM", "first_mark": "first mark hits", "localisation_roc": "localisation ROC"}
    return words.get(name) or f"found at {_rate(float(name.rpartition('_')[2]))}"


def _n(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}"
