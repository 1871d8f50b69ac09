"""Maps of squares: what each cell adds to the score of a classifier.

The score is that of the predictions table for two classes, and the log odds of the class in question for more.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mammo.errors import InputError
from mammo.explaining.covering import covered
from mammo.inference.classifier import ClassifierPredictor
from mammo.models.backbones import find_backbone
from mammo.models.head_layers import LEAST
from mammo.preprocessing.flips import flipped

CELLS = 10  # of an occlusion map, in each direction
COVERED = 2  # cells that are covered at a time, in each direction
GRADIENT, OCCLUSION = "gradient", "occlusion"


def method_of(predictor: ClassifierPredictor) -> str:
    """Return how maps are made: by gradients, or by covering places if head or network have none."""
    try:
        return GRADIENT if predictor.layers.smooth and _layer(predictor) is not None else OCCLUSION
    except InputError:  # a head that is not known as layers
        return OCCLUSION


def score_of(score: np.ndarray | None, probabilities: np.ndarray, of: int) -> np.ndarray:
    """Return what a map explains: a score (N,), or without one the log odds of a class in (N, classes)."""
    if score is not None:
        return score.astype(float)
    found = probabilities[:, of].clip(LEAST, 1 - LEAST)
    return np.asarray(np.log(found / (1 - found)))


def gradient_maps(predictor: ClassifierPredictor, sample: np.ndarray, of: int) -> np.ndarray:
    """Return the map of each window of a sample: the product of gradient and activation, summed over the channels.

    This is HiResCAM (Draelos and Carin 2020, arXiv:2011.08891): Grad-CAM without the mean over the gradients of a
    channel. Where only pooling and a linear layer follow, the cells add up to the score less its constant; else they
    add up to what the score would gain if all cells grew alike.

    Args:
        predictor: Its method is `GRADIENT`.
        sample: (windows, side, side) uint8 or uint16.
        of: The class that the map is about, if there are more than two.

    Returns:
        (windows, rows, columns) float32.

    Raises:
        InputError: captum is not installed.
    """
    try:
        from captum.attr import LayerGradientXActivation  # noqa: PLC0415 - other maps do without it
    except ImportError:
        lacking = f"maps of the head {predictor.head} need captum, which is not installed"
        raise InputError(f"{lacking}; pip install 'mammo[explain]'") from None
    net: Any = predictor.network
    turned = [flipped(one, number) for number in range(predictor.flips) for one in sample]

    def score(pixels: Tensor) -> Tensor:
        features = net.features_of(net.frozen(pixels), 1)
        logits = net.head(features).float() if predictor.head == "softmax" else None
        if logits is not None and logits.shape[1] > 2:  # whose probability may be too close to 1
            others = torch.cat([logits[:, :of], logits[:, of + 1 :]], dim=1)
            return logits[:, of] - others.logsumexp(dim=1)
        with torch.autocast("cpu", enabled=False):
            found, probabilities = predictor.layers(features.float() if logits is None else logits)
        return torch.logit(probabilities[:, of], eps=LEAST) if found is None else found

    with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16, enabled=predictor.low):
        warnings.filterwarnings("ignore", "Input Tensor")  # grey levels are whole numbers; the layer's output is not
        found = LayerGradientXActivation(score, _layer(predictor)).attribute(
            torch.from_numpy(np.stack(turned)[:, None])
        )
    maps = net.as_map(found).detach().float().sum(dim=1).numpy()
    back = [unflipped(one, number // len(sample)) for number, one in enumerate(maps)]
    return np.reshape(back, (predictor.flips, len(sample), *back[0].shape)).sum(axis=0)


def _layer(predictor: ClassifierPredictor) -> Any:
    """Return the layer whose output is weighed; None if the network ends before it."""
    try:
        return predictor.network.layer(find_backbone(predictor.config.model.name).cam)
    except (AttributeError, InputError):
        return None


def unflipped(values: np.ndarray, number: int) -> np.ndarray:
    """Return the map of a square from that of its flip `number`; see `flipped`."""
    turned = np.rot90(values, -(number // 2))
    return turned[:, ::-1] if number % 2 else turned


def occlusion_maps(predictor: ClassifierPredictor, sample: np.ndarray, of: int) -> np.ndarray:
    """Return the map of each window of a sample: how far the score falls where a place is covered.

    Squares of `COVERED` cells are covered in turn, by the level of the breast around them; a cell has the mean of all
    squares that hold it. Where there is no breast, nothing is covered and the map is 0.

    Args:
        predictor: Any head.
        sample: (windows, side, side) uint8 or uint16.
        of: The class that the map is about, if there are more than two.

    Returns:
        (windows, CELLS, CELLS) float32.
    """
    side = sample.shape[-1]
    edges = np.linspace(0, side, CELLS + 1).round().astype(int)
    asked: list[tuple[int, int, int]] = []

    def samples() -> Iterator[np.ndarray]:
        yield sample
        for window, pixels in enumerate(sample):
            breast = pixels > 0
            for row, column in np.ndindex(CELLS + 1 - COVERED, CELLS + 1 - COVERED):
                region = np.zeros((side, side), bool)
                region[edges[row] : edges[row + COVERED], edges[column] : edges[column + COVERED]] = True
                made = covered(pixels, region, breast)
                if made is not pixels:
                    asked.append((window, row, column))
                    yield np.concatenate([sample[:window], made[None], sample[window + 1 :]])

    score, probabilities, _ = zip(*predictor.each_sample(samples()), strict=True)
    scores = score_of(None if score[0] is None else np.array(score), np.stack(probabilities), of)
    total, count = np.zeros((2, len(sample), CELLS, CELLS))
    for (window, row, column), value in zip(asked, scores[1:], strict=True):
        place = window, slice(row, row + COVERED), slice(column, column + COVERED)
        total[place] += scores[0] - value
        count[place] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)
