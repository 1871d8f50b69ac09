"""A detector whose last block is trained, from settings to predictions, on the phantom."""

import copy
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mammo.errors import InputError
from mammo.models.maps import FrozenMaps
from mammo.processes import checkpoint_io
from mammo.run_folder import RunFolder
from mammo.runs import checks, external_test
from mammo.runs.train import train
from mammo.training import detection_data
from mammo.training.place_patches import Patches
from tests.conftest import SHARES, SMALL, resolved
from tests.test_detection import QUICK, ROOT, by_head

BLOCK = [*QUICK, "model.trainable=last_block", "detector.block_batch=16", "detector.block_lr=3e-4"]
STEPS = "detector.block_steps=24"
pytestmark = pytest.mark.usefixtures("all_unreported")


@pytest.fixture(scope="module")
def trained(job):
    return RunFolder(job(*BLOCK, STEPS)[0])


def state(run):
    return checkpoint_io.read(run.checkpoint)["state_dict"]


def kept():
    """The files of frozen maps that are kept for other runs."""
    return sorted(Path(os.environ["MAMMO_HOME"], "maps").rglob("*.safetensors"))


@pytest.mark.slow
def test_training_changes_the_block_and_the_head_and_nothing_else(trained):
    found, frozen = state(trained), FrozenMaps("compact").stages.state_dict()
    assert all(torch.equal(found[f"net.frozen.compact.stages.{key}"], one) for key, one in frozen.items())
    own = {key: one for key, one in found.items() if key.startswith("net.block.")}
    changed = {key for key, one in own.items() if not torch.equal(one, frozen[key.removeprefix("net.block.stages.")])}
    learnt = {key for key in own if key.endswith((".weight", ".bias"))}
    assert changed == learnt and {key.split(".")[3] for key in own} == {"block5"}


@pytest.mark.slow
def test_the_loss_falls(trained):
    loss = pd.read_csv(trained.path / "curves.csv").set_index("epoch")["train/loss"]
    assert loss.index.tolist() == list(range(1, 9)) and loss[8] < loss[5] and loss[4] < loss[1]


@pytest.mark.slow
def test_the_checkpoint_gives_the_predictions_again_to_the_bit(trained, tmp_path):
    before = kept()
    train(resolved("fit=false", f"ckpt_path={trained.path}"), tmp_path)
    again, first = by_head(RunFolder(tmp_path)), by_head(trained)
    assert all(again[head].equals(first[head]) for head in ("detector", "detector_partner"))
    assert kept() == before  # nothing that a trained block sees is kept


@pytest.mark.slow
def test_at_a_rate_of_0_it_is_the_detector_of_frozen_maps_to_the_bit(job):
    words = ([*QUICK, "model.trainable=head"], [*BLOCK, "detector.block_steps=4", "detector.block_lr=0"])
    frozen, still = (by_head(RunFolder(job(*of)[0]))["detector"] for of in words)
    assert still.equals(frozen)


@pytest.mark.slow
def test_predictions_show_what_the_block_has_learnt(trained, tmp_path, monkeypatch):
    honest = detection_data.seen_anew

    def of_another(block, *given):
        other = copy.deepcopy(block)
        other.stages["block5"][0].weight.data *= -1
        return honest(other, *given)

    monkeypatch.setattr(detection_data, "seen_anew", of_another)
    train(resolved("fit=false", f"ckpt_path={trained.path}"), tmp_path)
    other, first = by_head(RunFolder(tmp_path))["detector"], by_head(trained)["detector"]
    assert not np.isclose(other, first, atol=1e-3).any()


@pytest.mark.slow
def test_the_log_says_what_is_trained(job, caplog):
    with caplog.at_level(logging.INFO):
        folder, _ = job(*BLOCK, "detector.steps=4", "detector.block_steps=4")
    found = state(RunFolder(folder))
    learns = ("net.head.", "net.block.")
    count = sum(one.numel() for key, one in found.items() if key.startswith(learns) and "running" not in key)
    counters = sum(1 for key in found if key.startswith(learns) and key.endswith("num_batches_tracked"))
    assert f"{count - counters:,} of " in next(line for line in caplog.messages if "parameters are trained" in line)


@pytest.mark.slow
def test_patches_of_test_films_are_an_error(job, monkeypatch):
    honest = Patches.__init__

    def all_films(self, places, *given):
        places.others = [np.arange(len(places.x))] * len(places.others)
        honest(self, places, *given)

    monkeypatch.setattr(Patches, "__init__", all_films)
    with pytest.raises(RuntimeError, match=r"leak: training uses places of \d+ films"):
        job(*BLOCK, STEPS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["detector.block_map=vgg16@2"], "detector.block_map=vgg16@2: expected one of model.maps="),
        (["model.trainable=all"], "model.trainable=all: task=detection trains head or last_block"),
        (["detector.block_steps=3"], "detector.block_steps=3: expected 0, or a whole number, 4 or larger"),
    ],
)
def test_settings_that_do_not_go_with_a_trained_block_are_refused_in_one_line(words, line):
    with pytest.raises(InputError) as error:
        checks.check(resolved("task=detection", "data=phantom", "model.trainable=last_block", *words))
    assert str(error.value).startswith(line)


def test_a_network_whose_block_cannot_be_trained_is_refused_before_any_film_is_shown_to_it(job):
    with pytest.raises(InputError, match=r"^detector.block_map=compact@0.25: model.trainable=last_block"):
        job(*BLOCK, "model.maps=[compact@1,compact@0.25]", "detector.block_map=compact@0.25")


@pytest.mark.slow
def test_a_test_on_other_films_gives_what_the_run_gives_for_them_to_the_bit(trained, all_unreported, tmp_path):
    (trained.path / "finished.json").write_text("{}")  # which the program writes
    all_unreported(trained.path)
    external_test.test(trained, replace(trained.config.data), tmp_path / "test")
    again, first = by_head(RunFolder(tmp_path / "test"))["detector"], by_head(trained)["detector"]
    assert again[first.index].equals(first)


@pytest.mark.slow
def test_two_devices_give_what_one_gives(phantom, tmp_path):
    """In 32 bits, because with 16 the roundings of a step grow over the next ones."""
    lines = [*SMALL, SHARES, *BLOCK, STEPS, f"data.root={phantom.root}", "model.image_size=32"]
    lines += ["trainer.precision=32-true"]
    for devices in (1, 2):
        of = {line.partition("=")[0]: line for line in [*lines, f"trainer.devices={devices}"]}.values()
        subprocess.run([sys.executable, "train.py", *of, f"hydra.run.dir={tmp_path}/{devices}"], check=True, cwd=ROOT)
    one, two = (by_head(RunFolder(tmp_path / str(devices)))["detector"] for devices in (1, 2))
    assert np.allclose(one[two.index], two, atol=0.05)
