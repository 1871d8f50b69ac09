"""The figure of a detector: its FROC curves, over all images and over the normal ones."""

from pathlib import Path

from mammo import figures
from mammo.evaluation.detection import BASELINES, CPM_RATES, froc_curve, undefined
from mammo.evaluation.marks import Detection

TICKS = ["1/8", "1/4", "1/2", "1", "2", "4", "8"]


def draw(folder: Path, heads: dict[str, Detection]) -> None:
    """Draw `froc.png` of the heads' judged marks into a folder; nothing if no lesion has a place."""
    if undefined(next(iter(heads.values())), "cpm") is None:
        figures.save(froc(heads), folder / "froc.png")


def froc(heads: dict[str, Detection]) -> "figures.Figure":
    """Draw the FROC curves of each head, those of detectors with their bands by patient; rates are logarithmic."""
    one = next(iter(heads.values()))
    panels = [("false marks per image", False)]
    if undefined(one, "froc_normal_1") is None:
        panels.append(("false marks per normal image", True))
    drawn, axes = figures.figure(2.2 + 4.4 * len(panels), 4.6, columns=len(panels))
    for axis, (label, normal) in zip(axes[0], panels, strict=True):
        for (head, marks), (colour, style) in zip(heads.items(), figures.STYLES * 3, strict=False):
            curve = froc_curve(marks, normal=normal)
            if head not in BASELINES:
                figures.band(axis, curve, colour, style, step="post")
            axis.plot(curve.x, curve.y, color=colour, linestyle=style, label=head, drawstyle="steps-post")
        axis.set_xscale("log", base=2)
        axis.set_xticks(CPM_RATES, TICKS)
        axis.minorticks_off()
        axis.set(xlabel=label, xlim=(CPM_RATES[0], CPM_RATES[-1]), ylim=(-0.01, 1.01))
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(ylabel="lesions found (sensitivity)")
    drawn.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, loc="outside right center")
    title = f"test: {len(one.lesions)} lesions on {len(one.images)} images; bands: 95 %, by patient"
    drawn.suptitle(title, fontsize=10)
    return drawn
