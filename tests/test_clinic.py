"""A data set that is not MIAS: four views, two sizes, 12 bits in 16, boxes and masks, DICOM UIDs for names."""

import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.evaluation.predictions import read_predictions
from mammo.processes.resume import begin
from mammo.run_folder import RunFolder
from mammo.runs.train import train
from mammo.testing import check_dataset
from tests.clinic import Clinic
from tests.conftest import resolved

OWN = ["data._target_=tests.clinic.Clinic", "+data.arguments.patients=12", "model=compact", "model.weights=null",
       "model.image_size=32", "heads=[knn]", "data.batch_size=4", "data.workers=0", "trainer.max_epochs=1",
       "split.shares=[0.4,0.3,0.3]"]  # fmt: skip


@pytest.fixture
def ran(once, tmp_path):
    """Runs on films that are drawn once; returns the run."""
    films = once("clinic", lambda folder: Clinic(str(folder), patients=12).prepare())

    def start(*overrides):
        train(resolved(*OWN, f"+data.arguments.root={films}", *overrides), tmp_path / "run")
        return RunFolder(tmp_path / "run")

    return start


@pytest.mark.slow  # test_how_to trains on its films in this process
@pytest.mark.parametrize("crop", ["lesion", "grid"])  # and whole below
def test_it_trains_and_is_reported_with_every_crop(ran, crop):
    run = ran(f"crop={crop}", *([] if crop == "whole" else ["data.spacing_mm=0.1", "crop.window_mm=6"]))
    table, classes = read_predictions(run.path / "predictions.csv")
    assert classes == ["normal", "abnormal"] and {"train", "val", "test"} == set(table["split"])
    assert table["image_id"].str.count(r"\.").min() > 3  # UIDs, whole
    assert run.leaks == [] and "unknown" in " ".join(run.provenance["notes"])
    assert "Synthetic films" not in (run.path / "report.md").read_text()


@pytest.mark.slow
def test_sixteen_bits_are_kept_where_they_are_asked_for(ran, unreported):
    run = ran("crop.bits=16")
    assert run.samples["mean_grey"].between(0, 255).all() or run.samples["mean_grey"].max() > 255


def test_millimetres_without_a_spacing_name_the_setting(ran):
    with pytest.raises(InputError, match=r"data\.spacing_mm"):
        ran("crop=lesion")


@pytest.mark.slow
def test_a_run_on_it_goes_on_and_is_evaluated_again(ran, unreported, tmp_path):
    run = ran()
    config = resolved("fit=false", f"ckpt_path={run.path}")
    train(config, tmp_path / "again")
    again = pd.read_csv(tmp_path / "again" / "predictions.csv")
    assert again.equals(pd.read_csv(run.path / "predictions.csv"))
    assert begin(run.path, config, of_sweep=True, main=True)[1] is None


def test_it_keeps_the_contract(tmp_path):
    check_dataset(Clinic(root=str(tmp_path), patients=12))


@pytest.mark.slow
def test_a_detector_learns_from_its_boxes_and_masks_and_marks_them_in_pixels_of_each_film(ran):
    small = ["detector.spacing_mm=0.05", "detector.least_mm=0.5", "detector.ring_mm=0.5", "detector.apart_mm=3"]
    how = ["task=detection", "model.maps=[compact@1]", "detector.axes=32", "detector.steps=200", *small]
    run = ran("data.spacing_mm=0.1", "heads=[]", *how)
    lesions, marks = run.lesions, run.candidates
    first = marks[marks["head"] == "detector"].drop_duplicates("image_id").set_index("image_id")
    shown = first.loc[lesions["image_id"]].reset_index()
    apart = (shown[["x_px", "y_px"]] - lesions[["x_px", "y_px"]].reset_index(drop=True)).abs()
    assert len(lesions) >= 8 and ((apart["x_px"] < 24) & (apart["y_px"] < 20)).mean() > 0.8  # boxes of 30 x 24
