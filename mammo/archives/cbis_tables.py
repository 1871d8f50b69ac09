"""The four tables of CBIS-DDSM, in the words of the findings table."""

import pandas as pd

from mammo.archives.archive import words
from mammo.errors import InputError

TABLES = {
    f"{kind}_case_description_{part}_set.csv": (kind, part) for kind in ("mass", "calc") for part in ("train", "test")
}
PATHS = ["image file path", "cropped image file path", "ROI mask file path"]
KEPT = ["abnormality id", "abnormality type", "assessment", "pathology", "subtlety"]
NEEDED = ["patient_id", "left or right breast", "image view", PATHS[0]]
WORDS = {"mass": ["mass shape", "mass margins"], "calc": ["calc type", "calc distribution"]}
SIDES, VIEWS = {"left": "left", "right": "right"}, {"cc": "CC", "mlo": "MLO"}
DENSITIES = {"0": None, "1": "A", "2": "B", "3": "C", "4": "D"}
PATHOLOGY = {"malignant": "malignant", "benign": "benign", "benign_without_callback": "benign"}
RESTS_ON = {"malignant": "pathology", "benign": "pathology", "benign_without_callback": "reading"}
SHAPES = {"ARCHITECTURAL_DISTORTION": "ARCH", "ASYMMETRIC_BREAST_TISSUE": "ASYM", "FOCAL_ASYMMETRIC_DENSITY": "ASYM"}


def columns_of(name: str) -> list[str]:
    """Return the columns of a table."""
    return [*NEEDED, "breast density", *KEPT, *WORDS[TABLES[name][0]], *PATHS[1:]]


def findings_of(given: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of a table with our columns, and with its own paths.

    Args:
        given: The rows as text, with `columns_of` the table.
        name: The name of the table.

    Raises:
        InputError: A row lacks a patient, a side, a view or a film, or has an unknown word.
    """
    for column in NEEDED:
        if (empty := given[column].isna()).any():
            raise InputError(f"{name}, row {empty.idxmax()}: no {column}; every row needs one; use the original table")
    kind, part = TABLES[name]
    rows = pd.DataFrame({
        "dataset": "cbis_ddsm",
        "film": given[PATHS[0]].str.split("/").str[0],
        "patient": "cbis-" + given["patient_id"],
        "laterality": words(given, "left or right breast", SIDES, name),
        "view": words(given, "image view", VIEWS, name),
        "density": words(given, "breast density", DENSITIES, name),
        "severity": words(given, "pathology", PATHOLOGY, name),
        "severity_source": words(given, "pathology", RESTS_ON, name),
        "official_split": part,
        "finding": [_mass(*both) for both in given[WORDS[kind]].fillna("N/A").to_numpy()] if kind == "mass" else "CALC",
    })  # fmt: skip
    own = given[[*KEPT, *WORDS[kind]]]
    return rows.join(own.set_axis(own.columns.str.replace(" ", "_"), axis=1)).join(given[PATHS])


def _mass(shape: str, margins: str) -> str:
    """Return our word for a mass. Its own words are joined by hyphens, and N/A is one of them."""
    edges = set(margins.split("-"))
    if "SPICULATED" in edges:
        return "SPIC"
    if edges == {"CIRCUMSCRIBED"}:
        return "CIRC"
    special = [SHAPES[one] for one in shape.split("-") if one in SHAPES]
    return special[0] if special else "MASS" if edges == {"N/A"} else "MISC"
