"""A run keeps drawn films with what each stage made of them, and names the first stage that gives something else."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.drawing.small import draw_small
from mammo.errors import InputError
from mammo.inference import classifier
from mammo.inference.self_test import EXPECTED, NUMBERS, check
from mammo.preprocessing import breast
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from tests.conftest import SELF_TEST
from tests.inference.test_predict import DETECTOR, GRID, LESION, WHOLE

KINDS = {"whole": WHOLE, "lesion": LESION, "grid": GRID, "detector": DETECTOR}
SLOW = [pytest.param(name, marks=pytest.mark.slow if name in ("lesion", "grid") else ()) for name in KINDS]


@pytest.fixture(scope="module")
def kept(shared_job, tmp_path_factory):
    """Returns the copy of a run of some kind, which keeps a self-test."""
    made = {}

    def of(kind):
        if kind not in made:
            folder, _ = shared_job(*KINDS[kind])
            made[kind] = tmp_path_factory.mktemp("kept") / kind
            shutil.copytree(folder, made[kind])
            (made[kind] / FINISHED).write_text('{"digest": "", "metrics": {}}')
            SELF_TEST(RunFolder(made[kind]))
        return RunFolder(made[kind])

    return of


@pytest.fixture
def run(kept, tmp_path):
    """Returns a copy of it that a test may change."""

    def of(kind="whole"):
        return RunFolder(Path(shutil.copytree(kept(kind).path, tmp_path / kind)))

    return of


def ended(*words):
    result = CliRunner().invoke(app, ["predict", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("kind", SLOW)
def test_a_run_passes_its_own_self_test(kept, kind):
    found = check(kept(kind))
    assert found.first is None and all(stage.difference == 0 for stage in found.stages)
    names = [stage.name for stage in found.stages]
    assert names[:3] == ["pixels", "crop", "places"] and "features" in names[3:5]
    heads = ["detector", "detector_partner"] if kind == "detector" else ["softmax", *kept(kind).selection["heads"]]
    assert {name.partition(":")[0] for name in names if ":" in name} == set(heads)


def test_training_ends_with_it_and_the_command_tells_it_by_its_status(self_tested, job):
    folder, _ = job("heads=[svm]", "augment=none")
    (folder / FINISHED).write_text("{}")
    status, said = ended(folder, "--self-test")
    assert status == 0 and "self-test passed" in said and "svm: probabilities: as expected" in said
    kept = sum(file.stat().st_size for file in (folder / "self_test").iterdir())
    assert kept < 200_000
    status, said = ended(folder, "--self-test", "--json")
    assert status == 0 and json.loads(said)["passed"] is True


def turned(run, part):
    """Turns the sign of one filter of the network's checkpoint."""
    path = run.path / "checkpoints" / "best.ckpt"
    stored = torch.load(path, weights_only=True)
    name = next(key for key, value in stored["state_dict"].items() if part in key and value.ndim > 1)
    stored["state_dict"][name][0] *= -1
    torch.save(stored, path)


@pytest.mark.parametrize(
    ("kind", "part", "first"),
    [("whole", "body", "features"), ("whole", "head", "logits"), ("detector", "head.outer", "heat")],
)
def test_a_changed_weight_is_named_at_its_stage(run, kind, part, first):
    changed = run(kind)
    turned(changed, part)
    found = check(changed)
    assert found.first.name == first and found.first.difference > 0
    assert [stage.name for stage in found.stages if stage.same][:3] == ["pixels", "crop", "places"]


def test_another_preprocessing_is_named_at_the_crop(kept, monkeypatch):
    honest = breast._scaled
    monkeypatch.setattr(breast, "_scaled", lambda *given: honest(*given) // 2)
    status, said = ended(kept("whole").path, "--self-test")
    assert status == 1 and "pixels: as expected" in said and "crop: DIFFERS" in said
    assert "the first stage that differs is crop" in said


def test_another_size_of_the_crop_is_named(kept, monkeypatch):
    honest = classifier.squares_of

    def smaller(*given):
        squares, places = honest(*given)
        return squares[:, :-4], places

    monkeypatch.setattr(classifier, "squares_of", smaller)
    found = check(kept("whole"))
    assert found.first.name == "crop" and found.first.difference is None
    assert "which stops" in next(stage.said for stage in found.stages if stage.name == "features")  # the network stops


def test_a_film_that_is_read_otherwise_is_named_at_its_pixels(run):
    changed = run()
    path = changed.self_test / "film_2.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    pixels[100, 20] += 1
    cv2.imwrite(str(path), pixels)
    found = check(changed)
    assert found.first.name == "pixels" and "film 2" in found.first.said


@pytest.mark.parametrize(
    ("key", "by", "first"), [("temperature", 1.5, "svm: probabilities"), ("threshold", 1.1, "svm: threshold")]
)
def test_another_probability_or_threshold_is_named_with_its_head(run, key, by, first):
    changed = run()
    numbers = changed.numbers
    numbers["operating"]["svm"][key] *= by
    (changed.path / "metrics.json").write_text(json.dumps(numbers))
    found = check(changed)
    assert [stage.name for stage in found.stages if not stage.same] == [first]


def test_a_head_that_was_changed_is_named_by_its_score(run):
    changed = run()
    shutil.copy(changed.path / "heads" / "knn.skops", changed.path / "heads" / "svm.skops")
    assert check(changed).first.name == "svm: score"


def test_last_digits_of_another_processor_count_as_none(run):
    from safetensors.numpy import load_file, save_file

    changed = run()
    path = changed.self_test / NUMBERS
    save_file({name: value * (1 + 1e-5 * ("threshold" not in name)) for name, value in load_file(path).items()}, path)
    found = check(changed)
    assert found.first is None and any(stage.difference > 0 for stage in found.stages)


def test_what_cannot_be_tested_is_said(run):
    changed = run()
    assert ended(changed.path, "--self-test", "film.png")[0] == 2
    assert "expected films, or --self-test" in ended(changed.path)[1]
    status, said = ended(changed.path, "--self-test", "--units", "breast")
    assert status == 2 and "--units does nothing with --self-test" in said
    for name in ("film_2.png", NUMBERS, EXPECTED):
        (changed.self_test / name).unlink()
        with pytest.raises(InputError, match=f"{name} is missing; copy the whole folder"):
            check(changed)
    shutil.rmtree(changed.self_test)
    with pytest.raises(InputError, match="has no self-test"):
        check(changed)


def test_the_drawn_films_differ_and_show_a_spot():
    films = [draw_small(seed) for seed in (1, 2, 3)]
    for pixels, (x, y) in films:
        around = pixels[round(y) - 20 : round(y) + 21, round(x) - 20 : round(x) + 21]
        assert pixels[round(y), round(x)] > np.median(around)
    assert not np.array_equal(films[0][0], films[1][0])
    assert np.array_equal(films[0][0], draw_small(1)[0])
