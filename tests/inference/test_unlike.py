"""A film unlike those of its run is refused with a reason, unless it is forced; one of a hundred of its own may be."""

import json
from dataclasses import replace
from importlib.util import find_spec

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mammo
from mammo.bench import unlike as bench
from mammo.bench.others import dicom_files, others
from mammo.cli.main import app
from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.inference import unlike
from mammo.inference.build import build_predictor
from mammo.inference.films import films_of
from mammo.inference.predict import predict
from mammo.inference.unlike import NO_LIKENESS, Cloud, Likeness, likeness_of, threshold
from mammo.preprocessing.appearance import NUMBERS, appearance
from mammo.preprocessing.breast import find_breast
from mammo.run_folder import RunFolder
from tests.inference.test_predict import DETECTOR, WHOLE, listed, trained  # noqa: F401 - fixtures


def numbers_of(film):
    return appearance(film, find_breast(film, None))


def photograph(side=512):
    """Light and dark patches all over, as no breast has them."""
    noise = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 12)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path, phantom):
    """A folder with a film of the phantom, and what is none: a photograph, a box at the edge, a page, nothing."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    box, page = np.zeros((512, 512), np.uint8), np.full((512, 400), 255, np.uint8)
    box[60:450, :200] = 160 + photograph()[60:450, :200] // 8
    for y in range(40, 500, 30):
        cv2.putText(page, "no mammogram", (10, y), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 2)
    for name, pixels in (("photograph", photograph()), ("box", box), ("page", page)):
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    (folder / "film.pgm").write_bytes((phantom.root / "mdb001.pgm").read_bytes())
    return folder


def test_the_appearance_is_that_of_the_film_however_it_is_stored(phantom):
    film = phantom.read("mdb003")
    expected = numbers_of(film)
    deep = Film(film.pixels.astype(np.uint16) * 257, 65535)
    mirrored, turned = (replace(film, pixels=np.ascontiguousarray(cv2.flip(film.pixels, way))) for way in (1, 0))
    for other in (deep, mirrored, replace(turned, upside_down=True)):
        assert np.allclose(numbers_of(other), expected, rtol=0.03, atol=0.005)
    assert len(expected) == len(NUMBERS) and np.isfinite(expected).all()


def test_a_share_of_like_films_lies_above_the_threshold_and_of_few_films_none():
    assert (
        threshold(np.arange(199.0), 0.01) == 197
    )  # the 198th of 199: two of the 200 places a new film may take are above
    few = np.random.default_rng(1).normal(size=20)
    assert threshold(few, 0.01) > few.max()
    draw = np.random.default_rng(0)
    above = [np.mean(draw.standard_t(3, 500) > threshold(draw.standard_t(3, 250), 0.01)) for _ in range(200)]
    assert 0.005 < np.mean(above) < 0.011  # though the tail is heavy


def test_a_point_of_a_cloud_has_a_distance_of_one_and_one_off_its_axes_lies_far():
    draw = np.random.default_rng(0)
    along = draw.normal(size=(400, 1))
    points = np.hstack([along, along + 0.1 * draw.normal(size=(400, 1))])  # two numbers that agree
    cloud = Cloud.of(points, 1e-6)
    assert 0.5 < np.mean(cloud.distances(points)) < 1.1
    agree, differ = cloud.distances(np.array([[2.0, 2.0], [2.0, -2.0]]))
    assert differ > 3 * agree
    wide = Cloud.of(draw.normal(size=(30, 500)), 1e-6)  # more numbers than points
    assert np.isfinite(wide.distances(draw.normal(size=(5, 500)))).all()


@pytest.fixture
def tables(monkeypatch):
    """A run whose validation films lie farther from the training films than these from each other."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"split": ["train"] * 150 + ["val"] * 60, "patient": np.arange(210) // 2})
    features = draw.normal(size=(210, 40)) * np.where(rows["split"] == "val", 1.5, 1)[:, None]
    numbers = np.abs(draw.normal(1, 0.1, size=(210, len(NUMBERS))))
    monkeypatch.setattr(unlike, "films_of", lambda run, parts: (numbers, features, rows))
    return numbers, features


def test_features_that_have_learnt_from_training_films_are_measured_on_validation_alone(tables):
    numbers, features = tables
    learnt, frozen = (likeness_of(None, learnt=one) for one in (True, False))
    alone = np.log(learnt.features.distances(features[150:]))
    assert np.isclose(learnt.limits[1], threshold(alone, 0.005)) and not np.isclose(frozen.limits[1], learnt.limits[1])
    assert learnt.reason(numbers[0], features[0]) is None
    assert "features lie" in learnt.reason(numbers[0], features[0] + 9)
    strange = numbers[0].copy()
    strange[list(NUMBERS).index("breast_share")] = 9
    assert "the share of the film that is breast is 9, theirs is" in learnt.reason(strange, features[0])
    assert likeness_of(None, learnt=True).arrays().keys() == learnt.arrays().keys()


@pytest.mark.slow
@pytest.mark.parametrize("words", [WHOLE, DETECTOR], ids=["classifier", "detector"])
def test_what_is_no_mammogram_is_refused_and_forced_rows_say_so(trained, pictures, words):  # noqa: F811
    run = trained(words)
    told = mammo.predict(run, pictures).set_index("image_id")
    assert told.loc["film", "status"] == "predicted" and told["status"].eq("left_out").sum() == 3
    assert told.loc[["photograph", "box"], "reason"].str.startswith("unlike the training films: ").all()
    assert told.loc["box", ["score", "called"]].isna().all()
    forced = mammo.predict(run, pictures, force=True).set_index("image_id")
    assert forced.loc["box", "reason"] == f"forced, though {told.loc['box', 'reason']}" and forced.loc["box", "called"]
    assert pd.isna(forced.loc["film", "reason"])
    ask = run.predictor()
    film = replace(ask.read(pictures / "box.png"), spacing_mm=0.2)
    with pytest.raises(InputError, match="force=True"):
        ask(film)
    assert ask(film, force=True).unlike


def test_the_command_refuses_forces_and_counts(trained, pictures):  # noqa: F811
    run = trained(WHOLE)
    asked = ["predict", str(run.path), str(pictures / "box.png"), str(pictures / "film.pgm")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 1 and "box.png: left out: unlike the training films" in result.output
    result = CliRunner().invoke(app, [*asked, "--force", "--json"])
    (row, _) = json.loads(result.output)["predictions"]
    assert result.exit_code == 0 and row["status"] == "predicted" and row["reason"].startswith("forced, though unlike")


def test_a_run_predicts_nearly_all_of_its_own_films_and_keeps_what_it_rests_on(trained, listed):  # noqa: F811
    run = trained(WHOLE)
    predictor = build_predictor(run)
    table = predict(predictor, films_of([listed])).table
    assert (table["status"] == "predicted").sum() >= 31
    arrays = run.likeness
    again = Likeness.from_arrays(arrays).arrays()
    assert again.keys() == arrays.keys() and all(np.array_equal(again[name], arrays[name]) for name in arrays)


def test_a_run_that_does_not_say_which_films_are_like_its_own_predicts_all_and_says_so(trained, pictures, monkeypatch):  # noqa: F811
    monkeypatch.setattr(RunFolder, "likeness", None)
    answers = predict(build_predictor(trained(WHOLE)), films_of([pictures / "box.png"]))
    assert answers.predicted == 1 and answers.notes == [NO_LIKENESS]


def test_the_bench_counts_what_is_refused_and_what_of_its_own_films(trained, pictures, monkeypatch):  # noqa: F811
    shown = [("photographs", name, cv2.imread(str(pictures / f"{name}.png"), 0)) for name in ("photograph", "box")]
    blank = ("blank", "blank", np.zeros((64, 64), np.uint8))
    monkeypatch.setattr(bench, "others", lambda: iter([*shown, blank]))
    monkeypatch.setattr(bench, "dicom_files", lambda: [pictures / "film.pgm"])
    run = trained(WHOLE).path
    found = bench.measure([run, run], patients=0, also=[pictures], say=lambda line: None)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in bench.tables(found)[2:]]
    rows = {row[0]: row[1:] for row in lines}
    assert rows["photographs"][:3] == ["2", "0", "100.0%"] and rows["photographs"][-1] == "1.000"
    assert rows["blank"][:3] == ["1", "1", "100.0%"] and rows["DICOM files of pydicom"][:3] == ["1", "0", "0.0%"]
    assert rows[pictures.name][0] == str(len(list(pictures.iterdir()))) and rows[pictures.name][2] != "0.0%"
    with pytest.raises(InputError, match=r"--also .*nowhere"):
        bench.measure([run, run], patients=0, also=[pictures / "nowhere"], say=lambda line: None)
    assert lines[0][0].startswith("the runs' own test films") and len(found["test"]) == 2
    detector = bench.measure([trained(DETECTOR).path], patients=0, also=[], say=lambda line: None)  # in bfloat16
    assert len(detector["groups"]["DICOM files of pydicom"]["scores"][0]) == 1


@pytest.mark.slow
def test_more_than_five_hundred_pictures_are_no_mammograms():
    groups = pd.Series([group for group, _, _ in others()])
    every, each = (500, 40) if find_spec("skimage") else (450, 30)  # it brings photographs of its own
    assert len(groups) + len(dicom_files()) > every and groups.value_counts().min() >= each
