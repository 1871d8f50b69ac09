"""One device and several: the same split, films, gradients and predictions; what ends one process ends them all."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from safetensors.torch import load_file
from torch.distributed.launcher import api

from mammo.config import Config, LossConfig, TrainerConfig
from mammo.errors import InputError
from mammo.models.losses import build_loss
from mammo.processes import devices, launch, peers
from mammo.runs import sweep
from tests import ranks
from tests.conftest import ARCHIVE, CONF, SHARES, SMALL, composed, prepared_of, resolved

TWO = Config(trainer=TrainerConfig(accelerator="cpu", devices=2, precision="32-true"))
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}
SRUN = {
    "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_PROCID": "1",
}  # fmt: skip


def launched(cwd, *arguments, env=None):
    line = [sys.executable, str(CONF.parent / "train.py"), *arguments]
    return subprocess.run(
        line, check=False, cwd=cwd, capture_output=True, text=True, timeout=600, env=os.environ | (env or {})
    )


@pytest.mark.slow
def test_gradients_of_five_steps_do_not_depend_on_the_number_of_devices(phantom, tmp_path):
    """In float32, without dropout, batch norm frozen, class-weighted: two devices' are those of all their batches."""
    lines = [
        *SMALL, f"data.root={phantom.root}", "model=compact", "model.trainable=all", "model.dropout=0",
        "model.image_size=32", "trainer.precision=32-true", SHARES, "split=image", "trainer.max_epochs=3",
        "optim.lr_head=1e-6",  # so small that AdamW makes no difference of a rounding error
    ]  # fmt: skip
    found = []
    for count in (1, 2):
        (tmp_path / str(count)).mkdir()
        own = [*lines, f"trainer.devices={count}"]
        launch.launch(ranks.gradients, resolved(*own), tmp_path / str(count))
        found.append(torch.load(tmp_path / str(count) / "gradients.pt", weights_only=True))
    one, two = found
    assert len(one["gradients"]) == ranks.STEPS
    assert one["gradients"].abs().max() > 1e-3
    difference = (two["gradients"] - one["gradients"]).abs().amax(1) / one["gradients"].abs().amax(1)
    print(f"largest difference over largest gradient, step by step: {difference.tolist()}")
    assert difference.max() < 1e-5
    torch.testing.assert_close(two["losses"], one["losses"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "confusion"])
def test_the_loss_of_a_batch_does_not_depend_on_how_it_was_dealt(name):
    loss = build_loss(LossConfig(name=name), classes=2)
    rng = torch.Generator().manual_seed(0)
    loss.weights = torch.tensor([0.5, 4.0])
    logits, y = torch.randn(16, 2, generator=rng), torch.randint(0, 2, (16,), generator=rng)
    whole = loss(logits, y).mean()
    for seed in range(5):
        dealt = torch.randperm(16, generator=rng.manual_seed(seed)).reshape(4, 4)
        torch.testing.assert_close(torch.stack([loss(logits[part], y[part]).mean() for part in dealt]).mean(), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("killed", "process 1 of 2 was ended by SIGKILL"),
        ("raises", "(?s)process 1 of 2: Traceback.*something of its own went wrong"),
        ("input", "^it has no such film$"),
        ("full", r"^report\.md: No space left on device; free space"),
    ],
)
def test_a_process_that_dies_takes_the_others_down_and_its_own_error_is_told(tmp_path, how, said):
    config = replace(TWO, source={"how": how})
    start = time.monotonic()
    with pytest.raises(InputError if how in ("input", "full") else RuntimeError, match=said):
        launch.launch(ranks.dies, config, tmp_path)
    assert time.monotonic() - start < 180
    for rank in range(2):
        assert not Path(f"/proc/{(tmp_path / f'process{rank}').read_text()}").exists()


def test_processes_that_are_told_to_stop_have_the_time_to_write_a_checkpoint(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(api, "elastic_launch", lambda config, _: seen.append(config) or (lambda *_: {0: {}}))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", None)
    launch.launch(ranks.dies, TWO, tmp_path)
    assert seen[0].shutdown_timeout == 600  # seconds, where torch gives 30


def test_what_started_this_process_and_how_many_peers_it_has(monkeypatch):
    for key in {*TORCHRUN, *SRUN}:
        monkeypatch.delenv(key, raising=False)
    assert peers.peers() is None
    monkeypatch.setattr(os, "environ", os.environ | {"SLURM_STEP_NUM_TASKS": "1"})
    assert peers.peers() is None  # alone in its step
    monkeypatch.setattr(os, "environ", os.environ | SRUN)
    assert peers.peers() == peers.Peers("srun", 1, 4, 2)
    assert peers.run_name() == "slurm/17.2"
    monkeypatch.setattr(os, "environ", os.environ | TORCHRUN)
    assert peers.peers() == peers.Peers("torchrun", 3, 4, 2)
    started = [peers.run_name() for _ in range(2)]
    assert started[0] == started[1] < time.strftime("%Y-%m-%d/%H-%M-%S")  # when the parent started


@pytest.mark.parametrize(
    ("environment", "arguments", "message"),
    [
        ({}, (1, "32-true", 2), "several machines need srun or torchrun"),
        (SRUN, (1, "32-true", 2), "srun started 4 processes on 2 machines; make the numbers agree"),
        (SRUN, (1, "32-true", 4), "srun started 4 processes on 2 machines; make the numbers agree"),
    ],
)
def test_other_processes_than_were_asked_for_are_refused(monkeypatch, environment, arguments, message):
    monkeypatch.setattr(os, "environ", os.environ | environment)
    with pytest.raises(InputError, match=message):
        devices.plan("cpu", *arguments)


def test_the_precision_is_the_one_that_computes():
    plan = devices.plan("cpu", 1, "16-mixed")
    assert plan.precision == plan.trainer_settings()["precision"] == "bf16-mixed"
    assert devices.plan("cpu", 1, "32-true").precision == "32-true"


def test_torchrun_on_several_machines_needs_a_folder(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ | TORCHRUN)
    with pytest.raises(InputError, match=r"name one folder for all, hydra\.run\.dir="):
        peers.check_named(["model=vgg16"])
    peers.check_named(["hydra.run.dir=outputs/mine"])
    peers.check_named(["resume=outputs/mine"])


def test_a_batch_that_the_devices_of_all_machines_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ | SRUN)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    plan = devices.plan("cpu", 2, "32-true", 2)
    assert (plan.world, plan.rank, plan.main) == (4, 1, False)
    plan.check_batch(8)
    with pytest.raises(InputError, match=r"data\.batch_size=6 cannot be shared by 4 devices"):
        plan.check_batch(6)


def test_a_sweep_is_not_started_once_by_each_process(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ | SRUN)
    monkeypatch.setattr(HydraConfig, "get", lambda: SimpleNamespace(mode=RunMode.MULTIRUN))
    with pytest.raises(InputError, match="-m: srun started 4 processes, and each would run the sweep"):
        sweep.check_job(composed())


@pytest.mark.slow
def test_five_folds_on_two_devices(phantom, tmp_path):
    """One folder a job, no stray one; each film is tested once."""
    small = [*SMALL, "data.patients=60", "data.batch_size=8", "model=compact", "model.image_size=64"]
    done = launched(tmp_path, "-m", "sweep=folds", "trainer.devices=2", *small)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    (sweep,) = (tmp_path / "outputs").glob("*/*")
    jobs = [path for path in sweep.iterdir() if path.is_dir()]
    tables = [pd.read_csv(job / "predictions.csv") for job in jobs]
    assert len(jobs) == 5 and all((job / "finished.json").is_file() for job in jobs)
    tested = pd.concat(table[(table["split"] == "test") & (table["head"] == "softmax")] for table in tables)
    assert tested["image_id"].is_unique and len(tested) == 120


def small_run(phantom, *overrides):
    lines = [*SMALL, f"data.root={phantom.root}", SHARES, "model=compact", "model.image_size=64", "heads=[knn]"]
    return [*lines, "early_stopping.patience=null", *overrides]


@pytest.mark.slow
def test_heads_and_report_are_made_once_by_the_first_process(phantom, tmp_path):
    lines = small_run(phantom, "trainer.devices=2")
    metrics = launch.launch(ranks.noted, resolved(*lines), tmp_path)
    assert (tmp_path / "calls").read_text().splitlines() == ["fit_head by 0", "write by 0"]
    assert "test/knn/auroc" in metrics


@pytest.mark.slow
def test_torchrun_gives_what_the_programs_own_processes_give(phantom, tmp_path):
    lines = small_run(phantom, "trainer.devices=2")
    assert launched(tmp_path, *lines, "hydra.run.dir=own").returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*torchrun, str(CONF.parent / "train.py"), *lines], cwd=tmp_path, check=False)
    assert done.returncode == 0
    (folder,) = (tmp_path / "outputs").glob("*/*")  # one for both processes
    for name in ("predictions.csv", "curves.csv", "metrics.json"):
        assert (folder / name).read_bytes() == (tmp_path / "own" / name).read_bytes(), name


def three_machines(cwd, lines):
    """The engines of three machines, which are this one, each with a process of the job."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"--rdzv-endpoint=127.0.0.1:{free.getsockname()[1]}"
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=3", "--nproc-per-node=1", "--rdzv-backend=c10d",
        meeting, "--local-addr=127.0.0.1", str(CONF.parent / "train.py"), "trainer.num_nodes=3",
    ]  # fmt: skip
    return [subprocess.Popen([*torchrun, *lines], cwd=cwd) for _ in range(3)]


@pytest.mark.slow
def test_three_machines_that_are_killed_go_on_as_if_they_had_not(phantom, tmp_path):
    """The sum of three gradients depends on its order. The engines are killed, which can then end nobody."""
    lines = small_run(phantom, "model=resnet18", "model.weights=null", "data.batch_size=6", "trainer.max_epochs=5")
    assert [machine.wait(300) for machine in three_machines(tmp_path, [*lines, "hydra.run.dir=uncut"])] == [0, 0, 0]
    machines, curves = three_machines(tmp_path, [*lines, "hydra.run.dir=cut"]), tmp_path / "cut" / "curves.csv"
    while not (curves.is_file() and len(curves.read_text().splitlines()) > 2):
        time.sleep(0.05)
    children = [int(pid) for m in machines for pid in Path(f"/proc/{m.pid}/task/{m.pid}/children").read_text().split()]
    assert len(children) == 3
    for machine in machines:
        machine.kill()
        machine.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "processes outlive the one that started them"
        time.sleep(0.1)
    assert len(curves.read_text().splitlines()) < 6
    again = three_machines(tmp_path, [*lines, "hydra.run.dir=cut", "ckpt_path=last"])
    assert [machine.wait(300) for machine in again] == [0, 0, 0]
    for name in ("predictions.csv", "curves.csv", "features.safetensors", "metrics.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "uncut" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_two_devices_that_are_told_to_stop_go_on_as_if_they_had_not(phantom, tmp_path, number):
    lines = small_run(phantom, "trainer.devices=2", "trainer.max_epochs=30")
    assert launched(tmp_path, *lines, "hydra.run.dir=uncut").returncode == 0
    program = [sys.executable, str(CONF.parent / "train.py")]
    process = subprocess.Popen([*program, *lines, "hydra.run.dir=cut"], cwd=tmp_path)
    while not (tmp_path / "cut" / "curves.csv").is_file():
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == 143
    assert len((tmp_path / "cut" / "curves.csv").read_text().splitlines()) < 30
    done = launched(tmp_path, "resume=cut")
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("predictions.csv", "curves.csv", "metrics.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "uncut" / name).read_bytes(), name


@pytest.mark.slow
def test_an_error_of_one_device_is_the_programs(phantom, tmp_path):
    """The lines of the log are read by a person, the status by a script."""
    bad = launched(tmp_path, *small_run(phantom, "trainer.devices=2", "task=finding"))
    assert bad.returncode == 2 and "error: the train part has no sample of class" in bad.stderr
    assert "Traceback" not in bad.stderr


@pytest.mark.slow
def test_two_devices_share_the_cutting(phantom, tmp_path, monkeypatch):
    """Lesions first, then backgrounds where they lie: each film is read once, and both processes get all samples."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    lines = small_run(phantom, "trainer.devices=2", "crop=lesion", "data.batch_size=4")
    found = launch.launch(ranks.cuts, resolved(*lines), tmp_path)
    read = [line.split() for line in (tmp_path / "films").read_text().splitlines()]
    assert len(read) == len({film for _, film in read}) > 20 and {who for who, _ in read} == {"0", "1"}
    assert found["samples"] == len(prepared_of(resolved(*lines)).crops.table)


@pytest.mark.slow
@pytest.mark.realdata
def test_two_devices_on_the_real_films_test_the_same_ones(tmp_path):
    """Evaluated by one and by two: the largest difference in probability is printed."""
    if not ARCHIVE.is_file():
        pytest.skip("no mini-MIAS archive")
    home = {"MAMMO_MIAS_ARCHIVE": str(ARCHIVE), "MAMMO_HOME": str(tmp_path / "home")}
    common = ["model=resnet18", "model.weights=null", "trainer.max_epochs=1", "trainer.precision=32-true"]
    trained = launched(tmp_path, *common, "hydra.run.dir=trained", env=home)
    assert trained.returncode == 0, trained.stderr[-3000:]
    for count in (1, 2):
        line = ["fit=false", "ckpt_path=trained", f"trainer.devices={count}", f"hydra.run.dir=on{count}"]
        done = launched(tmp_path, *line, env=home)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (pd.read_csv(tmp_path / f"on{count}" / "predictions.csv") for count in (1, 2))
    assert one["image_id"].tolist() == two["image_id"].tolist()
    assert one["split"].tolist() == two["split"].tolist()
    features = [load_file(tmp_path / f"on{count}" / "features.safetensors")["features"] for count in (1, 2)]
    difference = float((one["p_abnormal"] - two["p_abnormal"]).abs().max())
    print(f"{one['image_id'].nunique()} films; largest difference in probability {difference:.2g}")
    assert difference < 1e-4
    torch.testing.assert_close(*features, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_with_dropout_two_devices_come_to_an_auroc_within_the_spread_of_seeds(phantom, tmp_path):
    """The copies of dropout differ between one device and two, as they do between two seeds."""
    common = [*SMALL, "data.patients=150", "model=compact", "model.image_size=64", "trainer.max_epochs=8", "heads=[]"]
    common += ["crop=lesion", "optim.lr_head=0.003", "data.fold=0"]
    found = {}
    for name, own in {**{f"seed{s}": [f"seed={s}"] for s in range(5)}, "two": ["trainer.devices=2"]}.items():
        done = launched(tmp_path, *common, *own, f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stderr[-3000:]
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        found[name] = metrics["test"]["softmax"]["auroc"]["value"]
    print(found)
    two = found.pop("two")
    assert np.min(list(found.values())) <= two <= np.max(list(found.values()))
