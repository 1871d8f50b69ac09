"""Write a run as one ONNX file, after a check that it answers for the run's test images as the run does."""

import base64
import json
from collections.abc import Iterator
from copy import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save

from mammo.errors import InputError, UnreadableFilm
from mammo.files import whole
from mammo.inference.classifier import ClassifierPredictor, SeenWindows
from mammo.inference.exported import BLANK, DIGEST, RUN, ExportedRun, OnnxPredictor, sealed
from mammo.inference.films import own_films
from mammo.inference.onnx_graph import graph_of
from mammo.inference.operating import COMPUTES
from mammo.inference.portable import PREPROCESSING, card_of, facts_of
from mammo.inference.quantised import quantise
from mammo.preprocessing.crops import Grid, Whole
from mammo.processes.progress import watched
from mammo.processes.workers import shared_out
from mammo.wording import number_of

LIMIT = 1e-3  # the largest difference of a probability with which a file is written
CALIBRATION = 32  # images of the training part that tell the ranges of numbers in int8
FILMS = 16  # films whose squares are held at a time


@dataclass
class Parity:
    """The largest differences between a run and its file, over the run's test images.

    Attributes:
        against: The answers that the file's are compared with, in words.
        films: The number of images that were compared.
        left_out: The number of images that could not be read again.
        differences: The largest difference by stage: features, score, probability of a window, and of an image.
        sizes: The largest absolute value by stage.
        changed: The number of images that the file calls another class.
        beside: The comparison with the answers that the run gives, if this one is with others; it refuses nothing.
    """

    against: str = "the run"
    films: int = 0
    left_out: int = 0
    differences: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    changed: int = 0
    beside: "Parity | None" = None

    @property
    def apart(self) -> float:
        """The largest difference of a probability; nan if one is nan."""
        return float(np.max([self.differences[f"probability of {one}"] for one in ("a window", "an image")]))

    def add(self, stage: str, ours: Any, theirs: Any) -> None:
        """Compare the numbers of a stage."""
        apart = float(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max())
        self.differences[stage] = float(np.maximum(apart, self.differences.get(stage, 0.0)))  # nan stays
        self.sizes[stage] = max(float(np.abs(ours).max()), self.sizes.get(stage, 0.0))

    def lines(self) -> list[str]:
        """Return the comparison in words."""
        said = [
            f"parity with {self.against} on {number_of(self.films, 'test image')}, {self.left_out} could not be used"
        ]
        for stage, apart in self.differences.items():
            said.append(f"  {stage}: largest difference {apart:.2g}, largest value {self.sizes[stage]:.3g}")
        said.append(f"  decisions: {self.changed} of {self.films} changed")
        return said + (self.beside.lines() if self.beside else [])

    def refuse(self, path: Path, head: str, *, low: bool = False) -> None:
        """Refuse a file that answers otherwise than its run; `low` if the run computed in bfloat16, and so does it."""
        if self.apart <= LIMIT and not self.changed:
            return
        other = "export another head"
        if low:
            other = "--precision float32 writes one that answers as the run does in float32, and tells the difference"
        raise InputError(
            f"{path} is not written: a probability of head {head} differs by {self.apart:.2g} (limit {LIMIT:g}), and "
            f"{self.changed} of {self.films} decisions changed; {other}. " + "; ".join(self.lines())
        )


def write_onnx(ask: ClassifierPredictor, path: Path, precision: str | None = None) -> Parity:
    """Write the network and head of a predictor as an ONNX file, and return how far its answers are from the run's.

    Args:
        ask: The predictor.
        path: The file, which does not exist.
        precision: One of `PRECISIONS`; None computes as the run did.

    Raises:
        InputError: The head cannot be exported, the test images are not there, or the file answers otherwise.
    """
    low = ask.low and precision is None
    model = graph_of(ask, low=low)
    model.metadata_props.update(metadata_of(ask))
    with whole(path, new=True) as temporary:
        ir.save(model, temporary)
        if precision == "int8":
            quantise(temporary, (film.pixels for film in _seen(ask, "train", CALIBRATION)))
            model = ir.load(temporary)
        asks = {"the run": ask}
        if ask.low and precision == "float32":
            plain = copy(ask)
            plain.low = False
            asks = {"the run in float32": plain} | asks
        parity = compared(asks, OnnxPredictor(ExportedRun(temporary), ask.head))
        if precision != "int8":
            parity.refuse(path, ask.head, low=low)
        computes = precision or ask.run.provenance["precision"]
        told = {"precision": computes, "loss": loss_of(parity, precision) or "", "parity": json.dumps(asdict(parity))}
        model.metadata_props.update(told | {DIGEST: BLANK})
        ir.save(model, temporary)
        temporary.write_bytes(sealed(temporary.read_bytes())[0])
    return parity


def loss_of(parity: Parity, precision: str | None) -> str | None:
    """Return the note of every answer of a file that computes otherwise than its run; None if it computes alike."""
    beside = parity.beside or parity
    if precision is None or (beside is parity and precision == "float32"):
        return None
    return (
        f"{COMPUTES} {precision}: on {number_of(beside.films, 'test image')} its probabilities were at most "
        f"{beside.apart:.2g} from the run's, and {beside.changed} decisions were others."
    )


def compared(asks: dict[str, ClassifierPredictor], exported: OnnxPredictor) -> Parity:
    """Compare a file's answers for the run's test images, which are read again, with those of one predictor or two."""
    parities = {name: Parity(name) for name in asks}
    first = next(iter(asks.values()))
    left_out: list[str] = []
    for films in _in_parts(_seen(first, "test", None, left_out), FILMS):
        samples = [one for film in films for one in film.pixels]
        blocks = [samples[start : start + exported.rows] for start in range(0, len(samples), exported.rows)]
        found, answers = [exported.computed(block) for block in blocks], list(exported.answers(films))
        for ask, parity in zip(asks.values(), parities.values(), strict=True):
            for block, theirs in zip(blocks, found, strict=True):
                features, logits = ask.outputs(block)
                score, probabilities = ask.scored(features, logits)
                parity.add("features", features, theirs["features"])
                if score is not None:
                    parity.add("score", score, theirs["score"])
                parity.add("probability of a window", probabilities, theirs["probabilities"])
            for ours, other in zip(ask.answers(films), answers, strict=True):
                parity.films += 1
                parity.add("probability of an image", [*ours.probabilities.values()], [*other.probabilities.values()])
                parity.changed += ours.called != other.called
    for parity in parities.values():
        parity.left_out = len(left_out)
    decides, *others = parities.values()
    if not decides.films:
        raise InputError(f"{first.run.path}: none of its test images can be read again, so nothing can be compared")
    decides.beside = others[0] if others else None
    return decides


def _seen(
    ask: ClassifierPredictor, part: str, most: int | None, left_out: list[str] | None = None
) -> Iterator[SeenWindows]:
    """Yield a part's images as the network looks at them; of a run on lesion windows, at each of its places.

    Args:
        ask: The predictor.
        part: train or test.
        most: The largest number of them, evenly spaced; None takes all.
        left_out: Takes the reason for each image that cannot be read again.
    """
    at_points = not isinstance(ask.crop, Whole | Grid)
    dataset, rows = own_films(ask.run), ask.run.samples.query(f"split == '{part}'")
    dataset.prepare()
    dataset.findings()  # with which some data sets learn where their films are
    rows = rows.drop_duplicates(["image_id", "finding_id"] if at_points else "image_id")
    if most is not None and len(rows) > most:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, most).astype(int)]
    rows = rows.astype(object).where(rows.notna(), None)

    def look(row: dict[str, Any]) -> SeenWindows:
        at = (row["x_px"], row["y_px"]) if at_points else None
        facts = {key: row[key] for key in ("laterality", "spacing_mm")}
        try:
            return ask.see(dataset.read(row["image_id"]), at=at, name=row["image_id"], **facts)
        except (InputError, OSError) as error:
            raise UnreadableFilm(str(error)) from None

    for one in watched(shared_out(look, rows.to_dict("records")), len(rows), f"Looking at images of {part}"):
        if not isinstance(one, UnreadableFilm):
            yield one
        elif left_out is not None:
            left_out.append(str(one))


def _in_parts(films: Iterator[SeenWindows], count: int) -> Iterator[list[SeenWindows]]:
    """Yield films in lists of some, so that few are held."""
    part: list[SeenWindows] = []
    for film in films:
        part.append(film)
        if len(part) == count:
            yield part
            part = []
    if part:
        yield part


def metadata_of(ask: ClassifierPredictor) -> dict[str, str]:
    """Return the metadata of an ONNX file: for people and other programs, and what `ExportedRun` reads."""
    run, point = ask.run, ask.point
    card = card_of(run, [ask.head])
    read: dict[str, Any] = card | {
        "head": ask.head,
        "operating": point.as_json(),
        "threshold": point.threshold,
        "temperature": point.choices.temperature,
        RUN: facts_of(run, [ask.head])
        | {"head": ask.head, "preprocessing": PREPROCESSING}
        | {"likeness": None if run.likeness is None else base64.b64encode(save(run.likeness)).decode()},
    }
    return {key: one if isinstance(one, str) else json.dumps(one) for key, one in read.items()}
