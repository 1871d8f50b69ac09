"""The only Hydra program: trains one classifier, describes its films, fits the heads, writes the report."""

import multiprocessing
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import InterpolationResolutionError

from mammo.cli import options
from mammo.errors import InputError, message_for_user
from mammo.processes import peers, resume
from mammo.runs import sweep

PROGRAM = "MAMMO_PROGRAM"  # the variable with the number of the process that the user started


def end(said: str) -> NoReturn:
    """Bad input ends the program with one line."""
    print(f"error: {said}", file=sys.stderr)  # noqa: T201
    peers.leave(peers.BAD_INPUT)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Composes the configuration, runs the job on its devices unless it is done, returns the objective."""
    from mammo.files import scratch
    from mammo.processes import devices
    from mammo.runs import settings
    from mammo.runs.train import train

    if multiprocessing.current_process().name.startswith("Loky"):  # joblib's
        peers.end_with(int(os.environ[PROGRAM]))  # or it would go on with the sweep alone
        multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # for its devices
    hydra_cfg, together = HydraConfig.get(), peers.peers()
    folder, of_sweep = Path(hydra_cfg.runtime.output_dir), hydra_cfg.mode == RunMode.MULTIRUN
    rank = together.rank if together else 0
    try:
        sweep.check_job(cfg)
        checked = settings.effective(cfg, list(hydra_cfg.overrides.task))
        with resume.held(folder) if rank == 0 else nullcontext():
            checked, metrics = resume.begin(folder, checked, of_sweep=of_sweep, main=rank == 0)
            if metrics is None:
                with scratch(folder, rank):
                    metrics = devices.launch(train, checked, folder)
                if rank == 0:
                    resume.finish(folder, checked, metrics)
        return settings.objective(checked["objective"], metrics)
    except Exception as error:
        if (said := message_for_user(error)) is None:
            raise
        if of_sweep:
            raise CompactHydraException(said) from None
        end(said)


if __name__ == "__main__":
    os.environ[PROGRAM] = str(os.getpid())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or it would end with 1 whatever was wrong
    sweep.register()
    peers.join()
    try:
        peers.check_named(sys.argv[1:])
        sys.argv[1:] = resume.resumed(sys.argv[1:])
        options.check_choices(sys.argv[1:], Path(__file__).parent / "conf")
        if (together := peers.peers()) and together.rank:
            sys.argv.append("hydra.output_subdir=null")  # the first one writes it down
        main()
    except (InputError, CompactHydraException, InterpolationResolutionError) as error:
        end(" ".join(str(error).split()))
