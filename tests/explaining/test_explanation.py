"""Maps lie where they belong on the film, belong to the head whose answer they explain, and say when they are empty."""

import copy
import re
import shlex
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.datasets.film import Film
from mammo.errors import InputError, UnreadableFilm
from mammo.explaining import explanation, squares
from mammo.explaining.covering import covered, disc
from mammo.explaining.explanation import Explanation, explain, spread
from mammo.explaining.films import explanations
from mammo.explaining.picture import draw
from mammo.explaining.scoring import rank_correlation, shuffled
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.squares import Ask, shown_at, squares_of
from mammo.preprocessing.view import view_of
from tests.conftest import CONF
from tests.inference.test_predict import DETECTOR, WHOLE, trained  # noqa: F401 - a fixture

PAGE = (CONF.parent / "docs/how-to/explain.md").read_text()
SHAPE = 600, 420
STEP = 1e-4
CORNERS = [(70, 100), (60, 500), (190, 170), (200, 430)]  # x, y of discs in a breast whose chest wall is on the left


def film_with(points, *, mirrored=False, upside_down=False):
    """A grey half ellipse with white discs on it, and the discs' centres on the film as it is stored."""
    height, width = SHAPE
    y, x = np.mgrid[:height, :width]
    pixels = np.where(((x - 12) / 280) ** 2 + ((y - 300) / 280) ** 2 < 1, 90, 0).astype(np.uint8)
    pixels[:, :12] = 0
    for point in points:
        cv2.circle(pixels, point, 9, 255, -1)
    stored = pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    at = [(width - 1 - x if mirrored else x, height - 1 - y if upside_down else y) for x, y in points]
    return Film(np.ascontiguousarray(stored), 255, upside_down=upside_down), at


TURNS = [(mirrored, upside_down) for mirrored in (False, True) for upside_down in (False, True)]


@pytest.mark.parametrize(("mirrored", "upside_down"), TURNS)
@pytest.mark.parametrize("margin", [1.0, 1.31])
def test_discs_in_four_corners_come_back_to_half_a_cell(mirrored, upside_down, margin):
    shown, cells = 112, 14
    stored = int(np.ceil(shown * margin))
    inset = slice((stored - shown) // 2, (stored - shown) // 2 + shown)
    for point in CORNERS:
        film, (at,) = film_with([point], mirrored=mirrored, upside_down=upside_down)
        breast = find_breast(film, None)
        assert breast.mirrored == mirrored
        (square,), (numbers,) = squares_of(breast, None, Ask("whole"), stored, shown, margin)
        seen = np.float32(square[inset, inset] > 200)
        left, top, side = shown_at(*breast.from_film(*numbers[:2]), numbers[2], stored, shown, margin)
        values = cv2.resize(seen, (cells, cells), interpolation=cv2.INTER_AREA)
        on_film = breast.map_to_film(spread(values, left, top, side, side, breast.pixels.shape))
        y, x = np.unravel_index(on_film.argmax(), SHAPE)
        assert max(abs(x - at[0]), abs(y - at[1])) <= side / cells / 2 + 1, (point, (x, y), at)
        fine = breast.map_to_film(spread(seen, left, top, side, side, breast.pixels.shape))
        y, x = (np.average(axis, weights=fine) for axis in np.mgrid[: SHAPE[0], : SHAPE[1]])
        assert np.hypot(x - at[0], y - at[1]) < 1.5  # without cells, to a pixel


@pytest.mark.parametrize(("mirrored", "upside_down"), TURNS)
def test_the_heat_of_a_detector_lies_on_its_places(mirrored, upside_down):
    film, points = film_with(CORNERS, mirrored=mirrored, upside_down=upside_down)
    breast = find_breast(film, None)
    seen = SimpleNamespace(view=view_of(breast, 0.2, 0.4), spacing_mm=0.2)
    on_film = seen.view.places[:, :2]
    for point in points:
        nearest = np.hypot(*(on_film - point).T).argmin()
        heat = np.full(len(on_film), -9.0)
        heat[nearest] = 9.0
        config = SimpleNamespace(detector=SimpleNamespace(spacing_mm=0.4))
        made, cell = explanation._heat(
            SimpleNamespace(outputs=lambda _, of=heat: (of, None, None), config=config), seen, breast
        )
        y, x = np.unravel_index(breast.map_to_film(made).argmax(), SHAPE)
        assert np.hypot(*(on_film[nearest] - (x, y))) < 2 and cell == 64


@pytest.mark.parametrize("number", range(8))
def test_the_map_of_a_flip_is_turned_back(number):
    values = np.arange(12.0).reshape(4, 3)
    assert np.array_equal(squares.unflipped(squares.flipped(values, number), number), values)


def test_what_is_covered_has_the_level_of_the_breast_around_it_and_nothing_else_changes():
    breast = disc((300, 300), 150, 150, 120)
    lesion, beyond = disc(breast.shape, 110, 150, 30), disc(breast.shape, 20, 20, 15)
    pixels = np.where(breast, np.where(lesion, 250, 100), 0).astype(np.uint8)
    made = covered(pixels, lesion, breast)
    assert np.ptp(made[breast]) == 0 and made[150, 110] == 100
    assert np.array_equal(made[~lesion], pixels[~lesion])
    assert covered(pixels, beyond, breast) is pixels


@pytest.fixture(scope="module")
def run(trained):  # noqa: F811
    return trained(WHOLE)


@pytest.fixture(scope="module")
def abnormal(run):
    samples = run.samples
    return str(samples.loc[samples["label"] == "abnormal", "image_id"].iloc[0])


def test_the_cells_of_a_gradient_map_add_up_to_the_networks_own_score(run, abnormal):
    """Less the constant of its linear layer: so the map is that of this number and no other."""
    ask = run.predictor()
    ask.low = False
    (one,) = explanations(ask, [abnormal])
    assert one.method == squares.GRADIENT and one.head == "softmax"
    sample = ask.see(one.film).pixels[0]
    layer = [part for part in ask.network.head.modules() if isinstance(part, torch.nn.Linear)][-1]
    constant = float(layer.bias.detach().diff())
    total = float(squares.gradient_maps(ask, sample, 1).sum())
    assert total + constant == pytest.approx(one.prediction.score, abs=1e-4)


def test_the_cells_of_another_heads_map_add_up_to_what_that_head_gains_if_all_features_grow(run, abnormal):
    """Its own answers, of scikit-learn, a little to both sides; the features are means of the cells."""
    ask = run.predictor("svm")
    ask.low = False
    (one,) = explanations(ask, [abnormal])
    assert one.method == squares.GRADIENT and one.prediction.score == ask(one.film).score
    seen = ask.see(one.film)
    features, _ = ask.outputs(seen.pixels)
    inner = ask.fitted.model.calibrated_classifiers_[0].estimator
    more, less = (inner.decision_function(features.astype(float) * (1 + by))[0] for by in (STEP, -STEP))
    total = float(squares.gradient_maps(ask, seen.pixels[0], 1).sum())
    assert total == pytest.approx((more - less) / 2 / STEP, rel=1e-3) and abs(total) > 1e-4


def test_a_head_without_a_gradient_has_a_map_of_covered_places_that_goes_through_it(run, abnormal):
    """A head that answers the same for all films has an empty map, whatever the network thinks; and it is said."""
    ask = run.predictor("knn")
    assert squares.method_of(ask) == squares.OCCLUSION
    (honest,) = explanations(ask, [abnormal])
    assert honest.head == "knn" and honest.prediction.score == ask(honest.film).score
    assert f"score {honest.prediction.score:.4g}" in str(honest) and "above the threshold" in str(honest)
    assert np.ptp(honest.values) > 0
    deaf = copy.copy(ask)
    vars(deaf)["fitted"] = SimpleNamespace(
        score=lambda found: np.ones(len(found), np.float32), probabilities=lambda found: np.full((len(found), 2), 0.5)
    )
    (empty,) = explanations(deaf, [abnormal])
    assert empty.empty and empty.hottest is None and "the map is empty" in str(empty)
    drawn = draw(empty)
    assert any("The map is empty" in text.get_text() for axis in drawn.axes for text in axis.texts)
    assert len(drawn.axes) == 2  # and there is no scale


def test_a_picture_has_each_pixel_of_the_film_the_answer_and_the_scale(run, abnormal):
    (one,) = explanations(run.predictor(), [abnormal])
    assert one.lesions  # the data set of the run tells them
    drawn = draw(one)
    said = " ".join(text.get_text() for text in drawn.texts)
    assert f"softmax: normal {one.prediction.probabilities['normal']:.2f}" in said and "for abnormal" in said
    assert f"{one.values[one.breast].max():.3g}" in said and "Not for diagnostic use." in said
    width = drawn.axes[0].get_window_extent().width / drawn.axes[0].images[0].get_array().shape[1]
    assert width == pytest.approx(round(width)) and width >= 1


def test_a_folder_of_pictures_that_is_a_file_is_refused(run, abnormal, tmp_path):
    (tmp_path / "film.png").touch()
    result = CliRunner().invoke(app, ["explain", str(run.path), abnormal, "--out", str(tmp_path / "film.png")])
    assert result.exit_code == 2 and "film.png is a file; name another folder" in result.output


def test_the_map_of_a_detector_is_its_heat_and_one_film_does_not_explain_the_answer_for_two(trained, phantom):  # noqa: F811
    run = trained(DETECTOR)
    ask, name = run.predictor(), str(run.samples["image_id"].iloc[0])
    (one,) = explanations(ask, [name])
    assert one.method == "heat" and one.head == "detector" and 0 < one.values.max() < 1
    mark = one.prediction.marks.iloc[0]
    assert np.hypot(mark["x_px"] - one.hottest[0], mark["y_px"] - one.hottest[1]) < one.cell_px / 2
    with pytest.raises(InputError, match="films of both breasts"):
        explain(run.predictor("detector_partner"), one.film)


def test_a_shuffled_network_has_the_same_weights_in_other_places_and_other_maps(run, abnormal):
    ask = run.predictor()
    before = {name: one.clone() for name, one in ask.network.named_parameters()}
    other = shuffled(ask)
    for name, one in other.network.named_parameters():
        assert torch.equal(one.flatten().sort().values, before[name].flatten().sort().values)
    assert all(torch.equal(one, before[name]) for name, one in ask.network.named_parameters())
    first, second = (next(explanations(one, [abnormal])) for one in (ask, other))
    assert rank_correlation(first, first) == pytest.approx(1)
    assert rank_correlation(first, second) < 0.99


def test_the_map_of_a_picture_that_is_no_mammogram_says_so(run, tmp_path):
    picture = np.zeros((256, 200), np.uint8)
    picture[60:200, :80] = 250
    cv2.imwrite(str(tmp_path / "box.png"), picture)
    (one,) = explanations(run.predictor(), [tmp_path / "box.png"])
    assert isinstance(one, Explanation) and "the film is unlike the training films" in one.notes[-1]


def test_what_is_no_film_is_left_out_with_its_reason(run, abnormal, tmp_path):
    (tmp_path / "notes.pgm").write_text("no film")
    first, second = explanations(run.predictor(), [abnormal, tmp_path / "notes.pgm"])
    assert isinstance(first, Explanation) and isinstance(second, UnreadableFilm)
    assert str(second).startswith(str(tmp_path / "notes.pgm"))
    with pytest.raises(InputError, match="a point is for one film"):
        next(explanations(run.predictor(), [abnormal, tmp_path / "notes.pgm"], at=(1, 2)))


def test_the_command_takes_the_settings_of_predict_and_tells_what_was_assumed(run, abnormal, tmp_path, monkeypatch):
    def called(*words):
        result = CliRunner().invoke(app, ["explain", str(run.path), *map(str, words)])
        return result.exit_code, result.output

    monkeypatch.chdir(tmp_path)
    films = mammo.load_run(run.path).config.data.root
    cv2.imwrite("film.png", cv2.imread(f"{films}/{abnormal}.pgm", cv2.IMREAD_UNCHANGED))
    pd.DataFrame({"Ort": ["film.png"]}).to_csv("films.csv", index=False)
    status, said = called("films.csv", "data.columns.path=Ort")
    assert status == 0 and "does not give the size of a pixel" in said and (tmp_path / "explained").is_dir()
    status, said = called("films.csv", "data.columns.path=Ort", "data.spacing_mm=0.2", "--out", "again")
    assert status == 0 and "size of a pixel" not in said
    pd.DataFrame({"Ort": [f"{films}/{abnormal}.pgm", "film.png"]}).to_csv("more.csv", index=False)
    status, said = called("more.csv", "data.columns.path=Ort", "--out", "again")  # before a map is made
    assert (status, len([*(tmp_path / "again").iterdir()])) == (2, 1) and "again/film_softmax.png exists" in said
    for words, told in (
        (["film.png", "data.voi=none"], "data.voi=none does nothing"),
        (["--score", "--out", "pictures"], "--out does nothing with --score"),
    ):
        status, said = called(*words)
        assert status == 2 and told in said


@pytest.mark.slow
def test_the_lines_of_the_page_run_as_they_stand(run, trained, tmp_path, monkeypatch):  # noqa: F811
    import shutil

    monkeypatch.chdir(tmp_path)
    for name, of in (("first", run), ("detector", trained(DETECTOR))):
        shutil.copytree(of.path, tmp_path / "runs" / name)
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("mammo")]
    lines = [line for line in lines if "runs/heat" not in line and "runs/whole" not in line]  # on mini-MIAS
    assert len(lines) == 5
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output)
    assert (tmp_path / "pictures" / "P001_L_MLO_svm.png").is_file()
    scored = mammo.load_run("runs/first")
    assert set(scored.explained["head"]) == {"softmax", "svm", "knn"} and "## Where the maps look" in scored.report
    assert "rank_correlation_shuffled" in scored.numbers["explained"]["svm"]
    names = {}
    exec(compile(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0], "explain.md", "exec"), names)
    assert names["one"].head == "svm"
