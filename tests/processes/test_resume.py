"""A run that was cut goes on as if it had not been: told to stop amid or between epochs, moved, out of space."""

import json
import multiprocessing
import os
import resource
import shutil
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
from omegaconf import OmegaConf

from mammo.config import Config
from mammo.datasets.labels import Labels
from mammo.errors import InputError, message_for_user
from mammo.files import owned, scratch, whole, workshop, write_text
from mammo.processes import devices, peers, resume
from mammo.processes.whole_files import WholeFiles
from mammo.run_folder import RunFolder
from mammo.runs.train import train
from mammo.tasks.base import Task
from mammo.tasks.build import build_task
from mammo.training import callbacks
from mammo.training.checkpoints import STOPPED, Cut, Kept
from tests.conftest import SHARES, SMALL, resolved

SAME = ["predictions.csv", "features.safetensors", "curves.csv", "selection.json"]
STEPS = 4  # of each epoch


@pytest.fixture(scope="module")
def config(phantom):
    """The settings of a run that trains with dropout, augmentation and a loader's worker."""

    def of(*overrides):
        lines = [*SMALL, f"data.root={phantom.root}", SHARES, "model=compact", "model.image_size=32", "heads=[knn]"]
        lines += ["data.batch_size=4", "data.workers=1", "trainer.max_epochs=3", "optim.lr_head=0.01", *overrides]
        return resolved(*{line.partition("=")[0]: line for line in lines}.values())

    return of


@pytest.fixture(scope="module")
def uncut(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uncut")
    train(config(), folder)
    return folder


def same(folder, other, *more):
    for name in (*SAME, *more):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    weights, expected = (
        torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"] for path in (folder, other)
    )
    assert weights.keys() == expected.keys() and all(torch.equal(weights[key], expected[key]) for key in expected)


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Sends this process a signal in its so-many-th step of training."""
    steps, plain = [], Task.training_step

    def counted(self, batch, batch_idx):
        steps.append(batch_idx)
        if len(steps) == step:
            os.kill(os.getpid(), number)
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", counted)
    return steps


@pytest.mark.parametrize(
    ("step", "number"),
    [
        pytest.param(3, signal.SIGTERM, id="amid"),
        pytest.param(STEPS, signal.SIGTERM, id="last batch", marks=pytest.mark.slow),
        pytest.param(STEPS + 1, signal.SIGUSR1, id="next epoch", marks=pytest.mark.slow),
        pytest.param(3 * STEPS, signal.SIGTERM, id="end", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_told_to_stop_keeps_all_and_goes_on_as_if_it_had_not(
    config, uncut, unreported, tmp_path, monkeypatch, step, number
):
    cfg = config("ckpt_path=last")
    with monkeypatch.context() as patch:
        steps = stop_at(patch, step, number)
        with pytest.raises(SystemExit) as stopped:
            train(cfg, tmp_path)
    assert stopped.value.code == STOPPED == 143 and len(steps) == step  # after this very batch
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == step
    with monkeypatch.context() as patch:
        steps = stop_at(patch, None)
        train(cfg, tmp_path)
    assert len(steps) == 3 * STEPS - step  # nothing is trained twice
    same(tmp_path, uncut)


@pytest.mark.slow
def test_submitit_requeues_a_job_when_all_is_kept(config, uncut, tmp_path, monkeypatch):
    """At a signal of its own, whose handler it has set before; the one it is asked to ignore is."""
    cfg, last = config("ckpt_path=last"), tmp_path / "checkpoints" / "last.ckpt"

    def requeue(number, frame):
        raise SystemExit(f"requeued at step {torch.load(last, weights_only=True)['global_step']}")

    before = signal.signal(signal.SIGUSR2, requeue)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    try:
        with monkeypatch.context() as patch:
            stop_at(patch, 3, signal.SIGUSR2)
            with pytest.raises(SystemExit, match="requeued at step 3"):
                train(cfg, tmp_path)
        with monkeypatch.context() as patch:  # after training, too
            patch.setattr(callbacks.Features, "on_predict_epoch_end", lambda *_: os.kill(os.getpid(), signal.SIGUSR2))
            signal.signal(signal.SIGUSR2, requeue)  # as in the job's next process
            with pytest.raises(SystemExit, match=f"requeued at step {3 * STEPS}"):
                train(cfg, tmp_path)
        train(cfg, tmp_path)
    finally:
        signal.signal(signal.SIGUSR2, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    same(tmp_path, uncut)


@pytest.mark.slow
def test_a_signal_to_all_processes_ends_none_of_the_loaders_workers(config, uncut, unreported, tmp_path, monkeypatch):
    """Slurm sends it so."""
    cfg, plain = config("ckpt_path=last", "data.workers=2"), os.kill

    def to_all(process, number):
        for child in multiprocessing.active_children():
            plain(child.pid, number)
        time.sleep(1)
        assert len(multiprocessing.active_children()) >= 2  # those that have ended are not counted
        plain(process, number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", to_all)
        stop_at(patch, 3, signal.SIGUSR1)
        with pytest.raises(SystemExit) as stopped:
            train(cfg, tmp_path)
    assert stopped.value.code == STOPPED
    train(cfg, tmp_path)
    same(tmp_path, uncut)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "step"), [({"accumulate_grad_batches": 2}, 3), ({"limit_train_batches": 3}, 3)], ids=["gathered", "limited"]
)
def test_a_run_with_more_options_of_the_trainer_goes_on_too(config, tmp_path, monkeypatch, own, step):
    """Told to stop where gradients wait for more, and at the end of an epoch that is shorter than the data."""
    cfg = config("ckpt_path=last")
    cfg.trainer.more |= own
    train(cfg, tmp_path / "uncut")
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(SystemExit):
            train(cfg, tmp_path / "cut")
    train(cfg, tmp_path / "cut")
    same(tmp_path / "cut", tmp_path / "uncut")


@pytest.mark.slow
def test_a_run_that_had_lost_its_patience_does_not_train_on(config, unreported, tmp_path, monkeypatch):
    cfg = config("early_stopping.patience=1", "trainer.max_epochs=20", "ckpt_path=last")
    train(cfg, tmp_path / "uncut")
    epochs = len((tmp_path / "uncut" / "curves.csv").read_text().splitlines()) - 1
    assert 2 <= epochs < 20
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Features, "on_predict_epoch_end", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(cfg, tmp_path / "cut")
    with monkeypatch.context() as patch:
        steps = stop_at(patch, None)
        train(cfg, tmp_path / "cut")
    assert not steps
    same(tmp_path / "cut", tmp_path / "uncut")


@pytest.mark.slow
def test_a_run_without_patience_stops_at_the_first_epoch_that_is_no_better(config, unreported, tmp_path):
    train(config("early_stopping.patience=0", "trainer.max_epochs=20"), tmp_path)
    assert 2 <= len((tmp_path / "curves.csv").read_text().splitlines()) - 1 < 20


@pytest.mark.slow
def test_a_run_that_is_told_to_stop_after_training_stops_at_once(config, uncut, unreported, tmp_path, monkeypatch):
    cfg = config("ckpt_path=last")
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Features, "on_predict_epoch_end", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(SystemExit) as stopped:
            train(cfg, tmp_path)
    assert stopped.value.code == STOPPED and not (tmp_path / "predictions.csv").exists()
    train(cfg, tmp_path)
    same(tmp_path, uncut)


@pytest.mark.slow
def test_a_run_whose_folder_was_moved_still_knows_its_best_epoch(config, uncut, tmp_path, monkeypatch):
    cfg = config("ckpt_path=last")
    with monkeypatch.context() as patch:
        stop_at(patch, 2 * STEPS + 1)
        with pytest.raises(SystemExit):
            train(cfg, tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    train(cfg, tmp_path / "there")
    same(tmp_path / "there", uncut, "metrics.json")


def test_a_folder_that_was_moved_keeps_its_best_score(tmp_path):
    """Or the first epoch after that, however bad, would be the best."""
    here, there = (Kept(tmp_path / name, "best", monitor="val/auroc", full=False) for name in ("here", "there"))
    path = str(tmp_path / "here" / "best.ckpt")
    here.best_model_path = here.kth_best_model_path = path
    here.best_model_score, here.best_k_models = torch.tensor(0.8), {path: torch.tensor(0.8)}
    there.load_state_dict(here.state_dict())
    trainer = SimpleNamespace(strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, **_: decision))
    assert not there.check_monitor_top_k(trainer, torch.tensor(0.7))
    assert there.check_monitor_top_k(trainer, torch.tensor(0.9))
    assert there.best_model_path == str(tmp_path / "there" / "best.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("cache", [True, False])
def test_a_frozen_trunks_run_is_told_to_stop_too(config, unreported, resnet_trunk, tmp_path, monkeypatch, cache):
    """It keeps no checkpoint, and says so; its head is trained again, unless that takes the trunk's outputs anew."""
    cfg = config("model=resnet18", f"model.weights={resnet_trunk}", "ckpt_path=last", f"data.cache={cache}")
    train(cfg, tmp_path / "uncut")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(SystemExit):
            train(cfg, tmp_path / "cut")
    assert bool(list((tmp_path / "cut").rglob("last.ckpt"))) != cache
    train(cfg, tmp_path / "cut")
    same(tmp_path / "cut", tmp_path / "uncut")


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    """A real limit on the size of files."""
    path, plugin = tmp_path / "last.ckpt", WholeFiles()
    plugin.save_checkpoint({"epoch": torch.tensor(1)}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"last\.ckpt: the checkpoint cannot be written \(File too large\); free"):
            plugin.save_checkpoint({"epoch": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.load(path, weights_only=True) == {"epoch": torch.tensor(1)}
    assert [left.name for left in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_told_in_one_line(tmp_path):
    """Whatever is written; by a real limit on the size of files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as features:
            RunFolder(tmp_path).write_features(np.zeros((1000, 100)), pd.DataFrame())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert message_for_user(features.value).startswith(f"{tmp_path / 'features.safetensors'}: File too large; free ")
    assert message_for_user(OSError(71, "Protocol error")) is None and not list(tmp_path.iterdir())


class Payload:
    """A pickle of it makes a folder where it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("step", ["go on", "evaluate"])
@pytest.mark.parametrize("fault", ["a pickle", "a part of it"])
def test_a_checkpoint_is_read_without_pickle(config, uncut, tmp_path, monkeypatch, step, fault):
    """A checkpoint of a run that goes on, and of one that is evaluated; half a file is told in the same line."""
    folder = tmp_path / "run"
    shutil.copytree(uncut, folder)
    best = folder / "checkpoints" / "best.ckpt"
    path = best.with_name("last.ckpt") if step == "go on" else best
    torch.save(torch.load(best, weights_only=True) | {"more": Payload(tmp_path / "loaded")}, path)
    if fault == "a part of it":
        path.write_bytes(best.read_bytes()[:10_000])
    how = {"ckpt_path": "last"} if step == "go on" else {"fit": False, "ckpt_path": str(folder)}
    with pytest.raises(InputError, match=rf"{path.name}: expected tensors and plain values"):
        train(replace(config(), **how), folder if step == "go on" else tmp_path / "evaluated")
    with pytest.raises(InputError, match=rf"{path.name}: expected tensors and plain values"):
        WholeFiles().load_checkpoint(path, weights_only=False)  # as Lightning does, in the other processes
    assert not (tmp_path / "loaded").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write_text("before", tmp_path / "table")
    with pytest.raises(OSError), whole(tmp_path / "table") as temporary:
        temporary.write_text("hal")
        raise OSError
    assert (tmp_path / "table").read_text() == "before"
    assert [left.name for left in tmp_path.iterdir()] == ["table"]


KILLED = """
import multiprocessing, os, pathlib, signal, sys
from multiprocessing import resource_tracker
from mammo.files import scratch
with scratch(pathlib.Path(sys.argv[1]), 0):
    lock = multiprocessing.get_context("spawn").Lock()
    os.kill(resource_tracker._resource_tracker._pid, signal.SIGKILL)  # as in a kill of all processes
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_temporary_files_of_a_job_lie_in_one_folder_that_is_emptied_when_it_goes_on(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with scratch(tmp_path / "run", 0):
        kept = Path(tempfile.mkdtemp()).parent
        assert kept.parent == tmp_path and os.environ["TMPDIR"] == str(kept)
    assert not kept.exists() and tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "run")])
    killed.wait()
    left = list(Path("/dev/shm").glob(f"sem.mp-{killed.pid}-*"))
    assert left
    (kept / "left").mkdir(parents=True)
    (kept / f"process-{killed.pid}").touch()
    semaphore = Path("/dev/shm", f"sem.loky-{killed.pid}-test")
    semaphore.touch()
    with scratch(tmp_path / "run", 0):
        assert kept.is_dir() and not (kept / "left").exists() and not any(one.exists() for one in (semaphore, *left))


def record(folder, task, *, written=None, finished=False):
    """The files that Hydra leaves of a run."""
    (folder / ".hydra").mkdir(parents=True)
    hydra = {"hydra": {"overrides": {"task": task, "hydra": ["hydra.run.dir=elsewhere", "hydra.verbose=true"]}}}
    OmegaConf.save(OmegaConf.create(hydra), folder / ".hydra" / "hydra.yaml")
    OmegaConf.save(OmegaConf.create(task if written is None else written), folder / ".hydra" / "overrides.yaml")
    if finished:
        (folder / resume.FINISHED).write_text("{}")
    return folder


def test_resume_is_the_command_of_the_run_in_its_folder(tmp_path):
    folder = record(tmp_path / "Jürgen", ["seed=3", "model.weights=${model.name}.safetensors"])
    line = ["seed=3", "model.weights=${model.name}.safetensors", "ckpt_path=last", "hydra.verbose=true"]
    into = [f'hydra.run.dir="{folder}"', "hydra.output_subdir=null"]  # a second kill tears nothing of the record
    assert resume.resumed([f"resume={folder}"]) == [*line, *into]
    evaluated = record(tmp_path / "evaluated", ["fit=false", "ckpt_path=run"])
    assert "ckpt_path=last" not in resume.resumed([f"resume={evaluated}"])


def test_a_folder_that_is_named_again_goes_on_with_its_run_and_is_not_replaced_by_another(tmp_path):
    folder = record(tmp_path / "a run", ["seed=3", "model=vgg16"], finished=True)
    into = f'hydra.run.dir="{folder}"'
    assert resume.named_again(["model=vgg16", "seed=3", into])[2:] == [
        into,
        "ckpt_path=last",
        "hydra.output_subdir=null",
    ]
    with pytest.raises(InputError, match=r"a run: a run of other settings is there; name another folder"):
        resume.named_again(["model=vgg16", into])
    (folder / resume.FINISHED).unlink()
    assert resume.named_again(["model=vgg16", into]) == ["model=vgg16", into]  # nothing is lost
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(InputError, match="a run of other settings is there"):
        resume.named_again(["model=vgg16", into])
    shared = record(tmp_path / "shared", [], finished=True)
    shutil.rmtree(shared / ".hydra")
    with pytest.raises(InputError, match="a run of other settings is there"):
        resume.named_again([f"hydra.run.dir={shared}"])
    evaluated = record(tmp_path / "evaluated", ["fit=false", "ckpt_path=run"], finished=True)
    line = ["fit=false", "ckpt_path=run", f"hydra.run.dir={evaluated}"]
    assert resume.named_again(line) == [*line, "hydra.output_subdir=null"]


def test_a_run_that_was_killed_while_its_command_was_written_down_is_not_run_under_half_of_it(tmp_path):
    folder = record(tmp_path / "run", ["seed=3", "model=vgg16"], written=["seed=3"])
    with pytest.raises(InputError, match=r"was killed as it began; .* with hydra\.run\.dir=.*/run ckpt_path=last"):
        resume.resumed([f"resume={folder}"])
    (tmp_path / "multirun.yaml").write_text("hydra:\n  over")
    with pytest.raises(InputError, match=r"multirun\.yaml is incomplete; .* hydra\.sweep\.dir="):
        resume.resumed([f"resume={tmp_path}"])


def test_ckpt_path_last_finds_the_newest_unfinished_run_of_the_same_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ["model=vgg16", "seed=1", "ckpt_path=last"]
    assert resume.resumed(line) == line  # nothing there: a new one starts
    task = ["seed=1", "model=vgg16"]
    newest, taken = Path("outputs/2026-01-02/10-00-00"), Path("outputs/2026-01-05/10-00-00")
    records = [
        record(Path("outputs/slurm/17.0"), task),
        record(newest, task),
        record(Path("outputs/2026-01-03/10-00-00"), task, finished=True),
        record(Path("outputs/2026-01-04/10-00-00"), ["seed=2", "model=vgg16"]),
        record(taken, task),
        record(Path("outputs/2026-01-06/10-00-00"), task, written=task[:1]),
    ]
    for number, folder in enumerate(records):
        os.utime(folder / ".hydra" / "hydra.yaml", (number, number))
    with resume.held(taken):
        into = [f'hydra.run.dir="{newest}"', "hydra.output_subdir=null"]
        assert resume.resumed(line) == [*line, *into]
        verbose = [*line, "hydra.verbose=true"]
        assert resume.resumed(verbose) == [*verbose, *into]
    named = [*line, "hydra.run.dir=mine"]
    assert resume.resumed(named) == named
    with pytest.raises(InputError, match="continue a sweep with resume=<its folder>"):
        resume.resumed(["-m", *line])
    monkeypatch.setattr(resume.peers, "peers", lambda: resume.peers.Peers("srun", 0, 2, 2))
    assert resume.resumed(line) == line  # its folder follows from Slurm's number
    monkeypatch.setattr(resume.peers, "peers", lambda: resume.peers.Peers("torchrun", 0, 2, 1))
    with pytest.raises(InputError, match="torchrun with ckpt_path=last: name the run's folder"):
        resume.resumed(line)  # each process would look for itself


def test_runs_that_begin_in_one_second_have_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    names = [peers.run_name() for _ in range(3)]
    assert names == [names[0], f"{names[0]}-2", f"{names[0]}-3"]
    assert all(not any(Path("outputs", name).iterdir()) for name in names)
    shutil.rmtree("outputs")
    Path("outputs").touch()  # no folder can be made: Hydra says so
    assert peers.run_name() == names[0]


def test_two_processes_are_not_at_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "PATIENCE_S", 0.3)
    with (
        resume.held(tmp_path),
        pytest.raises(InputError, match="another process is running there"),
        resume.held(tmp_path),
    ):
        pass
    with resume.held(tmp_path):
        pass


CONFIG = Config(heads=["svm"])
GOES_ON = replace(CONFIG, ckpt_path="last")


def test_a_run_goes_on_under_its_own_configuration_alone(tmp_path):
    (tmp_path / "provenance.json").write_text(json.dumps({"config": CONFIG.as_dict()}))
    assert resume.begin(tmp_path, GOES_ON, of_sweep=False, main=True) == (GOES_ON, None)
    with pytest.raises(InputError, match="was started with another seed; use the same settings, or resume="):
        resume.begin(tmp_path, replace(GOES_ON, seed=1), of_sweep=False, main=True)


@pytest.mark.parametrize("of_sweep", [True, False])
def test_what_is_not_gone_on_with_is_removed_by_the_first_process_alone(tmp_path, of_sweep):
    """In a sweep, what another configuration has left; else what any has."""
    (tmp_path / "provenance.json").write_text(json.dumps({"config": replace(CONFIG, seed=int(of_sweep)).as_dict()}))
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.touch()
    resume.begin(tmp_path, CONFIG, of_sweep=of_sweep, main=False)
    assert last.exists()
    resume.begin(tmp_path, CONFIG, of_sweep=of_sweep, main=True)
    assert not last.exists() and not (tmp_path / "provenance.json").exists()


@pytest.mark.parametrize("record", ['{"config": {', '{"tool": "another"}', "[1]", '{"config": null}'])
@pytest.mark.parametrize("config", [CONFIG, GOES_ON])
def test_a_record_that_is_damaged_or_anothers_is_neither_removed_nor_gone_on_with(tmp_path, record, config):
    (tmp_path / "provenance.json").write_text(record)
    with pytest.raises(InputError, match=r"provenance\.json is damaged, or another program's; remove it"):
        resume.begin(tmp_path, config, of_sweep=False, main=True)
    assert (tmp_path / "provenance.json").read_text() == record


def test_what_a_kill_left_beside_a_finished_run_is_removed_when_it_is_asked_for_again(tmp_path):
    resume.finish(tmp_path, GOES_ON, {})
    (tmp_path / f"{owned()}report.md.tmp").touch()
    (tmp_path / "mine.tmp").touch()  # a user's, who has named a folder of his own
    assert resume.begin(tmp_path, GOES_ON, of_sweep=False, main=True) == (GOES_ON, {})
    assert sorted(left.name for left in tmp_path.iterdir()) == [resume.FINISHED, "mine.tmp"]


def test_a_run_does_not_go_on_in_another_precision(config, tmp_path, monkeypatch):
    cfg = config("ckpt_path=last")
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(SystemExit):
            train(cfg, tmp_path)
    here = json.loads((tmp_path / "provenance.json").read_text())["precision"]
    monkeypatch.setattr(devices, "has_bfloat16", lambda _: here == "32-true")
    with pytest.raises(InputError, match=f"precision {here}, "):
        train(cfg, tmp_path)


def test_metrics_come_back_on_the_device_of_the_network(config):
    """Lightning loads checkpoints to the CPU; `meta` stands for a GPU here."""
    cfg = config()
    classifier = build_task(cfg, Labels.from_config(cfg.task))
    state = {"loss": {"mean_value": torch.tensor(1.0)}, "auroc": {"preds": [torch.ones(2, 2)]}}
    classifier.to("meta").restore_metrics(state)
    metrics = classifier._training_metrics()
    assert metrics["loss"].mean_value.device.type == metrics["auroc"].preds[0].device.type == "meta"


def test_what_a_killed_process_left_beside_films_is_removed_by_the_next(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True, text=True
    ).stdout
    mine, others = owned(), owned().replace(str(os.getpid()), gone.strip())
    elsewhere = others.replace(socket.gethostname(), "elsewhere")
    for name in (mine, others, elsewhere):
        (tmp_path / f".mias-{name}x").mkdir()
    with workshop(tmp_path / "mias") as folder:
        assert folder.parent == tmp_path and folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f".mias-{mine}x", f".mias-{elsewhere}x"])


def test_a_training_that_is_stopped_names_the_folder_to_continue_with(caplog, tmp_path):
    trainer = SimpleNamespace(is_global_zero=True, default_root_dir=str(tmp_path))
    with pytest.raises(SystemExit), caplog.at_level("WARNING"):
        Cut(None)._end(trainer)
    assert f"continue with resume={tmp_path}" in caplog.text
