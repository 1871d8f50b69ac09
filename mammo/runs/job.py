"""Run one job in its folder: alone there, from where it was stopped, and not again after it has finished."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mammo.config import Config
from mammo.files import scratch
from mammo.processes import peers, resume
from mammo.runs import sweep


def run(
    config: Config, folder: Path, said: dict[str, Any], *, of_sweep: bool, from_python: bool = False
) -> tuple[Config, dict[str, float]]:
    """Run a job on its devices unless it has finished.

    Args:
        config: The resolved configuration.
        folder: The run folder.
        said: The settings that were given, by key: they tell this run from others.
        of_sweep: True for a job of a sweep, which continues an unfinished run in the folder.
        from_python: True if no command line started the job.

    Returns:
        The settings that ran, and the metrics: `<split>[_by_<unit>]/<head>/<metric>`: value.

    Raises:
        InputError: Another process works in the folder, or a setting or file cannot be used.
    """
    together = peers.peers()
    rank = together.rank if together else 0
    folder.mkdir(parents=True, exist_ok=True)
    with resume.held(folder) if rank == 0 else nullcontext():
        config, metrics = resume.begin(folder, config, of_sweep=of_sweep, main=rank == 0)
        if rank == 0 and metrics is not None:
            from mammo.runs.unchanged import check_finished

            check_finished(folder, config)
        if rank == 0:
            sweep.write_job(folder, said, from_python=from_python)
        if metrics is None:
            from mammo.processes.launch import launch  # these import torch, which bad input should not wait for
            from mammo.runs.train import train

            with scratch(folder, rank):
                metrics = launch(train, config, folder)
            if rank == 0:
                resume.finish(folder, config, metrics)
    return config, metrics
