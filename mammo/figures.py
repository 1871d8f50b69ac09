"""Arrays in, matplotlib figures out; nothing is shown on a screen. Pictures are PNG."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle

BLUE, RED, GREY = "#1f5a99", "#c0392b", "#777777"


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, 100 dots per inch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches="tight", facecolor="white")


def read(path: Path) -> np.ndarray:
    """A saved figure as (height, width, 3) float in [0, 1]."""
    return imread(path)[..., :3]


def figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure of that size in inches, and its axes (rows, columns)."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn, drawn.subplots(rows, columns, squeeze=False)


def confusion(counts: np.ndarray, classes: list[str], title: str) -> Figure:
    """Counts (actual, predicted), as Figures 6 and 8 of Behery et al. 2023: the positive class first."""
    drawn, axes = figure(1.6 + 0.9 * len(classes), 1.4 + 0.8 * len(classes))
    axis: Axes = axes[0, 0]
    axis.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = count / max(counts[row].sum(), 1)
        axis.text(
            column, row, f"{count}\n{share:.0%}", ha="center", va="center", color="white" if share > 0.6 else "black"
        )
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), classes, rotation=90, va="center")
    axis.set(xlabel="predicted", ylabel="actual")
    axis.set_title(title, fontsize=10)
    return drawn


def curves(table: pd.DataFrame, watched: str, title: str) -> Figure:
    """Accuracy, AUROC and loss by epoch of the training and the watched part, as Figures 7 and 9."""
    drawn, axes = figure(11, 3.2, columns=3)
    for axis, metric in zip(axes[0], ("accuracy", "auroc", "loss"), strict=True):
        for part, colour in (("train", GREY), (watched, BLUE)):
            axis.plot(table["epoch"], table[f"{part}/{metric}"], color=colour, label=part, marker=".")
        axis.set(xlabel="epoch", ylabel=metric)
        if metric != "loss":
            axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    drawn.suptitle(title, fontsize=10)
    return drawn


def image_grid(images: list[np.ndarray], names: list[str], columns: int) -> Figure:
    """Grey uint8 squares in rows, each under its name."""
    rows = -(-len(images) // columns)
    drawn, axes = figure(1.7 * columns, 1.9 * rows, rows, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, name in zip(axes.flat, images, names, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(name, fontsize=8)
    return drawn


def films(pixels: list[np.ndarray], circles: list[list[tuple[float, float, float]]], names: list[str]) -> Figure:
    """Whole films with their circles (x, y, radius in pixels, from the top left)."""
    drawn = image_grid(pixels, names, columns=4)
    for axis, drawn_circles in zip(drawn.axes, circles, strict=False):
        for x, y, radius in drawn_circles:
            axis.add_patch(Circle((x, y), radius, fill=False, color=RED, linewidth=1.2))
    return drawn


def pairs(images: list[tuple[np.ndarray, np.ndarray]], names: list[tuple[str, str]], captions: list[str]) -> Figure:
    """Pairs of grey uint8 squares side by side, two pairs in a row, each film under its name, each pair captioned."""
    rows = -(-len(images) // 2)
    drawn = Figure(figsize=(10.4, 3.1 * rows), layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subfigures(rows, 2, squeeze=False, wspace=0.04)
    for panel, films_, titles, caption in zip(panels.flat, images, names, captions, strict=False):
        panel.suptitle(caption, fontsize=9, fontweight="bold")
        for axis, image, title in zip(panel.subplots(1, 2), films_, titles, strict=True):
            axis.set_axis_off()
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
            axis.set_title(title, fontsize=8)
    return drawn
