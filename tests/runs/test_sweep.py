"""Sweeps: named by what distinguishes a job, the same when cut and resumed, ending with one table."""

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from mammo.config import Config, register
from mammo.errors import InputError
from mammo.processes import resume
from mammo.runs import sweep
from tests.evaluation.tables import predictions, run_folder

ROOT = Path(__file__).parents[2]
TABLES = ["leaderboard.md", "leaderboard.csv", "leaderboard.png", "jobs.json"]


def composed(*overrides):
    """A job's configuration with Hydra's own part, as it is when a sweep starts the job."""
    sweep.register()
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


def named(tmp_path, asked, *job):
    """The folder's name of one job of the sweep that was asked for."""
    cfg = composed(*job, f"hydra.sweep.dir={tmp_path}")
    cfg.hydra.overrides.task = list(job)
    record = {"hydra": {"sweeper": {"params": None}, "overrides": {"task": asked, "hydra": []}}}
    OmegaConf.save(OmegaConf.create(record), tmp_path / "multirun.yaml")
    HydraConfig.instance().set_config(cfg)
    return cfg.hydra.sweep.subdir


def test_a_job_is_named_by_what_the_sweep_varies_and_by_its_configuration(tmp_path):
    asked = ["model=vgg16,inception", "optim.lr_head=0.1,0.01", "seed=3", "data=phantom"]
    names = [
        named(tmp_path, asked, f"model={model}", f"optim.lr_head={rate}", "seed=3", "data=phantom")
        for model in ("vgg16", "inception")
        for rate in (0.1, 0.01)
    ]
    assert [name.rpartition("_")[0] for name in names] == [
        "vgg16_lr_head-0.1", "vgg16_lr_head-0.01", "inception_lr_head-0.1", "inception_lr_head-0.01",
    ]  # fmt: skip
    assert len({name.rpartition("_")[2] for name in names}) == 4


def test_what_a_sweep_varies_itself_is_in_the_name_too(tmp_path):
    record = OmegaConf.create(
        {
            "hydra": {
                "sweeper": {"params": {"data.fold": "range(${data.folds})"}},
                "overrides": {"task": ["model=vgg16,inception", "model.weights=${model.name}.safetensors"]},
            },
            "data": {"folds": 3},
            "model": {"name": "vgg16"},
        }
    )
    OmegaConf.save(record, tmp_path / "multirun.yaml")
    assert sweep._swept(tmp_path / "multirun.yaml") == {"data.fold", "model"}


def test_another_configuration_has_another_name_even_where_the_sweep_says_the_same(tmp_path):
    asked = ["model=vgg16,inception"]
    names = {named(tmp_path, asked, "model=vgg16", f"trainer.max_epochs={epochs}") for epochs in (1, 2)}
    assert len(names) == 2 and len({name.rpartition("_")[0] for name in names}) == 1


def test_a_name_is_sanitised_and_bounded(tmp_path):
    weights = f"model.weights=/some/folder/{'x' * 300}.safetensors"
    name = named(tmp_path, [f"{weights},null"], weights)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name) and len(name) <= 90


def test_a_sweep_without_m_is_refused():
    cfg = composed("sweep=folds")
    cfg.hydra.mode = RunMode.RUN
    cfg.hydra.runtime.choices.sweep = "folds"
    HydraConfig.instance().set_config(cfg)
    with pytest.raises(InputError, match=r"add -m, python train\.py -m sweep=folds"):
        sweep.check_job(cfg)


def test_a_key_that_the_sweep_varies_itself_is_refused_on_the_line():
    cfg = composed("sweep=folds", "data.fold=1")
    cfg.hydra.mode = RunMode.MULTIRUN
    cfg.hydra.overrides.task = ["data.fold=0", "seed=0", "sweep=folds", "data.fold=1"]
    HydraConfig.instance().set_config(cfg)
    with pytest.raises(InputError, match=r"data\.fold is set by sweep=folds"):
        sweep.check_job(cfg)


def test_resume_is_the_command_of_the_sweep_in_its_folder(tmp_path):
    """Interpolations too are as they were said: each job resolves them for itself."""
    task = ["sweep=folds", "model=vgg16,inception", "model.weights=${model.name}.safetensors"]
    hydra = ["hydra.mode=MULTIRUN", "hydra.sweep.dir=elsewhere", "hydra/launcher=basic"]
    record = {"hydra": {"overrides": {"task": task, "hydra": hydra}}, "model": {"name": "vgg16"}}
    OmegaConf.save(OmegaConf.create(record), tmp_path / "multirun.yaml")
    line = ["-m", *task, "hydra/launcher=basic", f'hydra.sweep.dir="{tmp_path}"']
    assert resume.resumed(["-m", f"resume={tmp_path}"]) == resume.resumed([f"resume={tmp_path}"]) == line
    assert resume.resumed(["model=vgg16"]) == ["model=vgg16"]


@pytest.mark.parametrize(
    ("others", "message"),
    [(["seed=3"], "leave out seed=3"), ([], "no run and no sweep in it; name its folder")],
)
def test_resume_stands_alone_and_needs_a_sweep(tmp_path, others, message):
    with pytest.raises(InputError, match=message):
        resume.resumed([f"resume={tmp_path}", *others])


def test_a_changed_configuration_is_not_a_finished_job(tmp_path):
    config, metrics = Config(), {"test/svm/auroc": 0.5}

    def begun(config, *, of_sweep):
        resume.finish(tmp_path, Config(), metrics)
        return resume.begin(tmp_path, config, of_sweep=of_sweep, main=True)[1]

    assert begun(replace(config, seed=1), of_sweep=True) is None
    assert begun(config, of_sweep=True) == metrics
    assert begun(config, of_sweep=False) is None  # a run is run when it is asked for
    assert begun(replace(config, ckpt_path="last"), of_sweep=False) == metrics


def command(phantom, folder, *overrides):
    small = ["data=phantom", "data.patients=16", "data.batch_size=8", "data.workers=0", "trainer.max_epochs=1"]
    small += [f"data.root={phantom.root}", "model=compact", "model.image_size=32", "split.shares=[0.5,0.25,0.25]"]
    return [sys.executable, str(ROOT / "train.py"), "-m", *overrides, *small, f"hydra.sweep.dir={folder}"]


def killed(line, when):
    """Starts a command, kills it and all its children as soon as `when()` holds."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not when():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ended(line):
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_killed_sweep_ends_with_the_table_that_it_would_have_had(phantom, tmp_path):
    """The second job is cut as soon as it has written its predictions, and runs again; the first one does not."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    ended(command(phantom, whole, "seed=0,1"))
    killed(command(phantom, cut, "seed=0,1"), lambda: len(list(cut.glob("*/predictions.csv"))) == 2)
    assert len(list(cut.glob("*/finished.json"))) == 1 and not (cut / "leaderboard.md").exists()
    first = next(cut.glob("*/finished.json")).parent / "predictions.csv"
    before = first.stat().st_mtime_ns
    said = ended([sys.executable, str(ROOT / "train.py"), f"resume={cut}"])
    assert said.count("finished before, not run again") == 1 and first.stat().st_mtime_ns == before
    for name in TABLES:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("objective=test/softmax/auroc", "tuning on anything but validation is a leak"),
        ("split.shares=[0.7,0,0.3]", "sweep=tune .*validation"),
    ],
)
def test_tuning_by_anything_but_validation_is_refused(own, message):
    cfg = composed("sweep=tune", own)
    cfg.hydra.mode = RunMode.MULTIRUN
    cfg.hydra.runtime.choices.sweep = "tune"
    HydraConfig.instance().set_config(cfg)
    with pytest.raises(InputError, match=message):
        sweep.check_job(cfg)


def open_studies(folder, start):
    """A worker that opens ten studies, each when the clock says."""
    import optuna
    import sqlalchemy  # noqa: F401, loaded before the clock runs

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for number in range(10):
        while time.time() < start + number:
            pass
        sweep.open_study(f"sqlite:///{folder}/{number}.db", "tune", "maximize")
        optuna.load_study(study_name="tune", storage=f"sqlite:///{folder}/{number}.db")


@pytest.mark.slow
def test_workers_that_start_at_once_open_one_study(tmp_path):
    """Optuna itself fails of this, in 12 of 30 tries."""
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=open_studies, args=(tmp_path, time.time() + 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]


@pytest.mark.slow
def test_a_storage_that_cannot_be_used_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    """By the callback that Hydra calls before the first job; the program itself with `-m slow`."""
    monkeypatch.setattr(sweep, "STORAGE_TRIES", 1)
    cfg = composed("sweep=tune", f"hydra.sweep.dir={tmp_path}", f"hydra.sweeper.storage=sqlite:///{tmp_path}/none/x.db")
    with pytest.raises(SystemExit) as ended:
        sweep.Leaderboard().on_multirun_start(cfg)
    assert ended.value.code == 2
    assert re.fullmatch("error: hydra.sweeper.storage=sqlite:.*\n", capsys.readouterr().err)


@pytest.mark.slow
def test_a_program_whose_storage_cannot_be_used_tells_it_in_one_line(tmp_path):
    line = [sys.executable, str(ROOT / "train.py"), "-m", "sweep=tune", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = subprocess.run(
        [*line, f"hydra.sweeper.storage=sqlite:///{tmp_path}/none/x.db"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2 and re.fullmatch("error: hydra.sweeper.storage=sqlite:.*\n", done.stderr)


@pytest.mark.slow
def test_two_workers_tune_one_study(phantom, tmp_path):
    """At the same time, by one storage; each ends with its own table."""
    import optuna

    storage = f"sqlite:///{tmp_path}/tune.db"
    own = [f"hydra.sweeper.storage={storage}", "hydra.sweeper.sampler.seed=null", "hydra.sweeper.n_trials=2"]
    lines = [command(phantom, tmp_path / f"worker{number}", "sweep=tune", *own) for number in range(2)]
    workers = [subprocess.Popen(line) for line in lines]
    assert [worker.wait(600) for worker in workers] == [0, 0]
    trials = optuna.load_study(study_name="tune", storage=storage).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert len({trial.params["optim.lr_head"] for trial in trials}) == 4
    for number in range(2):
        assert "best of 2 trials by val/softmax/auroc" in (tmp_path / f"worker{number}" / "tune.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("own", [[], ["trainer.devices=2"]], ids=["one device", "two devices"])
def test_joblib_runs_jobs_in_processes_of_its_own(phantom, tmp_path, own):
    """With the tables of a sweep that runs one job after the other."""
    ended(command(phantom, tmp_path / "in turn", "seed=0,1", *own))
    ended(command(phantom, tmp_path / "joblib", "seed=0,1", *own, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"))
    for name in TABLES:
        assert (tmp_path / "in turn" / name).read_bytes() == (tmp_path / "joblib" / name).read_bytes(), name


@pytest.mark.slow
def test_a_joblib_sweep_that_is_killed_leaves_no_job_at_work(phantom, tmp_path):
    line = command(phantom, tmp_path, "seed=0,1,2,3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(tmp_path.glob("*/provenance.json")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 15
    while session(process.pid):
        assert time.monotonic() < deadline, "jobs outlive the sweep"
        time.sleep(0.2)
    ended([sys.executable, str(ROOT / "train.py"), f"resume={tmp_path}"])
    assert len(list(tmp_path.glob("*/finished.json"))) == 4


def session(number):
    """Processes of a session that still run."""
    found = subprocess.run(["ps", "-o", "stat=", "-s", str(number)], check=False, capture_output=True, text=True).stdout
    return [state for state in found.split() if not state.startswith("Z")]


def test_jobs_of_an_earlier_configuration_in_the_folder_stay_out_of_the_table(tmp_path):
    """A job's `job.json` is written again when the sweep comes to it, also to find it finished."""
    for name, moment in (("now", 200), ("before", 50)):
        folder = run_folder(tmp_path / name, predictions())
        sweep.write_job(folder, sweep.said(["seed=0"]))
        os.utime(folder / "job.json", (moment, moment))
    (tmp_path / "multirun.yaml").touch()
    os.utime(tmp_path / "multirun.yaml", (100, 100))
    hydra = {"sweep": {"dir": str(tmp_path)}, "runtime": {"choices": {"sweep": None}}}
    sweep.Leaderboard().on_multirun_end(OmegaConf.create({"hydra": hydra}))
    assert json.loads((tmp_path / "jobs.json").read_text()) == ["now"]
    assert "folds: 1, seeds: 1" in (tmp_path / "leaderboard.md").read_text()


@pytest.mark.slow
def test_a_sweep_killed_at_three_random_moments_ends_with_the_same_table(phantom, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    started = time.monotonic()
    jobs = ("seed=0,1,2", "optim.lr_head=0.01,0.001")
    ended(command(phantom, whole, *jobs))
    lasted = time.monotonic() - started
    chance = random.Random(os.urandom(8))
    line = command(phantom, cut, *jobs)
    for _ in range(3):
        moment = time.monotonic() + chance.uniform(0.1, 0.4) * lasted
        killed(line, lambda moment=moment: time.monotonic() > moment)
        left = len(list(cut.glob("*/finished.json")))
        print(f"killed with {left} of 6 jobs finished")
        if (cut / "multirun.yaml").is_file():
            line = [sys.executable, str(ROOT / "train.py"), "-m", f"resume={cut}"]
    ended(line)
    for name in TABLES:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name


JOBS = """
import gc, weakref
from mammo.cli import train
from mammo.runs import job

class Trainer: pass
left = []

def run(config, folder, said, **more):
    gc.disable()
    print("alive:", sum(one() is not None for one in left))
    one = Trainer()
    one.task = {"trainer": one}  # as Lightning's do, they name each other
    left.append(weakref.ref(one))
    return config, {}

job.run = run
train.main(["-m", "data=phantom", "seed=0,1,2"])
"""


def test_what_a_job_of_a_sweep_leaves_is_freed_before_the_next_one(tmp_path):
    ended = subprocess.run([sys.executable, "-c", JOBS], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.findall(r"alive: \d", ended.stdout) == ["alive: 0"] * 3
