"""A program that makes a findings table of a given length, then reads, checks, splits and audits it.

It prints one line of JSON, the seconds of each step by the clock.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.auditing.crossing import crossing
from mammo.auditing.splits import read_split
from mammo.datasets.findings import read_findings
from mammo.datasets.split import check_split, split_images


def made(rows: int) -> pd.DataFrame:
    """Return a findings table of `rows` images, two per patient, a third of them with a finding."""
    rng, film = np.random.default_rng(0), np.arange(rows)
    severity = rng.choice(["normal", "benign", "malignant"], rows, p=[0.65, 0.2, 0.15])
    circle = np.where(severity == "normal", np.nan, 300.0)
    names = pd.Series(film).astype(str).str.zfill(7)
    return pd.DataFrame({
        "dataset": "made", "image_id": "f" + names, "finding_id": (severity != "normal").astype(int),
        "path": "films/f" + names + ".png", "patient": "w" + pd.Series(film // 2).astype(str).str.zfill(7),
        "laterality": np.where(film % 2, "left", "right"), "view": "MLO", "density": rng.choice(list("FGD"), rows),
        "finding": np.where(severity == "normal", "NORM", "CIRC"), "severity": severity,
        "x_px": circle, "y_px": circle, "radius_px": circle / 10, "spacing_mm": 0.2,
    })  # fmt: skip


def main(rows: int) -> None:
    """Run all steps on a table of `rows` rows; raise an error if a patient is in two splits."""
    seconds, start = dict[str, float](), time.perf_counter()

    def done(step: str) -> None:
        nonlocal start
        seconds[step], start = time.perf_counter() - start, time.perf_counter()

    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        path = Path(folder, "table.csv")
        made(rows).to_csv(path, index=False)
        done("making")
        findings = read_findings(path)
        done("reading")
        split = split_images(findings, name="patient", seed=0, shares=[0.6, 0.2, 0.2])
        check_split(split, "patient")
        done("splitting")
        split.to_csv(path, index=False)
        if leaks := list(crossing(read_split(path)[0])):
            raise RuntimeError(leaks[0])
        done("auditing")
    sys.stdout.write(json.dumps(seconds) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
