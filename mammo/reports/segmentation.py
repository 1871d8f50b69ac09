"""The part of a report on regions: from `segments.csv` to tables in words."""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo.evaluation.bootstrap import Value
from mammo.evaluation.evaluate import flat
from mammo.evaluation.mark_tables import check_images, checked
from mammo.evaluation.segmentation import MEASURES, SEGMENTER, SEGMENTS, Segmentation, compare_dice, evaluate_segments
from mammo.reports.detection import Marks, check_heads
from mammo.reports.markdown import markdown, signed
from mammo.run_folder import RunFolder
from mammo.wording import number_of

JUDGED = ("val", "test")
HEADS = {
    "mean_region": "a baseline: the pixels that lie in training regions most often, without looking",
    "empty": "a baseline: it finds nothing",
    "otsu": "a baseline: the largest part of the film above one level of its own (Otsu 1979), without any training",
    "thresholds": "a baseline: the breast as the program finds it to cut films, without any training",
}
SOURCES = {
    "mask": "masks of the data set",
    "contour": "contours of the data set",
    "box": "boxes, filled (weak: they hold tissue around the lesion)",
    "circle": "circles, as discs (weak: they hold tissue around the lesion)",
    "thresholds": "the program's own thresholds",
}
NAMES = {
    "dice": "Dice, images with a true region",
    "iou": "intersection over union, the same",
    "missed": "share of them whose region is not touched",
    "assd_mm": "mean surface distance in mm, where something was found",
    "hd95_mm": "95 % surface distance in mm, the same",
    "false_region": "share of images without a region where something was found",
    "false_area_mm2": "its mean area in mm2",
}


def write(run: RunFolder) -> Marks:
    """Judge the found regions of a run, and return its part of the report."""
    table, target = run.segments, run.config.segmentation.target
    table = checked(table, SEGMENTS[:4], MEASURES, Path("segments.csv"))
    check_images(table, run.samples, "segments.csv")
    check_heads(table, table["head"], table["image_id"].drop_duplicates(), "segments.csv", "row")
    tables: dict[str, dict[str, pd.DataFrame]] = {
        split: {str(head): rows for head, rows in of.groupby("head", sort=False)}
        for split, of in table[table["split"].isin(JUDGED)].groupby("split")
    }
    values = {split: {head: evaluate_segments(rows) for head, rows in of.items()} for split, of in tables.items()}
    facts: dict[str, Any] = {split: {head: one.as_json() for head, one in of.items()} for split, of in values.items()}
    numbers = flat({split: {head: one.values for head, one in of.items()} for split, of in values.items()})
    if "test" not in values:
        none = "No test image has a known region, so nothing is judged here."
        return Marks([*_title(target), none, ""], {"segmentation": facts}, numbers)
    tested = tables["test"]
    apart = {head: compare_dice(tested[SEGMENTER], rows) for head, rows in tested.items() if head != SEGMENTER}
    facts["differences"] = {f"{SEGMENTER} - {head}": value.as_json() for head, value in apart.items()}
    lines = [*_title(target), *_first_lines(run, tested, values["test"]), "", *table_of(values["test"]), ""]
    if any(value.value is not None for value in apart.values()):
        rows = [[f"{SEGMENTER} - {head}", signed(value)] for head, value in apart.items()]
        said = "On the same images and patients. If an interval contains 0, no difference is shown."
        lines += ["### Segmenter minus baselines", "", said, "", *markdown(["", "Dice"], rows), ""]
    return Marks(lines, {"segmentation": facts}, numbers)


def _title(target: str) -> list[str]:
    return [{"lesion": "## Regions of lesions", "breast": "## Regions of breasts"}[target], ""]


def _first_lines(run: RunFolder, tested: dict[str, pd.DataFrame], values: dict[str, Segmentation]) -> list[str]:
    """Return what was found and judged, by which rule, and by whom."""
    settings, rows, counts = run.config.segmentation, tested[SEGMENTER], values[SEGMENTER].counts
    chosen = (run if run.external is None else run.tested_run).selection[SEGMENTER]
    sources = rows["source"].dropna().value_counts()
    from_ = ", ".join(f"{_words(str(source))} ({count})" for source, count in sources.items())
    judged = counts["images"]
    unknown = (run.samples["split"] == "test").sum() - judged
    lines = [
        f"A pixel is in the found region if its probability is above {chosen['level']:g}: {chosen['how']}. Regions are "
        "compared on the film itself. Images without a true region have no Dice, and are counted apart.",
        "",
        f"- Test: {number_of(judged, 'image')} of {number_of(counts['patients'], 'patient')}, "
        f"{counts['with_region']} with a true region and {counts['without_region']} without.",
        f"- True regions come from {from_ or 'no source'}.",
    ]
    if unknown:
        lines.append(
            f"- {number_of(unknown, 'test image is', 'test images are')} not among them, as the "
            "region of a finding is unknown."
        )
    own = "the mean logit of the hottest pixels"
    lines.append(
        f"- The score of a film is {own}, which says how sure it is of a breast, and nothing about lesions."
        if settings.target == "breast"
        else f"- The score of a film, in the tables by class, is {own}."
    )
    return [*lines, *(f"- {head}: {HEADS[head]}." for head in tested if head in HEADS)]


def _words(source: str) -> str:
    return " and ".join(SOURCES.get(one, one) for one in source.split("+"))


def table_of(values: dict[str, Segmentation]) -> list[str]:
    """Return the table of all numbers, with a column for each head."""
    rows: list[list[str]] = []
    for name, said in NAMES.items():
        of: list[Value] = [one.values[name] for one in values.values()]
        if any(value.value is not None for value in of):
            rows.append([said, *map(str, of)])
    rows.append(
        ["images with a region where nothing was found", *(str(one.counts["empty"]) for one in values.values())]
    )
    return markdown(["", *values], rows)
