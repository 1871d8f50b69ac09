"""The checks that need no film and no torch, so that a wrong name, path or device is reported within a second."""

import difflib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from mammo.config import Config, ModelConfig, TrainerConfig, meant
from mammo.crop_config import check_windows
from mammo.datasets.registry import open_dataset
from mammo.datasets.split import GIVEN, check_fold, check_shares, read_split_table
from mammo.detector_config import blocks_of, trained_map
from mammo.errors import InputError
from mammo.paths import home
from mammo.preprocessing.flips import FILM_FLIPS
from mammo.run_folder import RunFolder
from mammo.runs.weights_file import check_weights_file

# The names of the built-in rows of tables whose modules import torch or scikit-learn; a test compares them.
HEADS = ("svm", "svm_linear", "logistic", "lda", "knn", "mlp", "boosting")
LOSSES = ("cross_entropy", "focal", "confusion")
METHODS = ("geometric", "crossover", "mixup", "cutmix", "gan")
CROPS = ("whole", "film", "lesion", "scaled_lesion", "grid")
SIDES = {  # the smallest side of an input, in pixels, by backbone
    "vgg16": 32, "vgg19": 32, "inception": 75, "resnet18": 32, "resnet50": 32, "densenet201": 32, "alexnet": 63,
    "alexnet_modified": 63, "efficientnet_b0": 32, "convnext_tiny": 32, "vit_b_16": 32, "swin_t": 32, "compact": 32,
    "shallow_deep": 32,
}  # fmt: skip
BLOCKS = ("block1", "block2", "block3", "block4", "block5")
LAYERS = ("layer1", "layer2", "layer3", "layer4")
STAGES = {  # the maps that model.features may name, by backbone
    "vgg16": BLOCKS, "vgg19": BLOCKS, "compact": BLOCKS, "alexnet": BLOCKS[:3], "alexnet_modified": BLOCKS[:3],
    "resnet18": LAYERS, "resnet50": LAYERS, "shallow_deep": LAYERS,
    "inception": ("Mixed_5b", "Mixed_5d", "Mixed_6a", "Mixed_6c", "Mixed_6e", "Mixed_7a", "Mixed_7c"),
    "densenet201": ("denseblock1", "denseblock2", "denseblock3", "relu5"),
    "efficientnet_b0": tuple(f"features_{number}" for number in range(9)),
    "convnext_tiny": ("features_1", "features_3", "features_5", "features_7"),
    "vit_b_16": tuple(f"encoder_layer_{number}" for number in range(12)),
    "swin_t": ("features_1", "features_3", "features_5", "norm"),
}  # fmt: skip
SIZED = ("vit_b_16",)  # backbones with weights whose shapes depend on the side of the input
TRAINER = (  # arguments of Lightning's Trainer that may be added with `+trainer.<name>=`
    "accumulate_grad_batches", "benchmark", "check_val_every_n_epoch", "detect_anomaly", "gradient_clip_algorithm",
    "gradient_clip_val", "limit_train_batches", "limit_val_batches", "max_steps", "max_time", "min_epochs", "min_steps",
    "overfit_batches", "profiler", "reload_dataloaders_every_n_epochs", "sync_batchnorm", "val_check_interval",
)  # fmt: skip
OWN_TRAINER = [one.name for one in fields(TrainerConfig) if one.name != "more"]


def check(config: Config, folder: Path | None = None) -> None:
    """Refuse settings that cannot run, without reading a film.

    Args:
        config: The resolved configuration.
        folder: The run folder to be written; None if it is not known.

    Raises:
        InputError: A setting is wrong; the line names its key.
    """
    known_name("loss.name", config.loss.name, rows_of("mammo.models.losses", "LOSSES", LOSSES))
    known_name("model.name", config.model.name, rows_of("mammo.models.backbones", "BACKBONES", SIDES))
    if config.model.image_size < SIDES.get(config.model.name, 1):
        raise InputError(
            f"model.image_size={config.model.image_size} is too small for {config.model.name}; "
            f"use {SIDES[config.model.name]} or more"
        )
    if config.model.features is not None:
        _check_features(config.model)
    if config.crop._target_ is None:
        known_name("crop.name", config.crop.name, rows_of("mammo.preprocessing.crops", "CROPS", CROPS))
    known_name("augment.method", config.augment.method, METHODS)
    check_fold(config.data.fold, config.data.folds)
    _check_together(config)
    _check_machine(config)
    weights = config.model.weights
    if weights not in (None, "imagenet") and config.fit:
        _check_weights(Path(str(weights)).expanduser(), config.model, detects=config.task.kind == "detection")
    if config.data.archive is not None and not Path(config.data.archive).expanduser().is_file():
        raise InputError(f"data.archive={config.data.archive}: no such file; name the path of all-mias.tar.gz")
    dataset = open_dataset(config.data)
    if hasattr(dataset, "check_root") and config.data.archive is None:
        dataset.check_root()
    check_writable(home(), "MAMMO_HOME")
    if folder is not None:
        check_writable(folder, "the run's folder")


def _check_features(model: ModelConfig) -> None:
    """Refuse names that are no maps of the backbone, and a pooling that has no map."""
    loaded = sys.modules.get("mammo.models.backbones")  # where plugins may have added rows
    known = loaded.BACKBONES[model.name].taps if loaded else STAGES[model.name]
    names = list(model.features or ())
    known_name("model.features", names, known)
    if not names or len(set(names)) < len(names):
        raise InputError(f"model.features={names}: expected null, or some of {', '.join(known)}, each once")
    if model.pool == "fc":
        raise InputError("model.pool=fc takes the last map; use model.features=null, or another pooling")


def _check_weights(path: Path, model: ModelConfig, *, detects: bool) -> None:
    """Refuse a file of another kind, a folder without files for the maps of a detector, and a run that gives none."""
    if not path.is_dir():
        check_weights_file(path)
    elif not detects:
        _check_donor(path, model)
    elif (path / "provenance.json").is_file() or not any(path.glob("*.safetensors")):
        raise InputError(
            f"model.weights={path}: expected a folder of .safetensors files for the maps, found none, or a run"
        )


def _check_donor(path: Path, model: ModelConfig) -> None:
    """Refuse a run that has not finished, or whose backbone is another one."""
    try:
        donor = RunFolder(path).trainer
        trained, kind = donor.config.model, donor.config.task.kind
        _ = donor.checkpoint
        if donor.portable or donor.shared:
            raise InputError(
                f"{path} is portable or shared, and does not tell which patients it has learnt; name the run itself"
            )
    except InputError as error:
        raise InputError(f"model.weights={path}: expected the folder of a finished run; {error}") from None
    if not donor.finished:
        raise InputError(
            f"model.weights={path}: the run in {donor.path} has not finished; wait for it, or go on with it by "
            f"resume={donor.path}"
        )
    if kind != "classification":
        raise InputError(
            f"model.weights={path}: that run is a {kind}, which gives no weights; name those of its networks"
        )
    if trained.name != model.name:
        raise InputError(f"model.weights={path}: that run trained {trained.name}; use model={trained.name}")
    if model.name in SIZED and trained.image_size != model.image_size:
        raise InputError(
            f"model.weights={path}: the shapes of {model.name} depend on model.image_size, which was "
            f"{trained.image_size} in that run; use model.image_size={trained.image_size}"
        )


def rows_of(module: str, table: str, built_in: Iterable[str]) -> list[str]:
    """Return the names of a table's rows; from the table itself if it is loaded, as plugins may add rows."""
    loaded = sys.modules.get(module)
    return list(getattr(loaded, table) if loaded else built_in)


def known_name(key: str, names: Any, known: Iterable[str]) -> None:
    """Refuse an unknown name; the error suggests the known name that is most similar."""
    known = list(known)
    if not isinstance(names, str | list | tuple):
        raise InputError(f"{key}={names}: expected one of {', '.join(known)}, or several as {key}=[...]")
    for name in [names] if isinstance(names, str) else names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"{key}={name} is unknown; {hint}expected one of {', '.join(known)}")


def _check_together(config: Config) -> None:
    """Refuse settings that do not go together."""
    if config.split.name in GIVEN and config.data.fold is not None:
        raise InputError(f"data.fold={config.data.fold} does nothing with split={config.split.name}; leave it out")
    if config.split.name == "copy" and config.augment.mode != "expand":
        raise InputError("split=copy splits the copies of an augmentation, and there are none; add augment=expand")
    if config.split.name == "table":
        read_split_table(config.split.table)
    if twice := sorted({head for head in config.heads if config.heads.count(head) > 1}):
        raise InputError(f"heads={config.heads} names {twice[0]} twice; name each once")
    if config.crop.name == "grid" and (config.crop.stride_mm or 0) > config.crop.window_mm:
        raise InputError(
            f"crop.stride_mm={config.crop.stride_mm}: expected up to crop.window_mm={config.crop.window_mm}"
        )
    check_windows(config.crop.windows_mm, config.crop.join)
    if config.crop.windows_mm and config.augment.method == "gan" and config.augment.mode != "none":
        raise InputError("augment.method=gan draws one window, not those of crop.windows_mm; use another method")
    if config.source is not None and not isinstance(config.source, dict):
        raise InputError(f"source={config.source} is no setting of its own; experiment=<name> brings it")
    check_shares(config.split.shares, config.split.name, config.data.fold)
    if config.task.kind == "detection":
        _check_detection(config)
    if config.task.kind == "segmentation":
        _check_segmentation(config)
    if config.task.kind == "classification" and config.model.flips == "vertical":
        raise InputError(
            f"model.flips=vertical is for a detector; task={config.task.name} takes none, horizontal or eight"
        )


def _check_detection(config: Config) -> None:
    """Refuse settings that do not go with a detector, which looks at whole films and learns from places."""
    if config.crop.name != "whole" or config.crop._target_ is not None:
        raise InputError(f"crop={config.crop.name}: task={config.task.name} looks at whole films; use crop=whole")
    if config.data.shuffle_block is not None:
        raise InputError(f"data.shuffle_block does nothing with task={config.task.name}, which learns from places")
    if config.split.name == "copy" or config.augment.mode == "expand":
        raise InputError(f"augment=expand does nothing with task={config.task.name}; leave it out")
    if config.task.classes is not None and len(config.task.classes) != 2:
        raise InputError(
            f"task={config.task.name} has {len(config.task.classes)} classes; a detector needs two, and looks for "
            "findings of the second"
        )
    if config.model.trainable == "all":
        raise InputError(f"model.trainable=all: task={config.task.name} trains head or last_block; use one of them")
    blocks_of(config.model.maps, config.detector)
    trained_map(config.model.trainable, config.model.maps, config.detector)
    for text in config.model.maps:
        known_name("model.maps", text.partition("@")[0], rows_of("mammo.models.backbones", "BACKBONES", SIDES))
    if config.model.flips not in FILM_FLIPS:
        raise InputError(
            f"model.flips={config.model.flips}: task={config.task.name} looks at films; use {' or '.join(FILM_FLIPS)}"
        )
    if config.model.flips != "none" and trained_map(config.model.trainable, config.model.maps, config.detector):
        raise InputError(
            f"model.flips={config.model.flips}: model.trainable=last_block trains on films as they are; use "
            "model.trainable=head or model.flips=none"
        )
    nothing = {
        f"augment.method={config.augment.method}": config.augment.method != "geometric",
        f"model.features={config.model.features}": config.model.features is not None,
        f"model.pool={config.model.pool}": config.model.pool != "avg",
        **{f"trainer.{name}={value}": True for name, value in config.trainer.more.items()},
    }
    for said in (key for key, given in nothing.items() if given):
        raise InputError(f"{said} does nothing with task={config.task.name}; leave it out")


def _check_segmentation(config: Config) -> None:
    """Refuse settings that do not go with regions, which need one picture of each film and two classes."""
    target, task = config.segmentation.target, f"task={config.task.name}"
    crop = {"lesion": "whole", "breast": "film"}[target]
    if config.crop.name != crop or config.crop._target_ is not None:
        why = "it cuts the breast out" if target == "breast" else "a film has one picture"
        raise InputError(f"crop={config.crop.name} with {task} segmentation.target={target}: {why}; use crop={crop}")
    if config.task.classes is not None and len(config.task.classes) != 2:
        raise InputError(
            f"{task} has {len(config.task.classes)} classes; it needs two, and finds regions of the second"
        )
    if config.segmentation.width % 8:
        raise InputError(f"segmentation.width={config.segmentation.width}: expected a multiple of 8")
    nothing = {
        f"split={config.split.name}": config.split.name == "copy",
        f"augment.method={config.augment.method}": config.augment.method != "geometric",
        f"model.features={config.model.features}": config.model.features is not None,
        f"model.pool={config.model.pool}": config.model.pool != "avg",
        f"model.flips={config.model.flips}": config.model.flips != "none",
    }
    for said in (key for key, given in nothing.items() if given):
        raise InputError(f"{said} does nothing with {task}; leave it out")


def _check_machine(config: Config) -> None:
    """Refuse an accelerator, a number of processes or a precision that this machine does not have."""
    trainer = config.trainer
    for name in trainer.more:
        if name not in TRAINER:
            raise InputError(f"trainer.{name} is no setting; {meant(f'trainer.{name}', [*OWN_TRAINER, *TRAINER])}")
    if not (trainer.devices == "auto" or isinstance(trainer.devices, int)):
        raise InputError(
            f"trainer.devices={trainer.devices}: expected how many devices, a whole number, or auto; "
            f"{_one_gpu(trainer.devices)}"
        )
    gpu = any(Path("/dev").glob("nvidia*")) or Path("/dev/kfd").exists()
    if trainer.accelerator in ("cuda", "gpu") and not gpu:
        raise InputError(f"trainer.accelerator={trainer.accelerator}: this machine has no GPU; use auto or cpu")
    cores = os.cpu_count() or 1
    if not gpu and isinstance(trainer.devices, int) and not 1 <= trainer.devices <= cores:
        raise InputError(
            f"trainer.devices={trainer.devices}: this machine has {cores} CPU cores, one for each device; "
            f"expected 1 to {cores}"
        )


def _one_gpu(word: object) -> str:
    """Return how to name a GPU by its number, which is in the environment; `word` may be a number in brackets."""
    named = re.findall(r"[0-9]+", str(word))
    return f"to choose a GPU, write CUDA_VISIBLE_DEVICES={','.join(named) or '1'} before the command"


def check_writable(folder: Path, what: str) -> None:
    """Refuse a folder that cannot be made or written, before anything is computed for it.

    Args:
        folder: The folder; it need not exist yet.
        what: The purpose of the folder, for the error.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise InputError(f"{what} cannot be {folder}: {there} is a file; name another folder")
    if not os.access(there, os.W_OK | os.X_OK) or there == Path("/proc"):
        raise InputError(f"{what} cannot be {folder}: you may not write to {there}; name another folder")
