"""True regions: from the best source, not guessed where they are unknown, cut as the film is, and led back to it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mammo.datasets.film import Film, write_pgm
from mammo.datasets.findings import findings_table
from mammo.datasets.labels import Labels
from mammo.errors import InputError, UnreadableFilm
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.cutting import Cutter
from mammo.preprocessing.mask_files import usable_masks
from mammo.preprocessing.masks import PLACED, MaskAsk, Placed, mask_squares, region_on_film, shapes_of
from mammo.preprocessing.squares import Ask, squares_of
from tests.preprocessing.breasts import levels, tissue

HEIGHT, WIDTH = 512, 410
SIDES = {"stored": 96, "shown": 64, "margin": 1.5}
CORNERS = [(60, 90, 9), (180, 256, 12), (50, 420, 7), (100, 240, 3)]  # discs on a left breast, near its edges
TURNS = {"left": (False, False), "right": (True, False), "left, upside down": (False, True), "both": (True, True)}


def shown_on(circles, mirrored=False, upside_down=False):
    """A film with bright discs, its breast, and the discs as circles of the film."""
    grey, _ = tissue(HEIGHT, WIDTH, 200)
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    for x, y, radius in [*circles, (90, 320, 20)]:  # the last one keeps the scale of the grey levels
        grey[np.hypot(across - x, down - y) <= radius] = 0.95
    placed = [
        (WIDTH - 1 - x if mirrored else x, HEIGHT - 1 - y if upside_down else y, radius) for x, y, radius in circles
    ]
    grey = grey[::-1] if upside_down else grey
    pixels = np.ascontiguousarray(grey[:, ::-1] if mirrored else grey)
    film = Film(levels(pixels), 4095, 0.4, upside_down=upside_down)
    return film, find_breast(film, None), placed


def circle(*numbers):
    return ("circle", tuple(map(float, numbers)), "", "")


def placed_of(row):
    return Placed(**dict(zip(PLACED, map(float, row), strict=True)))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("number", range(len(CORNERS)))
def test_a_region_is_where_the_film_shows_it_and_returns_to_its_place(turn, number):
    _, breast, (place,) = shown_on([CORNERS[number]], *TURNS[turn])
    assert breast.mirrored == TURNS[turn][0]
    region = region_on_film((circle(*place),), HEIGHT, WIDTH)
    (square,), (row,) = mask_squares(breast, MaskAsk("whole", shapes=(circle(*place),)), **SIDES)
    (pixels,), _ = squares_of(breast, 0.4, Ask("whole"), **SIDES)
    (before,), _ = squares_of(shown_on([], *TURNS[turn])[1], 0.4, Ask("whole"), **SIDES)
    shown, *two = (one[16:80, 16:80].astype(float) for one in (square, pixels, before))
    bright = np.maximum(two[0] - two[1] - 4, 0)
    assert shown.sum() > 0 and bright.sum() > 0
    centres = [np.average(np.indices(one.shape).reshape(2, -1), axis=1, weights=one.ravel()) for one in (shown, bright)]
    assert np.allclose(*centres, atol=0.3), "the mask lies on the disc that the crop shows"
    back = placed_of(row).to_film(shown / 255, HEIGHT, WIDTH)
    rows, columns = np.indices(back.shape)
    near = 0.7 if place[2] > 5 else 1.5  # a pixel of the crop has 7 of the film, which the last disc does not fill
    assert np.average(columns, weights=back) == pytest.approx(place[0], abs=near)
    assert np.average(rows, weights=back) == pytest.approx(place[1], abs=near)
    found = back >= 0.5
    if place[2] > 5:  # pixels of the crop have 7 of the film
        assert 2 * (found & region).sum() / (found.sum() + region.sum()) > 0.75


@pytest.mark.parametrize("turn", TURNS)
def test_a_box_of_the_film_holds_its_region_in_the_crop(turn):
    _, breast, ((x, y, radius),) = shown_on([CORNERS[1]], *TURNS[turn])
    box = (x - radius, y - radius, x + radius + 1, y + radius + 1)
    (square,), (row,) = mask_squares(breast, MaskAsk("whole", shapes=(("box", box, "", ""),)), **SIDES)
    shown = square[16:80, 16:80] / 255
    x0, y0, x1, y1 = placed_of(row).from_film(box)
    assert (x1 - x0) * (y1 - y0) == pytest.approx(shown.sum(), rel=0.02)
    rows, columns = np.indices(shown.shape)
    assert (np.average(columns, weights=shown) + 0.5, np.average(rows, weights=shown) + 0.5) == pytest.approx(
        ((x0 + x1) / 2, (y0 + y1) / 2), abs=0.05
    )


def test_the_breast_itself_is_a_region_and_a_small_one_is_not_lost():
    _, breast, (*_, small) = shown_on(CORNERS)
    (whole,), _ = mask_squares(breast, MaskAsk("whole", shapes=None), **SIDES)
    (pixels,), _ = squares_of(breast, 0.4, Ask("whole"), **SIDES)
    assert ((whole > 127) == (pixels > 5)).mean() > 0.98
    (square,), (row,) = mask_squares(breast, MaskAsk("whole", shapes=(circle(*small[:2], 1),)), **SIDES)
    square, side = square[16:80, 16:80], placed_of(row).step_x_px  # without the reflection beyond the film
    assert 0 < square.max() < 128 and square.sum() / 255 * side**2 == pytest.approx(5, rel=0.1)


def test_a_film_gives_its_square_and_its_region_together_and_the_cache_keeps_them_apart(tmp_path):
    film, _, (place,) = shown_on([CORNERS[0]])
    reads = []

    def read(image_id):
        reads.append(image_id)
        return film

    def cut():
        cutter = Cutter(read, shown=64, margin=1.5, digest_of=lambda _: "film", home=tmp_path)
        rows = findings_table([{"dataset": "d", "image_id": "a", "finding_id": 1, "path": "a", "patient": "p"}] * 1)
        asks = [
            Ask("whole"),
            MaskAsk("whole", shapes=(circle(*place),)),
            MaskAsk("whole"),
            MaskAsk("whole", shapes=None),
        ]
        return [one for (one,) in cutter(rows.iloc[[0] * len(asks)], asks)]

    first, again = cut(), cut()
    assert reads == ["a"], "once for all four, and not again"
    sums = [int(one.pixels.sum()) for one in first]
    assert sums == [int(one.pixels.sum()) for one in again] and sums[2] == 0 and len(set(sums)) == 4
    assert set(first[1].numbers) == set(PLACED) and "mean_grey" in first[0].numbers


# --- where a region comes from


def row(image_id="a", **facts):
    given = {"dataset": "d", "image_id": image_id, "finding_id": 1, "path": image_id, "patient": "p"}
    return given | {"severity": "benign"} | facts


@pytest.fixture
def mask(tmp_path):
    pixels = np.zeros((30, 20), np.uint8)
    pixels[6:11, 4:15] = 9
    write_pgm(tmp_path / "mask.pgm", pixels)
    return {"mask_path": str(tmp_path / "mask.pgm")}


CIRCLE = {"x_px": 10.0, "y_px": 12.0, "radius_px": 4.0}
BOX = {"x0_px": 4.0, "y0_px": 6.0, "x1_px": 14.0, "y1_px": 10.0}
CONTOUR = {"contour_px": "2.00,3.00 9.00,3.00 9.00,5.00 2.00,5.00"}


def test_the_best_source_counts_and_the_notes_say_which(mask):
    places = [mask | CIRCLE | BOX | CONTOUR, CONTOUR | BOX | CIRCLE, BOX | CIRCLE, CIRCLE]
    shapes, notes = shapes_of(findings_table([row(str(number), **place) for number, place in enumerate(places)]))
    areas = [region_on_film(one, 30, 20).sum() for one in shapes.values()]
    assert areas == [5 * 11, 8 * 3, 10 * 4, 49]
    assert [one[0][0] for one in shapes.values()] == ["mask", "contour", "box", "circle"]
    assert len(notes) == 4 and sum("weak regions" in note for note in notes) == 2


def test_findings_of_one_film_are_united(mask):
    rows = [row(**mask), row(finding_id=2, **CIRCLE | {"y_px": 24.0})]
    (shapes,) = shapes_of(findings_table(rows))[0].values()
    assert region_on_film(shapes, 30, 20).sum() == 55 + 49


def test_an_unknown_region_is_not_an_empty_one():
    normal = {"finding_id": 0, "severity": "normal"}
    rows = [row("normal", **normal), row("nowhere"), row("point", x_px=3.0, y_px=4.0), row("half", **CIRCLE)]
    rows += [row("half", finding_id=2), row("unread", finding_id=0, severity=None), row("known", **CIRCLE)]
    shapes, notes = shapes_of(findings_table(rows))
    assert list(shapes) == ["normal", "known"] and shapes["normal"] == ()
    assert "unknown on 4 images" in notes[-1] and "nowhere, point, half, ..." in notes[-1]


def test_an_image_of_the_negative_class_without_a_finding_has_an_empty_region_and_one_in_no_class_has_none():
    words = Labels(("well", "ill"), "label", {"well": "well", "ill": "ill"}, words=True)
    no_finding = {"finding_id": 0, "severity": None}
    rows = [row("well", label="Well", **no_finding), row("open", label=None, **no_finding)]
    rows += [row("ill", label="ill", **no_finding), row("placed", label="ill", **CIRCLE)]
    rows += [row("benign", label="well"), row("point", label="well", **no_finding, x_px=3.0, y_px=4.0)]
    found = findings_table(rows)
    shapes, _ = shapes_of(found, words)
    assert list(shapes) == ["well", "placed"] and shapes["well"] == ()
    assert list(shapes_of(found, replace(words, ordered=False))[0]) == ["placed"]  # none of its words is negative


def test_masks_that_are_empty_or_damaged_give_no_place_and_inverted_ones_are_told(mask, tmp_path):
    full = np.full((30, 20), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "empty.png"), 0 * full)
    cv2.imwrite(str(tmp_path / "inverted.png"), full)
    (tmp_path / "text.png").write_text("none")
    paths = {"good": mask["mask_path"]} | {
        name: str(tmp_path / f"{name}.png") for name in ("empty", "text", "inverted")
    }
    found = findings_table([row(name, mask_path=path) for name, path in paths.items()] + [row("none")])
    kept, notes = usable_masks(found)
    assert kept["mask_path"].notna().tolist() == [True, False, False, True, False]
    assert notes[0].startswith("2 masks give no place: image empty: ") and "empty.png is empty" in notes[0]
    assert len(notes) == 2 and "inverted.png: the mask covers 100 % of its film" in notes[1]
    assert usable_masks(kept[:1])[1] == []
    blurred = cv2.GaussianBlur(cv2.circle(np.zeros((30, 20), np.uint8), (10, 15), 4, 255, -1), (0, 0), 1)
    cv2.imwrite(str(tmp_path / "blurred.png"), blurred)
    more = (blurred > 0).sum() / (blurred > 127).sum() - 1
    (note,) = usable_masks(findings_table([row("soft", mask_path=str(tmp_path / "blurred.png"))]))[1]
    assert note.startswith("1 mask has grey levels: ") and f"{100 * more:.0f} % larger" in note


def drawn(*discs, thickness=-1):
    """A picture of discs, white on black."""
    picture = np.zeros((120, 100), np.uint8)
    for x, y, radius in discs:
        cv2.circle(picture, (x, y), radius, 255, thickness)
    return picture


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (drawn((50, 60, 20), thickness=2), "seems to be an outline: what it encloses is"),
        (drawn((80, 100, 4), (2, 2, 0)), "has parts far apart: the box around it"),
        (drawn((15, 15, 6), (85, 100, 6)), "has parts far apart: the box around it"),
        (drawn((50, 60, 20)), None),
        (drawn((40, 60, 8), (60, 60, 8)), None),
        (cv2.line(drawn(), (20, 30), (60, 70), 255, 9), None),
        (drawn((50, 60, 20)) - drawn((50, 60, 8)), None),
    ],
)
def test_a_mask_that_is_an_outline_or_has_parts_far_apart_is_told(picture, said, tmp_path):
    cv2.imwrite(str(tmp_path / "odd.png"), picture)
    _, notes = usable_masks(findings_table([row("odd", mask_path=str(tmp_path / "odd.png"))]))
    assert len(notes) == bool(said)
    assert all(note.startswith("1 mask has an odd shape: ") and str(said) in note for note in notes)


def test_masks_that_do_not_fit_are_refused_by_name(mask, tmp_path):
    (shapes,) = shapes_of(findings_table([row(**mask)]))[0].values()
    with pytest.raises(UnreadableFilm, match=r"mask\.pgm: the mask has 20 x 30 pixels, its film 40 x 60"):
        region_on_film(shapes, 60, 40)
    cv2.imwrite(str(tmp_path / "mask.pgm"), np.zeros((30, 20), np.uint8))
    with pytest.raises(UnreadableFilm, match=r"mask\.pgm: the mask is empty"):
        region_on_film(shapes, 30, 20)
    for place in ({"x_px": 7.5, "y_px": 7.5, "radius_px": 0.3}, dict(zip(BOX, (4.6, 6.0, 4.9, 10.0), strict=True)),
                  {"x_px": 40.0, "y_px": 7.5, "radius_px": 3.0}):  # fmt: skip
        (shapes,) = shapes_of(findings_table([row(**CIRCLE), row(finding_id=2, **place)]))[0].values()
        with pytest.raises(UnreadableFilm, match="covers no pixel of its film of 20 x 30"):
            region_on_film(shapes, 30, 20)
    with pytest.raises(InputError, match="contour_px=round"):
        shapes_of(findings_table([row(contour_px="round")]))


def test_a_mask_that_changes_is_another_request(mask):
    before = shapes_of(findings_table([row(**mask)]))[0]
    pixels = np.full((30, 20), 1, np.uint8)
    cv2.imwrite(mask["mask_path"], pixels)
    assert shapes_of(findings_table([row(**mask)]))[0] != before
