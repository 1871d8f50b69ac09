"""The configuration: one dataclass per group. Its fields are the keys of the command line and of `conf/*/*.yaml`.

Defaults, ranges and the meaning of each key stand here; an option in `conf/` says only what it changes.
The comment beside or above a field explains its key to users: `train.py --help` and the reference pages print it.
`register` makes the dataclasses known to Hydra, so that a wrong key or type ends in one line.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from mammo.crop_config import AugmentConfig, CropConfig
from mammo.detector_config import DetectorConfig
from mammo.errors import InputError
from mammo.fields import check_ranges, json_of, mapping_of
from mammo.fields import checked as _checked
from mammo.fields import number as _number
from mammo.fields import one_of as _one_of
from mammo.fields import whole as _whole
from mammo.segmentation_config import SegmentationConfig

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass
class TaskConfig:
    """The question that the classifier answers: its classes, from one column of the findings table."""

    name: str = "abnormality"  # the name of the task, as tables and reports print it
    # classification tells classes apart; detection also marks where lesions, findings of the second class, lie;
    # segmentation finds their regions, or that of the breast
    kind: str = _one_of("classification", "classification", "detection", "segmentation")
    column: str = "severity"  # the column of the findings table that decides the class
    # each class with its values of the column, as the option of task= says; the second class of two is positive;
    # null: the words of the column
    classes: Any = None
    ordered: bool = True  # whether each class is more of something than the class before it
    positive: Any = None  # label: the words of the positive class, for example [krank]; none: one class a word
    negative: Any = None  # label: the words of the negative class; others are left out; null: all that are not positive


@dataclass
class DataConfig:
    """The films, and how they are loaded. For a data set of your own, set `_target_` and its arguments."""

    name: str = "mias"  # mias, mias_full, cbis_ddsm, cmmd, inbreast, rsna, vindr, phantom, table or union
    _target_: str | None = None  # the import path of a data set class of your own, for example my_lab.Films
    arguments: Any = field(default_factory=dict)  # arguments of that class; add one with a plus, say +data.year=2021
    # the folder of the films, or one above it; null: one below MAMMO_HOME. table: where paths begin; null: its folder
    root: str | None = None
    # mias, mias_full: the path of all-mias.tar.gz; null: MAMMO_MIAS_ARCHIVE, or else a download. mias_full: or Info.txt
    archive: str | None = None
    download: bool = True  # mias: whether missing films are downloaded
    patients: int = 60  # phantom: the number of patients that are drawn, with two films each
    film_seed: int = _whole(0, 0)  # phantom: the seed of the drawing
    scanner: str = _one_of("film", "film", "cr", "dr")  # phantom: the machine whose films are drawn
    table: str | None = None  # table: the path of a table of films (CSV, XLSX or Parquet), a row per image or finding
    # table: its columns where their names do not tell, for example data.columns.patient=PatientID; null: not used
    columns: Any = None
    # table: the meaning of its words by column, for example data.values.severity.krank=malignant; null: missing
    values: Any = None
    # table: a regular expression that finds the patient in the path, for example '(P\d+)_'; null: a column tells
    patient_from: str | None = None
    voi: str = _one_of("first", "first", "none")  # the window or LUT of DICOM films that is applied
    # table: what a label describes; labels of a breast or patient are carried to its other images
    label_of: str = _one_of("image", "image", "breast", "patient")
    label_columns: Any = None  # table: a list of the columns that are carried beside severity
    origin: str = _one_of("top", "top", "bottom")  # table: the row of the film, 0, from which y counts
    # union: the data sets, a list of names such as [mias,cmmd], or of settings such as {name: table, table: films.csv}
    parts: Any = None
    # cbis_ddsm: the patients whom its own split has in training and test: keep leaves them there, so that
    # split=official is refused; train moves them to training
    in_both: str = _one_of("keep", "keep", "train")
    # rsna: a breast without cancer and biopsy whose BI-RADS is 0 or missing: its severity is unknown, or normal
    unproven: str = _one_of("unknown", "unknown", "normal")
    # what a severity may rest on, a word or a list of pathology, follow_up, reading, birads, patient_label, unstated;
    # others are unknown. null: all, but pathology and birads together must be named
    severity_source: Any = None
    spacing_mm: float | None = _number(None, 0.01, 1)  # the side of a pixel in millimetres, where films state none
    view: Any = None  # only images of this view, or of a list such as [CC,MLO]; null: all
    laterality: str | None = _one_of(None, "left", "right")  # only images of this laterality; null: all
    batch_size: int = _whole(16, 1)  # the number of samples in a training step, on all devices together
    workers: int | None = _whole(None, 0)  # loader processes per device; null: one on a CPU, one per core on GPUs
    shuffle_block: int | None = _whole(None, 1)  # neighbouring samples that are read and shuffled together; null: all
    # the largest share of the images that a run leaves out because their films are unreadable; above it, it stops
    max_unreadable: float = _number(0.05, 0, 1)
    audit: bool = True  # whether your own films, several data sets and split=official are compared before training
    cache: bool = True  # whether crops and the outputs of a frozen part are kept on disk for later runs
    # the fold that is the test part, counted from 0; null: one split with the sizes of split.shares
    fold: int | None = _whole(None, 0)
    folds: int = _whole(5, 2)  # the number of folds


@dataclass
class SplitConfig:
    """The rule that deals images to training, validation and test."""

    name: str = "patient"  # how images are dealt: patient, image, copy, paper, paper_by_patient, table or official
    table: str | None = None  # for table, the path of a CSV with image_id and split (train, val or test)
    # the shares of training, validation and test
    shares: list[float] | None = field(default_factory=lambda: [0.6, 0.2, 0.2])


@dataclass
class ModelConfig:
    """The network: a backbone, its weights, and how much of it trains."""

    name: str = "vgg16"  # the network: one of the options of model=, or a row that a plugin adds
    # imagenet, a .safetensors file, the folder of a run, or null for random weights; detection: or a folder of files
    weights: str | None = "imagenet"
    image_size: int = _whole(224, 1, 8192)  # the side of the input in pixels
    # head: the last layer and all that the weights lack; last_block: the last block too; all: everything. detection:
    # head, or last_block, that of the map detector.block_map too
    trainable: str = _one_of("head", "head", "last_block", "all")
    # the stages whose maps give the features, say [block3,block4,block5]; null: the last map
    features: list[str] | None = None
    # the features of a map: avg, its mean; mean_std, mean and standard deviation; max, its largest value; fc, the
    # output of the fully connected layers on the last map
    pool: str = _one_of("avg", "avg", "mean_std", "max", "fc")
    # the flips of each evaluated square over which the features are averaged: none, horizontal (the square and its
    # mirror image) or eight (all flips and quarter turns). detection: none, or vertical (the film and the film upside
    # down), which trains too
    flips: str = _one_of("none", "none", "horizontal", "eight", "vertical")
    dropout: float = _number(0.5, 0, below=1)  # the share of features that is dropped in training
    channels_last: bool = True  # whether the memory format channels_last is used, which is faster
    compile: bool = False  # whether torch.compile is used; it takes minutes at first
    # detection: the frozen maps, each a backbone and the scale at which the film is shown to it
    maps: list[str] = field(default_factory=lambda: ["vgg16@1", "vgg16@0.5", "inception@2"])


@dataclass
class LossConfig:
    """The number that training makes small. A loss takes only the keys that concern it."""

    name: str = "cross_entropy"  # cross_entropy, focal or confusion
    # balanced: classes weigh in inverse proportion to their number in training; none: all alike
    class_weights: str = _one_of("balanced", "balanced", "none")
    gamma: float = _number(2.0, 0)  # focal: the larger, the less well classified samples weigh; 0: cross-entropy
    # confusion: the weight of its regularisation; with a larger one, labels are trusted less
    trace: float = _number(0.01, 0)


@dataclass
class OptimConfig:
    """The optimiser AdamW and its schedule: the learning rate rises linearly, then falls to zero along a cosine."""

    lr_backbone: float = _number(1e-5, 0)  # the learning rate of the layers that came from a weights file
    lr_head: float = _number(1e-3, 0)  # the learning rate of all other layers
    weight_decay: float = _number(0.01, 0)  # the weight decay of AdamW
    warmup_epochs: float = _number(1.0, 0)  # the epochs in which the learning rate rises to its full value


@dataclass
class EarlyStoppingConfig:
    """The rule that stops training early. It needs a validation part; without one, training does not stop early."""

    # stop after this many epochs without a better val/auroc, in segmentation val/dice; null: never stop early
    patience: int | None = _whole(10, 0, null=True)


@dataclass
class TrainerConfig:
    """Arguments of Lightning's Trainer. Add others with a plus, for example `+trainer.sync_batchnorm=true`."""

    max_epochs: int = _whole(30, 1)  # the largest number of epochs
    # auto, cpu or cuda; one GPU of several is chosen by CUDA_VISIBLE_DEVICES=1 before the command
    accelerator: str = _checked(
        "auto",
        lambda v: v in ("auto", "cpu", "cuda", "gpu"),
        "auto, cpu, cuda or gpu (one GPU of several: CUDA_VISIBLE_DEVICES=1)",
    )
    devices: Any = 1  # the number of devices on each machine; on a CPU, of processes
    num_nodes: int = _whole(1, 1)  # the number of machines; srun or torchrun must start more than one
    # auto: bf16-mixed where the processor or GPU has bfloat16, otherwise 32-true
    precision: str = _one_of("auto", *PRECISIONS)
    # true, false or warn; a few layers have no deterministic gradient on a GPU, and true makes them an error
    deterministic: Any = _one_of("warn", True, False, "warn")  # noqa: RUF009 - a field
    # other arguments of Lightning's Trainer; add one with a plus, for example +trainer.sync_batchnorm=true
    more: Any = field(default_factory=dict)


@dataclass
class Config:
    """All settings of a run."""

    task: TaskConfig = field(default_factory=TaskConfig)
    data: DataConfig = field(default_factory=DataConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    seed: int = _whole(0, 0, 2**32 - 1)  # the seed of split, backgrounds, augmentation, weights and dropout
    # classifiers of the network's features: all, or one or a list of svm, svm_linear, logistic, lda, knn, mlp, boosting
    heads: Any = "svm"
    # the number of an image, breast, exam or patient from its samples: their mean; max, the most alarming one; or
    # noisy_or, the probability that one of them at least is positive
    aggregate: str = _one_of("mean", "mean", "max", "noisy_or")
    # detection: whether films are also judged with that of the patient's other breast, in the same view
    partner: bool = True
    # the rule that chooses the operating threshold on validation: youden, or a required sensitivity such as 0.9
    threshold: Any = "youden"
    # the part that chooses epoch, heads, temperature and threshold; test is a leak
    select_on: str = _one_of("val", "val", "test")
    # the number that sweep=tune makes large: <part>/<head>/<metric> as in metrics.json, or null
    objective: str | None = "val/softmax/auroc"
    fit: bool = True  # false: evaluate the run in ckpt_path again, with its own configuration, without training
    ckpt_path: str | None = None  # last: go on with a run that was cut; with fit=false, the folder of a run
    repeats: int = _whole(1, 1)  # the number of seeds of sweep=folds
    source: Any = None  # of an experiment: the authors of the system, and what they claim
    # modules or files of your own, which add networks, heads or losses before anything is built
    plugins: Any = field(default_factory=list)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Config":
        """Return the configuration of plain data, as `as_dict` or Hydra gives it.

        Raises:
            InputError: A key that there is not, or a value of another type or out of range; the line names the key.
        """
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items()}
        for group, rest in (("trainer", "more"), ("data", "arguments"), ("crop", "arguments")):
            section = plain.get(group)
            known = {one.name for one in fields(GROUPS[group])}
            if isinstance(section, dict) and (group == "trainer" or section.get("_target_")):
                others = {key: section.pop(key) for key in list(section) if key not in known}
                section[rest] = {**mapping_of(f"{group}.{rest}", section.get(rest)), **others}
        data = mapping_of("data", plain.get("data"))
        for key, start in (("columns", "{"), ("values", "{"), ("parts", "[")):  # JSON, if from a command line
            if isinstance(text := data.get(key), str) and text.startswith(start):
                data[key] = json_of(f"data.{key}", text)
        try:
            made: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), plain))
        except OmegaConfBaseException as error:
            raise InputError(explained(error)) from None
        check_ranges(made)
        return made

    @property
    def network(self) -> str:
        """The name of the network, or of the maps of a detector, as reports print it."""
        return " + ".join(self.model.maps) if self.task.kind == "detection" else self.model.name

    @property
    def chosen_by(self) -> str:
        """The watched metric whose best epoch is kept."""
        return "dice" if self.task.kind == "segmentation" else "auroc"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as JSON and YAML hold it."""
        return dataclasses.asdict(self)


GROUPS: dict[str, Any] = {one.name: one.type for one in fields(Config) if dataclasses.is_dataclass(one.type)}


def explained(error: BaseException) -> str:
    """Return the line for what Hydra or OmegaConf refuses: a key that there is not, or a value of another type."""
    if isinstance(error, InputError):
        return str(error)
    if comma := re.search(r"^Ambiguous value for argument '(.+)=(-?\d+),(\d+)'", str(error)):
        return f"{comma[1]}={comma[2]},{comma[3]} is two values; write {comma[2]}.{comma[3]} for one"
    cause = error.__cause__ or error
    key, section = getattr(cause, "full_key", None), getattr(cause, "object_type", None)
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and dataclasses.is_dataclass(section):
        return f"{key} is no setting; {meant(str(key), [one.name for one in fields(section)])}"
    odd = getattr(error, "override", None)  # that cannot be read
    if odd and "=" not in odd:
        return f"{odd} is no setting; write key=value, without blanks around the sign"
    return ": ".join(dict.fromkeys([key or odd or str(error).partition("\n")[0], str(cause).partition("\n")[0]]))


def meant(key: str, expected: list[str]) -> str:
    """Return the rest of the line for a key that there is not: the key that was probably meant, else those expected."""
    section, _, last = key.rpartition(".")
    known = {f"{group}.{one.name}": one.name for group, of in GROUPS.items() for one in fields(of)}
    known |= {one.name: one.name for one in fields(Config)}
    near = difflib.get_close_matches(last, expected, 1, cutoff=0.75)
    if near:
        return f"did you mean {section}.{near[0]}?" if section else f"did you mean {near[0]}?"
    elsewhere = [path for path, name in known.items() if last in (name, *name.split("_")) and path != key]  # say lr
    return f"did you mean {' or '.join(elsewhere)}?" if elsewhere else f"expected one of {', '.join(expected)}"


def register() -> None:
    """Make the dataclasses known to Hydra, as the schema that `conf/config.yaml` begins with."""
    from hydra.core.config_store import ConfigStore  # noqa: PLC0415 - half a second that no reader of tables needs

    ConfigStore.instance().store("schema", Config)
