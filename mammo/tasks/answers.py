"""The answers of tasks from the logits of their networks; without Lightning, which predicting need not import."""

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor


def answer_of(logits: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the score (N,) of the second class of two, None for more, and the probabilities of logits (N, classes)."""
    logits = logits.astype(np.float64)
    margin = (logits[:, 1] - logits[:, 0]).astype(np.float32) if logits.shape[1] == 2 else None
    return margin, softmax(logits, axis=1)


def score_of(logits: Tensor, hottest: float) -> Tensor:
    """Return (B,) the mean of a share of logits (B, side, side), the hottest ones; at least one."""
    flat = logits.flatten(1)
    return flat.topk(max(round(hottest * flat.shape[1]), 1), sorted=False).values.mean(dim=1)


def outputs_of(logits: Tensor, hottest: float) -> dict[str, Tensor]:
    """Return `logits` (B, 2) of films and `outline` (B, side, side) uint8, probabilities from 0 to 255, for pixels."""
    score = score_of(logits, hottest)
    outline = (logits.sigmoid() * 255).round().byte()
    return {"logits": torch.stack([torch.zeros_like(score), score], dim=1), "outline": outline}
