"""The summary of a data set: counts from its findings table, and a picture of some of its films."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammo import figures
from mammo.datasets.base import Dataset
from mammo.datasets.geometry import geometry
from mammo.datasets.labels import worst_findings


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count images, patients and rows, in all and by severity, class and density; return the counts by heading."""
    images = worst_findings(table)
    abnormal = images[images["severity"].isin(["benign", "malignant"])].groupby("patient").size()
    patients = images["patient"].nunique()
    placed = table[["x_px", "x0_px", "mask_path"]].notna().any(axis=1)
    by = {
        "all": {"images": len(images), "patients": patients, "rows": len(table), "places": int(placed.sum())},
        "patients with": {
            "no abnormal image": patients - len(abnormal),
            "one": int((abnormal == 1).sum()),
            "more": int((abnormal > 1).sum()),
        },
    }
    for name, column in (
        ("images by severity", images["severity"]),
        ("images by density", images["density"]),
        ("rows by severity", table["severity"]),
        ("rows by class", table["finding"]),
    ):
        by[name] = {str(value): int(count) for value, count in column.fillna("unknown").value_counts().items()}
    return by


def picture(dataset: Dataset, table: pd.DataFrame) -> Figure:
    """Draw up to two films of each class, with lines around their findings."""
    chosen = list(dict.fromkeys(table.fillna({"finding": "-"}).groupby("finding", sort=False).head(2)["image_id"]))
    lines: list[list[tuple[np.ndarray, str]]] = []
    names: list[str] = []
    pixels: list[np.ndarray] = []
    for image in chosen:
        rows = table[table["image_id"] == image]
        said = [rows["density"].iloc[0], ", ".join(dict.fromkeys(rows["finding"].dropna())), rows["severity"].iloc[0]]
        names.append(" ".join([image, *(str(word) for word in said if not pd.isna(word))]))
        grey, around = picture_of(dataset, table, str(image))
        pixels.append(grey)
        lines.append(around)
    return figures.films(pixels, lines, names)


def picture_of(dataset: Dataset, table: pd.DataFrame, image_id: str) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """Return a film, (height, width) uint8, and the lines around its findings with their colours, see `figures.films`.

    Args:
        dataset: The data set.
        table: Its findings table.
        image_id: The image.
    """
    rows = table[table["image_id"] == image_id]
    places = [place for _, row in rows.iterrows() if (place := geometry(row)) is not None]
    return dataset.read(image_id).levels8(), [(line, figures.RED) for place in places for line in place.lines()]
