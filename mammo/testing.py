"""Checks of a user's own rows and classes against the contracts; each says in one line what is wrong.

They are what the project's tests run on its own rows, as scikit-learn's `check_estimator` does.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch

from mammo.config import Config, LossConfig, ModelConfig, TaskConfig
from mammo.datasets.labels import Labels
from mammo.datasets.labels import check_task as require_classes
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES, Backbone
from mammo.models.heads import HEADS, Head, fit_head
from mammo.models.heads_io import load_head, save_head
from mammo.models.losses import LOSSES, CrossEntropy, build_loss
from mammo.models.network import build_network, linear_head
from mammo.tasks.classification import build_task


def check_backbone(backbone: Backbone) -> None:
    """Check a row of the table of backbones.

    Args:
        backbone: The row; its network is built at its smallest side.

    Raises:
        InputError: A stage, a width or a layer is not what the row says; the line names it.
    """
    name, side = "checked backbone", -(-max(backbone.min_side, 32) // backbone.step) * backbone.step
    BACKBONES[name] = backbone
    try:
        stages = [stage for stage, _ in backbone.stages(backbone.build(side))]
        if backbone.last_block not in stages:
            _fail(name, f"last_block={backbone.last_block}", f"one of its stages, {', '.join(stages)}")
        for trainable in ("all", "last_block"):
            config = ModelConfig(name=name, weights=None, image_size=side, trainable=trainable)
            net = build_network(config, lambda width: linear_head(width, 2, 0.0), classes=2).eval()
            pixels = torch.randint(0, 256, (2, 1, side, side), dtype=torch.uint8)
            with torch.inference_mode():
                maps, features, logits = net.maps(pixels), net.features(pixels), net(pixels)
                again = net(pixels)
            if maps.ndim != 4 or len(maps) != 2:
                _fail(name, f"a map of shape {tuple(maps.shape)}", "(B, C, rows, columns); mend as_map")
            if tuple(features.shape) != (2, backbone.width):
                _fail(name, f"features of shape {tuple(features.shape)}", f"(B, {backbone.width}), its width")
            if not torch.isfinite(logits).all() or not torch.equal(logits, again):
                _fail(name, "logits that are not finite, or differ when computed again", "the same finite ones")
        for path in (backbone.cam,):
            try:
                net.layer(path)
            except AttributeError:
                _fail(name, f"cam={path}", "a stage, or <stage>.<path in it>")
    finally:
        del BACKBONES[name]


def check_head(head: Head) -> None:
    """Check a row of the table of heads, on made features of two and of three classes.

    Raises:
        InputError: A parameter that the grid names does not exist, two fits differ, probabilities do not sum to one,
            nothing is learnt where classes lie apart, or the file of the fitted head cannot be read back.
    """
    rng = np.random.default_rng(0)
    if unknown := set(head.grid) - set(head.estimator.get_params()):
        _fail("head", f"grid of {', '.join(sorted(unknown))}", "parameters of its estimator")
    HEADS[name := "checked head"] = head
    try:
        for classes in (2, 3):
            labels = np.tile(np.arange(classes), 30)
            features = (rng.normal(size=(len(labels), 8)) + 3 * labels[:, None]).astype(np.float32)
            patients = np.repeat(np.arange(len(labels) // classes), classes).astype(str)
            rows = pd.DataFrame({"patient": patients, "split": "train"})
            fitted = [fit_head(name, features, labels, rows, trained_trunk=False) for _ in range(2)]
            first, second = (one.probabilities(features) for one in fitted)
            if not np.array_equal(first, second):
                _fail("head", "two fits that differ", "the same; seed its estimator (random_state=0)")
            if first.shape != (len(labels), classes) or not np.allclose(first.sum(axis=1), 1):
                _fail(
                    "head",
                    f"probabilities of shape {first.shape}",
                    f"({len(labels)}, {classes}), each row summing to 1",
                )
            if (right := float((first.argmax(axis=1) == labels).mean())) < 0.8:
                _fail("head", f"{right:.0%} right where classes lie apart", "80 % or more")
            with tempfile.TemporaryDirectory() as folder:
                save_head(fitted[0], Path(folder, "head.skops"))
                loaded = load_head(Path(folder, "head.skops"), fitted[0].chosen, fitted[0].how)
            if not np.array_equal(loaded.probabilities(features), first):
                _fail("head", "other probabilities after its file was read back", "the same")
    finally:
        del HEADS[name]


def check_loss(loss: type[CrossEntropy], config: LossConfig | None = None) -> None:
    """Check a row of the table of losses.

    Args:
        loss: The class.
        config: The settings that it is built with.

    Raises:
        InputError: It gives no finite loss for each sample, grows as a prediction gets better, or has no gradient.
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
                _fail(name, "no finite gradient of the logits", "one")
            if not hasattr(made, "rate") or tuple(made.weights.shape) != (classes,):  # type: ignore[arg-type]
                _fail(name, "no `rate`, or no `weights` of each class", "both, as CrossEntropy has them")
    finally:
        del LOSSES[name]


def check_task(task: TaskConfig | dict[str, Any], findings: pd.DataFrame | None = None) -> None:
    """Check a task: its classes, and that each has findings.

    Args:
        task: Its settings, as `conf/task/*.yaml` has them.
        findings: A findings table that the task must fit; None checks the settings alone.

    Raises:
        InputError: Fewer than two classes, a value of two classes, an unknown column, or a class without findings.
    """
    labels = Labels.from_config(task if isinstance(task, TaskConfig) else TaskConfig(**task))
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
        _fail("task", "a loss that is no single number", "the mean over the batch")


def _fail(who: str, found: str, expected: str) -> NoReturn:
    raise InputError(f"{who}: found {found}; expected {expected}")
