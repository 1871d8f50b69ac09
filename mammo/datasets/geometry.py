"""The place of a finding: centre, radius, box and region, derived from its circle, box, contour or mask.

Lengths are in pixels of the film, places are counted from its top left corner.
"""

import re
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from mammo.errors import InputError

CIRCLE = ["x_px", "y_px", "radius_px"]
BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
NUMBER = r"-?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)"  # without backtracking, which takes for ever on long ones
POINTS = re.compile(rf"({NUMBER},{NUMBER} ){{2,}}{NUMBER},{NUMBER}")  # of a contour: at least three, x,y x,y x,y
FARTHEST = 65_535  # pixels; no film is larger, and the region of a contour is as large as its box


@dataclass(frozen=True)
class Geometry:
    """The place of a finding on its film, in pixels from the top left corner.

    Attributes:
        x_px, y_px: The centre of the circle; without one, of the box; without one, of the box around contour or mask.
        radius_px: The radius of the circle, else half of the box's longer side; None if only a point is known.
        box: Left, top, right and bottom edge; without a box, those of the circle.
        mask_path: A film whose levels are above 0 on the finding; None without a mask.
        contour: x and y of point after point around the finding; empty without a contour.
        round: True if the radius is that of a circle, and not half of a box.
    """

    x_px: float
    y_px: float
    radius_px: float | None
    box: tuple[float, ...]
    mask_path: str | None = None
    contour: tuple[float, ...] = ()
    round: bool = False

    @property
    def apart(self) -> bool:
        """True if the circle or point does not touch the box, so that one of the two is wrong."""
        left, top, right, bottom = self.box
        across, down = max(left - self.x_px, self.x_px - right, 0), max(top - self.y_px, self.y_px - bottom, 0)
        return bool(np.hypot(across, down) > (self.radius_px or 0) * self.round)

    def mask(self) -> np.ndarray | None:
        """Read the mask, (height, width) bool; None without one."""
        return None if self.mask_path is None else _read(self.mask_path)

    def region(self) -> tuple[np.ndarray, int, int] | None:
        """Return the finding's own shape: that of its mask, else of its contour; None without either.

        Returns:
            The shape, (height, width) bool, cut to the box around it, and the film's column and row of its first pixel.
        """
        if (mask := self.mask()) is not None and (box := box_of(mask)):
            left, top, right, bottom = map(int, box)
            return mask[top:bottom, left:right], left, top
        if not self.contour:
            return None
        points = np.rint(np.reshape(self.contour, (-1, 2))).astype(np.int32)
        first = points.min(axis=0)
        width, height = (points.max(axis=0) - first + 1).tolist()
        return cv2.fillPoly(np.zeros((height, width), np.uint8), [points - first], 1) > 0, int(first[0]), int(first[1])

    def lines(self) -> list[np.ndarray]:
        """Return the closed lines around the finding, (points, 2) x and y: of its own shape, else of circle or box."""
        if (own := self.region()) is not None:
            return [line + own[1:] for line in outlines(own[0])]
        x0, y0, x1, y1 = self.box
        if self.radius_px is not None and self.round:
            turn = np.linspace(0, 2 * np.pi, 65)
            return [np.stack([self.x_px + self.radius_px * np.cos(turn), self.y_px + self.radius_px * np.sin(turn)], 1)]
        return [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])]


def geometry(row: pd.Series) -> Geometry | None:
    """Return the place of the finding in a row of the findings table; None if the row does not give it.

    The file of a mask is read only if there is neither a circle, a box nor a contour.

    Raises:
        InputError: The mask cannot be read or is empty, or a contour is malformed.
    """
    contour = contour_of(row)
    path = None if pd.isna(row["mask_path"]) else str(row["mask_path"])
    edges = [] if pd.isna(row["x0_px"]) else [float(row[column]) for column in BOX]
    pointed = pd.notna(row["x_px"])
    if not edges and contour and not pointed:
        edges = box_around(contour)
    if not edges and path is not None and not pointed:
        edges = box_of(_read(path))
        if not edges:
            raise InputError(f"{path}: the mask of {row['image_id']} is empty; expected levels above 0 on the finding")
    radius = None if pd.isna(row["radius_px"]) else float(row["radius_px"])
    if edges:
        left, top, right, bottom = edges
        radius = radius or max(right - left, bottom - top) / 2
        x, y = (left + right) / 2, (top + bottom) / 2
    elif not pointed:
        return None
    if pointed:
        x, y = float(row["x_px"]), float(row["y_px"])
    reach = radius or 0.0
    box = tuple(edges) or (x - reach, y - reach, x + reach, y + reach)
    return Geometry(x, y, radius, box, path, contour, round=pd.notna(row["radius_px"]))


def contour_of(row: pd.Series) -> tuple[float, ...]:
    """Return x and y of point after point of the contour in a row of the findings table; nothing without one.

    Raises:
        InputError: The contour is malformed.
    """
    text = row.get("contour_px")
    if not isinstance(text, str) or not text.strip():
        return ()
    found = tuple(map(float, re.split("[ ,]", text.strip()))) if POINTS.fullmatch(text.strip()) else ()
    if not found or max(map(abs, found)) > FARTHEST:
        raise InputError(
            f"image {row['image_id']}: contour_px={text[:40]}: expected three points or more, `x,y x,y x,y`, in pixels"
        )
    return found


def box_around(contour: tuple[float, ...]) -> list[float]:
    """Return the edges of the box around the points of a contour, in the order of `BOX`."""
    return [*map(min, (contour[0::2], contour[1::2])), *map(max, (contour[0::2], contour[1::2]))]


def box_of(mask: np.ndarray) -> list[float]:
    """Return the edges of the box around a mask (height, width), right and bottom one beyond its last pixel.

    The order is that of `BOX`; the list is empty if the mask is.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return [float(edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)] if len(rows) else []


def circle_of(mask: np.ndarray) -> list[float]:
    """Return the smallest circle around the pixels of a mask (height, width), in the order of `CIRCLE`.

    It holds the whole of each pixel, whose corners count. The list is empty if the mask is.
    """
    box = box_of(mask)
    if not box:
        return []
    left, top, right, bottom = map(int, box)
    hull = cv2.convexHull(np.concatenate(outlines(mask[top:bottom, left:right])).astype(np.int32))
    corners = hull + np.array([(0, 0), (1, 0), (0, 1), (1, 1)])  # (points, 4, 2)
    (x, y), radius = cv2.minEnclosingCircle(corners.reshape(-1, 2).astype(np.float32))
    return [x + left, y + top, radius]


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return the closed outer lines around the regions of a mask (height, width), each (points, 2) x and y."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.concatenate([one, one[:1]])[:, 0].astype(float) for one in found]


def with_circles(findings: pd.DataFrame) -> pd.DataFrame:
    """Return the findings table with `x_px, y_px, radius_px` filled from boxes and masks where they are missing.

    A mask that cannot be read or is empty gives no place.
    """
    lacking = findings.index[findings["radius_px"].isna() & findings[["x0_px", "mask_path"]].notna().any(axis=1)]
    circles = pd.DataFrame(
        [_circle(row) for _, row in findings.loc[lacking].iterrows()], lacking, CIRCLE, dtype="Float64"
    )
    return findings.assign(**{key: findings[key].fillna(circles[key]) for key in CIRCLE})


def _circle(row: pd.Series) -> list[float | None]:
    with suppress(InputError):
        if (place := geometry(row)) is not None:
            return [place.x_px, place.y_px, place.radius_px]
    return [None] * len(CIRCLE)


def _read(path: str) -> np.ndarray:
    """Read a mask, (height, width) bool."""
    from mammo.datasets.film import read_mask  # noqa: PLC0415 - the readers of films, which no report needs

    return read_mask(path)
