"""Runs with several windows and flips: one row per lesion, cached as without, the same for a new film."""

import re
import shlex

import numpy as np
import pytest
import torch

import mammo
from mammo.datasets.findings import SAMPLE
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from tests.conftest import CONF, prepared_of
from tests.test_train import evaluated

pytestmark = pytest.mark.slow

PAGE = (CONF.parent / "docs/how-to/closer-windows.md").read_text()
LINES = [
    shlex.split(line)[2:]
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", "").splitlines()
]
COMMANDS = {words[-1].removeprefix("hydra.run.dir=runs/"): words[:-1] for words in LINES if "runs/" in words[-1]}
SMALL = ("crop.recentre=false", "augment=none", "trainer.max_epochs=1", "trainer.precision=32-true")


@pytest.fixture(scope="module")
def page(shared_job):
    """Runs a command of the page on few patients, without moving windows, so that a point names them."""

    def start(name, *more, start=shared_job):
        words = COMMANDS[name]
        if any("runs/" in word for word in words):
            words = [word.replace("runs/windows", str(page("windows"))) for word in words]
        return start(*words, *SMALL, *more)[0]

    def page(name):
        folder = start(name)
        (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
        return folder

    page.start = start
    return page


@pytest.fixture(scope="module", params=["scores", "features"])
def run(request, page):
    return mammo.load_run(page(request.param))


def test_a_lesion_has_one_row_and_the_features_of_both_windows_averaged_over_the_flips(run):
    table, _ = run.predictions()
    assert not table.duplicated([*SAMPLE, "head"]).any() and (table["patch"] == 0).all()
    features, _ = run.features()
    prepared = prepared_of(run.config)
    net = run.network()
    assert len(net.frozen) and features.shape == (len(prepared.described), 2 * (64 + 128))
    with torch.inference_mode():
        planes = [
            torch.stack([prepared.described.pixels(*row, plane) for row in prepared.described.rows])
            for plane in range(prepared.described.planes)
        ]
        wide, close, *mirrored = (net.frozen(one) for one in planes)
    assert torch.equal(planes[0].flip(3), planes[2]) and torch.equal(planes[1].flip(3), planes[3])
    expected = (torch.cat([wide, close], 1) + torch.cat(mirrored, 1)) / 2
    assert torch.allclose(torch.from_numpy(features), expected, rtol=1e-4, atol=1e-5)


def test_scores_are_averaged_over_the_windows_or_one_is_made_of_all_features(run):
    features, rows = run.features()
    table, _ = run.predictions()
    join, head = run.config.crop.join, run.heads()["logistic"]
    assert head.model.n_features_in_ == (192 if join == "scores" else 384)
    inner = head.model.calibrated_classifiers_[0].estimator
    each = features.reshape(-1, 192 if join == "scores" else 384)
    expected = inner.decision_function(each).reshape(len(rows), -1).mean(1)
    assert np.allclose(table.loc[table["head"] == "logistic", "score"], expected, rtol=1e-4, atol=1e-5)


def test_a_new_film_is_seen_in_the_same_windows_and_flips(run, phantom):
    samples, (table, _) = run.samples, run.predictions()
    lesion = samples[(samples["finding_id"] > 0) & (samples["split"] == "test")].iloc[0]
    own = table.merge(lesion.to_frame().T[SAMPLE[:3]].astype({"finding_id": "Int64", "patch": "Int64"}))
    film = mammo.read_film(phantom.root / f"{lesion['image_id']}.pgm")
    for head in ("softmax", "logistic"):
        answer = run.predictor(head)(film, at=(lesion["x_px"], lesion["y_px"]))
        assert answer.score == pytest.approx(own.loc[own["head"] == head, "score"].item(), rel=1e-3, abs=1e-4)
    everywhere = run.predictor()(film)
    assert len(everywhere.windows) > 4 and everywhere.score == pytest.approx(everywhere.windows["score"].max())


@pytest.mark.slow
def test_the_report_says_so_and_films_are_evaluated_and_tested_alike_without_training(run):
    notes = " ".join(run.provenance["notes"])
    assert "windows of 22.4 and 14.4 mm" in notes and "model.flips=horizontal" in notes
    assert ("scores" in notes) == (run.config.crop.join == "scores")
    if run.config.crop.join == "features":
        return
    assert COMMANDS["plain"] == ["fit=false", "ckpt_path=runs/scores", "model.flips=none"]
    plain = RunFolder(evaluated(run.path, "plain", "model.flips=none"))
    assert not plain.predictions()[0]["score"].equals(run.predictions()[0]["score"])
    assert "model.flips" not in " ".join(plain.provenance["notes"])
    other = mammo.test(run, "phantom", settings=["data.patients=6", "data.film_seed=1"], out=run.path.parent / "other")
    assert "model.flips=horizontal" in " ".join(other.provenance["notes"])
    assert not other.predictions()[0].duplicated([*SAMPLE, "head"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("cache", [True, False])
def test_windows_and_flips_train_with_and_without_a_cache(page, job, unreported, no_trunks, cache):
    block = ("model.trainable=last_block", "augment=online", "augment.copies=1", "heads=[]")
    folder = RunFolder(page.start("scores", *block, f"data.cache={cache}", start=job))
    assert np.isfinite(folder.predictions()[0].query("head == 'softmax'")["score"]).all()
    net = folder.network()
    assert net.body.given == (128, 2, 2) and len(net.frozen) == 5
