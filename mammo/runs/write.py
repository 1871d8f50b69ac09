"""The run folder: opened with what is known before training, closed with what came out; and how one is found again."""

import logging
import os
import platform
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure

from mammo import __version__, figures
from mammo.datasets.findings import PARTS
from mammo.errors import InputError
from mammo.files import read_json, write_json, write_table
from mammo.models.heads import FittedHead, load_head
from mammo.preprocessing.breast import resize
from mammo.preprocessing.synthetic import summary
from mammo.processes import devices, peers, resume
from mammo.processes.devices import Plan
from mammo.tasks.classification import Classifier
from mammo.training import checkpoints
from mammo.training.datamodule import MammogramDataModule, identified

log = logging.getLogger(__name__)

PACKAGES = [
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "scikit-learn",
    "albumentations",
    "hydra-core",
    "numpy",
]


def quieten() -> None:
    """Lightning's notes that the run says itself, or means: devices at start, and what is in eval mode."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")  # a frozen trunk stays there
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # its sampler is
    warnings.filterwarnings("ignore", message="The `srun` command is available")  # a login node's
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")  # lightning 2.6 on torch 2.15


def tensorboard(folder: Path, last: Path | None = None) -> TensorBoardLogger:
    """Events go to the run folder itself; those after the checkpoint that a run goes on from are hidden."""
    step = None if last is None else checkpoints.read(last, mmap=True)["global_step"]
    return TensorBoardLogger(save_dir=folder, name="", version="", default_hp_metric=False, purge_step=step)


class Clock:
    """How long each part of a run took: for the log alone, as tables come out the same each time.

    It starts with the first import of this package, and its first part is the rest of them; in a sweep's later jobs,
    with the job.
    """

    first = True  # of this process

    def __init__(self) -> None:
        self.laps: list[str] = []
        self.started = self.last = time.perf_counter()
        if Clock.first:
            self.started = self.last = time.perf_counter() - (time.time() - peers.started(os.getpid()))
            self.lap("imports")
        Clock.first = False

    def lap(self, name: str) -> None:
        """A part has ended."""
        now = time.perf_counter()
        self.laps.append(f"{name} {now - self.last:.1f}")
        self.last = now

    def __str__(self) -> str:
        return f"{self.last - self.started:.1f} s: {', '.join(self.laps)}"


@dataclass(frozen=True)
class Earlier:
    """A finished run that is to be evaluated: its folder, heads, split, and how many stages its network froze."""

    folder: Path
    heads: dict[str, FittedHead]
    split: pd.DataFrame
    frozen_stages: int

    @property
    def checkpoint(self) -> Path:
        """The weights of the epoch that was chosen."""
        return self.folder / "checkpoints" / "best.ckpt"

    def learnt(self, data: MammogramDataModule) -> list[str]:
        """Today's test women (films, where films were dealt) that the run trained or chose on."""
        unit = "patient" if data.split_settings["name"] in ("patient", "paper_by_patient") else "image_id"
        tested = data.split.loc[data.split["split"] == "test", unit]
        return sorted(set(self.split.loc[self.split["split"] != "test", unit]) & set(tested))


def find_run(folder: Path) -> Earlier:
    """A finished run.

    Raises:
        InputError: A file of it is missing.
    """
    for name in ("checkpoints/best.ckpt", "split.csv", "provenance.json", "selection.json"):
        if not (folder / name).is_file():
            raise InputError(f"ckpt_path={folder}: no {name} in it; name a run folder that `train.py` has finished")
    heads = read_json(folder / "selection.json")["heads"]
    return Earlier(
        folder,
        {name: load_head(folder / "heads" / f"{name}.skops", **how) for name, how in heads.items()},
        pd.read_csv(folder / "split.csv", dtype=str),
        read_json(folder / "provenance.json")["frozen_stages"],
    )


def open_run(
    folder: Path,
    cfg: dict[str, Any],
    data: MammogramDataModule,
    classifier: Classifier,
    plan: Plan,
    earlier: Earlier | None,
    last: Path | None,
) -> None:
    """Writes what is known before training, tables and pictures, and says what will be run.

    Args:
        folder: Of the run.
        cfg: Its configuration.
        data: Loaded.
        classifier: Before training.
        plan: The devices.
        earlier: The run that is evaluated, if nothing trains.
        last: The checkpoint that it goes on from; without one, TensorBoard's events start anew too.
    """
    if last is None:
        for events in folder.glob("events.out.tfevents.*"):
            events.unlink()
    for sub in ("figures", "heads", "checkpoints"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    compared = data.compared()
    notes = [*data.crops.notes, *([] if compared is None else [summary(compared)])]
    write_table(data.split, folder / "split.csv")
    write_json(data.audit, folder / "split_audit.json")
    write_table(identified(data.crops.table).drop(columns="sample_id"), folder / "samples.csv")
    command = [Path(sys.argv[0]).name, *(word for word in sys.argv[1:] if word != resume.LAST)]
    if last is not None:
        earlier_part = read_json(folder / "provenance.json")
        command = earlier_part["command"]
        if earlier_part["precision"] != plan.precision:
            raise InputError(
                f"{folder} was trained in {earlier_part['precision']}, which is not what this machine computes in "
                f"({plan.precision}); go on where it is, or start a new run"
            )
    provenance: dict[str, object] = {
        "command": command,
        "config": _as_config(cfg if cfg["fit"] is False else cfg | {"ckpt_path": None}),
        "crop": CROP_FACTS[cfg["crop"]["name"]],
        "classes": list(data.task.classes),
        "versions": {"mammo": __version__, "python": platform.python_version()} | devices.versions(PACKAGES),
        "git_commit": _git_commit(),
        "manifest_sha256": data.dataset.manifest_digest(),
        "weights_digest": classifier.net.weights_digest,
        "frozen_stages": len(classifier.net.trunk),
        "precision": plan.precision,
        "devices": f"{plan.world} {plan.accelerator}",
        "train_rows": len(data.train),
        "notes": notes,
    }
    if earlier is not None:
        provenance |= {"trained_in": str(earlier.folder), "tested_on_learnt": earlier.learnt(data)}
    write_json(provenance, folder / "provenance.json")
    data.train.few = classifier.net.frozen  # drawn as the epochs will show them
    figures.save(_augmentation_grid(data), folder / "figures" / "augmentation.png")
    if compared is not None:
        write_table(compared, folder / "gan.csv")
        figures.save(_synthetic_grid(data, compared), folder / "figures" / "gan.png")
    _say(folder, cfg, data, classifier, plan, notes)


def _say(
    folder: Path,
    cfg: dict[str, Any],
    data: MammogramDataModule,
    classifier: Classifier,
    plan: Plan,
    notes: list[str],
) -> None:
    rows = data.rows()
    samples = rows[~((rows["copy"] > 0) & (rows["split"] == "train"))]
    for part in PARTS:
        counts = samples.loc[samples["split"] == part, "label"].value_counts()
        women = samples.loc[samples["split"] == part, "patient"].nunique()
        shown = ", ".join(f"{counts.get(name, 0)} {name}" for name in data.task.classes)
        log.info("%-5s  %4d women, samples: %s", part, women, shown)
    if len(data.train) != (samples["split"] == "train").sum():
        log.info("train  expanded to %d rows", len(data.train))
    for note in notes:
        log.info("note   %s", note)
    parameters = list(classifier.net.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    fresh = sum(p.numel() for name, p in classifier.net.named_parameters() if name not in classifier.net.loaded)
    if cfg["fit"]:
        shown = (
            f"{trained:,} of {sum(p.numel() for p in parameters):,} parameters train, {fresh:,} of them from nothing"
        )
        log.info("model  %s: %s", cfg["model"]["name"], shown)
        if cfg["model"]["weights"] is None and cfg["model"]["trainable"] != "all":
            log.info("note   model.weights=null: nothing can stay frozen, so all parameters train")
    else:
        log.info("model  %s: nothing trains, all weights are those of %s", cfg["model"]["name"], cfg["ckpt_path"])
    log.info("run    %d %s, %s%s, batches of %d, into %s", plan.world, plan.accelerator, plan.precision,
             plan.why, data.batch_size, folder)  # fmt: skip


def close_run(folder: Path, trainer: L.Trainer, cfg: dict[str, Any], metrics: dict[str, float], clock: Clock) -> None:
    """Brings the numbers and figures to TensorBoard."""
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger):
        finals = {f"final/{name}": value for name, value in metrics.items() if name.startswith(("val/", "test/"))}
        logger.log_hyperparams(_flat(cfg), {name: value for name, value in finals.items() if name.count("/") == 3})
        for image in sorted((folder / "figures").glob("*.png")):
            logger.experiment.add_image(image.stem, figures.read(image), 0, dataformats="HWC")
        logger.finalize("success")
    clock.lap("TensorBoard")
    log.info("time   %s", clock)
    log.info("report %s", folder / "report.md")


def _augmentation_grid(data: MammogramDataModule, films: int = 4, draws: int = 6) -> Figure:
    """Originals of the training part in the first column, draws of each beside it."""
    samples = sorted({sample for sample, _ in data.train.rows})[:: max(len(data.train) // (films * 7), 1)][:films]
    columns = range({"none": 1, "expand": min(data.augment.copies + 1, draws)}.get(data.augment.mode, draws))
    squares = [data.train.pixels(sample, draw)[0].numpy() for sample in samples for draw in columns]
    names = [data.train.ids[sample] if draw == 0 else f"draw {draw}" for sample in samples for draw in columns]
    return figures.image_grid(squares, names, columns=len(columns))


def _synthetic_grid(data: MammogramDataModule, compared: pd.DataFrame, columns: int = 8) -> Figure:
    """Synthetic crops of each class, from the nearest to its training crop to the farthest, and that crop below."""
    squares: list[np.ndarray] = []
    names: list[str] = []
    crops, synthetic = dict(zip(data.crops.table["sample_id"], data.crops.pixels, strict=True)), data.synthetic or {}
    for name, rows in compared.groupby("class", sort=False):
        shown = rows.sort_values("distance").iloc[np.linspace(0, len(rows) - 1, columns).astype(int)]
        made = [synthetic[row.sample_id, row.draw] for row in shown.itertuples()]
        squares += [*made, *(resize(crops[nearest], len(made[0])) for nearest in shown["nearest"])]
        names += [f"{name}, made"] * columns
        names += [f"{row.nearest} at {row.distance:.3f}" for row in shown.itertuples()]
    return figures.image_grid(squares, names, columns)


_CAPTION = "Windows are centred on the annotated lesion: this is classification, not detection"
_SCALED = "windows are scaled by the annotated radius: nobody knows it of a new image, and it differs between classes"
CROP_FACTS = {
    name: {"leak": leak, "caption": caption, "several_per_image": several}
    for name, leak, caption, several in (
        ("whole", None, None, False),
        ("lesion", None, _CAPTION, False),
        ("scaled_lesion", _SCALED, _CAPTION, False),
        ("grid", None, None, True),
    )
}


def _as_config(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as the configuration's plain data, until the settings are one."""
    import yaml

    from mammo.config import Config
    from mammo.paths import conf

    task = yaml.safe_load((conf() / "task" / f"{cfg['task']}.yaml").read_text())
    return Config.of(cfg | {"task": {"name": cfg["task"]} | task}).as_dict()


def _git_commit() -> str | None:
    """The commit of the code that runs, with a mark where it was changed since; None outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-changed" if changed.strip() else "")


def _flat(cfg: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in cfg.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat
