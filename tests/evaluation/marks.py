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


HEADS = ("detector", "position_prior", "brightest_blob", "blob_minus_surround")


def write_marks(folder, samples, placed, *, distance=2.0, seed=0, heads=HEADS):
    """Write candidates.csv and lesions.csv into a run folder: the detector marks lesions, the baselines guess.

    `samples` has image_id, patient, split; `placed` the lesions of some of them.
    """
    rng, of = np.random.default_rng(seed), samples.drop_duplicates("image_id").set_index("image_id")
    tables = []
    for head in heads:
        names = np.repeat(of.index, rng.poisson(2, len(of)) + 1)
        tables.append(pd.DataFrame({"image_id": names, "head": head, "score": rng.normal(size=len(names))}))
        tables[-1] = tables[-1].assign(x_px=rng.uniform(0, 1023, len(names)), y_px=rng.uniform(0, 1023, len(names)))
        if head == "detector":
            on = placed[["image_id", "x_px", "y_px"]].assign(head=head, score=rng.normal(distance, 1, len(placed)))
            tables[-1] = pd.concat([tables[-1], on])
    table = pd.concat(tables).astype({"image_id": str})
    for column in ("patient", "split"):
        table[column] = table["image_id"].map(of[column].astype(str))
    for at, column in enumerate(BOX):
        table[column] = table["x_px" if at % 2 == 0 else "y_px"] + (24 if at > 1 else -24)
    order = ["image_id", "patient", "split", "head", "x_px", "y_px", *BOX, "score"]
    table[order].to_csv(folder / "candidates.csv", index=False, float_format="%.9g")
    facts = [column for column in ("patient", "split") if column not in placed]
    own = placed.assign(**{column: placed["image_id"].map(of[column].astype(str)) for column in facts})
    own.to_csv(folder / "lesions.csv", index=False)
    return folder


def detecting(folder, table, *, unplaced=(), **how):
    """Write the tables of a detector into a made run folder; abnormal films have a lesion, except `unplaced` ones."""
    samples = table.drop_duplicates("image_id")[
        ["image_id", "finding_id", "patch", "copy", "patient", "split", "label"]
    ]
    samples.assign(radius_px=None, spacing_mm=0.2, contrast=0.0).to_csv(folder / "samples.csv", index=False)
    names = samples.loc[samples["label"].ne("normal") & ~samples["image_id"].isin(unplaced), "image_id"]
    facts = [{"finding": ["CALC", "CIRC"][i % 2], "density": "FGD"[i % 3]} for i in range(len(names))]
    placed = [(name, 300.0 + i, 400.0, 20.0 + i, fact) for i, (name, fact) in enumerate(zip(names, facts, strict=True))]
    return write_marks(folder, samples, numbered(lesions(*placed)), **how)
