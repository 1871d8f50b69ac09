"""Check your own rows and classes against the contracts; each check says in one line what is wrong.

The project's tests use these checks for the built-in rows, as scikit-learn does with `check_estimator`.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch

from mammo.config import Config, LossConfig, ModelConfig, TaskConfig
from mammo.datasets.base import Dataset, load_findings
from mammo.datasets.film import Film, pixel_digest
from mammo.datasets.geometry import geometry
from mammo.datasets.label_words import resolved
from mammo.datasets.labels import Labels
from mammo.datasets.labels import check_task as require_classes
from mammo.datasets.registry import CONTRACT
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES, Backbone
from mammo.models.heads import HEADS, Head, fit_head
from mammo.models.heads_io import load_head, save_head
from mammo.models.losses import LOSSES, CrossEntropy, build_loss
from mammo.models.network import build_network, linear_head
from mammo.tasks.build import build_task


def check_dataset(dataset: Dataset) -> None:
    """Check a data set: its table, every film, and that table and films agree.

    Args:
        dataset: The data set. The check prepares it and reads every film.

    Raises:
        InputError: A member is missing, the table or a film is wrong, a finding lies outside its film, or two calls
            return different things; the error names the image.
    """
    who = type(dataset).__name__
    if lacking := [name for name in CONTRACT if not hasattr(dataset, name)]:
        _fail(who, f"no {', '.join(lacking)}", "all members of mammo.datasets.base.Dataset")
    dataset.prepare()
    table = load_findings(dataset)
    if not table.equals(load_findings(dataset)):
        _fail(who, "a different table in a second call of findings()", "the same table")
    digests: dict[str, str] = {}
    for image_id, rows in table.groupby("image_id", sort=False):
        whose = f"{who}, {image_id}"
        film, again = dataset.read(image_id), dataset.read(image_id)
        _check_film(whose, film, again, rows["laterality"].iloc[0])
        named = dataset.digest(image_id)
        if named != dataset.digest(image_id):
            _fail(whose, "a different digest in a second call", "the same digest, or None")
        if named is not None and digests.setdefault(named, pixel_digest(film.pixels)) != pixel_digest(film.pixels):
            _fail(whose, "the digest of another film", "another digest for other pixels, or None")
        _check_places(whose, film, rows)


def _check_film(whose: str, film: Film, again: Film, laterality: object) -> None:
    """Refuse a film that is none, that differs when it is read again, or whose facts do not fit its pixels and row."""
    if not isinstance(film, Film) or film.pixels.ndim != 2 or film.pixels.dtype not in (np.uint8, np.uint16):
        _fail(whose, "no Film of (height, width) uint8 or uint16", "a Film; see mammo.datasets.film")
    if not np.array_equal(film.pixels, again.pixels):
        _fail(whose, "different pixels when it is read again", "the same pixels")
    if int(film.pixels.max()) > film.max_level:
        _fail(whose, f"level {film.pixels.max()} above its max_level {film.max_level}", "none above")
    if film.laterality is not None and pd.notna(laterality) and film.laterality != laterality:
        _fail(whose, f"a {film.laterality} film in a row that says {laterality}", "the same laterality")


def _check_places(whose: str, film: Film, rows: pd.DataFrame) -> None:
    """Refuse a finding that lies outside its film, or whose mask has another size."""
    height, width = film.pixels.shape
    for _, row in rows.iterrows():
        if (place := geometry(row)) is None:
            continue
        if not (0 <= place.x_px < width and 0 <= place.y_px < height):
            _fail(whose, f"finding {row['finding_id']} at {place.x_px:g}, {place.y_px:g}",
                  f"a place on its film of {width} x {height} pixels, counted from the top left")  # fmt: skip
        mask = place.mask()
        if mask is not None and mask.shape != film.pixels.shape:
            _fail(whose, f"a mask of {mask.shape[::-1]}", f"the size of its film, {(width, height)}")


def check_backbone(backbone: Backbone) -> None:
    """Check a row of the table of backbones.

    Args:
        backbone: The row. Its network is built for the smallest input.

    Raises:
        InputError: A stage, a width or a layer differs from the row; the error names it.
    """
    name, side = "checked backbone", -(-max(backbone.min_side, 32) // backbone.step) * backbone.step
    BACKBONES[name] = backbone
    try:
        stages = [stage for stage, _ in backbone.stages(backbone.build(side))]
        if backbone.last_block not in stages:
            _fail(name, f"last_block={backbone.last_block}", f"one of its stages, {', '.join(stages)}")
        config = ModelConfig(name=name, weights=None, image_size=side, trainable="all")
        net = build_network(config, lambda width: linear_head(width, 2, 0.0), classes=2).eval()
        pixels = torch.randint(0, 256, (2, 1, side, side), dtype=torch.uint8)
        with torch.inference_mode():
            maps, features, again = net.maps(pixels), net.features(pixels), net.features(pixels)
        if maps.ndim != 4 or len(maps) != 2:
            _fail(name, f"a map of shape {tuple(maps.shape)}", "(B, C, rows, columns); correct as_map")
        if tuple(features.shape) != (2, backbone.width):
            _fail(name, f"features of shape {tuple(features.shape)}", f"(B, {backbone.width}), its width")
        if not torch.isfinite(features).all() or not torch.equal(features, again):
            _fail(name, "features that are not finite, or differ in a second call", "the same finite features")
        try:
            net.layer(backbone.cam)
        except AttributeError:
            _fail(name, f"cam={backbone.cam}", "a stage, or <stage>.<path in it>")
        for tap, path in backbone.taps.items():
            stage, _, inner = path.partition(".")
            if stage not in stages or (inner and inner not in dict(net.layer(stage).named_children())):
                _fail(name, f"the map {tap} at {path}", "a stage, or <stage>.<layer in it>; correct taps")
    finally:
        del BACKBONES[name]


def check_head(head: Head) -> None:
    """Check a row of the table of heads, on synthetic features of two and of three classes.

    Raises:
        InputError: A parameter that the grid names does not exist, two fits differ, probabilities do not sum to one,
            classes that lie far apart are confused, or the file of the fitted head cannot be read back.
    """
    rng = np.random.default_rng(0)
    if unknown := set(head.grid) - set(head.estimator.get_params()):
        _fail("head", f"a grid of {', '.join(sorted(unknown))}", "parameters of its estimator")
    HEADS[name := "checked head"] = head
    try:
        for classes in (2, 3):
            labels = np.tile(np.arange(classes), 30)
            features = (rng.normal(size=(len(labels), 8)) + 3 * labels[:, None]).astype(np.float32)
            patients = np.repeat(np.arange(len(labels) // classes), classes).astype(str)
            rows = pd.DataFrame({"patient": patients, "split": "train"})
            fitted = [fit_head(name, features, labels, rows, trained_backbone=False) for _ in range(2)]
            first, second = (one.probabilities(features) for one in fitted)
            if not np.array_equal(first, second):
                _fail("head", "two fits that differ", "the same fit; seed its estimator (random_state=0)")
            if first.shape != (len(labels), classes) or not np.allclose(first.sum(axis=1), 1):
                _fail(
                    "head",
                    f"probabilities of shape {first.shape}",
                    f"({len(labels)}, {classes}), rows that sum to 1",
                )
            if (right := float((first.argmax(axis=1) == labels).mean())) < 0.8:
                _fail("head", f"{right:.0%} correct on classes that lie far apart", "80 % or more")
            with tempfile.TemporaryDirectory() as folder:
                save_head(fitted[0], Path(folder, "head.skops"))
                loaded = load_head(Path(folder, "head.skops"), fitted[0].chosen, fitted[0].how)
            if not np.array_equal(loaded.probabilities(features), first):
                _fail("head", "different probabilities after its file was read back", "the same probabilities")
    finally:
        del HEADS[name]


def check_loss(loss: type[CrossEntropy], config: LossConfig | None = None) -> None:
    """Check a row of the table of losses.

    Args:
        loss: The class of the loss.
        config: The settings with which it is built.

    Raises:
        InputError: It has no finite value for each sample, grows as a prediction gets better, or has no gradient.
    """
    LOSSES[name := "checked loss"] = loss
    try:
        for classes in (2, 3):
            made = build_loss(replace(config or LossConfig(), name=name), classes)
            y = torch.arange(classes)
            right = (8.0 * torch.eye(classes)).requires_grad_()
            losses = made(right, y)
            if losses.shape != (classes,) or not torch.isfinite(losses).all():
                _fail(name, f"losses of shape {tuple(losses.shape)}", f"({classes},), finite: one for each sample")
            if not (losses < made(-right, y)).all():
                _fail(name, "a wrong prediction that costs less than a right one", "the opposite")
            losses.sum().backward()
            if right.grad is None or not torch.isfinite(right.grad).all():
                _fail(name, "no finite gradient of the logits", "a finite gradient")
            if not hasattr(made, "rate") or tuple(made.weights.shape) != (classes,):  # type: ignore[arg-type]
                _fail(name, "no `rate`, or no `weights` of each class", "both, as CrossEntropy has them")
    finally:
        del LOSSES[name]


def check_task(task: TaskConfig | dict[str, Any], findings: pd.DataFrame | None = None) -> None:
    """Check a task: its classes, and that each has findings.

    Args:
        task: The settings of the task, as in `conf/task/*.yaml`.
        findings: A findings table that the task must fit; None checks the settings alone.

    Raises:
        InputError: There are fewer than two classes, a value is in two, the column is unknown, or a class is empty.
    """
    task = task if isinstance(task, TaskConfig) else TaskConfig(**task)
    labels = Labels.from_config(task if findings is None else resolved(task, findings)[0])
    if findings is not None:
        if labels.column not in findings:
            _fail("task", f"column={labels.column}", f"a column of the findings table, {', '.join(findings)}")
        require_classes(labels, findings)
    made = build_task(Config(model=ModelConfig(name="compact", weights=None, image_size=32)), labels)
    batch = {"x": torch.zeros(2, 1, 32, 32, dtype=torch.uint8), "y": torch.tensor([0, 1]), "share": torch.ones(2)}
    outputs = made.rows(made.net.features(batch["x"]))
    if tuple(outputs["logits"].shape) != (2, len(labels.classes)):
        _fail("task", f"logits of shape {tuple(outputs['logits'].shape)}", f"(B, {len(labels.classes)})")
    if made.loss(outputs["logits"], batch | {"other": batch["y"]}).ndim:
        _fail("task", "a loss that is not a single number", "the mean over the batch")


def _fail(who: str, found: str, expected: str) -> NoReturn:
    raise InputError(f"{who}: found {found}; expected {expected}")
