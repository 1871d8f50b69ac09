"""The findings of VinDr-Mammo: one row for each box, whatever number of categories it has."""

import ast

import pandas as pd

from mammo.archives.archive import words
from mammo.datasets.geometry import BOX
from mammo.errors import InputError
from mammo.wording import number_of

FINDINGS = "finding_annotations.csv"
EDGES = ["xmin", "ymin", "xmax", "ymax"]
NEEDED = ["image_id", "finding_categories", "finding_birads", *EDGES]
BIRADS = {f"bi-rads {number}": str(number) for number in range(1, 6)}
NONE = "No Finding"
WORDS = {
    "Mass": "MASS", "Suspicious Calcification": "CALC", "Architectural Distortion": "ARCH", "Asymmetry": "ASYM",
    "Focal Asymmetry": "ASYM", "Global Asymmetry": "ASYM", "Skin Thickening": "", "Skin Retraction": "",
    "Nipple Retraction": "", "Suspicious Lymph Node": "",
}  # fmt: skip


def read_findings(sheet: pd.DataFrame, images: pd.Series, notes: list[str]) -> tuple[pd.DataFrame, set[str]]:
    """Return the boxes, and the images that the table says to have no finding.

    Args:
        sheet: The rows of the table as text.
        images: The `image_id` of each image of the archive.
        notes: Gets a line for rows that are of no image, and for unknown categories.

    Returns:
        One row per box: `image_id, x0_px, y0_px, x1_px, y1_px` (as text), `finding`, `finding_birads`, and
        `finding_categories`, all of its categories.

    Raises:
        InputError: A cell of categories is no list, or a BI-RADS is unknown; the error names the row.
    """
    given = sheet["finding_categories"]
    said = {text: _categories(text) for text in given.dropna().unique()}
    if odd := given.index[given.map(said.get).isna()].tolist():
        raise InputError(
            f"{FINDINGS}, row {odd[0]}: finding_categories is {given[odd[0]]}; expected a list, say ['Mass']"
        )
    sheet = sheet.assign(
        image_id="vindr-" + sheet["image_id"],
        categories=given.map(said),
        finding_birads=words(sheet, "finding_birads", BIRADS, FINDINGS),
    )
    known = sheet["image_id"].isin(images)
    if not known.all():
        notes.append(
            f"{number_of(int((~known).sum()), 'row')} of {FINDINGS} left out: the other table lacks their images"
        )
    listed = sheet[known].explode("categories")
    silent = listed["categories"] == NONE
    if odd := sorted(set(listed.loc[~silent, "categories"]) - set(WORDS)):
        notes.append(f"{', '.join(odd)}: not among the categories of VinDr-Mammo; in finding_categories alone")
    of_box = listed[~silent].groupby(["image_id", *EDGES], dropna=False, sort=False)
    found = of_box.agg(
        finding_categories=("categories", lambda several: "; ".join(dict.fromkeys(several))),
        finding=("categories", lambda several: next(filter(None, map(WORDS.get, several)), pd.NA)),
        finding_birads=("finding_birads", "max"),
    )
    return found.reset_index().rename(columns=dict(zip(EDGES, BOX, strict=True))), set(listed.loc[silent, "image_id"])


def _categories(text: str) -> list[str] | None:
    """Return the categories that a cell lists; None if it is no list of words."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, list) and found and all(isinstance(one, str) for one in found) else None
