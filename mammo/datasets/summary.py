"""What a data set holds: counts from its findings table, and a picture of some of its films."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammo import figures
from mammo.datasets.labels import worst_findings
from mammo.datasets.mias import MIAS


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Counts by what is counted: films, women, findings by class and severity, films by severity and density."""
    films = worst_findings(table)
    abnormal = films[films["severity"] != "normal"].groupby("patient").size()
    women = films["patient"].nunique()
    by = {
        "all": {
            "films": len(films),
            "women": women,
            "rows": len(table),
            "circles": int(table["radius_px"].notna().sum()),
        },
        "women with": {
            "no abnormal breast": women - len(abnormal),
            "one": int((abnormal == 1).sum()),
            "both": int((abnormal == 2).sum()),
        },
    }
    for name, column in (("films by severity", films["severity"]), ("films by density", films["density"])):
        by[name] = {str(value): int(count) for value, count in column.value_counts().items()}
    for name, column in (("rows by severity", table["severity"]), ("rows by class", table["finding"])):
        by[name] = {str(value): int(count) for value, count in column.value_counts().items()}
    return by


def picture(dataset: MIAS, table: pd.DataFrame) -> Figure:
    """Two films of each class where there are so many, with their circles."""
    chosen = list(dict.fromkeys(table.groupby("finding", sort=False).head(2)["image_id"]))
    circles: list[list[tuple[float, float, float]]] = []
    names: list[str] = []
    pixels: list[np.ndarray] = []
    for film in chosen:
        rows = table[table["image_id"] == film]
        drawn = rows.dropna(subset="radius_px")[["x_px", "y_px", "radius_px"]]
        circles.append([(float(x), float(y), float(r)) for x, y, r in drawn.to_numpy()])
        names.append(
            f"{film} {rows['density'].iloc[0]} {', '.join(dict.fromkeys(rows['finding']))} {rows['severity'].iloc[0]}"
        )
        pixels.append(dataset.read(str(film)))
    return figures.films(pixels, circles, names)
