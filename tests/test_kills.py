"""Runs that are killed at random moments and go on: each ends as the run that nobody killed, and leaves nothing behind.

`python -m pytest -m kills -n 0 -s` prints what was under way at each kill, and the count.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.conftest import CONF

pytestmark = pytest.mark.kills
CLASSIFIER = ["optim.lr_head=0.003", "early_stopping.patience=4", "heads=[svm,knn]"]
DETECTOR = ["task=detection", "model=compact", "model.maps=[compact@1,compact@2]", "model.weights=null"]
DETECTOR += ["detector.steps=200", "detector.axes=32"]
REGIONS = ["task=segmentation", "model=compact", "model.image_size=64", "segmentation.window_px=32"]
KINDS = {  # how often each is killed, and with which settings
    "trained": (20, ["model=compact", "model.image_size=64", "data.workers=1", "trainer.max_epochs=12", *CLASSIFIER]),
    "frozen trunk": (5, ["model=resnet18", "model.image_size=96", "trainer.max_epochs=12", *CLASSIFIER]),
    "two devices": (
        5,
        ["model=compact", "model.image_size=64", "trainer.max_epochs=6", "trainer.devices=2", *CLASSIFIER],
    ),
    "detector": (10, DETECTOR),
    "regions": (5, [*REGIONS, "trainer.max_epochs=6"]),
}
SAME = [
    "predictions.csv", "metrics.json", "features.safetensors", "features.csv", "curves.csv", "selection.json",
    "split.csv", "samples.csv",
]  # fmt: skip
OF_PLACES = ["candidates.csv", "lesions.csv", "segments.csv"]  # of a detector, and of regions
# What is written in turn: each tells what is under way once it is there. Every other kill waits for one of them.
STAGES = {
    "provenance.json": "first epoch", "curves.csv": "fit", "features.safetensors": "features", "features.csv": "heads",
    "predictions.csv": "report", "metrics.json": "report", "report.md": "end",
}  # fmt: skip
SHORT = Path(tempfile.gettempdir(), f"k{os.getpid()}")  # the path of a socket may have 108 characters
AIMED = [f"run/{name}" for name in ("features.csv", "curves.csv", "predictions.csv", "provenance.json", "metrics.json")]
AIMED_AT = {"detector": ["home/maps/*/lock", "home/maps/*/*.safetensors", "run/curves.csv", "run/candidates.csv"]}
NEEDED = {  # stages in which some are killed
    "trained": {"start", "first epoch", "fit", "heads", "report"}, "detector": {"maps", "first epoch", "report"},
}  # fmt: skip


def started(folder, home, arguments):
    """The program in a session of its own, with caches of its own."""
    return subprocess.Popen(
        [sys.executable, str(CONF.parent / "train.py"), *arguments],
        env=os.environ | {"MAMMO_HOME": str(home), "TMPDIR": str(SHORT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def killed(folder, home, arguments, when, group):
    """Kills the program when `when(seconds)` holds: all its processes, or it alone, so that its children see to it."""
    slower = 0.0
    while True:
        process, begun = started(folder, home, arguments), time.monotonic()
        while process.poll() is None and not when(time.monotonic() - begun + slower):
            time.sleep(0.002)
        if group and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        if process.wait() == -signal.SIGKILL:
            return process
        slower += 0.5  # it had ended before
        shutil.rmtree(folder)


def ended(process):
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


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


def end_of(session):
    """Waits for the last process of a session, such as Python's tracker of semaphores, which ends after its parent."""
    deadline = time.monotonic() + 10
    while members(session):
        assert time.monotonic() < deadline, "processes outlive the one that started them"
        time.sleep(0.1)


def forgotten(before):
    """Files of shared memory that are new, and that name no process which still runs, as other programs' files do."""
    new = set(Path("/dev/shm").iterdir()) - before
    return [path for path in new if not any(Path("/proc", pid).exists() for pid in re.findall(r"\d+", path.name))]


def unequal(cut, whole):
    """Files and weights that differ; reports but for their command."""
    names = SAME + [name for name in OF_PLACES if (whole / name).exists()]
    found = [name for name in names if (whole / name).read_bytes() != (cut / name).read_bytes()]
    one, two = (
        [line for line in (folder / "report.md").read_text().splitlines() if "Command" not in line]
        for folder in (cut, whole)
    )
    weights, expected = (
        torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"] for folder in (cut, whole)
    )
    found += [name for name, value in expected.items() if not torch.equal(weights[name], value)]
    return found + ["report.md"] * (one != two)


def stage_of(cut, home, kind):
    """Return the stage that was under way when a run was killed."""
    stage = next((stage for name, stage in reversed(STAGES.items()) if (cut / name).is_file()), "start")
    making = kind == "detector" and stage == "first epoch" and not any(home.glob("maps/*/*.safetensors"))
    return "maps" if making else stage


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_the_one_that_nobody_killed(kind, phantom, resnet_trunk, tmp_path):
    count, own = KINDS[kind]
    common = [
        "data=phantom", f"data.root={phantom.root}", "data.patients=16", "split.shares=[0.5,0.25,0.25]", *own,
        "data.batch_size=4",
    ]  # fmt: skip
    aimed = AIMED_AT.get(kind, AIMED)
    if kind == "frozen trunk":
        common.append(f"model.weights={resnet_trunk}")
    folders, begun = tmp_path / "whole", time.monotonic()
    whole, before = folders / "run", set(Path("/dev/shm").iterdir())
    whole.parent.mkdir()
    SHORT.mkdir(exist_ok=True)
    ended(started(whole, folders / "home", [*common, f"hydra.run.dir={whole}"]))
    lasts, chance, equal, stages = time.monotonic() - begun, random.Random(os.urandom(8)), 0, Counter()
    twice = 0  # killed
    for number in range(count):
        own = tmp_path / f"cut{number}"
        own.mkdir()
        cut, home = own / "run", own / "home"
        moment = (number + chance.random()) / count * lasts  # spread evenly over the run
        file, late = aimed[number // 2 % len(aimed)], chance.uniform(0, 0.05)

        def when(seconds, number=number, own=own, moment=moment, file=file, late=late):
            if number % 2 == 0:
                return seconds > moment
            return any(own.glob(file)) and time.sleep(late) is None

        line = [*common, f"hydra.run.dir={cut}"]
        process = killed(cut, home, line, when, group=number % 4 < 2)
        stages[stage := stage_of(cut, home, kind)] += 1
        end_of(process.pid)
        if number % 3 == 1:  # it is killed as it goes on, too
            again = started(cut, home, [f"resume={cut}"])
            try:
                again.wait(chance.uniform(0, lasts))
            except subprocess.TimeoutExpired:
                os.killpg(again.pid, signal.SIGKILL)
                twice += 1
            again.communicate()
        again = started(cut, home, [f"resume={cut}"])
        said, _ = again.communicate()
        if again.returncode:  # killed before it wrote down what it was
            assert stage == "start" and ("was killed as it began" in said or "no run and no sweep" in said), said
            again = started(cut, home, line)
            ended(again)
        assert not unequal(cut, whole), f"killed in {stage}: {unequal(cut, whole)} differ"
        assert not [*own.rglob("*.tmp"), *cut.rglob("last.ckpt"), *SHORT.iterdir()]
        end_of(again.pid)
        equal += 1
        shutil.rmtree(own)
    assert not forgotten(before)
    SHORT.rmdir()
    print(f"\n{kind}: {equal} of {count} killed runs ended as the whole one; killed in {dict(stages)}, {twice} twice")
    assert equal == count and NEEDED.get(kind, set()) <= set(stages)
