"""The picture of an explanation: the film, the map over it, lesions, answer and scale, a pixel for each of the film's.

Both panels show the part of the film that holds the breast. Text grows with the film.
"""

from pathlib import Path

import numpy as np
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
LEAST_PX = 420  # width of a panel, so that the words fit over it
INK, PAPER, FAINT = "#1a1a1a", "#ffffff", "#666666"


def draw(one: Explanation) -> Figure:
    """Draw an explanation."""
    rows, columns = _shown(one)
    grey = (np.clip(one.film.grey()[rows, columns], 0, 1) * 255).astype(np.uint8)
    height, width = grey.shape
    enlarged = max(-(-LEAST_PX // width), 1)  # whole pixels, so that none of the film's is lost
    height, width = height * enlarged, width * enlarged
    unit = max(width, 480) / 480  # the words fit the width
    gap, head, foot = 14 * unit, 96 * unit, 74 * unit
    total = 2 * width + 3 * gap, head + height + foot
    drawn = Figure(figsize=(total[0] / DOTS, total[1] / DOTS), dpi=DOTS, facecolor=PAPER)
    FigureCanvasAgg(drawn)
    size = 11 * unit * 72 / DOTS

    def panel(left: float, bottom: float, wide: float, high: float) -> object:
        return drawn.add_axes((left / total[0], bottom / total[1], wide / total[0], high / total[1]))

    extent = (columns.start - 0.5, columns.stop - 0.5, rows.stop - 0.5, rows.start - 0.5)
    largest = float(one.values[one.breast].max(initial=0)) if not one.empty else 0.0
    for number in range(2):
        axis = panel(gap + number * (width + gap), foot, width, height)
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
        if number and largest:
            share = (one.values[rows, columns] / largest).clip(0, 1)
            over = HOT(share)
            over[..., 3] = OPACITY * np.sqrt(share) * one.breast[rows, columns]
            axis.imshow(over, extent=extent, interpolation="nearest")
            axis.plot(*one.hottest, "+", color=HOTTEST, markersize=1.3 * size, markeredgewidth=0.14 * size)
        for lesion in one.lesions:
            for line in lesion.lines():
                axis.plot(*line.T, color=LESION, linewidth=0.12 * size)
        axis.set(xlim=extent[:2], ylim=extent[2:])
        axis.set_axis_off()
        if number and not largest:
            said = f"The map is empty:\nno place speaks for {plain(one.of)}."
            axis.text(0.5, 0.5, said, transform=axis.transAxes, ha="center", va="center", color=INK, fontsize=1.2 * size,
                      bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.9, "pad": size})  # fmt: skip
    for at, (text, scale, colour, bold) in zip((22, 46, 66), _lines(one), strict=True):
        drawn.text(gap / total[0], 1 - at * unit / total[1], plain(text), fontsize=scale * size, color=colour,
                   va="center", fontweight="bold" if bold else "normal")  # fmt: skip
    _foot(drawn, panel, one, largest, (gap, width, foot, unit, size), total)
    return drawn


def save(one: Explanation, path: Path) -> None:
    """Write the picture of an explanation as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as temporary:
        draw(one).savefig(temporary, dpi=DOTS, format="png", facecolor=PAPER)


def _shown(one: Explanation) -> tuple[slice, slice]:
    """Return the rows and columns of the film that are shown: those of breast and lesions, and a little around."""
    height, width = one.values.shape
    rows, columns = (np.flatnonzero(one.breast.any(axis=axis)) for axis in (1, 0))
    ends = [(rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)]
    for lesion in one.lesions:
        x0, y0, x1, y1 = lesion.box
        ends = [(min(ends[0][0], y0), max(ends[0][1], y1)), (min(ends[1][0], x0), max(ends[1][1], x1))]
    around = AROUND * max(height, width)
    return tuple(  # type: ignore[return-value]
        slice(max(int(first - around), 0), min(int(last + around), length))
        for (first, last), length in zip(ends, (height, width), strict=True)
    )


def _lines(one: Explanation) -> list[tuple[str, float, str, bool]]:
    """Return the words over the panels: text, size, colour, and True if bold."""
    found = one.prediction
    shown = ", ".join(f"{name} {value:.2f}" for name, value in found.probabilities.items())
    decided = ""
    if found.score is not None:
        decided = f"score {found.score:.3g}"
        decided += "" if found.threshold is None else f", positive above {found.threshold:.3g}"
    return [
        (f"{one.name}: {found.called}", 1.3, INK, True),
        (f"{one.head}: {shown}", 1.0, INK, False),
        ("; ".join(filter(None, [decided, *one.notes])), 1.0, INK, False),
    ]


def _foot(
    drawn: Figure, panel: object, one: Explanation, largest: float, sizes: tuple[float, ...], total: tuple[float, ...]
) -> None:
    """Draw the scale of the map below it, and the legend below the film."""
    gap, width, foot, unit, size = sizes
    right = 2 * gap + width
    legend = "lesion as marked in the data set" if one.lesions else "no lesion is known"
    y = 1 - (total[1] - foot + 20 * unit) / total[1]
    drawn.text(gap / total[0], y, legend, fontsize=size, color="#1f78b4" if one.lesions else FAINT, va="center")
    drawn.text(gap / total[0], 1 - (total[1] - foot + 54 * unit) / total[1], "Not for diagnostic use.",
               fontsize=size, color=FAINT, va="center")  # fmt: skip
    if largest:
        bar = panel(right, foot - 24 * unit, width, 10 * unit)  # type: ignore[operator]
        share = np.linspace(0, 1, 256)
        colours = HOT(share)
        colours[:, 3] = OPACITY * np.sqrt(share)
        bar.imshow(np.full((1, 256, 3), 0.5), aspect="auto", extent=(0, 1, 0, 1))  # as over middle grey
        bar.imshow(colours[None], aspect="auto", extent=(0, 1, 0, 1))
        bar.set_axis_off()
        for place, value, side in ((0, 0.0, "left"), (0.5, largest / 2, "center"), (1, largest, "right")):
            drawn.text((right + place * width) / total[0], 1 - (total[1] - foot + 36 * unit) / total[1], f"{value:.3g}",
                       fontsize=0.9 * size, color=INK, ha=side, va="center")  # fmt: skip
    said = f"{SAID[one.method]}; for {one.of}"
    drawn.text(right / total[0], 1 - (total[1] - foot + 54 * unit) / total[1], plain(said), fontsize=0.85 * size,
               color=INK, va="center")  # fmt: skip
