"""The picture of an explanation: the film, the map over it, lesions, answer and scale.

Both panels show the part of the film that holds the breast, each pixel of the film as one pixel or as a square of
several. Words grow with the panels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from mammo.explaining.explanation import SAID, Explanation
from mammo.figures import plain
from mammo.files import whole

DOTS = 100  # per inch
LESION, HOTTEST = "#56b4e9", "#ffffff"  # Okabe and Ito 2008
HOT = LinearSegmentedColormap.from_list("hot", ["#4a1486", "#d55e00", "#ffd21f"])
OPACITY = 0.65  # of the largest value
AROUND = 0.03  # of the film around the breast that is shown
LEAST_PX = 420  # width of a panel
INK, NOTED, FAINT, PAPER = "#1a1a1a", "#1f78b4", "#666666", "#ffffff"
GAP, HEAD, FOOT = 14.0, 96.0, 74.0  # pixels around panels of `LEAST_PX`, above and below them


@dataclass(frozen=True)
class Sheet:
    """A figure whose parts are placed in pixels from its top left.

    Attributes:
        figure: The figure.
        width: Its width.
        height: Its height.
        unit: The factor by which words and gaps grow.
    """

    figure: Figure
    width: float
    height: float
    unit: float

    @property
    def points(self) -> float:
        """The size of the letters."""
        return 11 * self.unit * 72 / DOTS

    def panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes without frame that fill a rectangle."""
        below = self.height - top - height
        place = (left / self.width, below / self.height, width / self.width, height / self.height)
        axis: Axes = self.figure.add_axes(place)
        axis.set_axis_off()
        return axis

    def write(
        self, left: float, middle: float, text: str, *, scale: float = 1.0, colour: str = INK, **how: Any
    ) -> None:
        """Write a line of words whose middle has this distance from the top."""
        at = left / self.width, 1 - middle / self.height
        self.figure.text(*at, plain(text), fontsize=scale * self.points, color=colour, va="center", **how)


def draw(one: Explanation) -> Figure:
    """Draw an explanation."""
    rows, columns = _shown(one)
    grey = (np.clip(one.film.grey()[rows, columns], 0, 1) * 255).astype(np.uint8)
    enlarged = -(-LEAST_PX // grey.shape[1])
    height, width = grey.shape[0] * enlarged, grey.shape[1] * enlarged
    unit = width / LEAST_PX
    gap, foot = GAP * unit, HEAD * unit + height
    size = 2 * width + 3 * gap, foot + FOOT * unit
    figure = Figure(figsize=(size[0] / DOTS, size[1] / DOTS), dpi=DOTS, facecolor=PAPER)
    FigureCanvasAgg(figure)
    sheet = Sheet(figure, *size, unit)
    for number in range(2):
        axis = sheet.panel(gap + number * (width + gap), HEAD * unit, width, height)
        extent = columns.start - 0.5, columns.stop - 0.5, rows.stop - 0.5, rows.start - 0.5
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="nearest")
        if number:
            _map(axis, one, rows, columns, extent, sheet.points)
        for line in (line for lesion in one.lesions for line in lesion.lines()):
            axis.plot(*line.T, color=LESION, linewidth=0.12 * sheet.points)
        axis.set(xlim=extent[:2], ylim=extent[2:])
    found, decided = one.prediction, []
    shown = ", ".join(f"{name} {value:.2f}" for name, value in found.probabilities.items())
    if found.score is not None:
        above = "" if found.threshold is None else f", positive above {found.threshold:.3g}"
        decided = [f"score {found.score:.3g}{above}"]
    sheet.write(gap, 24 * unit, f"{one.name}: {found.called}", scale=1.3, fontweight="bold")
    sheet.write(gap, 50 * unit, f"{one.head}: {shown}")
    sheet.write(gap, 72 * unit, "; ".join([*decided, *one.notes]))
    known = bool(one.lesions)
    words = "outlined: lesions as the data set marks them" if known else "no lesion is known"
    sheet.write(gap, foot + 20 * unit, words, colour=NOTED if known else FAINT)
    sheet.write(gap, foot + 54 * unit, "Not for diagnostic use.", colour=FAINT)
    _scale(sheet, one, 2 * gap + width, foot, width)
    return figure


def save(one: Explanation, path: Path) -> None:
    """Write the picture of an explanation as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path, new=True) as temporary:
        draw(one).savefig(temporary, dpi=DOTS, format="png", facecolor=PAPER)


def _shown(one: Explanation) -> tuple[slice, slice]:
    """Return the rows and columns of the film that are shown: those of breast and lesions, and a little around."""
    found = []
    for axis, length in enumerate(one.values.shape):
        inside = np.flatnonzero(one.breast.any(axis=1 - axis))
        boxes = [lesion.box[1 - axis :: 2] for lesion in one.lesions]
        first, last = min([inside[0], *(box[0] for box in boxes)]), max([inside[-1] + 1, *(box[1] for box in boxes)])
        around = AROUND * max(one.values.shape)
        found.append(slice(max(int(first - around), 0), min(int(last + around), length)))
    return found[0], found[1]


def _coloured(share: np.ndarray) -> np.ndarray:
    """Return colours (..., 4) of shares of the largest value; the smaller a share, the more of the film is seen."""
    colours = HOT(share)
    colours[..., 3] = OPACITY * share
    return np.asarray(colours)


def _map(
    axis: Axes, one: Explanation, rows: slice, columns: slice, extent: tuple[float, float, float, float], points: float
) -> None:
    """Draw the map over the film, or say that it is empty."""
    if (place := one.hottest) is None:
        said = f"The map is empty:\nno place speaks for {plain(one.of)}."
        frame: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.9, "pad": points}
        where: dict[str, Any] = {"transform": axis.transAxes, "ha": "center", "va": "center"}
        axis.text(0.5, 0.5, said, color=INK, fontsize=1.2 * points, bbox=frame, **where)
        return
    share = np.where(one.breast, one.values / one.values[one.breast].max(), 0).clip(0, 1)
    axis.imshow(_coloured(share[rows, columns]), extent=extent, aspect="auto", interpolation="nearest")
    axis.plot(*place, "+", color=HOTTEST, markersize=1.3 * points, markeredgewidth=0.14 * points)


def _scale(sheet: Sheet, one: Explanation, left: float, top: float, width: float) -> None:
    """Draw the scale of the colours, as they look over middle grey; an empty map has none."""
    if not one.empty:
        bar = sheet.panel(left, top + 14 * sheet.unit, width, 10 * sheet.unit)
        for colours in (np.full((1, 256, 3), 0.5), _coloured(np.linspace(0, 1, 256))[None]):
            bar.imshow(colours, aspect="auto", extent=(0, 1, 0, 1))
        largest = float(one.values[one.breast].max())
        for share, side in ((0.0, "left"), (0.5, "center"), (1.0, "right")):
            sheet.write(left + share * width, top + 34 * sheet.unit, f"{share * largest:.3g}", scale=0.9, ha=side)
    sheet.write(left, top + 54 * sheet.unit, f"{SAID[one.method]}; for {one.of}", scale=0.85)
