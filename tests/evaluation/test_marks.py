"""Which mark hits which lesion: by distance, by box, never twice, and never on a film that cannot be judged."""

import numpy as np
import pytest

from mammo.errors import InputError
from mammo.evaluation.marks import judge
from tests.evaluation.marks import BOX, films, lesions, marks, numbered


def placed(facts=None, radius=9):
    """The lesions of a film, one."""
    return numbered(lesions(("a", 0, 0, radius, facts or {})))


def found_at(x, y, *lesion):
    """True if one mark at this place hits the lesion; then it is not false."""
    one = judge(marks(("a", x, y, 1.0)), numbered(lesions(("a", *lesion))), films(a=True, c=False))
    hit = np.isfinite(one.lesion_score[0])
    assert hit != bool(len(one.false_score)) and hit == one.top_hit[0]
    return hit


@pytest.mark.parametrize(
    ("spacing", "radius", "reach"), [(0.2, 30, 30), (0.2, 5, 24), (0.2, np.nan, 24), (0.05, 40, 96)]
)
def test_a_mark_hits_within_the_radius_or_4_8_mm_and_a_point_has_4_8_mm(spacing, radius, reach):
    """4.8 mm / 0.2 mm is a little less than 24 in floating point; a mark at 24 hits nevertheless."""
    facts = {"spacing_mm": spacing}
    assert found_at(100 + reach, 100, 100, 100, radius, facts) and found_at(100, 100 - reach, 100, 100, radius, facts)
    assert not found_at(100 + reach + 0.01, 100, 100, 100, radius, facts)
    assert not found_at(100 + 0.8 * reach, 100 + 0.8 * reach, 100, 100, radius, facts)


def test_a_mark_in_the_box_hits_far_from_the_centre_and_its_edges_belong_to_it():
    box = dict(zip(BOX, (0, 90, 400, 110), strict=True))
    for x, y in ((10, 100), (0, 90), (400, 110)):
        assert found_at(x, y, 200, 100, np.nan, box)
    assert not found_at(10, 111, 200, 100, np.nan, box) and not found_at(401, 100, 200, 100, np.nan, box)
    assert found_at(200, 124, 200, 100, np.nan, box)  # above the box, and within 4.8 mm of the centre
    assert found_at(200, 124, np.nan, np.nan, np.nan, box)  # whose centre is that of the box, if none is given


def test_a_box_or_radius_is_enough_without_a_spacing_and_a_point_is_not():
    assert found_at(25, 0, 0, 0, 26, {"spacing_mm": np.nan})
    assert found_at(25, 0, 0, 0, np.nan, {"spacing_mm": np.nan, **dict(zip(BOX, (-9, -9, 30, 9), strict=True))})
    assert not found_at(0, 12, 0, 0, np.nan, {"spacing_mm": np.nan, **dict(zip(BOX, (-9, -9, 30, 9), strict=True))})
    with pytest.raises(InputError, match=r"lesion of a .*spacing_mm"):
        found_at(25, 0, 0, 0, np.nan, {"spacing_mm": np.nan})


def test_the_radius_of_a_box_is_half_its_mean_side():
    box = dict(zip(BOX, (0, 0, 20, 60), strict=True))
    one = judge(marks(), numbered(lesions(("a", 10, 30, np.nan, box), ("a", 0, 0, 7))), films(a=True))
    assert one.lesions["radius_px"].tolist() == [20.0, 7.0]


def test_a_mark_in_two_lesions_hits_both_and_each_keeps_its_hottest():
    one = judge(
        marks(("a", 0, 0, 0.4), ("a", -20, 0, 0.9), ("a", 60, 0, 0.1)),
        numbered(lesions(("a", -20, 0, 30), ("a", 20, 0, 30))),
        films(a=True),
    )
    assert one.lesion_score.tolist() == [0.9, 0.4] and one.false_score.tolist() == [0.1]


def test_a_mark_may_lie_a_little_beside_its_film():
    assert len(judge(marks(("a", -20, 0, 1)), placed(), films(a=True)).top_score) == 1


def test_a_place_on_another_film_is_no_hit():
    one = judge(marks(("b", 0, 0, 1.0), ("c", 0, 0, 0.5)), numbered(lesions(("a", 0, 0, 30), ("b", 90, 0, 30))),
                films(a=True, b=True, c=False))  # fmt: skip
    assert np.isneginf(one.lesion_score).all() and one.false_score.tolist() == [1.0, 0.5]
    assert one.images["image_id"][one.false_image].tolist() == ["b", "c"]


def test_an_abnormal_film_without_a_place_is_left_out_with_its_marks_and_counted():
    one = judge(
        marks(("b", 0, 0, 0.9), ("a", 0, 0, 0.5), ("c", 9, 9, 0.4)),
        numbered(lesions(("a", 0, 0, 30))),
        films(b=True, a=True, c=False),
    )
    assert one.unplaced == ("b",) and one.images["image_id"].tolist() == ["a", "c"]
    assert one.false_score.tolist() == [0.4] and one.false_image.tolist() == [1] and one.lesion_image.tolist() == [0]
    assert one.top_score.tolist() == [0.5, 0.4] and one.top_hit.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ((marks(("x", 0, 0, 1.0)), numbered(lesions(("a", 0, 0, 9))), films(a=True)), "candidates: x is none of the 1"),
        ((marks(), numbered(lesions(("x", 0, 0, 9))), films(a=True)), "lesions: x is none"),
        ((marks(), numbered(lesions(("c", 0, 0, 9))), films(a=True, c=False)), "c has a lesion"),
        ((marks(("a", 0, 0, np.nan)), numbered(lesions(("a", 0, 0, 9))), films(a=True)), "mark on a has no finite"),
        ((marks(("a", np.nan, 0, 1)), numbered(lesions(("a", 0, 0, 9))), films(a=True)), "mark on a has no finite"),
        ((marks(("a", -800, 0, 1)), numbered(lesions(("a", 0, 0, 9))), films(a=True)), "x_px of a is -800; expected a"),
        (
            (marks(("a", 0, 1e9, 1)), numbered(lesions(("a", 0, 0, 9))), films(a=True)),
            "y_px of a is 10{9}.*; expected a",
        ),
        ((marks(), numbered(lesions(("a", 0, np.nan, 9))), films(a=True)), "of a has neither a centre nor a box"),
        (
            (marks(), placed({"x0_px": 9, "y0_px": 0, "x1_px": 5, "y1_px": 9}), films(a=True)),
            "of a has a box whose x1_px or y1_px is below",
        ),
        ((marks(), placed(radius=-9), films(a=True)), "of a has a radius_px below 0"),
        ((marks(), placed({"spacing_mm": 0}), films(a=True)), "of a has .* spacing_mm that is not above 0"),
        ((marks(), placed({"spacing_mm": 1e-9}), films(a=True)), "of a has a spacing_mm that is not from 0.01 to 1"),
        ((marks(), placed(radius=np.inf), films(a=True)), "lesions: radius_px of a is inf"),
        ((marks(), placed(radius=1e6), films(a=True)), "of a has a place or size above 65,535 pixels"),
        ((marks(), placed().loc[[0, 0]], films(a=True)), "lesions: the lesion of a stands in an earlier row too"),
        ((marks(), placed(), films(a="yes")), "images: positive of a is yes; expected True or False"),
        ((marks().drop(columns="score"), lesions(), films(a=True)), "candidates: expected the columns .*missing score"),
        ((marks(), lesions(), films(a=True).loc[[0, 0]]), "images: a occurs twice"),
    ],
)
def test_tables_that_do_not_fit_are_refused_in_one_line_that_names_the_film(tables, said):
    with pytest.raises(InputError, match=said) as error:
        judge(*tables)
    assert "\n" not in str(error.value)
