"""The configuration: one dataclass per group. Its fields are the keys of the command line and of `conf/*/*.yaml`.

Defaults, ranges and the meaning of each key stand here; an option in `conf/` says only what it changes.
`register` makes the dataclasses known to Hydra, so that a wrong key or type ends in one line.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from mammo.errors import InputError


def _number(default: float | None, low: float, high: float = float("inf"), *, below: float = float("inf")) -> Any:
    """Return a field that holds a number from `low` to `high`, and less than `below`."""
    words = f"a number from {low:g} to {high:g}" if high < float("inf") else f"a number, {low:g} or larger"
    words = f"a number from {low:g} to below {below:g}" if below < float("inf") else words
    return _checked(default, lambda v: low <= v <= high and v < below, words)


def _whole(default: int | None, low: int) -> Any:
    """Return a field that holds a whole number, `low` or larger; null where the default is null."""
    null = "null, or " if default is None else ""
    return _checked(default, lambda v: isinstance(v, int) and v >= low, f"{null}a whole number, {low} or larger")


def _one_of(default: Any, *known: Any) -> Any:
    """Return a field that holds one of a few words."""
    return _checked(default, lambda v: v in known, f"{', '.join(map(str, known[:-1]))} or {known[-1]}")


def _checked(default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
    return field(default=default, metadata={"fits": fits, "expected": expected})


@dataclass
class TaskConfig:
    """A task tells classes apart by the column of the findings table that decides (`datasets.labels.Labels`)."""

    name: str = "abnormality"
    column: str = "severity"
    classes: Any = None  # each class with the values of the column that it has; of two classes the second is positive
    ordered: bool = True  # each class is more of something than the one before


@dataclass
class DataConfig:
    """The films, and how they are loaded. A data set of your own is `_target_` with its `arguments`."""

    name: str = "mias"  # a row of datasets.registry.DATASETS
    _target_: str | None = None  # the import path of a class of your own, say my_lab.Films
    arguments: Any = field(default_factory=dict)  # of that class
    root: str | None = None  # the folder of the films; null: below MAMMO_HOME
    archive: str | None = None  # mias: the path of all-mias.tar.gz; null: MAMMO_MIAS_ARCHIVE, else a download
    download: bool = True  # mias: whether films that are not there are downloaded
    patients: int = 60  # phantom: the number of patients that are drawn, with two films each
    film_seed: int = 0  # phantom: the seed of the drawing
    spacing_mm: float | None = _number(None, 1e-3)  # of films that do not say how large a pixel is
    batch_size: int = _whole(16, 1)  # of all devices together
    workers: int | None = _whole(None, 0)  # loader processes per device; null: one on a CPU, on GPUs one per core
    cache: bool = True  # whether crops and the outputs of a frozen part are kept on disk
    fold: int | None = _whole(None, 0)  # test is this one of `folds`; null: one split by split.shares
    folds: int = _whole(5, 2)


@dataclass
class SplitConfig:
    """The dealing of images to training, validation and test."""

    name: str = "patient"  # patient, image, copy, paper, paper_by_patient, or table
    table: str | None = None  # table: the path of a CSV of your own, image_id and split (train, val, test)
    shares: list[float] | None = field(default_factory=lambda: [0.6, 0.2, 0.2])  # of train, val and test


@dataclass
class CropConfig:
    """The part of a film that is seen. Each crop takes the keys that it names; a crop of your own is `_target_`."""

    name: str = "whole"  # a row of preprocessing.crops.CROPS
    _target_: str | None = None  # the import path of a class of your own
    arguments: Any = field(default_factory=dict)  # of that class
    window_mm: float = _number(22.4, 1e-3)  # side of a window: 112 pixels of 0.2 mm, shown at 224
    recentre: bool = True  # lesion: on the brightest blob within 8 mm, both classes, which is the hard way
    without_circle: str = _one_of("exclude", "exclude", "breast")  # a lesion without a place; breast: its middle
    factor: float = _number(1.25, 1e-3)  # scaled_lesion: side over the lesion's diameter
    stride_mm: float | None = _number(None, 1e-3)  # grid: from window to window; null: window_mm, side by side
    bits: int = _one_of(8, 8, 16)  # grey levels of a stored crop


@dataclass
class AugmentConfig:
    """The draws of training samples: a method, and the geometric set that all methods share."""

    mode: str = _one_of("online", "none", "expand", "online")
    method: str = "geometric"  # a row of preprocessing.augment.METHODS
    copies: int = _whole(4, 0)  # expand: beside the original; online: draws to choose from where a part is frozen
    rate: float = _number(1.0, 0, 1)  # share of the draws that the method makes; the others are geometric alone
    alpha: float = _number(1.0, 1e-9)  # of the Beta distribution of the first one's share, where two are mixed
    steps: int = _whole(500, 1)  # gan: of the training of each class's network
    symmetries: bool = True  # the eight flips, quarter turns and transpositions of a square
    rotate_deg: float = _number(15.0, 0)  # largest rotation to either side
    shift: float = _number(0.05, 0)  # largest shift, as a share of the side
    scale: float = _number(0.1, 0)  # largest change of scale, as a share


@dataclass
class ModelConfig:
    """The network: a backbone, its weights, and how much of it trains."""

    name: str = "vgg16"  # a row of models.backbones.BACKBONES
    weights: str | None = "imagenet"  # imagenet, a .safetensors file, or null
    image_size: int = _whole(224, 1)  # side of the input in pixels
    trainable: str = _one_of("head", "head", "last_block", "all")  # head: what the weights lack, and the last layer
    pool: str = _one_of("avg", "avg", "fc")  # features: the last map's mean, or the fully connected layers' output
    dropout: float = _number(0.5, 0, below=1)
    channels_last: bool = True
    compile: bool = False  # torch.compile, which takes minutes at first


@dataclass
class LossConfig:
    """The number that training makes small. Each loss takes the keys that it names."""

    name: str = "cross_entropy"  # a row of models.losses.LOSSES
    class_weights: str = _one_of("balanced", "balanced", "none")  # in inverse proportion to the training part, or none
    gamma: float = _number(2.0, 0)  # focal: 0 is cross-entropy
    trace: float = _number(0.01, 0)  # confusion: weight of its regularisation; larger: labels are trusted less


@dataclass
class OptimConfig:
    """AdamW and its schedule: a linear warm-up, then a cosine down to zero."""

    lr_backbone: float = _number(1e-5, 0)  # of what came from a weights file
    lr_head: float = _number(1e-3, 0)  # of what did not
    weight_decay: float = _number(0.01, 0)
    warmup_epochs: float = _number(1.0, 0)


@dataclass
class EarlyStoppingConfig:
    """Training stops early on a validation part; without one it does not."""

    patience: int | None = 10  # epochs without a better val/auroc; null: never


@dataclass
class TrainerConfig:
    """Arguments of Lightning's Trainer; others are added with a plus, say `+trainer.sync_batchnorm=true`."""

    max_epochs: int = _whole(30, 1)
    accelerator: str = "auto"  # auto, cpu or cuda
    devices: Any = 1  # of each machine; on a CPU, processes
    num_nodes: int = 1  # machines; more than one is started by srun or torchrun
    precision: str = "auto"  # bf16-mixed where the processor or GPU has bfloat16, else 32-true
    deterministic: Any = "warn"  # a few layers have no deterministic gradient on a GPU; true makes them an error
    more: Any = field(default_factory=dict)  # what was added


@dataclass
class Config:
    """All of a run's settings."""

    task: TaskConfig = field(default_factory=TaskConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    seed: int = _whole(0, 0)  # of the split, the backgrounds, the augmentation, the weights and the dropout
    heads: Any = "svm"  # a row of models.heads.HEADS, a list of them, or all; beside the network's own softmax
    aggregate: str = _one_of("mean", "mean", "max")  # of images and patients from their samples; max: most alarming
    threshold: Any = "youden"  # chosen on validation and frozen: youden, or a required sensitivity, say 0.9
    select_on: str = _one_of("val", "val", "test")  # epoch, heads, temperature, threshold; test is a leak
    objective: str | None = "val/softmax/auroc"  # of a sweep's optimiser: <part>/<head>/<metric> of metrics.json
    fit: bool = True  # false: evaluate ckpt_path, a run folder, with its own configuration
    ckpt_path: str | None = None  # last: go on with a run that was cut; with fit=false, a run folder
    repeats: int = 1  # seeds of sweep=folds
    source: Any = None  # of an experiment: whose system, and what its authors claim
    plugins: Any = field(default_factory=list)  # modules or files of your own, which add rows before anything is built

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Config":
        """Return the configuration of plain data, as `as_dict` or Hydra gives it.

        Raises:
            InputError: A key that there is not, or a value of another type or out of range; the line names the key.
        """
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()}
        for group, rest in (("trainer", "more"), ("data", "arguments"), ("crop", "arguments")):
            section = plain.get(group, {})
            known = {one.name for one in fields(GROUPS[group])}
            if group == "trainer" or section.get("_target_"):
                others = {key: section.pop(key) for key in list(section) if key not in known}
                section[rest] = {**(section.get(rest) or {}), **others}
        try:
            made: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), plain))
        except OmegaConfBaseException as error:
            raise InputError(explained(error)) from None
        _check(made, "")
        return made

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON and YAML hold it."""
        return dataclasses.asdict(self)


GROUPS: dict[str, Any] = {one.name: one.type for one in fields(Config) if dataclasses.is_dataclass(one.type)}


def _check(section: Any, prefix: str) -> None:
    """Refuse the first value that is out of its range."""
    for one in fields(section):
        value, key = getattr(section, one.name), f"{prefix}{one.name}"
        if dataclasses.is_dataclass(value):
            _check(value, f"{key}.")
        elif value is None and one.default is None:
            continue
        elif "fits" in one.metadata and (isinstance(value, bool) or not one.metadata["fits"](value)):
            raise InputError(f"{key}={value}: expected {one.metadata['expected']}")


def explained(error: BaseException) -> str:
    """Return the line for what Hydra or OmegaConf refuses: a key that there is not, or a value of another type."""
    if isinstance(error, InputError):
        return str(error)
    cause = error.__cause__ or error
    key, section = getattr(cause, "full_key", None), getattr(cause, "object_type", None)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and dataclasses.is_dataclass(section):
        return f"{key} is no setting; {meant(str(key), [one.name for one in fields(section)])}"
    key = key or getattr(error, "override", None)  # of an override that cannot be read
    lines = dict.fromkeys([key or str(error).partition("\n")[0], str(cause).partition("\n")[0]])
    return ": ".join(lines)


def meant(key: str, expected: list[str]) -> str:
    """Return the rest of the line for a key that there is not: the key that was probably meant, else those expected."""
    section, _, last = key.rpartition(".")
    known = {f"{group}.{one.name}": one.name for group, of in GROUPS.items() for one in fields(of)}
    known |= {one.name: one.name for one in fields(Config)}
    near = difflib.get_close_matches(last, expected, 1, cutoff=0.75)
    if near:
        return f"did you mean {section}.{near[0]}?" if section else f"did you mean {near[0]}?"
    elsewhere = [path for path, name in known.items() if name == last and path != key]
    elsewhere = elsewhere or [path for path, name in known.items() if last in name.split("_")]  # say epochs, lr
    return f"did you mean {' or '.join(elsewhere)}?" if elsewhere else f"expected one of {', '.join(expected)}"


def register() -> None:
    """Make the dataclasses known to Hydra, as the schema that `conf/config.yaml` begins with."""
    from hydra.core.config_store import ConfigStore  # noqa: PLC0415 - half a second that no reader of tables needs

    ConfigStore.instance().store("schema", Config)
