"""Runs that are killed at random moments and go on: each ends as the run that nobody killed, and leaves nothing behind.

`python -m pytest -m kills -n 0 -s` prints what was under way at each kill, and the count.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.conftest import CONF

pytestmark = pytest.mark.kills
KINDS = {  # how often each is killed, and with which settings
    "trained": (20, ["model=compact", "model.image_size=64", "data.workers=1", "trainer.max_epochs=12"]),
    "frozen trunk": (5, ["model=resnet18", "model.image_size=96", "trainer.max_epochs=12"]),
    "two devices": (5, ["model=compact", "model.image_size=64", "trainer.max_epochs=6", "trainer.devices=2"]),
}
SAME = ["predictions.csv", "metrics.json", "features.safetensors", "features.csv", "curves.csv", "choices.json"]
STAGES = {  # the last of these files that is there tells what was under way
    "report.md": "end", "metrics.json": "report", "predictions.csv": "report", "features.csv": "heads",
    "features.safetensors": "features", "checkpoints/best.ckpt": "fit or test", "provenance.json": "first epoch",
}  # fmt: skip


def started(folder, home, arguments):
    """The program in a session of its own, with caches of its own, and when it began to train or compute."""
    process = subprocess.Popen(
        [sys.executable, str(CONF.parent / "train.py"), *arguments],
        env=os.environ | {"MAMMO_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("run "):
            break
    return process, said


def killed(folder, home, arguments, seconds):
    """Kills the program so many seconds after it began; it alone, so that its children have to see to themselves."""
    while True:
        process, _ = started(folder, home, arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        if process.wait() == -signal.SIGKILL:
            return process
        seconds *= 0.9  # it had ended before


def ended(process, said):
    said += process.stdout.readlines()
    assert process.wait() == 0, "".join(said)


def members(session):
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(own) == session and state != "Z":
            found.append(stat.parent.name)
    return found


def temporary():
    shared = {str(path) for path in Path("/dev/shm").iterdir()}
    return shared | {str(path) for path in Path("/tmp").iterdir() if path.name.startswith(("torch", "mammo", "pymp"))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_the_one_that_nobody_killed(kind, phantom, resnet_trunk, tmp_path):
    count, own = KINDS[kind]
    common = [
        "data=phantom", f"data.root={phantom.root}", "data.women=16", "split.shares=[0.5,0.25,0.25]", *own,
        "data.batch_size=4", "optim.lr_head=0.003", "early_stopping.patience=4", "heads=[svm,knn]",
    ]  # fmt: skip
    if kind == "frozen trunk":
        common.append(f"model.weights={resnet_trunk}")
    whole, before = tmp_path / "whole", temporary()
    process, said = started(whole, tmp_path / "home", [*common, f"hydra.run.dir={whole}"])
    begun = time.monotonic()
    ended(process, said)
    lasts = time.monotonic() - begun
    chance, equal, stages = random.Random(os.urandom(8)), 0, Counter()
    for number in range(count):  # the moments are spread evenly over the run
        cut, home = tmp_path / f"cut{number}", tmp_path / f"home{number}"
        process = killed(cut, home, [*common, f"hydra.run.dir={cut}"], (number + chance.random()) / count * lasts)
        stage = next(stage for file, stage in STAGES.items() if (cut / file).is_file())
        stages[stage] += 1
        deadline = time.monotonic() + 10
        while members(process.pid):
            assert time.monotonic() < deadline, "processes outlive the one that started them"
            time.sleep(0.1)
        again, said = started(cut, home, [f"resume={cut}"])
        ended(again, said)
        unequal = [name for name in SAME if (whole / name).read_bytes() != (cut / name).read_bytes()]
        weights, expected = (
            torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"] for folder in (cut, whole)
        )
        unequal += [name for name, value in expected.items() if not torch.equal(weights[name], value)]
        assert not unequal, f"killed in {stage}: {unequal} differ"
        assert not [*cut.rglob("*.tmp"), *home.rglob("*.tmp"), *cut.rglob("last.ckpt")]
        assert not members(again.pid)
        equal += 1
        shutil.rmtree(cut)
        shutil.rmtree(home)
    assert temporary() <= before, temporary() - before
    print(f"\n{kind}: {equal} of {count} killed runs ended as the whole one; killed in {dict(stages)}")
