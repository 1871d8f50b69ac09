"""Found outlines, led back to their films and measured there beside baselines, and a picture of some.

`segmenter` is the network. The baselines are `mean_region`, the pixels that lie in training regions most often;
`empty`, which finds nothing; and of the breast `otsu`, the largest part above one level of the film, and `thresholds`,
with which the program cuts films, unless the true breasts are its own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mammo import figures
from mammo.config import Config
from mammo.datasets.film import Film, read_mask, write_pgm
from mammo.datasets.geometry import outlines
from mammo.errors import UnreadableFilm
from mammo.evaluation.segmentation import SEGMENTER, SEGMENTS, measure
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.masks import brightest_part, region_on_film
from mammo.processes.workers import shared_out
from mammo.run_folder import RunFolder
from mammo.training.prepare import Prepared
from mammo.training.regions import mean_region

MIDDLE = 0.5  # the level where none is chosen
COMMON = "mean_region.pgm"  # in the folder of the run that trained: 255 where training regions lie most often
LEVELS = [0.02, 0.05, *np.arange(0.1, 0.95, 0.1).round(1).tolist(), 0.95, 0.98, 0.99]  # tried for `choose_level`
SHOWN = 4  # films of each row of the picture
TRUE, FOUND = "#56b4e9", "#e69f00"  # Okabe and Ito 2008
MOST_PX = 1024  # the longer side of a film in the picture


@dataclass(frozen=True)
class OnFilm:
    """A film, and the regions on it, (height, width) bool in its pixels: the true one, and what each head finds."""

    film: Film
    true: np.ndarray
    found: dict[str, np.ndarray]


@dataclass(frozen=True)
class Outlines:
    """The outlines of all described images.

    Attributes:
        prepared: The samples of the run.
        config: The settings of the run.
        pixels: (N, side, side) uint8, probabilities times 255, in the order of `prepared.rows`.
        common: The picture of `mean_region`, (side, side) bool.
        level: The probability above which a pixel lies in the found region.
    """

    prepared: Prepared
    config: Config
    pixels: np.ndarray
    common: np.ndarray
    level: float

    def rows(self) -> pd.DataFrame:
        """Return the described images whose true region is known, without copies of them."""
        rows = self.prepared.rows()
        return rows[rows["image_id"].isin(self.prepared.regions or {}) & (rows["copy"] == 0)]

    def on_film(self, number: int) -> OnFilm:
        """Return the regions of an image on its film, by its number among the described rows."""
        row = self.prepared.crops.table.iloc[self.prepared.described.rows[number][0]]
        image = str(row["image_id"])
        region, film = (self.prepared.regions or {})[image], self.prepared.dataset.read(image)
        height, width = film.pixels.shape
        breast = self.config.segmentation.target == "breast"
        found = {SEGMENTER: region.placed.to_film(self.pixels[number] / 255, height, width) > self.level}
        own = np.zeros((height, width), bool)
        if breast:
            thresholded = find_breast(film, None if pd.isna(row["laterality"]) else row["laterality"], image)
            own = thresholded.map_to_film(thresholded.mask)
            found["otsu"] = brightest_part(film)
            found |= {} if region.shapes is None else {"thresholds": own}
        found["mean_region"] = region.placed.to_film(self.common, height, width) > 0.5
        found["empty"] = np.zeros((height, width), bool)
        return OnFilm(film, own if region.shapes is None else region_on_film(region.shapes, height, width), found)

    def measured(self, number: int) -> list[dict[str, object]]:
        """Return the rows of `segments.csv` of an image, one for each head."""
        row = self.prepared.crops.table.iloc[self.prepared.described.rows[number][0]]
        one, shapes = self.on_film(number), (self.prepared.regions or {})[str(row["image_id"])].shapes
        said: dict[str, object] = {
            "source": "thresholds" if shapes is None else "+".join(sorted({shape[0] for shape in shapes}))
        }
        side = None if pd.isna(row["spacing_mm"]) else float(row["spacing_mm"])
        return [said | {"head": head} | measure(found, one.true, side) for head, found in one.found.items()]


def choose_level(config: Config, prepared: Prepared, pixels: np.ndarray) -> dict[str, Any]:
    """Return the `level` above which a pixel lies in the found region, and `how` it was chosen.

    Args:
        config: The settings of the run.
        prepared: Its samples.
        pixels: See `Outlines`.
    """
    part = config.select_on
    if config.segmentation.level is not None:
        return {"level": config.segmentation.level, "how": "fixed before training"}
    rows, side = prepared.rows(), pixels.shape[1]
    masks = {image: one.shown(side) for image, one in (prepared.regions or {}).items()}
    chosen = [
        (pixels[number], masks[image])
        for number, image in rows.loc[rows["split"] == part, "image_id"].items()
        if image in masks and masks[image].any()
    ]
    if not chosen:
        return {"level": MIDDLE, "how": f"fixed, as no image of the {part} part has a known region"}
    dices = [np.mean([_dice(found > 255 * level, true) for found, true in chosen]) for level in LEVELS]
    return {"level": LEVELS[int(np.argmax(dices))], "how": f"the best mean Dice on {part}"}


def _dice(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))


def write_segments(run: RunFolder, config: Config, prepared: Prepared, pixels: np.ndarray, level: float) -> None:
    """Write `segments.csv`, one row for each image and head, and a picture of outlines on test films.

    The run that trained keeps the picture of `mean_region`, for tests on other films.

    Args:
        run: The folder.
        config: The settings of the run.
        prepared: Its samples.
        pixels: See `Outlines`.
        level: The level that `choose_level` chose.
    """
    side, train = config.model.image_size, [sample for sample, _ in prepared.rows_of["train"]]
    images = prepared.crops.table["image_id"].iloc[train].drop_duplicates()
    if train:
        regions = prepared.regions or {}
        common = mean_region([regions[one] for one in images if one in regions], side)
        write_pgm(run.path / COMMON, common.astype(np.uint8) * 255)
    else:
        common = read_mask(run.tested_run.trainer.file(COMMON))
    every = Outlines(prepared, config, pixels, common, level)
    rows = every.rows()
    tables = []
    for number, said in zip(rows.index, shared_out(every.measured, list(rows.index)), strict=True):
        if isinstance(said, UnreadableFilm):
            raise said
        names = {name: rows.at[number, name] for name in ("image_id", "patient", "split")}
        tables += [names | one for one in said]
    table = pd.DataFrame(tables, columns=SEGMENTS)
    run.write_rows("segments.csv", table)
    if (drawn := contours(every, table)) is not None:
        figures.save(drawn, run.path / "figures/contours.png")


def contours(every: Outlines, table: pd.DataFrame) -> Figure | None:
    """Draw test films with true and found outlines: from the best Dice to the worst, then the largest false regions."""
    tested = table[(table["split"] == "test") & (table["head"] == SEGMENTER)].set_index("image_id")
    within = tested[tested["dice"].notna()].sort_values("dice", ascending=False, kind="stable")
    false = tested[tested["dice"].isna() & (tested["area_px"] > 0)].sort_values("area_px", ascending=False)
    spread = np.unique(np.linspace(0, max(len(within) - 1, 0), 2 * SHOWN).round().astype(int))[: len(within)]
    chosen = pd.concat([within.iloc[spread], false.iloc[:SHOWN]])
    if chosen.empty:
        return None
    rows = every.rows()
    numbers = dict(zip(rows["image_id"], rows.index, strict=True))
    lines = -(-len(chosen) // SHOWN)
    drawn, axes = figures.figure(2.9 * SHOWN, 3.5 * lines + 0.4, rows=lines, columns=SHOWN)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (image, facts) in zip(axes.flat, chosen.iterrows(), strict=False):
        one = every.on_film(numbers[image])
        step = -(-max(one.true.shape) // MOST_PX)
        axis.imshow(one.film.grey()[::step, ::step], cmap="gray", vmin=0, vmax=1)
        for region, colour in ((one.true, TRUE), (one.found[SEGMENTER], FOUND)):
            for line in outlines(region):
                axis.plot(*(line.T / step), color=colour, linewidth=1.3)
        height, width = one.true.shape
        axis.set(xlim=(-0.5, width / step - 0.5), ylim=(height / step - 0.5, -0.5))
        said = "no lesion, false region" if pd.isna(facts["dice"]) else f"Dice {facts['dice']:.2f}"
        axis.set_title(f"{figures.plain(str(image))}  {said}", fontsize=9)
    drawn.suptitle("Test films: the true region is outlined in blue, the found one in orange", fontsize=10)
    return drawn
