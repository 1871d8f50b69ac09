"""Figures drawn from arrays by matplotlib and saved as PNG; nothing is shown on a screen."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mammo.files import whole

BLUE, RED, GREY = "#0072b2", "#d55e00", "#777777"
# Okabe and Ito 2008: the colour-blind can tell these colours apart; the line styles serve grey print.
STYLES: list[tuple[str, Any]] = [
    *((BLUE, "-"), (RED, "--"), ("#009e73", "-."), ("#cc79a7", ":"), ("#000000", (0, (5, 1))), ("#e69f00", "-")),
    *(("#56b4e9", "--"), ("#8c564b", "-."), (BLUE, ":"), (RED, "-")),
]
FEW = 4  # panels in a row
BANDS = 3  # curves whose bands can be told apart


def save(figure: Figure, path: Path, **texts: str) -> None:
    """Write a figure as PNG, 100 dots per inch, with these texts in the file by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in another script has boxes there
        figure.savefig(temporary, dpi=100, bbox_inches="tight", facecolor="white", format="png", metadata=texts)


def read(path: Path) -> np.ndarray:
    """Return a saved figure as (height, width, 3) float in [0, 1]."""
    return imread(path)[..., :3]


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **how: Any) -> tuple[Figure, np.ndarray]:
    """Return a figure of this width and height in inches, and its axes (rows, columns); see `Figure.subplots`."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn, drawn.subplots(rows, columns, squeeze=False, **how)


def plain(text: str) -> str:
    """Return words that are drawn as they stand: dollar signs would begin a formula."""
    return text.replace("$", r"\$")


def confusion(counts: np.ndarray, classes: list[str], title: str) -> Figure:
    """Draw counts (actual, predicted) as in Figures 6 and 8 of Behery et al. 2023, with the positive class first."""
    drawn, axes = figure(1.6 + 0.9 * len(classes), 1.4 + 0.8 * len(classes))
    axis: Axes = axes[0, 0]
    axis.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = count / max(counts[row].sum(), 1)
        colour = "white" if share > 0.6 else "black"
        axis.text(column, row, f"{count}\n{share:.0%}", ha="center", va="center", color=colour)
    axis.set_xticks(range(len(classes)), [plain(one) for one in classes])
    axis.set_yticks(range(len(classes)), [plain(one) for one in classes], rotation=90, va="center")
    axis.set(xlabel="predicted", ylabel="actual")
    axis.set_title(title, fontsize=10)
    return drawn


def curves(table: pd.DataFrame, watched: str, title: str) -> Figure:
    """Draw accuracy, AUROC and loss by epoch on train and the watched split, as in Figures 7 and 9 of that paper.

    The Dice of outlines stands in the place of accuracy.
    """
    drawn, axes = figure(11, 3.2, columns=3)
    for axis, metric in zip(axes[0], ("dice" if "train/dice" in table else "accuracy", "auroc", "loss"), strict=True):
        for part, colour in (("train", GREY), (watched, BLUE)):
            axis.plot(table["epoch"], table[f"{part}/{metric}"], color=colour, label=part, marker=".")
        axis.set(xlabel="epoch", ylabel=metric.replace("auroc", "AUROC"))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if metric != "loss":
            axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False)
    drawn.suptitle(title, fontsize=10)
    return drawn


def band(axis: Axes, curve: Any, colour: str, style: Any, step: Any = None) -> None:
    """Fill the band of a curve (`x, low, high`) hardly, and draw its edges as the curve is drawn, but thinner."""
    shown: dict[str, Any] = {"facecolor": to_rgba(colour, 0.07), "edgecolor": to_rgba(colour, 0.55)}
    axis.fill_between(curve.x, curve.low, curve.high, step=step, linestyle=style, linewidth=0.8, **shown)


def roc_and_pr(heads: dict[str, list[Any]], share: float, title: str) -> Figure:
    """Draw ROC and precision-recall curves, of a few heads with their bands by patient; chance is dotted.

    Args:
        heads: The two curves of each head, each with `x, y, low, high`.
        share: The share of positive samples, which is the precision of chance.
        title: The title over both panels.
    """
    several = len(heads) > BANDS
    drawn, axes = figure(11 if several else 9, 4.4, columns=2)
    for axis, panel, chance in ((axes[0, 0], 0, (0, 1)), (axes[0, 1], 1, (share, share))):
        axis.plot((0, 1), chance, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        for (head, bands), (colour, style) in zip(heads.items(), STYLES * 3, strict=False):
            if not several:
                band(axis, bands[panel], colour, style)
            axis.plot(bands[panel].x, bands[panel].y, color=colour, linestyle=style, label=head)
        _square(axis)
    axes[0, 0].set(xlabel="1 - specificity", ylabel="sensitivity")
    axes[0, 1].set(xlabel="sensitivity", ylabel="precision")
    if several:
        drawn.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside right center")
    else:
        axes[0, 0].legend(frameon=False, loc="lower right")
    said = f"bands are drawn of at most {BANDS} heads" if several else "95 % bands by patient"
    drawn.suptitle(f"{plain(title)}; {said}", fontsize=10)
    return drawn


def reliability(
    heads: dict[str, list[Any]],
    positive: str | None,
    names: tuple[str, str] = ("before calibration", "calibrated"),
) -> Figure:
    """Draw the share of true samples against predicted probability, a panel per head, before and after calibration.

    Args:
        heads: The curves of each head before and after, with bands; the second is None if nothing was calibrated.
        positive: The class whose probability is drawn; None means the most probable class.
        names: The names of both curves.
    """
    columns = min(len(heads), FEW)
    rows = -(-len(heads) // columns)
    drawn, axes = figure(4.3 * columns, 4.4 * rows, rows, columns)
    for axis in axes.flat[len(heads) :]:
        axis.set_axis_off()
    for axis, (head, pair) in zip(axes.flat, heads.items(), strict=False):
        axis.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        for curve, name, marker, (colour, style) in zip(pair, names, "os", STYLES, strict=False):
            if curve is not None:
                reach = [np.maximum(curve.y - curve.low, 0), np.maximum(curve.high - curve.y, 0)]
                how = {"color": colour, "linestyle": style, "marker": marker, "elinewidth": 0.8, "label": name}
                axis.errorbar(curve.x, curve.y, reach, **how)
        _square(axis)
        axis.set_title(f"{head}, test", fontsize=10)
    positive = positive and plain(positive)
    for axis in axes[-1]:
        axis.set(xlabel=f"predicted probability of {positive}" if positive else "predicted probability")
    for axis in axes[:, 0]:
        axis.set(ylabel=f"share that is {positive}" if positive else "share that is right")
    axes[0, 0].legend(frameon=False, loc="upper left")
    return drawn


# Title; values (`value, low, high`), one per label, by name of the series; names of vertical lines by their position.
Panel = tuple[str, dict[str, list[Any]], dict[float, str]]


def forest(labels: list[str], panels: list[list[Panel]], emphasis: list[bool] | None = None) -> Figure:
    """Draw values with their intervals, one line per label, panels in rows; lines without emphasis are grey."""
    rows, columns = len(panels), len(panels[0])
    drawn, axes = figure(3.2 + 3.1 * columns, rows * (1.2 + 0.36 * len(labels)), rows, columns, sharex="row")
    strong = emphasis or [True] * len(labels)
    for (row, column), axis in np.ndenumerate(axes):
        title, series, lines = panels[row][column]
        places = np.linspace(-0.14, 0.14, len(series)) if len(series) > 1 else [0.0]
        for (name, values), (colour, _), marker, shift in zip(series.items(), STYLES, "osD", places, strict=False):
            for number, value in enumerate(values):
                if value is not None and value.value is not None:
                    _interval(axis, value, number + shift, colour if strong[number] else GREY, marker)
            axis.plot([], [], marker=marker, color=colour, markerfacecolor=_fill(marker, colour), label=name, ls="")
        for number, (place, name) in enumerate(lines.items()):
            axis.axvline(place, color="black", linewidth=0.9, linestyle=(0, (4, 2)))
            at = ("left", "right")[number] if len(lines) > 1 else "center"  # two lines may lie close together
            axis.text(place, -0.72, f" {name} ", ha=at, va="bottom", fontsize=7)
        axis.set_ylim(len(labels) - 0.4, -0.7)
        axis.set_yticks(range(len(labels)), labels if column == 0 else [])
        axis.set_xlabel(title, fontsize=9)
        axis.grid(alpha=0.3, axis="x")
        axis.spines[["top", "right"]].set_visible(False)
    if any(name for _, series, _ in panels[0] for name in series):
        axes[0, -1].legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1.04), ncols=2)
    return drawn


def _fill(marker: str, colour: str) -> str:
    return colour if marker == "o" else "white"


def _interval(axis: Axes, value: Any, place: float, colour: str, marker: str) -> None:
    if value.low is not None:
        axis.plot((value.low, value.high), (place, place), color=colour, linewidth=1.2)
    axis.plot(value.value, place, marker=marker, color=colour, markerfacecolor=_fill(marker, colour), ls="")


def _square(axis: Axes) -> None:
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def matrices(
    panels: dict[str, list[list[Any]]], rows: list[str], columns: list[str], strong: list[tuple[int, int]]
) -> Figure:
    """Draw tables of values with their intervals as coloured squares, from 0.5 (white) to 1 (blue), a panel each.

    Args:
        panels: The values (`value, low, high`) of each panel, row by row; None where there is none.
        rows: The names of the rows.
        columns: The names of the columns.
        strong: The squares with a frame, as row and column.
    """
    drawn, axes = figure(len(panels) * (1.4 + 1.35 * len(columns)), 1.2 + 0.85 * len(rows), columns=len(panels))
    for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
        shades = [[one.value if one is not None and one.value is not None else np.nan for one in row] for row in values]
        axis.imshow(np.array(shades, float), cmap="Blues", vmin=0.5, vmax=1, aspect="auto")
        for (row, column), shade in np.ndenumerate(np.array(shades, float)):
            one = values[row][column]
            held = "" if one is None or one.low is None else f"\n{one.low:.2f} to {one.high:.2f}"
            text, colour = ("-" if np.isnan(shade) else f"{shade:.3f}{held}"), "white" if shade > 0.8 else "black"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
        for row, column in strong:
            axis.add_patch(Rectangle((column - 0.49, row - 0.48), 0.98, 0.96, fill=False, edgecolor=RED, linewidth=2))
        axis.set_xticks(range(len(columns)), [plain(one) for one in columns])
        axis.set_yticks(range(len(rows)), [plain(one) for one in rows])
        axis.set(xlabel="tested on", ylabel="trained on")
        axis.set_title(plain(title), fontsize=10)
    return drawn


def image_grid(images: list[np.ndarray], names: list[str], columns: int) -> Figure:
    """Draw grey images in rows, each under its name."""
    rows = -(-len(images) // columns)
    drawn, axes = figure(1.7 * columns, 1.9 * rows, rows, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, name in zip(axes.flat, images, names, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=np.iinfo(image.dtype).max)
        axis.set_title(name, fontsize=8)
    return drawn


def films(pixels: list[np.ndarray], lines: list[list[tuple[np.ndarray, str]]], names: list[str]) -> Figure:
    """Draw whole films with lines over them, each (points, 2) x and y in pixels from the top left, and its colour."""
    drawn = image_grid(pixels, names, columns=4)
    for axis, of_film in zip(drawn.axes, lines, strict=False):
        axis.autoscale(False)  # a line beyond the film does not shrink it
        for points, colour in of_film:
            axis.plot(*points.T, color=colour, linewidth=1.2)
    return drawn


def pairs(images: list[tuple[np.ndarray, np.ndarray]], names: list[tuple[str, str]], captions: list[str]) -> Figure:
    """Draw pairs of grey uint8 images, two pairs in a row, with a name for each image and a caption for each pair."""
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


def growth(lines: list[tuple[str, str, list[int], list[float], list[float]]]) -> Figure:
    """Draw seconds above and memory below, a column for each thing counted; dotted lines are in proportion to it.

    Args:
        lines: For each line: the thing counted, the name, the numbers, seconds, megabytes.
    """
    counted = list(dict.fromkeys(of for of, *_ in lines))
    drawn, axes = figure(4.6 * len(counted), 6, rows=2, columns=len(counted))
    for column, of in enumerate(counted):
        of_column = [line for line in lines if line[0] == of]
        for (colour, style), (_, name, numbers, *measured) in zip(STYLES, of_column, strict=False):
            for axis, values in zip(axes[:, column], measured, strict=True):
                axis.plot(numbers, values, color=colour, linestyle=style, marker="o", label=name)
                in_proportion = [values[-1] * number / numbers[-1] for number in numbers]
                axis.plot(numbers, in_proportion, color=GREY, linestyle=":", linewidth=1)
        for axis, label in zip(axes[:, column], ("seconds", "peak memory, MB"), strict=True):
            axis.set(xscale="log", yscale="log", xlabel=of, ylabel=label)
            numbers = max((line[2] for line in lines if line[0] == of), key=len)
            axis.set_xticks(numbers, [f"{number:,}" for number in numbers])
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter("{x:,g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0, column].legend(frameon=False)
    return drawn
