"""Marks lie on a planted lesion, in pixels of its film as it is stored, however that film was made."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from torch import nn

from mammo.detector_config import MapOf
from mammo.models.maps import FrozenMaps
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.view import CELL_PX, FACTS, STEP, view_of
from mammo.training.film_maps import seen_of
from mammo.training.marks import candidates

OTHER = {"left": "right", "right": "left"}


def as_it_is(film, x, y):
    return film, x, y


def mirrored(film, x, y):
    turned = replace(film, pixels=np.ascontiguousarray(film.pixels[:, ::-1]), laterality=OTHER[film.laterality])
    return turned, film.pixels.shape[1] - 1 - x, y


def upside_down(film, x, y):
    pixels = np.ascontiguousarray(film.pixels[::-1])
    return replace(film, pixels=pixels, upside_down=True), x, len(pixels) - 1 - y


def cropped(film, x, y):
    """Without some rows, and without what lies beyond the lesion and its surround."""
    left, right = (0, round(x) + 120) if film.laterality == "left" else (round(x) - 120, film.pixels.shape[1])
    return replace(film, pixels=film.pixels[50:-70, max(left, 0) : right].copy()), x - max(left, 0), y - 50


def framed(film, x, y):
    pixels = cv2.copyMakeBorder(film.pixels, 60, 30, 90, 40, cv2.BORDER_CONSTANT, value=0)
    return replace(film, pixels=pixels), x + 90, y + 60


def resampled(spacing_mm):
    def at(film, x, y):
        factor = film.spacing_mm / spacing_mm
        pixels = cv2.resize(film.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return replace(film, pixels=pixels, spacing_mm=spacing_mm), (x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5

    return at


def deeper(film, x, y):
    return replace(film, pixels=film.pixels.astype(np.uint16) * 257, max_level=65535), x, y


WAYS = {"as it is": as_it_is, "mirrored": mirrored, "upside down": upside_down, "cropped": cropped, "framed": framed,
        "finer": resampled(0.1), "coarser": resampled(0.35), "16 bits": deeper}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_first_mark_of_a_planted_spot_is_nearer_than_its_nearest_place(phantom, side, way):
    table = phantom.findings()
    row = table[(table["laterality"] == side) & table["radius_px"].notna()].iloc[1]
    film, x, y = phantom.read(row["image_id"]), float(row["x_px"]), float(row["y_px"])
    film = replace(film, pixels=cv2.circle(film.pixels.copy(), (round(x), round(y)), 30, 255, -1), laterality=side)
    film, x, y = WAYS[way](film, x, y)
    view = view_of(find_breast(film, film.laterality), film.spacing_mm, view_mm := 0.4)
    images = pd.DataFrame([{"image_id": "one", "patient": "p", "split": "test"}])
    heat = view.places[:, FACTS.index("blob_minus_surround")]
    first = candidates(images, [view.places], {"oracle": [heat]}, [film.spacing_mm], 12.8).iloc[0]
    apart = STEP * CELL_PX * view_mm / film.spacing_mm  # the distance of two places, in pixels of the film
    assert abs(first["x_px"] - x) <= apart / 3 and abs(first["y_px"] - y) <= apart / 3


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "name",
    [
        "compact@1",
        "inception@1",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("inception@2", "vgg16@1", "vgg16@0.5")),
    ],
)
def test_places_of_a_film_and_of_its_flip_see_a_planted_spot_where_it_is(phantom, name, side, flip):
    """The channels of the earliest tap change most at the place that the spot is on, of all places of the film."""
    table, of, view_mm = phantom.findings(), MapOf.read(name), 0.4
    row = table[(table["laterality"] == side) & table["radius_px"].notna()].iloc[1]
    film, spacing = phantom.read(row["image_id"]), float(row["spacing_mm"])
    frozen = nn.ModuleDict({of.backbone: FrozenMaps(of.backbone)})

    def numbers(film):
        view = view_of(find_breast(film, side), spacing, view_mm)
        ((channels, (least, step)),) = seen_of(view, frozen, [(of, 3)], flip=flip)
        return view, (least + step * channels.float())[:, : channels.shape[1] // 12]

    view, plain = numbers(film)
    row, column = view.places[:, [FACTS.index("row"), FACTS.index("column")]].T
    inside = np.hypot(row - np.quantile(row, 0.3), column - np.median(column)).argmin()  # far from edge and mid-height
    x, y = view.places[inside, :2]
    spot = cv2.circle(film.pixels.copy(), (round(x), round(y)), 12, int(film.pixels.max()), -1)
    changed = (numbers(replace(film, pixels=spot))[1] - plain).square().mean(1)
    assert int(changed.argmax()) == inside, view.places[int(changed.argmax()), :2] - (x, y)
