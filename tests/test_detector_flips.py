"""A detector that also sees the vertical flip of each film (`model.flips=vertical`), on the phantom."""

import numpy as np
import pytest

import mammo
from mammo.errors import InputError
from mammo.inference.detector import DetectorPredictor
from mammo.preprocessing.flips import FILM_FLIPS
from mammo.run_folder import RunFolder
from mammo.runs import checks
from mammo.runs.train import train
from mammo.training import detection_data, film_maps
from mammo.training.detection_data import DetectionDataModule
from tests.conftest import resolved
from tests.test_detection import QUICK, by_head, ringless

FLIPS = [*QUICK, "model.flips=vertical"]
pytestmark = pytest.mark.usefixtures("all_unreported")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home for the runs of `shown` alone, where no other test has made maps."""
    return str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def shown(job, home):
    """Runs without flips and then with them: both, and the maps and log lines of the second."""
    honest, made, lines = film_maps.seen_of, [], []

    def counting(view, frozen, blocks, *, flip=False):
        made.extend((str(of), flip) for of, _ in blocks)
        return honest(view, frozen, blocks, flip=flip)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMO_HOME", home)
        plain = RunFolder(job(*QUICK)[0])
        patch.setattr(film_maps, "seen_of", counting)
        patch.setattr(film_maps.log, "info", lambda text, *given: lines.append((len(made), text % given)))
        run = RunFolder(job(*FLIPS)[0])
    return plain, run, made, lines


def test_maps_of_flips_are_made_alone_once_and_their_size_is_told_before(shown, job, home):
    _, run, made, lines = shown
    films = run.samples["image_id"].nunique()
    assert made == [("compact@1", True)] * films * 2  # in two windows
    ((before, line),) = lines
    assert before == 0 and f"{films} films of {films} lack some" in line and "GB" in line
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMO_HOME", home)
        patch.setattr(film_maps, "find_breast", None)
        job(*FLIPS, "detector.steps=4")


def test_a_flip_trains_with_its_film_and_is_taught_the_same_at_the_same_places(job, monkeypatch):
    honest, seen = detection_data.Places, []

    def keeping(*given, **how):
        seen.append((given, honest(*given, **how)))
        return seen[0][1]

    monkeypatch.setattr(detection_data, "Places", keeping)
    job(*FLIPS, "detector.steps=4")
    (x, targets, use, *_), places = seen[0]
    film, flip = x[::2].float(), x[1::2].float()
    for one in (targets.soft, targets.counts, targets.lesion, use):
        assert len(one) == len(x) and np.array_equal(one[::2], one[1::2])
    assert set(places.inside % 2) == {0, 1} == set(places.outside % 2)
    apart, elsewhere = (film - flip).abs().mean(), (film[1:] - flip[:-1]).abs().mean()
    assert 0 < apart < 0.8 * elsewhere  # a place looks more like its own flip than like the flip of its neighbour


def test_scores_differ_and_the_checkpoint_gives_them_again_with_or_without_flips(shown, tmp_path):
    plain, run, _, _ = shown
    scores = by_head(run)["detector"]
    assert not np.isclose(scores, by_head(plain)["detector"], atol=1e-3).all()
    for flips, same in (("vertical", True), ("none", False)):
        train(resolved("fit=false", f"ckpt_path={run.path}", f"model.flips={flips}"), tmp_path / flips)
        assert by_head(RunFolder(tmp_path / flips))["detector"].equals(scores) is same
    assert "vertical flip, and places of both train (model.flips=vertical)" in " ".join(run.provenance["notes"])


def test_the_heat_of_a_new_film_is_the_mean_over_the_film_and_its_flip(shown, phantom, monkeypatch):
    _, run, _, _ = shown
    row = phantom.findings().iloc[0]
    ask = DetectorPredictor(mammo.load_run(finished(run)))
    seen = ask.see(phantom.read(row["image_id"]), laterality=row["laterality"])

    def heat(*flips):
        monkeypatch.setitem(FILM_FLIPS, "vertical", list(flips))
        return ask.outputs(seen)[0]

    both, film, flip = heat(False, True), heat(False), heat(True)
    assert np.allclose(both, (film + flip) / 2, atol=1e-4) and not np.allclose(film, flip, atol=1e-2)


def finished(run):
    (run.path / "finished.json").write_text('{"digest": "", "metrics": {}}')  # which the program writes
    return run.path


def test_places_of_flips_of_test_films_that_train_are_an_error(job, monkeypatch):
    monkeypatch.setattr(DetectionDataModule, "_of", lambda self, part: np.ones(len(self.prepared.crops.table), bool))
    with pytest.raises(RuntimeError, match=r"leak: training uses places of \d+ films, of which \d+ are not of the"):
        job(*FLIPS)


def test_places_of_flips_that_are_taught_something_else_are_an_error(job, monkeypatch):
    monkeypatch.setattr(detection_data, "targets_for", ringless)
    with pytest.raises(RuntimeError, match="places are taught something else than their findings say"):
        job(*FLIPS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["task=detection", "model.flips=eight"], "model.flips=eight: task=detection looks at films; use none or"),
        (["task=detection", "model.flips=horizontal"], "model.flips=horizontal: task=detection looks at films; use"),
        (["model.flips=vertical"], "model.flips=vertical is for a detector; task=abnormality takes none, horizontal"),
        (
            ["task=detection", "model.flips=vertical", "model.trainable=last_block"],
            "model.flips=vertical: model.trainable=last_block trains on films as they are; use",
        ),
    ],
)
def test_flips_that_do_not_go_with_the_task_are_refused_in_one_line(words, line):
    with pytest.raises(InputError) as error:
        checks.check(resolved("data=phantom", *words))
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_a_network_whose_flips_are_not_known_to_lie_on_the_film_is_refused(job):
    with pytest.raises(
        InputError, match=r"^model.flips=vertical: it is not known where maps of resnet18 lie on a flip"
    ):
        job(*FLIPS, "model.maps=[resnet18@1]")
