"""The only Hydra program: trains one classifier, describes its films, fits the heads, writes the report."""

import errno
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from mammo import InputError, choices, cluster, resume, sweep


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Composes the configuration, runs the job on its devices unless it is done, returns the objective."""
    from mammo import devices, settings
    from mammo.files import scratch
    from mammo.training import train

    hydra_cfg, together = HydraConfig.get(), cluster.peers()
    folder, of_sweep = Path(hydra_cfg.runtime.output_dir), hydra_cfg.mode == RunMode.MULTIRUN
    try:
        sweep.check_job(cfg)
        checked = settings.effective(cfg, list(hydra_cfg.overrides.task))
        if checked["ckpt_path"] == "last" and not of_sweep:
            resume.check_same(folder, checked)
        if checked["fit"] and of_sweep:
            checked["ckpt_path"] = "last"  # a job that was cut goes on
        goes_on, rank = of_sweep or checked["ckpt_path"] == "last", together.rank if together else 0
        metrics = resume.ready(folder, checked, goes_on=goes_on, main=rank == 0)
        if metrics is None:
            with scratch(folder, rank):
                metrics = devices.launch(train, checked, folder)
            if rank == 0:
                resume.finish(folder, checked, metrics)
        return settings.objective(checked["objective"], metrics)
    except (InputError, FileNotFoundError) as error:
        raise CompactHydraException(f"error: {error}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CompactHydraException(
            f"error: {error.filename or folder}: {error.strerror}; free space, then go on with resume={folder}"
        ) from None


if __name__ == "__main__":
    sweep.register()
    cluster.share_cores()
    try:
        cluster.check_named(sys.argv[1:])
        sys.argv[1:] = resume.resumed(sys.argv[1:])
        choices.check_choices(sys.argv[1:], Path(__file__).parent / "conf")
    except InputError as error:
        sys.exit(f"error: {error}")
    main()
