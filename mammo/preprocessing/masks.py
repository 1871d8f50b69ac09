"""True regions of findings, cut as the squares of their films are, and the way of a map back to the film.

Lengths are in pixels of the film. A region comes from a finding's mask, else its contour, else its box, filled, else
its circle. A circle is a weak region: a disc that holds the lesion, and tissue around it.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from mammo.datasets.film import Film, file_digest, read_mask
from mammo.datasets.geometry import BOX, CIRCLE, box_around, contour_of
from mammo.datasets.labels import Labels
from mammo.errors import UnreadableFilm
from mammo.preprocessing.breast import Breast, cut
from mammo.preprocessing.squares import Ask, Made, points_of
from mammo.wording import number_of, some

PLACES = ["x_px", "x0_px", "mask_path", "contour_px"]  # columns of the findings table that tell of a place
PLACED = ["x0_px", "y0_px", "step_x_px", "step_y_px"]  # see `Placed`
WORDS = {  # what is said of the regions of each source
    "mask": "masks of the data set",
    "contour": "contours of the data set",
    "box": "boxes, filled: weak regions, which hold the lesion and tissue around it",
    "circle": "circles, as discs: weak regions, which hold the lesion and tissue around it",
}
Shape = tuple[str, tuple[float, ...], str, str]  # source, its numbers, path and digest of a mask's file


@dataclass(frozen=True)
class MaskAsk(Ask):
    """A request for the region in the square that its `kind` names; `shapes` are united, None is the breast itself."""

    shapes: tuple[Shape, ...] | None = ()
    version: int = 2  # raise it if a change of this file changes what is cut, so that no old region is used


@dataclass(frozen=True)
class Placed:
    """The place of the shown part of a square on its film.

    Attributes:
        x0_px, y0_px: The point of the film that the middle of its first pixel, top left, shows.
        step_x_px, step_y_px: The way on the film from one pixel to the next, negative where the film was mirrored.
    """

    x0_px: float
    y0_px: float
    step_x_px: float
    step_y_px: float

    def to_film(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return a map (shown, shown) on the film (height, width) float32, interpolated; 0 where the map is not."""
        turn = np.array([[1 / self.step_x_px, 0, -self.x0_px / self.step_x_px],
                         [0, 1 / self.step_y_px, -self.y0_px / self.step_y_px]])  # fmt: skip
        return cv2.warpAffine(
            values.astype(np.float32), turn, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )

    def points(self, pixels: np.ndarray) -> np.ndarray:
        """Return (n, 2) x and y on the film of the pixels of the shown part (shown, shown) that are not black."""
        rows, columns = np.nonzero(pixels)
        return np.stack([self.x0_px + self.step_x_px * columns, self.y0_px + self.step_y_px * rows], axis=1)

    def from_film(self, box: tuple[float, ...]) -> tuple[float, ...]:
        """Return a box of the film, edges left, top, right, bottom, in pixels of the shown part."""
        (x0, x1), (y0, y1) = (
            sorted((edge - 0.5 - first) / step + 0.5 for edge in edges)  # edges lie half a pixel before the middles
            for edges, first, step in (
                (box[0::2], self.x0_px, self.step_x_px),
                (box[1::2], self.y0_px, self.step_y_px),
            )
        )
        return x0, y0, x1, y1


class UnknownRegions(str):
    """The note on images whose true region is unknown, so that they neither train nor test regions."""


def shapes_of(
    findings: pd.DataFrame, labels: Labels | None = None
) -> tuple[dict[Hashable, tuple[Shape, ...]], list[str]]:
    """Return the shapes of each image whose regions are all known, by `image_id`, and notes.

    An image has none if it is normal, or if it has no finding and is of the negative class. One with a finding of
    unknown place, or with neither a finding nor such a word, is left out: its true region is unknown, which is not an
    empty one.

    Args:
        findings: A findings table.
        labels: The classes of the task, the first of which is negative if another one is alarming.

    Raises:
        InputError: A contour is malformed.
    """
    known: dict[Hashable, tuple[Shape, ...]] = {}
    lost, sources = list[str](), Counter[str]()
    well = (findings["severity"] == "normal").fillna(False)
    if labels is not None and labels.alarming:
        negative = (labels.label(findings) == labels.classes[0]).fillna(False)
        well |= negative & findings[findings.columns.intersection(PLACES)].isna().all(axis=1)
    nothing = (findings["finding_id"] == 0) & well
    for image_id, rows in findings.groupby("image_id", sort=False):
        shapes = [shape_of(row) for _, row in rows[~nothing[rows.index]].iterrows()]
        if any(shape is None for shape in shapes):
            lost.append(str(image_id))
            continue
        known[image_id] = tuple(shape for shape in shapes if shape is not None)
        sources.update(shape[0] for shape in known[image_id])
    notes = [f"{sources[name]} true regions come from {said}" for name, said in WORDS.items() if sources[name]]
    if lost:
        said = f"the region of a finding is unknown on {number_of(len(lost), 'image')}"
        notes.append(UnknownRegions(f"{said}, which neither train nor test regions ({some(lost)})"))
    return known, notes


def shape_of(row: pd.Series) -> Shape | None:
    """Return the region of a row of the findings table, from the best source that there is; None without any."""
    if pd.notna(row["mask_path"]):
        path = str(row["mask_path"])
        return "mask", (), path, file_digest(path)
    if contour := contour_of(row):
        return "contour", contour, "", ""
    if pd.notna(row["x0_px"]):
        return "box", tuple(float(row[column]) for column in BOX), "", ""
    if pd.notna(row["radius_px"]):
        return "circle", tuple(float(row[column]) for column in CIRCLE), "", ""
    return None


def middle_of(shape: Shape, masks: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return x and y of the middle of a shape: of its circle, or of the box around it.

    Args:
        shape: The shape.
        masks: `looks_by` the masks.
    """
    source, numbers, path, _ = shape
    if source == "circle":
        return numbers[0], numbers[1]
    box = masks[path][-4:] if source == "mask" else box_around(numbers) if source == "contour" else numbers
    left, top, right, bottom = box
    return (left + right) / 2, (top + bottom) / 2


def region_on_film(shapes: tuple[Shape, ...], height: int, width: int) -> np.ndarray:
    """Return the union of shapes on a film, (height, width) bool.

    Raises:
        UnreadableFilm: A mask cannot be read, is empty, or has another size than its film. Or another shape holds no
            middle of a pixel: a lesion is larger, so its place is wrong, and its region unknown, not empty.
    """
    union = np.zeros((height, width), bool)
    for source, numbers, path, _ in shapes:
        region = np.zeros((height, width), np.uint8)
        if source == "mask":
            mask = read_mask(path)
            if mask.shape != region.shape:
                raise UnreadableFilm(
                    f"{path}: the mask has {mask.shape[1]} x {mask.shape[0]} pixels, its film {width} x {height}"
                )
            if not mask.any():
                raise UnreadableFilm(f"{path}: the mask is empty; expected levels above 0 on the finding")
            region |= mask
        elif source == "contour":
            cv2.fillPoly(region, [np.rint(np.reshape(numbers, (-1, 2))).astype(np.int32)], 1)
        elif source == "box":
            left, top, right, bottom = (max(round(edge), 0) for edge in numbers)
            region[top:bottom, left:right] = 1
        else:
            x, y, radius = numbers
            down, across = np.ogrid[:height, :width]
            region |= (across - x) ** 2 + (down - y) ** 2 <= radius**2
        if not region.any():
            at = ", ".join(f"{number:g}" for number in numbers[:4])
            raise UnreadableFilm(
                f"the {source} of a finding at {at} covers no pixel of its film of {width} x {height}; expected pixels "
                "of the film, not millimetres or fractions of it"
            )
        union |= region > 0
    return union


def brightest_part(film: Film) -> np.ndarray:
    """Return the largest connected part of a film above the one level of Otsu 1979 (IEEE Trans. SMC 9:62-66), bool."""
    _, above = cv2.threshold(film.levels8(), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    _, parts, facts, _ = cv2.connectedComponentsWithStats(above)
    return above.astype(bool) & (parts == 1 + facts[1:, cv2.CC_STAT_AREA].argmax() if len(facts) > 1 else parts < 0)


def mask_squares(breast: Breast, ask: MaskAsk, stored: int, shown: int, margin: float) -> Made:
    """Return the region in each square that an ask names, and the `PLACED` of its shown part.

    Args:
        breast: The breast on the film.
        ask: The square and the shapes.
        stored: Side of a square in pixels.
        shown: Side of the part that an unaugmented sample shows, in pixels.
        margin: Stored side divided by shown side, before it was rounded.

    Returns:
        Squares (n, stored, stored) uint8, the share of each pixel that lies in the region, times 255, so that regions
        smaller than a pixel are not lost; and their numbers (n, PLACED).
    """
    if ask.shapes is None:
        region = breast.mask
    else:
        region = region_on_film(ask.shapes, *breast.film_shape)
        region = region[::-1] if breast.upside_down else region
        region = (region[:, ::-1] if breast.mirrored else region)[:, breast.chest_px :]
    levels = np.ascontiguousarray(region, np.uint8) * 255
    squares = []
    for (x, y), size in points_of(breast, ask):
        side = math.ceil(size * margin)
        square = cut(levels, x, y, side)
        method = cv2.INTER_AREA if side > stored else cv2.INTER_LINEAR
        squares.append(cv2.resize(square, (stored, stored), interpolation=method))
    numbers = [vars(one).values() for one in placed_of(breast, ask, stored, shown, margin)]
    return (
        np.array(squares, np.uint8).reshape(-1, stored, stored),
        np.array([[*one] for one in numbers], np.float64).reshape(-1, len(PLACED)),
    )


def placed_of(breast: Breast, ask: Ask, stored: int, shown: int, margin: float) -> list[Placed]:
    """Return the place on the film of the shown part of each square that an ask names; see `mask_squares`."""
    found, inset = [], (stored - shown) // 2
    for point, size in points_of(breast, ask):
        side = math.ceil(size * margin)
        step = side / stored
        corner = [round(at - (side - 1) / 2) + (inset + 0.5) * step - 0.5 for at in point]
        first, second = (breast.to_film(*(one + by for one in corner)) for by in (0, step))
        found.append(Placed(*first, second[0] - first[0], second[1] - first[1]))
    return found
