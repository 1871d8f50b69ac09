"""Films, lesions and marks as tables, small enough to be followed on paper, or drawn from a known law."""

import numpy as np
import pandas as pd

BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
WITHOUT = dict.fromkeys(BOX, np.nan)


def films(**positive):
    """Images by name with their patient's name (their first letter) and the truth."""
    return pd.DataFrame(
        {"image_id": list(positive), "patient": [name[0] for name in positive], "positive": list(positive.values())}
    )


def lesions(*rows):
    """Lesions: image, x, y, radius in pixels of 0.2 mm; more by name."""
    facts = {"finding": "CIRC", "severity": "benign", "density": "F", "dataset": "paper", "spacing_mm": 0.2, **WITHOUT}
    columns = ["image_id", "x_px", "y_px", "radius_px"]
    table = pd.DataFrame([dict(zip(columns, row[:4], strict=True)) | facts | dict(*row[4:]) for row in rows])
    return table if len(table) else pd.DataFrame(columns=[*columns, "finding_id", *facts])


def numbered(table):
    return table.assign(finding_id=table.groupby("image_id").cumcount() + 1)


def marks(*rows):
    """Marks: image, x, y, score."""
    return pd.DataFrame(list(rows), columns=["image_id", "x_px", "y_px", "score"])


def drawn(rng, images, *, distance=1.5, marked=0.8, false=3.0, abnormal=0.4):
    """Films of a known law, two a patient: one lesion on some, marked with a chance; false marks are Poisson.

    Scores are normal with a spread of 1, `distance` higher on lesions.
    """
    positive = rng.random(images) < abnormal
    names = np.array([f"film{i:05d}" for i in range(images)])
    table = pd.DataFrame(
        {"image_id": names, "patient": [f"p{i // 2:05d}" for i in range(images)], "positive": positive}
    )
    placed = lesions(*((name, 0.0, 0.0, 30.0) for name in names[positive]))
    hits = names[positive][rng.random(positive.sum()) < marked]
    others = np.repeat(names, rng.poisson(false, images))
    found = pd.DataFrame({"image_id": hits, "x_px": 5.0, "y_px": 5.0, "score": rng.normal(distance, 1, len(hits))})
    missed = pd.DataFrame({"image_id": others, "x_px": 500.0, "y_px": 5.0, "score": rng.normal(0, 1, len(others))})
    return pd.concat([found, missed]), numbered(placed), table
