"""The regions that OsiriX exports as XML property lists, and the place that each has on its film, in pixels."""

import plistlib
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mammo.datasets.geometry import BOX, CIRCLE
from mammo.errors import InputError

_POINT = re.compile(r"[({]\s*(-?\d+\.?\d*(?:e[-+]?\d+)?)\s*,\s*(-?\d+\.?\d*(?:e[-+]?\d+)?)\s*[)}]", re.IGNORECASE)


@dataclass(frozen=True, eq=False)  # points are arrays
class Region:
    """One region of a film.

    Attributes:
        name: Its name, as it was typed.
        points: (points, 2) float32, x and y from the top left.
        stated: The number of points that the file states; None if it states none.
    """

    name: str
    points: np.ndarray
    stated: int | None = None

    def contains(self, other: "Region") -> bool:
        """Tell if the middle of another region lies in this one; a region of one or two points contains none."""
        middle = tuple(map(float, other.points.mean(axis=0)))
        return len(self.points) > 2 and cv2.pointPolygonTest(self.points[:, None], middle, measureDist=False) >= 0


def read_regions(path: Path) -> list[Region]:
    """Read the regions of all images of a file; one without a point is left out.

    Raises:
        InputError: The file is no property list of regions.
    """
    try:
        content = plistlib.loads(path.read_bytes(), fmt=plistlib.FMT_XML)
        rois = [roi for image in content["Images"] for roi in image["ROIs"]]
        return [region for region in map(_region, rois) if len(region.points)]
    except (
        Exception
    ) as error:  # damaged XML and lists of another form make plistlib and the lines above raise many kinds
        raise InputError(f"{path}: expected regions exported by OsiriX, found no such list ({error})") from None


def _region(roi: dict[str, object]) -> Region:
    texts = [str(text) for text in roi["Point_px"]]  # type: ignore[attr-defined]
    found = [match.groups() for text in texts if (match := _POINT.search(text))]
    points = np.array(found, np.float32).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]  # a number may be too large
    stated = roi.get("NumberOfPoints")
    return Region(" ".join(str(roi.get("Name", "")).split()), points, stated if isinstance(stated, int) else None)


def place_of(points: np.ndarray, height: float, width: float) -> dict[str, float]:
    """Return the place of a region on its film: circle and box, or the point in the middle of one or two points.

    Points beyond the film are moved to its edge; if all are beyond, there is no place.

    Args:
        points: (points, 2) x and y.
        height, width: The size of the film; infinite if it is unknown.
    """
    last = np.array([width - 1, height - 1])
    if not on_film(points, height, width).any():
        return {}
    points = points.clip(0, last).astype(np.float32)
    middle, radius = cv2.minEnclosingCircle(points)
    x, y = np.clip(middle, 0, last)  # it rounds
    if len(points) < 3 or radius < 0.5:
        return dict(zip(CIRCLE, (x, y), strict=False))
    edges = (*points.min(axis=0), *(points.max(axis=0) + 1))
    return {key: float(value) for key, value in zip([*CIRCLE, *BOX], (x, y, radius, *edges), strict=True)}


def on_film(points: np.ndarray, height: float, width: float) -> np.ndarray:
    """Tell which points lie on a film, (points,) bool."""
    inside = (points >= 0) & (points <= np.array([width - 1, height - 1]))
    return np.asarray(inside.all(axis=1))
