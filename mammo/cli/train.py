"""The command `mammo train` or `python train.py`: it trains one classifier, writes its report, and alone uses Hydra."""

import gc
import logging
import multiprocessing
import os
import sys
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import InterpolationResolutionError

from mammo import __version__
from mammo import config as configuration
from mammo.cells import LogLine, in_terminal
from mammo.cli.options import check_choices, check_line
from mammo.errors import InputError, message_for_user
from mammo.paths import conf
from mammo.processes import peers, resume
from mammo.processes.garbage import collect_seldom
from mammo.runs import sweep
from mammo.runs.hydra_words import for_hydra, in_file, said_twice

EXPECTED = (InputError, CompactHydraException, InterpolationResolutionError)
PROGRAM = "MAMMO_PROGRAM"  # the environment variable with the id of the process that the user started


def end(line: str) -> NoReturn:
    """End the program on bad input, with one line."""
    print(in_terminal(f"error: {line}"), file=sys.stderr)  # noqa: T201
    peers.leave(peers.BAD_INPUT)


@hydra.main(version_base="1.3", config_path=str(conf()), config_name="config")
def run_job(composed: DictConfig) -> float | None:
    """Run the job on its devices unless it has finished, and return the objective."""
    from mammo.runs import job, settings

    if multiprocessing.current_process().name.startswith("Loky"):  # a worker of joblib
        peers.end_with(int(os.environ[PROGRAM]))  # otherwise it would go on with the sweep after that process is killed
        # A job on several devices starts processes, which needs the default method instead of Loky's.
        multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
        logging.setLogRecordFactory(LogLine)
    hydra_cfg = HydraConfig.get()
    folder, of_sweep = Path(hydra_cfg.runtime.output_dir), hydra_cfg.mode == RunMode.MULTIRUN
    try:
        sweep.check_job(composed)
        config = settings.resolve(composed, list(hydra_cfg.overrides.task))
        config, metrics = job.run(config, folder, sweep.said(list(hydra_cfg.overrides.task)), of_sweep=of_sweep)
        return settings.objective(config.objective, metrics)
    except Exception as error:
        if (line := message_for_user(error, f"a file of the run {folder}")) is None:
            raise
        if of_sweep:
            raise CompactHydraException(line) from None
        end(line)
    finally:
        if of_sweep:
            gc.collect()  # a job's trainer, task and data name each other, and the next job needs their memory


def checked(arguments: list[str]) -> list[str]:
    """Return the command line to run, after all checks that need no film and no torch."""
    configuration.register()
    sweep.register()
    peers.check_named(arguments)
    if any(word.startswith("=") for word in arguments):
        raise InputError(f"{next(word for word in arguments if word.startswith('='))}: expected <key>=<value>")
    for line in said_twice(arguments):
        print(in_terminal(line), file=sys.stderr)  # noqa: T201
    flags = [word for word in arguments if word in ("-m", "--multirun")]  # Hydra wants it before all other words
    arguments = resume.resumed([*flags, *(word for word in arguments if word not in flags)])
    arguments = resume.named_again(for_hydra(arguments))
    check_choices(arguments, conf())
    check_line(arguments, conf())
    return arguments


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: The words after `train`; None takes those of the process.
    """
    if arguments is not None:
        sys.argv[1:] = arguments
    if "--version" in sys.argv[1:]:
        print(__version__)  # noqa: T201
        return
    if {"--help", "-h"} & set(sys.argv[1:]):
        from mammo.cli.keys import help_text

        try:
            print(help_text(), flush=True)  # noqa: T201
        except BrokenPipeError:  # a pager that was closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return
    collect_seldom()
    os.environ[PROGRAM] = str(os.getpid())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # otherwise Hydra ends with status 1 on every error
    peers.join()
    peers.end_when_told()
    logging.setLogRecordFactory(LogLine)
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback at each of its lines
    try:
        sys.argv[1:] = checked(sys.argv[1:])
        if (together := peers.peers()) and together.rank:
            sys.argv.append("hydra.output_subdir=null")  # the first process writes it
        run_job()
    except EXPECTED as error:
        end(in_file(error) or configuration.explained(error))
    except Exception as error:  # of what Hydra writes, its log included
        if (line := message_for_user(error)) is None:
            raise
        end(line)
