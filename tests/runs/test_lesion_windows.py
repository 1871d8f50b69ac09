"""The lesion windows of a detector's test films are those of crop=lesion, and its heat is read in their middle."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mammo.evaluation.lesion_windows import BRIGHTNESS, DRAWINGS, HEAT
from mammo.preprocessing.view import FACTS
from mammo.run_folder import RunFolder
from mammo.runs import lesion_windows
from mammo.runs.lesion_windows import windows_of
from mammo.training.marks import HeatMaps
from tests.conftest import SHARES, SMALL, prepared_of, resolved

WORDS = [*SMALL, SHARES, "model=compact", "model.image_size=32", "augment=none"]
# Pixels from one place to the next; odd, so that no window is equally far from two of them.
STEP = 37


@pytest.fixture(scope="module")
def settings(phantom):
    return [*WORDS, f"data.root={phantom.root}"]


@pytest.fixture(scope="module")
def films(settings):
    """The settings and the samples of a detector."""
    config = resolved(*settings, "task=detection")
    return config, prepared_of(config)


@pytest.fixture(scope="module")
def heat(films):
    """Heat that is another number at each place: its column and row."""
    at = np.stack(np.meshgrid(np.arange(0, 1024, STEP), np.arange(0, 1024, STEP)), -1).reshape(-1, 2)
    places = np.zeros((len(at), len(FACTS)), np.float32)
    places[:, :2] = at
    images = len(films[1].rows())
    hot = at[:, 0] // STEP + 100 * (at[:, 1] // STEP)
    heats = {"detector": [hot + 10_000 * film for film in range(images)]}
    return HeatMaps([places] * images, heats, pd.DataFrame(), [[]] * images)


@pytest.mark.slow
@pytest.mark.parametrize("recentre", DRAWINGS.values(), ids=list(DRAWINGS))
def test_the_windows_are_those_that_a_classifier_of_lesion_windows_is_tested_on(films, settings, recentre):
    classifier = prepared_of(resolved(*settings, "crop=lesion", f"crop.recentre={str(recentre).lower()}"))
    theirs = classifier.crops.table[classifier.crops.table["split"] == "test"].reset_index(drop=True)
    ours = windows_of(*films, recentre=recentre)
    assert set(ours["label"]) == {"normal", "abnormal"}
    pd.testing.assert_frame_equal(ours, theirs)


def test_each_window_has_the_heat_of_the_nearest_place_of_its_own_film_and_its_brightness(films, heat):
    table = lesion_windows.lesion_windows(*films, heat)
    numbers = {image: film for film, image in enumerate(films[1].rows()["image_id"])}
    score = table["score"].astype(float)
    assert set(table["head"]) == {f"{name}_{drawing}" for name in (HEAT, BRIGHTNESS) for drawing in DRAWINGS}
    assert set(table["split"]) == {"test"}
    for drawing, recentre in DRAWINGS.items():
        of = table["head"] == f"{HEAT}_{drawing}"
        nearest = (table.loc[of, "x_px"] / STEP).round() + 100 * (table.loc[of, "y_px"] / STEP).round()
        assert score[of].tolist() == (nearest + 10_000 * table.loc[of, "image_id"].map(numbers)).tolist()
        windows = windows_of(*films, recentre=recentre)
        assert np.allclose(score[table["head"] == f"{BRIGHTNESS}_{drawing}"], windows["contrast"])


def test_without_a_lesion_that_has_a_place_the_table_is_left_out_and_the_log_says_why(films, heat, tmp_path, caplog):
    config, prepared = films
    run = RunFolder(tmp_path)
    lesion_windows.write(run, config, prepared, heat)
    assert run.windows is not None
    nowhere = prepared.findings.assign(x_px=np.nan, y_px=np.nan, radius_px=np.nan, mask_path=None)
    with caplog.at_level("INFO"):
        lesion_windows.write(run, config, replace(prepared, findings=nowhere), heat)
    assert run.windows is None and "windows.csv is left out: no background can be placed" in caplog.text
