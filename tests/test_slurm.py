"""On a real Slurm of two nodes on this machine: both train and cut, a sweep is an array, time runs out, a node dies.

Needs Debian's slurm-wlm and munge, and root: `python -m pytest -m slurm -n 0 -s`.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from mammo.auditing.hashes import read_grey
from mammo.files import read_json
from tests.conftest import CONF, SHARES

PROGRAMS = ("slurmctld", "slurmd", "srun", "sbatch", "scontrol", "munged")
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)), reason="needs Slurm's programs, munge and root"
    ),
]
ROOT = CONF.parent
SETTINGS = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdTimeout=20
KillWait=10
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
MpiDefault=none
JobRequeue=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17101 CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17102 CPUs=1 RealMemory=4000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
ONE_CORE = {"OMP_NUM_THREADS": "1"}  # as a node has; a cluster would see to that
# What this machine has otherwise than the cluster of the page: a core for each node, one task on each, and the address
# of the first node, whose name is made up here.
SMALLER = {
    "--ntasks-per-node=4 --gpus-per-node=4 --cpus-per-task=8 --time=04:00:00": "--ntasks-per-node=1 --cpus-per-task=1",
    "USR1@90": "USR1@40",
    "srun ": "export MASTER_ADDR=127.0.0.1\nsrun ",
    ".venv/bin/python train.py": f"{sys.executable} {ROOT / 'train.py'}",
    "trainer.devices=4 ": "",
}


ARRAY = {  # the same for the page on large archives
    "--array=1-64 --cpus-per-task=8 --time=02:00:00": "--array=1-3 --cpus-per-task=1",
    ".venv/bin/python": sys.executable,
    "/64": "/3",
}
NOTED = """
import os, time
from mammo.datasets.mias import MIAS
honest = MIAS.read
def read(self, image_id):
    who = os.environ.get("SLURM_ARRAY_TASK_ID") or os.environ.get("SLURM_PROCID")
    with open(os.environ["FILMS"], "a") as file:
        file.write(f"{who} {image_id}\\n")
    time.sleep(0.3)
    return honest(self, image_id)
MIAS.read = read
"""


def script(arguments, page="several-devices", smaller=SMALLER, example="model=inception"):
    """The script of a page, for nodes of one core and these words."""
    page = (ROOT / f"docs/how-to/{page}.md").read_text()
    text = re.search(r"^```bash\n(#!/bin/bash\n.*?)^```", page, re.MULTILINE | re.DOTALL).group(1)
    for theirs, ours in (smaller | {example: " ".join(arguments)}).items():
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    return text


class Slurm:
    """A cluster of two nodes with a core each."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "state").mkdir(parents=True)
        host = socket.gethostname().partition(".")[0]
        (folder / "slurm.conf").write_text(SETTINGS.format(host=host, folder=folder))
        self.env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), **ONE_CORE}
        self.munged = subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode != 0
        if self.munged:
            Path("/run/munge").mkdir(exist_ok=True)
            shutil.chown("/run/munge", "munge")
            subprocess.run(["su", "-s", "/bin/bash", "munge", "-c", "munged"], check=True)
        self("slurmctld", "-f", str(folder / "slurm.conf"))
        for node in ("n1", "n2"):
            self.start(node)
        wait(lambda: self("sinfo", "-h", "-o", "%T %D").strip() == "idle 2", 60)

    def __call__(self, *command, cwd=None):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, cwd=cwd)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def start(self, node):
        self("slurmd", "-N", node, "-f", str(self.folder / "slurm.conf"))

    def kill(self, node):
        """All at once, as when a machine loses its power."""
        daemon = int((self.folder / f"slurmd.{node}.pid").read_text())
        tasks = on_node(node)
        stepds = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in tasks} - set(
            tasks
        )
        for pid in (daemon, *stepds, *tasks):
            kill(pid, signal.SIGKILL)
        return len(tasks)

    def submit(self, cwd, *arguments, options=(), **how):
        """Queues a page's script; returns the number of its job."""
        job = cwd / "job.sh"
        job.write_text(script(arguments, **how))
        return self("sbatch", "--parsable", *options, str(job), cwd=cwd).strip()

    def state(self, job):
        shown = self("scontrol", "-o", "show", "job", job)
        return dict(word.partition("=")[::2] for word in shown.split())

    def hurry(self):
        """Slurm has a requeued job wait for two minutes."""
        for job in self("squeue", "-h", "-t", "PD", "-o", "%i %r").splitlines():
            number, reason = job.split(maxsplit=1)
            if reason.strip("()") == "BeginTime":
                self("scontrol", "update", f"JobId={number}", "StartTime=now")

    def completed(self, job, seconds):
        def over():
            self.hurry()
            return self.state(job)["JobState"] in ("COMPLETED", "FAILED", "CANCELLED")

        wait(over, seconds)
        return self.state(job)

    def close(self):
        pids = [*self.folder.glob("*.pid"), *([Path("/run/munge/munged.pid")] if self.munged else [])]
        for pid in pids:
            kill(int(pid.read_text()), signal.SIGTERM)


def on_node(node):
    """Processes that Slurm has started on a node."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"\0SLURMD_NODENAME={node}\0".encode() in b"\0" + environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def kill(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def settings(phantom):
    small = ["data=phantom", f"data.root={phantom.root}", "data.patients=16", "data.batch_size=4", "model=compact"]
    return [*small, SHARES, "model.image_size=64", "optim.lr_head=0.003", "early_stopping.patience=null"]


def alone(cwd, *arguments):
    """The program without Slurm."""
    line = [sys.executable, str(ROOT / "train.py"), *arguments]
    env = os.environ | ONE_CORE
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]


def same(cut, whole):
    for name in ("predictions.csv", "metrics.json", "features.safetensors", "curves.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name


def test_two_nodes_train_as_two_devices_of_one_machine_do(slurm, settings, tmp_path):
    settings = [*settings, "trainer.max_epochs=4"]
    alone(tmp_path, *settings, "trainer.devices=2", "hydra.run.dir=alone")
    job = slurm.submit(tmp_path, *settings)
    assert slurm.completed(job, 300)["JobState"] == "COMPLETED"
    folder = tmp_path / "outputs" / "slurm" / f"{job}.0"
    same(folder, tmp_path / "alone")
    assert read_json(folder / "provenance.json")["devices"] == "2 cpu"
    table = pd.read_csv(folder / "predictions.csv")
    assert not table.duplicated(["image_id", "head"]).any() and table["image_id"].nunique() == 32


def test_bad_input_is_not_tried_again(slurm, settings, tmp_path):
    for _ in range(3):  # which process ends first, and so whose end is a signal, is chance
        job = slurm.submit(tmp_path, *settings, "data.batch_size=3")
        slurm.completed(job, 240)
        assert "error: data.batch_size=3 cannot be shared by 2 devices" in (tmp_path / f"slurm-{job}.out").read_text()
        assert slurm.state(job)["Restarts"] == "0"


def test_a_job_whose_time_runs_out_is_requeued_and_goes_on(slurm, settings, tmp_path):
    """Two minutes each time; Slurm sends its signal forty seconds before the end, or up to a minute earlier."""
    settings = [*settings, "trainer.max_epochs=900"]
    alone(tmp_path, *settings, "trainer.devices=2", "hydra.run.dir=alone")
    job = slurm.submit(tmp_path, *settings, options=["--time=2"])
    ended = slurm.completed(job, 600)
    assert ended["JobState"] == "COMPLETED" and int(ended["Restarts"]) >= 1
    log = (tmp_path / f"slurm-{job}.out").read_text()
    print(f"\nrequeued {ended['Restarts']} times; stopped by its signal {log.count('stopped by SIGUSR1')} times")
    assert log.count("stopped by SIGUSR1") >= 1
    same(tmp_path / "outputs" / "slurm" / f"{job}.0", tmp_path / "alone")


def test_a_job_whose_node_dies_goes_on_when_the_node_is_back(slurm, settings, tmp_path):
    settings = [*settings, "trainer.max_epochs=60"]
    alone(tmp_path, *settings, "trainer.devices=2", "hydra.run.dir=alone")
    job = slurm.submit(tmp_path, *settings)
    folder = tmp_path / "outputs" / "slurm" / f"{job}.0"
    wait(lambda: (folder / "curves.csv").is_file() and len((folder / "curves.csv").read_text().splitlines()) > 5, 120)
    assert slurm.kill("n2")
    epochs = len((folder / "curves.csv").read_text().splitlines()) - 1
    wait(lambda: not on_node("n1") or slurm.state(job)["JobState"] != "RUNNING", 60)  # the other does not wait on
    slurm.start("n2")
    ended = slurm.completed(job, 600)
    print(f"\nkilled after {epochs} of 60 epochs; requeued {ended['Restarts']} times")
    assert ended["JobState"] == "COMPLETED" and int(ended["Restarts"]) >= 1
    same(folder, tmp_path / "alone")


def test_a_sweep_is_an_array_whose_jobs_are_requeued_when_their_time_runs_out(slurm, settings, tmp_path):
    settings = ["-m", "seed=0,1", *settings, "trainer.max_epochs=2000"]
    array = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=40"]
    array += ["hydra.launcher.max_num_timeout=9", "hydra.launcher.cpus_per_task=1"]
    alone(tmp_path, *settings, "hydra.sweep.dir=alone")
    line = [sys.executable, str(ROOT / "train.py"), *settings, *array, "hydra.sweep.dir=array"]
    with (tmp_path / "log").open("w") as log:
        sweep = subprocess.Popen(line, cwd=tmp_path, env=slurm.env, stdout=log, stderr=log)
        wait(lambda: slurm.hurry() or sweep.poll() is not None, 900)
    assert sweep.returncode == 0, (tmp_path / "log").read_text()[-3000:]
    logs = list((tmp_path / "array" / ".submitit").glob("*/*_log.out"))
    assert len({path.name.partition("_")[0] for path in logs}) == 1  # one array
    requeued = sum(len(re.findall("submitit INFO.*Requeued job", path.read_text())) for path in logs)
    stopped = sum(path.read_text().count("stopped by SIGUSR2") for path in (tmp_path / "array").glob("*/train.log"))
    print(f"\nrequeued {requeued} times; stopped by its signal {stopped} times")
    assert requeued and stopped
    assert (tmp_path / "array" / "leaderboard.csv").read_bytes() == (
        tmp_path / "alone" / "leaderboard.csv"
    ).read_bytes()
    jobs = sorted(path.parent.name for path in (tmp_path / "alone").glob("*/finished.json"))
    assert len(jobs) == 2 and sorted(p.parent.name for p in (tmp_path / "array").glob("*/finished.json")) == jobs
    for job in jobs:
        same(tmp_path / "array" / job, tmp_path / "alone" / job)


@pytest.fixture
def films(slurm, tmp_path, monkeypatch):
    """A plugin that makes films slow and notes who reads them, and a function that returns what was noted.

    The caches begin empty.
    """
    (tmp_path / "noted.py").write_text(NOTED)
    for name, value in {"FILMS": str(tmp_path / "films"), "MAMMO_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setitem(slurm.env, name, value)
        monkeypatch.setenv(name, value)

    def read():
        path = tmp_path / "films"
        return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []

    return read


def squares(home):
    """All arrays of the cache of crops by name, each as bytes; one that is there twice is an error."""
    found = {}
    for path in (home / "crops").rglob("*.safetensors"):
        arrays = load_file(path)
        assert not found.keys() & arrays.keys()
        found |= {name: array.tobytes() for name, array in arrays.items()}
    return found


def requeue(slurm, job):
    slurm("scontrol", "requeue", job)


def kill_node(slurm, job):
    node = re.search(r" NodeList=(n\d)", slurm("scontrol", "-o", "show", "job", job))[1]
    assert slurm.kill(node)
    slurm.start(node)


@pytest.mark.parametrize("stop", [requeue, kill_node])
def test_an_array_of_shards_fills_one_cache_and_one_that_is_stopped_cuts_what_is_missing(
    slurm, settings, films, tmp_path, monkeypatch, stop
):
    """The cache is byte for byte what one process makes, whether a shard is requeued or its node dies."""
    settings = [*settings, "plugins=[noted.py]"]
    page = {
        "page": "large-archives",
        "smaller": ARRAY,
        "example": "data=rsna data.root=/data/rsna model=vgg16 crop=whole",
    }
    job = slurm.submit(tmp_path, *settings, **page)
    wait(lambda: sum(who == "2" for who, _ in films()) >= 4, 180)
    before = [film for who, film in films() if who == "2"]
    stop(slurm, f"{job}_2")

    def over():
        slurm.hurry()
        shown = slurm("scontrol", "-o", "show", "job", job).splitlines()
        return all(re.search("JobState=(COMPLETED|FAILED|CANCELLED)", line) for line in shown)

    wait(over, 300)
    shown = slurm("scontrol", "-o", "show", "job", job).splitlines()
    assert len(shown) == 3 and all("JobState=COMPLETED" in line for line in shown)
    assert sum("Restarts=1" in line for line in shown) == 1
    counts = Counter(film for _, film in films())
    assert len(counts) == 32 and {film for film, count in counts.items() if count > 1} <= {
        f for w, f in films() if w == "2"
    }
    assert len(before) < 11 and all(count <= 2 for count in counts.values())
    print(f"\n{stop.__name__} after {len(before)} of 11 films; {sum(counts.values())} films read for 32")
    logs = [(tmp_path / f"slurm-{job}_{number}.out").read_text() for number in (1, 2, 3)]
    assert all(f"shard {number} of 3" in log for number, log in enumerate(logs, 1))
    assert any("all squares are in the cache" in log for log in logs)
    array = squares(tmp_path / "home")
    (tmp_path / "films").unlink()
    alone(tmp_path, *settings, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert films() == []
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "other"))
    alone(tmp_path, *settings, "trainer.max_epochs=1", "hydra.run.dir=other-run")
    assert len(films()) == 32 and squares(tmp_path / "other") == array


def test_two_nodes_share_the_cutting(slurm, settings, films, tmp_path, monkeypatch):
    settings = [*settings, "plugins=[noted.py]", "trainer.max_epochs=1"]
    job = slurm.submit(tmp_path, *settings)
    assert slurm.completed(job, 300)["JobState"] == "COMPLETED"
    read = films()
    assert len(read) == len({film for _, film in read}) == 32
    print(f"\nfilms by process: {dict(Counter(who for who, _ in read))}")
    assert {who for who, _ in read} == {"0", "1"}
    together = squares(tmp_path / "home")
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "other"))
    alone(tmp_path, *settings, "hydra.run.dir=alone")
    assert squares(tmp_path / "other") == together


SLOW = """
import os, time
from mammo.auditing import hashes
honest = hashes.read_grey
def read(path):
    with open(os.environ["FILMS"], "a") as file:
        file.write(f"{os.environ.get('SLURMD_NODENAME')} {path.stem}\\n")
    time.sleep(0.5)
    return honest(path)
hashes.read_grey, hashes.AT_ONCE = read, 1
"""


def test_an_array_of_shards_hashes_for_an_audit_and_a_dead_node_loses_no_film(
    slurm, phantom, films, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text(SLOW)  # Python runs it when it starts
    for env, path in ((slurm.env, f"{tmp_path}:{ROOT}"), (os.environ, str(ROOT))):
        monkeypatch.setitem(env, "PYTHONPATH", path)
    folder = tmp_path / "audited"
    folder.mkdir()
    for path in [*phantom.root.glob("mdb*.pgm"), phantom.root / "Info.txt"]:
        shutil.copy(path, folder)
    cv2.imwrite(str(folder / "copy.png"), np.ascontiguousarray(read_grey(folder / "mdb001.pgm")[:, ::-1]))
    number = len(list(folder.iterdir())) - 1
    job = slurm.submit(tmp_path, str(folder), page="audit-data", smaller=ARRAY, example="/data/films")
    wait(lambda: sum(node == "n2" for node, _ in films()) >= 4, 180)
    assert slurm.kill("n2")
    wait(lambda: "n2" not in slurm("sinfo", "-h", "-t", "idle,alloc,mix", "-N", "-o", "%N").split(), 120)
    slurm.start("n2")

    def states():
        slurm.hurry()
        return re.findall(r" JobState=(\w+)", slurm("scontrol", "-o", "show", "job", job))

    wait(lambda: set(states()) <= {"COMPLETED", "FAILED", "CANCELLED"}, 300)
    assert states() == ["COMPLETED"] * 3
    counts = Counter(film for _, film in films())
    print(f"\n{sum(counts.values())} films read for {number}")
    assert len(counts) == number and sum(counts.values()) <= number + 1  # the one at work when the node died
    (tmp_path / "films").unlink()
    line = [sys.executable, "-m", "mammo", "audit", "films", str(folder), "--no-parts", "--sheet", "sheet.png"]
    said = [
        subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, check=False).stdout
        for env in (slurm.env, os.environ | {"MAMMO_HOME": str(tmp_path / "other")})
    ]
    assert said[0] == said[1] and b"leaks: 1" in said[0] and films() == []
