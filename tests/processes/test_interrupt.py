"""Ctrl-C ends a program in one line; a run that trains can go on, and its helpers leave the signal to it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mammo.processes import peers
from tests.conftest import SHARES, SMALL

LISTENS = "import os, signal; from mammo.processes import peers, workers; "


@pytest.fixture(autouse=True)
def _heeded():
    """Programs that these tests begin heed Ctrl-C, also where a shell ignores it for its jobs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ended(code):
    words = [sys.executable, "-c", LISTENS + code]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)


def test_ctrl_c_ends_a_training_command_in_one_line_with_the_status_of_a_stop():
    done = ended("peers.end_when_told(); os.kill(os.getpid(), signal.SIGINT); print(1)")
    assert done.returncode == peers.STOPPED and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "resume=" in done.stderr


def test_where_the_shell_ignores_ctrl_c_it_stays_ignored():
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN); peers.end_when_told(); "
    done = ended(ignored + "assert signal.SIGINT not in peers.stops(); os.kill(os.getpid(), signal.SIGINT); print(1)")
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_a_child_of_the_program_ends_without_a_word_and_a_loaders_worker_goes_on():
    fork = "peers.end_when_told(); child = os.fork(); child or os.kill(os.getpid(), signal.SIGINT); "
    done = ended(fork + "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))")
    assert (done.stdout, done.stderr) == ("143\n", "")
    done = ended("workers.help_out(os.getppid()); os.kill(os.getpid(), signal.SIGINT); print(1)")
    assert done.stdout == "1\n"


def test_processes_of_a_job_begin_with_ctrl_c_blocked_while_this_one_hears_it():
    """While they import, Python would print a traceback in each."""
    heard = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: heard.set())
    asks = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with peers.interrupts_kept_from_children():
        child = subprocess.run([sys.executable, "-c", asks], check=True, capture_output=True, text=True)
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 10
        while not heard.is_set() and time.monotonic() < deadline:
            time.sleep(0.02)  # handlers run between two steps of this thread
    assert heard.is_set()
    assert child.stdout == "True\n" and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_from_python_ctrl_c_stays_the_keyboards():
    assert signal.SIGINT not in peers.stops()


@pytest.mark.slow
@pytest.mark.parametrize(("until", "kept"), [(None, False), ("epoch 2", True)], ids=["imports", "training"])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_that_ctrl_c_stops_can_go_on(tmp_path, until, kept, devices):
    words = [
        *SMALL[:3],
        "model=compact",
        "model.image_size=64",
        "trainer.max_epochs=300",
        "early_stopping.patience=null",
    ]
    words += [f"trainer.devices={devices}", "split.shares=[0.5,0.25,0.25]", f"hydra.run.dir={tmp_path / 'run'}"]
    log = tmp_path / "log"
    with log.open("w") as out:
        program = subprocess.Popen(
            [sys.executable, "-m", "mammo", "train", *words], stdout=out, stderr=out, start_new_session=True
        )
    deadline = time.monotonic() + 300
    while program.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        if until in log.read_text() if until else time.monotonic() > deadline - 297:
            break
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(300) == peers.STOPPED, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said and said.count("stopped") == 1
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file() == kept


MEANWHILE = """
import os, sys
from mammo.cli import train
from mammo.training.datamodule import MammogramDataModule

where, number = sys.argv[1], int(sys.argv[2])
honest = getattr(MammogramDataModule, where)

def told(self):
    os.kill(os.getpid(), number)
    return honest(self)

setattr(MammogramDataModule, where, told)
train.main(sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("train_dataloader", signal.SIGTERM),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (("predict_dataloader", signal.SIGTERM), ("train_dataloader", signal.SIGINT))
        ),
    ],
)
def test_a_run_that_is_told_to_stop_before_or_after_its_batches_says_so_and_can_go_on(phantom, tmp_path, where, number):
    """Lightning listens there too, and would end the run with status 0."""
    words = [*SMALL, f"data.root={phantom.root}", SHARES, "model=compact", "model.image_size=32", "heads=[]"]
    line = [sys.executable, "-c", MEANWHILE, where, str(int(number)), *words, f"hydra.run.dir={tmp_path}"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == peers.STOPPED, done.stderr
    assert (done.stdout + done.stderr).count("stopped") == 1 and not (tmp_path / "finished.json").exists()
    assert (tmp_path / "provenance.json").is_file()


@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_stop_ends_a_training_command_in_one_line_from_its_first_moment(number):
    done = ended(f"peers.end_when_told(); os.kill(os.getpid(), signal.{number}); print(1)")
    assert done.returncode == peers.STOPPED and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "resume=" in done.stderr
