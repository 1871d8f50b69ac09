"""The numbers of a detector over seeds are those of the films of all folds together."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.errors import InputError
from mammo.reports.detector_results import CANDIDATES, LESIONS, PREDICTIONS, area, collect, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty films of twenty patients in two seeds; the first mark of an abnormal film is on its lesion or beside it."""
    folder, rng = tmp_path_factory.mktemp("detector"), np.random.default_rng(0)
    rows, marks, lesions = [], [], []
    for seed in (0, 3):
        for film in range(40):
            ill = film % 3 == 0
            for head in ("detector", "detector_partner"):
                score = rng.normal(ill)
                rows.append([f"f{film}", f"p{film // 2}", seed, head, ill, score])
            beside = 0 if film % 2 else 300
            marks.append([f"f{film}", seed, "detector", 100 + beside * (not ill or seed == 3), 100, float(ill)])
            if ill and not seed:
                lesions.append(
                    [f"f{film}", 1, f"p{film // 2}", 100, 100, 20, *[None] * 4, 0.2, "CIRC", "benign", "F", "d"]
                )
    columns = ["image_id", "finding_id", "patient", "x_px", "y_px", "radius_px", "x0_px", "y0_px", "x1_px", "y1_px"]
    columns += ["spacing_mm", "finding", "severity", "density", "dataset"]
    pd.DataFrame(rows, columns=["image_id", "patient", "seed", "head", "positive", "score"]).to_csv(
        folder / PREDICTIONS
    )
    pd.DataFrame(marks, columns=["image_id", "seed", "head", "x_px", "y_px", "score"]).to_csv(folder / CANDIDATES)
    pd.DataFrame(lesions, columns=columns).to_csv(folder / LESIONS)
    return folder


def test_an_area_is_that_of_all_films_of_a_seed_and_a_mean_over_seeds(folder):
    predictions = pd.read_csv(folder / PREDICTIONS)
    one = predictions[predictions["head"] == "detector"].rename(columns={"positive": "y"})
    areas = [roc_auc_score(rows["y"], rows["score"]) for _, rows in one.groupby("seed")]
    assert np.isclose(area(predictions, [0, 3], "detector", "image_id").value, np.mean(areas))
    patients = one[one["seed"] == 0].groupby("patient")[["y", "score"]].max()
    expected = roc_auc_score(patients["y"].astype(bool), patients["score"].astype(float))
    assert np.isclose(area(predictions, [0], "detector", "patient").value, expected)


def test_seeds_of_choice_and_others_stand_apart_and_marks_are_judged_in_each(folder):
    lines = table(folder)
    assert lines[0] == "|  | seed 0 | seed 3 |"
    first = next(line for line in lines if "first mark hits" in line)
    assert [cell.split()[0] for cell in first.split("|")[2:4]] == ["1.000", "0.500"]


def test_a_film_that_is_tested_twice_in_a_seed_is_refused(folder):
    predictions = pd.read_csv(folder / PREDICTIONS)
    with pytest.raises(InputError, match="seed 0: expected each film once, but one has two rows"):
        area(pd.concat([predictions, predictions[:1]]), [0], "detector", "image_id")


def test_a_folder_without_detectors_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a sweep folder with finished runs of task=detection, found none"):
        collect(tmp_path, tmp_path / "to")
