"""Write the run folder: first the facts that are known before training, then the results."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch.utils.tensorboard.summary import hparams

from mammo import figures
from mammo.config import Config
from mammo.errors import InputError
from mammo.evaluation.predictions import head_table
from mammo.evaluation.segmentation import SEGMENTER
from mammo.files import write_json, write_table
from mammo.inference import self_test
from mammo.inference.unlike import likeness_of
from mammo.preprocessing.breast import resize
from mammo.processes import checkpoint_io
from mammo.run_folder import RunFolder
from mammo.runs import detected, lesion_windows
from mammo.runs.gallery import gallery
from mammo.runs.outlined import choose_level, write_segments
from mammo.runs.unchanged import check_same_films
from mammo.tasks.answers import answer_of
from mammo.training.callbacks import Outputs
from mammo.training.prepare import Prepared

if TYPE_CHECKING:
    from mammo.models.heads import FittedHead

log = logging.getLogger(__name__)

Answer = detected.Answer  # (N,) scores of the positive class of two, and (N, classes) probabilities


def tensorboard(folder: Path, last: Path | None = None) -> TensorBoardLogger:
    """Return a logger for the run folder that hides events after the checkpoint from which the run continues."""
    step = None if last is None else checkpoint_io.read(last, mmap=True)["global_step"]
    return TensorBoardLogger(save_dir=folder, name="", version="", default_hp_metric=False, purge_step=step)


def open_run(
    run: RunFolder,
    prepared: Prepared,
    provenance: dict[str, Any],
    *,
    goes_on: bool,
    learnt: pd.DataFrame | None = None,
) -> None:
    """Write what is known before training: tables and provenance.

    Args:
        run: The run folder.
        prepared: The samples of the run.
        provenance: The content of `provenance.json`.
        goes_on: True keeps the existing events of TensorBoard.
        learnt: The patients whom the run has learnt that the weights come from; None if they come from no run.

    Raises:
        InputError: The run goes on, and films have other pixels than when it was begun.
    """
    if goes_on:
        check_same_films(run.path, prepared.crops.films)
    else:
        for events in run.path.glob("events.out.tfevents.*"):
            events.unlink()
    for sub in ("figures", "heads", "checkpoints"):
        (run.path / sub).mkdir(parents=True, exist_ok=True)
    write_samples(run, prepared)
    run.write_learnt(learnt)
    write_json(provenance, run.path / "provenance.json")


def write_samples(run: RunFolder, prepared: Prepared) -> None:
    """Write the tables of the split and its audit, of the samples, and of the films, read or unreadable."""
    run.write_rows("split.csv", prepared.split)
    write_json(prepared.audit, run.path / "split_audit.json")
    run.write_rows("samples.csv", prepared.crops.table.drop(columns="name"))
    run.write_rows("films.csv", prepared.crops.films)
    if len(prepared.crops.unreadable):
        write_table(prepared.crops.unreadable, run.path / "unreadable.csv")
    else:
        (run.path / "unreadable.csv").unlink(missing_ok=True)


def show_samples(run: RunFolder, prepared: Prepared) -> None:
    """Draw augmented crops, and synthetic ones with how near they are to real ones: no training waits for these."""
    if prepared.config.task.kind != "detection":  # which augments nothing
        figures.save(_augmentation_grid(prepared), run.path / "figures/augmentation.png")
    if (compared := prepared.compared()) is not None:
        write_table(compared, run.path / "gan.csv")
        figures.save(_synthetic_grid(prepared, compared), run.path / "figures/gan.png")


def write_run(
    run: RunFolder, config: Config, prepared: Prepared, outputs: Outputs, heads: dict[str, "FittedHead"]
) -> None:
    """Write features, predictions of every head and baseline, the heads, and how the choices were made."""
    from mammo.models.baselines import majority, shortcuts  # scikit-learn, which training need not wait for
    from mammo.models.heads_io import save_head

    rows, classes = prepared.rows(), list(prepared.labels.classes)
    labels = prepared.targets()
    run.write_features(outputs.features, rows)
    detector = detected.choose_curves(config, prepared, outputs) if outputs.heat else None
    answers = answers_of(config, prepared, outputs, heads, detector)
    answers["shortcuts"] = shortcuts(prepared.shortcuts(), labels, rows)
    answers["majority"] = majority(labels, rows, len(classes))
    tables = [
        head_table(rows, name, *answer, classes, fold=config.data.fold, seed=config.seed)
        for name, answer in answers.items()
    ]
    run.write_rows("predictions.csv", pd.concat(tables))
    for name, head in heads.items():
        save_head(head, run.path / f"heads/{name}.skops")
    best = f"the best {prepared.watched}/{config.chosen_by}"
    how = best if prepared.chooses else "the last epoch, fixed before training"
    chosen = {name: {"chosen": head.chosen, "how": head.how} | _windows(head) for name, head in heads.items()}
    found = {"epoch": {"number": outputs.epoch, "how": how}, "heads": chosen}
    if outputs.heat and detector:
        detected.write_marks(run, config, prepared, outputs, outputs.heat, detector)
        lesion_windows.write(run, config, prepared, outputs.heat)
        if (drawn := gallery(prepared, config, outputs.heat)) is not None:
            figures.save(drawn, run.path / "figures/gallery.png")
    if outputs.outlines is not None:
        level = choose_level(config, prepared, outputs.outlines)
        write_segments(run, config, prepared, outputs.outlines, level["level"])
        found[SEGMENTER] = level
    write_json(found | ({"detector": detector} if detector else {}), run.path / "selection.json")


def keep_likeness(run: RunFolder, *, learnt: bool) -> None:
    """Keep what tells films like those of the run from others; `learnt` says that its features have seen labels."""
    likeness = likeness_of(run, learnt=learnt)
    run.write_likeness(likeness.arrays() if likeness else None)


def keep_self_test(run: RunFolder) -> None:
    """Keep drawn films with what the run makes of them, for `mammo predict RUN --self-test`, if it takes new films."""
    try:
        self_test.write(run)
    except InputError as error:
        log.info("note   there is no self-test: %s", error)


def _windows(head: "FittedHead") -> dict[str, int]:
    """Return the number of windows whose answers a head averages, if there are several."""
    return {"windows": head.windows} if head.windows > 1 else {}


def answers_of(
    config: Config,
    prepared: Prepared,
    outputs: Outputs,
    heads: dict[str, "FittedHead"],
    detector: dict[str, Any] | None = None,
) -> dict[str, Answer]:
    """Return the score and the probabilities of each head, the network's own first.

    Args:
        config: The configuration of the run.
        prepared: Its samples.
        outputs: The outputs of the network.
        heads: The fitted heads.
        detector: What `detected.choose_curves` chose; None for other tasks.
    """
    features = outputs.features
    if detector is None:
        answers: dict[str, Answer] = {"softmax": answer_of(outputs.logits)}
    else:
        answers = detected.answers_of(config, prepared, outputs, detector)
    return answers | {name: (head.score(features), head.probabilities(features)) for name, head in heads.items()}


def show_in_tensorboard(logger: TensorBoardLogger, run: RunFolder, config: Config, metrics: dict[str, float]) -> None:
    """Add the final numbers and the figures to TensorBoard. Its scalars remain the training curves only.

    HPARAMS shows the numbers first, then the few settings that distinguish runs.
    """
    shown: dict[str, Any] = {
        name: value
        for name, value in metrics.items()
        if name.startswith("test/") and name.rpartition("/")[2] in ("auroc", "accuracy")
    }
    shown |= {
        "task": config.task.name, "model": config.network, "crop": config.crop.name, "split": config.split.name,
        "augment": config.augment.mode, "loss": config.loss.name, "seed": config.seed, "fold": str(config.data.fold),
    }  # fmt: skip
    shown |= {key: str(value) for key, value in run.job.items() if not key.startswith("hydra")}
    for image in sorted((run.path / "figures").glob("*.png")):
        logger.experiment.add_image(image.stem, figures.read(image), 0, dataformats="HWC")
    for summary in hparams(shown, {}):
        logger.experiment.file_writer.add_summary(summary)
    logger.finalize("success")


def _augmentation_grid(prepared: Prepared, images: int = 4, draws: int = 6) -> Figure:
    """Draw crops of the training part in the first column, and random changes of each beside it."""
    train, augment = prepared.train, prepared.augment
    samples = sorted({sample for sample, _ in train.rows})[:: max(len(train) // (images * 7), 1)][:images]
    columns = range(draws if augment.online else min(augment.offline_copies + 1, draws))
    squares = [train.pixels(sample, draw)[0].numpy() for sample in samples for draw in columns]
    names = [train.names[sample] if draw == 0 else f"draw {draw}" for sample in samples for draw in columns]
    return figures.image_grid(squares, names, columns=len(columns))


def _synthetic_grid(prepared: Prepared, compared: pd.DataFrame, columns: int = 8) -> Figure:
    """Draw synthetic crops of each class, sorted by distance to the nearest training crop, and that crop below each."""
    squares: list[np.ndarray] = []
    names: list[str] = []
    crops = dict(zip(prepared.crops.table["name"], prepared.crops.pixels, strict=True))
    synthetic = prepared.synthetic or {}
    for name, rows in compared.groupby("class", sort=False):
        shown = rows.sort_values("distance").iloc[np.linspace(0, len(rows) - 1, columns).astype(int)]
        made = [synthetic[row.name_, row.draw] for row in shown.rename(columns={"name": "name_"}).itertuples()]
        squares += [*made, *(resize(crops[nearest], len(made[0])) for nearest in shown["nearest"])]
        names += [f"{name}, made"] * columns
        names += [f"{row.nearest} at {row.distance:.3f}" for row in shown.itertuples()]
    return figures.image_grid(squares, names, columns)
