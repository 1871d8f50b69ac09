"""Write a run as one ONNX file, after a check that it answers for the run's test images as the run does."""

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from safetensors.numpy import save

from mammo.datasets.registry import open_dataset
from mammo.errors import InputError, UnreadableFilm
from mammo.files import whole
from mammo.inference.classifier import ClassifierPredictor, SeenWindows
from mammo.inference.exported import RUN, ExportedRun, OnnxPredictor
from mammo.inference.onnx_graph import graph_of
from mammo.inference.portable import PREPROCESSING, card_of, facts_of
from mammo.preprocessing.crops import Grid, Whole
from mammo.processes.progress import watched
from mammo.processes.workers import shared_out

LIMIT = 1e-3  # the largest difference of a probability with which a file is written
FILMS = 16  # films whose squares are held at a time


@dataclass
class Parity:
    """The largest differences between a run and its file, over the run's test images.

    Attributes:
        films: The number of images that were compared.
        left_out: The number of images that could not be read again.
        differences: The largest difference by stage: features, score, probability of a window, and of an image.
        sizes: The largest absolute value by stage.
        changed: The number of images that the file calls another class.
    """

    films: int = 0
    left_out: int = 0
    differences: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    changed: int = 0

    def add(self, stage: str, ours: Any, theirs: Any) -> None:
        """Compare the numbers of a stage."""
        apart = float(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max())
        self.differences[stage] = max(apart, self.differences.get(stage, 0.0))
        self.sizes[stage] = max(float(np.abs(ours).max()), self.sizes.get(stage, 0.0))

    def lines(self) -> list[str]:
        """Return the comparison in words."""
        said = [f"parity on {self.films} test images, {self.left_out} could not be used"]
        for stage, apart in self.differences.items():
            said.append(f"  {stage}: largest difference {apart:.2g}, largest value {self.sizes[stage]:.3g}")
        return [*said, f"  decisions: {self.changed} of {self.films} changed"]

    def refuse(self, path: Path) -> None:
        """Refuse a file that answers otherwise than its run."""
        apart = max(self.differences["probability of a window"], self.differences["probability of an image"])
        if apart > LIMIT or self.changed:
            raise InputError(
                f"{path} is not written: a probability differs by {apart:.2g} (limit {LIMIT:g}), and {self.changed} of "
                f"{self.films} decisions changed; train with trainer.precision=32-true, or export another head. "
                + "; ".join(self.lines())
            )


def write_onnx(ask: ClassifierPredictor, path: Path) -> Parity:
    """Write the network and head of a predictor as an ONNX file, and return how far its answers are from the run's.

    Raises:
        InputError: The head cannot be exported, the test images are not there, or the file answers otherwise.
    """
    model = graph_of(ask)
    model.metadata_props.update(metadata_of(ask))
    with whole(path) as temporary:
        ir.save(model, temporary)
        parity = compared(ask, OnnxPredictor(ExportedRun(temporary), ask.head))
        parity.refuse(path)
        model.metadata_props["parity"] = json.dumps(asdict(parity))
        ir.save(model, temporary)
    return parity


def compared(ask: ClassifierPredictor, exported: OnnxPredictor) -> Parity:
    """Compare the answers of a run and of its file for the run's test images, which are read again."""
    parity = Parity()
    for films in _in_parts(_seen(ask, parity), FILMS):
        for start in range(0, len(samples := [one for film in films for one in film.pixels]), exported.rows):
            block = samples[start : start + exported.rows]
            features, logits = ask.outputs(block)
            score, probabilities = ask.scored(features, logits)
            found = exported.computed(block)
            parity.add("features", features, found["features"])
            if score is not None:
                parity.add("score", score, found["score"])
            parity.add("probability of a window", probabilities, found["probabilities"])
        for ours, theirs in zip(ask.answers(films), exported.answers(films), strict=True):
            parity.films += 1
            parity.add("probability of an image", [*ours.probabilities.values()], [*theirs.probabilities.values()])
            parity.changed += ours.called != theirs.called
    if not parity.films:
        raise InputError(f"{ask.run.path}: none of its test images can be read again, so nothing can be compared")
    return parity


def _seen(ask: ClassifierPredictor, parity: Parity) -> Iterator[SeenWindows]:
    """Yield the run's test images as the network looks at them; of a run on lesion windows, at each of its places."""
    at_points = not isinstance(ask.crop, Whole | Grid)
    dataset, rows = open_dataset(ask.config.data), ask.run.samples.query("split == 'test'")
    dataset.prepare()
    dataset.findings()  # with which some data sets learn where their films are
    rows = rows.drop_duplicates(["image_id", "finding_id"] if at_points else "image_id")
    rows = rows.astype(object).where(rows.notna(), None)

    def look(row: dict[str, Any]) -> SeenWindows:
        at = (row["x_px"], row["y_px"]) if at_points else None
        facts = {key: row[key] for key in ("laterality", "spacing_mm")}
        try:
            return ask.see(dataset.read(row["image_id"]), at=at, name=row["image_id"], **facts)
        except (InputError, OSError) as error:
            raise UnreadableFilm(str(error)) from None

    for one in watched(shared_out(look, rows.to_dict("records")), len(rows), "Comparing answers"):
        if isinstance(one, UnreadableFilm):
            parity.left_out += 1
        else:
            yield one


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
        "weights_digest": card["weights_digest"] | {"trained": sha256(run.checkpoint.read_bytes()).hexdigest()},
        RUN: facts_of(run, [ask.head])
        | {"head": ask.head, "preprocessing": PREPROCESSING}
        | {"likeness": None if run.likeness is None else base64.b64encode(save(run.likeness)).decode()},
    }
    return {key: one if isinstance(one, str) else json.dumps(one) for key, one in read.items()}
