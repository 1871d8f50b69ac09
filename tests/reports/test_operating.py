"""The lines on the choices for each head."""

from dataclasses import replace

import numpy as np

from mammo.evaluation.predictions import Patients, Predictions
from mammo.reports.operating import opposed


def test_a_calibration_that_falls_is_told_and_one_that_rises_is_not():
    score = np.array([-2.0, -1.0, 0.5, 3.0])
    positive = 1 / (1 + np.exp(-score))
    rising = Predictions(
        ("benign", "malignant"), np.array([0, 1, 0, 1]), np.stack([1 - positive, positive], axis=1), score,
        Patients.of(np.array(list("abcd"))), None,
    )  # fmt: skip
    falling = replace(rising, probabilities=rising.probabilities[:, ::-1])
    constant = replace(rising, score=np.zeros(4))
    ranked = replace(rising, probabilities=np.full((4, 2), np.nan))
    several = replace(rising, score=None)
    heads = {"softmax": rising, "svm": falling, "majority": constant, "reader": ranked, "grades": several}
    (line,) = opposed(heads)
    assert line.startswith("- svm: ") and "AUROC" in line
