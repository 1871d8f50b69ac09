"""The targets of the places of a film, which of them train, and the partner of each film."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from mammo.config import Config, DetectorConfig
from mammo.datasets.film import write_pgm
from mammo.datasets.findings import findings_table
from mammo.datasets.geometry import BOX, geometry
from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.preprocessing.masks import UnknownRegions
from mammo.preprocessing.view import FACTS
from mammo.runs.detected import answers_of, scores_of
from mammo.training.marks import candidates, marks_of, position_prior, with_partners
from mammo.training.place_batches import Places, Steps
from mammo.training.place_guard import check_films, off_breast_of
from mammo.training.places import (
    NO_LESION,
    Targets,
    lesions_of,
    pairs_in_test,
    partners_of,
    reach_of,
    targets_of,
    unknown_of,
    unplaced_of,
)
from mammo.training.regions import check_regions
from mammo.training.required import check_masks
from mammo.training.shown import said_of

LABELS = Labels(("normal", "abnormal"), "severity", {"normal": "normal", "benign": "abnormal", "malignant": "abnormal"})
GRID = np.stack(np.meshgrid(np.arange(0, 200, 4.0), np.arange(0, 200, 4.0)), -1).reshape(-1, 2)  # x and y
SMALL = DetectorConfig(least_mm=4.0, ring_mm=4.0)  # of films of 0.5 mm: 8 pixels


def finding(image="a", number=1, severity="benign", **place):
    row = {"dataset": "d", "image_id": image, "finding_id": number, "path": image, "patient": image, "spacing_mm": 0.5}
    return row | {"severity": severity} | place


def told(rows, points=GRID, config=SMALL):
    table = findings_table(rows)
    lesions, geometries = lesions_of(table, LABELS)
    unplaced = unplaced_of(table, LABELS, lesions)
    return targets_of(["a"], [points], unplaced, lesions, geometries, [0.5], config)


def around(targets, x, y):
    return {(round(float(a)), round(float(b))): i for i, (a, b) in enumerate(GRID)}[x, y]


def test_a_circle_is_1_in_its_middle_half_at_its_edge_and_has_a_ring_that_does_not_count():
    targets = told([finding(x_px=100, y_px=80, radius_px=20)])
    far = np.hypot(*(GRID - (100, 80)).T)
    assert np.array_equal(targets.soft > 0, far <= 20)
    assert (targets.soft[far <= 10] == 1).all() and np.allclose(targets.soft[far == 20], 0.5)
    assert np.array_equal(~targets.counts, (far > 20) & (far <= 28))
    assert (targets.lesion[far <= 20] == 0).all() and (targets.lesion[far > 20] == NO_LESION).all()


def test_a_small_lesion_reaches_the_least_distance():
    assert np.array_equal(
        told([finding(x_px=100, y_px=80, radius_px=1)]).soft > 0, np.hypot(*(GRID - (100, 80)).T) <= 8
    )


def test_a_point_alone_is_a_lesion_of_the_least_reach():
    assert (told([finding(x_px=100, y_px=80)]).soft > 0).sum() == (np.hypot(*(GRID - (100, 80)).T) <= 8).sum()


def test_a_box_is_inside_as_far_as_it_goes():
    targets = told([finding(x0_px=60, y0_px=60, x1_px=140, y1_px=100)])
    inside = (np.abs(GRID[:, 0] - 100) <= 40) & (np.abs(GRID[:, 1] - 80) <= 20)
    assert np.array_equal(targets.soft > 0, inside)
    assert targets.soft[around(targets, 100, 80)] == 1


def test_a_mask_is_inside_where_it_is_and_nowhere_else(tmp_path):
    mask = np.zeros((200, 200), np.uint8)
    mask[40:60, 40:160] = 255
    mask[40:160, 40:60] = 255  # an L, whose box is mostly outside
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    place = geometry(findings_table([finding(mask_path=str(tmp_path / "mask.png"))]).iloc[0])
    far, outside = reach_of(place, *GRID.T, least_px=8)
    near_centre = np.hypot(GRID[:, 0] - place.x_px, GRID[:, 1] - place.y_px) <= 8
    shown = mask[GRID[:, 1].astype(int), GRID[:, 0].astype(int)] > 0
    assert np.array_equal(far <= 1, shown | near_centre)
    assert ((outside > 0) == ~(shown | near_centre)).all()


def test_a_contour_is_inside_where_it_is_and_is_no_larger_than_it_though_its_circle_is():
    line = [(40, 40), (160, 40), (160, 60), (60, 60), (60, 160), (40, 160)]  # an L
    place = {"contour_px": " ".join(f"{x},{y}" for x, y in line), "x_px": 100, "y_px": 100, "radius_px": 85}
    targets = told([finding(**place)])
    shown = cv2.fillPoly(np.zeros((200, 200), np.uint8), [np.int32(line)], 1)[tuple(np.int32(GRID[:, ::-1]).T)] > 0
    near_centre = np.hypot(*(GRID - (100, 100)).T) <= 8
    assert np.array_equal(targets.soft > 0, shown | near_centre)
    alone = told([finding(contour_px=place["contour_px"])])
    assert np.array_equal(alone.soft > 0, targets.soft > 0) and targets.soft[around(targets, 48, 48)] == 1


def test_outside_a_region_the_ring_is_as_wide_as_it_is_set_to_the_pixel():
    square = {"contour_px": "60,60 140,60 140,140 60,140"}
    targets, (x, y) = told([finding(**square)]), GRID.T
    away = np.hypot(np.maximum(np.abs(x - 100) - 40, 0), np.maximum(np.abs(y - 100) - 40, 0))
    assert np.array_equal(~targets.counts, (away > 0) & (away <= 8))


def test_on_a_positive_film_without_a_place_nothing_counts_and_on_a_normal_one_everything():
    assert not told([finding()]).counts.any()
    normal = told([finding(number=0, severity="normal")])
    assert normal.counts.all() and not normal.soft.any()


def test_beside_a_lesion_without_a_place_a_placed_one_counts_and_nothing_else():
    targets = told([finding(x_px=100, y_px=80, radius_px=20), finding(number=2)])
    assert np.array_equal(targets.counts, np.hypot(*(GRID - (100, 80)).T) <= 20)
    others = told([finding(x_px=100, y_px=80, radius_px=20), finding(image="b", number=1)])
    assert others.counts.sum() > targets.counts.sum()


def test_a_finding_of_unknown_class_counts_for_nothing_in_and_around_it():
    table = findings_table([finding(severity=None, x_px=100, y_px=80, radius_px=20)])
    unknown = unknown_of(table, LABELS)
    assert list(unknown) == ["a"] and not len(lesions_of(table, LABELS)[0])
    targets = targets_of(["a"], [GRID], (), *lesions_of(table, LABELS), [0.5], SMALL, unknown)
    assert np.array_equal(~targets.counts, np.hypot(*(GRID - (100, 80)).T) <= 28) and not targets.soft.any()


def test_a_lesion_is_judged_by_its_circle_or_else_by_its_box(tmp_path):
    mask = np.zeros((50, 60), np.uint8)
    mask[10:20, 30:50] = 1
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    places = [{"x_px": 9, "y_px": 8, "radius_px": 3}, {"mask_path": str(tmp_path / "mask.png")}]
    lesions, _ = lesions_of(findings_table([finding(number=n, **one) for n, one in enumerate(places, 1)]), LABELS)
    assert lesions["radius_px"].tolist()[0] == 3 and lesions["radius_px"].isna().tolist() == [False, True]
    assert lesions.loc[1, ["x0_px", "y0_px", "x1_px", "y1_px"]].tolist() == [30, 10, 50, 20]


def films(rows, labels=LABELS, train=("a",)):
    """The part of the samples of a run that the check looks at."""
    table = findings_table(rows)
    images = table.drop_duplicates("image_id").reset_index(drop=True)
    crops = SimpleNamespace(table=images, films=images.assign(height=1000, width=800))
    split = images[["image_id"]].assign(split=[("test", "train")[one in train] for one in images["image_id"]])
    return SimpleNamespace(labels=labels, crops=crops, findings=table, split=split)


GOOD = [finding(x_px=9, y_px=9, radius_px=9), finding("b", 0, "normal")]


@pytest.mark.parametrize(
    ("prepared", "world", "line"),
    [
        (
            films([row | {"spacing_mm": None} for row in GOOD]),
            1,
            "2 of 2 images have no spacing_mm, a for example",
        ),
        (films(GOOD, train=("b",)), 1, "no training film has a finding of class abnormal with a place"),
        (
            films([row | {"spacing_mm": 0.9} for row in GOOD]),
            1,
            "image a has 800 x 1000 pixels of 0.9 mm, so it",
        ),
        (films(GOOD), 3, "detector.batch=256: expected a multiple of 6, for 3 devices"),
        (
            films(
                [*GOOD, finding(number=2, severity="malignant", x_px=5, y_px=5)],
                Labels(("worse", "benign"), "severity", {"normal": "worse", "malignant": "worse", "benign": "benign"}),
            ),
            1,
            "image a is worse by its worst finding, but has a finding that is benign",
        ),
    ],
)
def test_films_that_a_detector_cannot_use_are_refused_before_any_map(prepared, world, line):
    with pytest.raises(InputError) as error:
        check_films(prepared, Config(), world=world)
    assert str(error.value).startswith(line)


def test_films_that_a_detector_can_use_are_not_refused():
    check_films(films(GOOD), Config(), world=2)
    check_films(films(GOOD, train=()), Config(fit=False), world=1)


def test_of_two_lesions_a_place_belongs_to_the_one_it_is_deeper_in():
    targets = told([finding(x_px=80, y_px=80, radius_px=30), finding(number=2, x_px=120, y_px=80, radius_px=30)])
    assert targets.lesion[around(targets, 88, 80)] == 0 and targets.lesion[around(targets, 112, 80)] == 1


def test_findings_of_the_first_class_are_no_lesions():
    malignant = Labels(
        ("other", "malignant"), "severity", {"normal": "other", "benign": "other", "malignant": "malignant"}
    )
    rows = [finding(x_px=50, y_px=50, radius_px=9), finding(number=2, severity="malignant", x_px=9, y_px=9)]
    lesions, places = lesions_of(findings_table(rows), malignant)
    assert lesions["finding_id"].tolist() == [2] and len(places) == 1


def batches(world=1, rank=0, unplaced=(), **changes):
    soft = np.r_[np.ones(2), np.full(30, 0.5), np.zeros(400)]
    lesion = np.r_[np.zeros(2), np.ones(30), np.full(400, NO_LESION)].astype(int)
    counts, use = np.ones(432, bool), np.ones(432, bool)
    counts[420:], use[:1], use[400:410] = False, False, False
    patients, config = np.arange(432) // 2, DetectorConfig(**{"batch": 64, "restarts": 2} | changes)
    targets = Targets(soft, counts, lesion)
    return Places(torch.zeros(432, 3), targets, use, patients, config, 1, unplaced, world=world, rank=rank)


def test_a_batch_has_half_its_places_in_lesions_each_as_often_and_the_rest_on_training_films():
    places = batches()
    rows = np.stack([places.rows(step, 0) for step in range(200)])
    inside = rows[:, :32].ravel()
    assert (inside < 32).all() and 0 not in inside and abs((inside < 2).mean() - 0.5) < 0.03
    outside = rows[:, 32:].ravel()
    assert outside.min() >= 32 and not np.isin(outside, np.r_[400:410, 420:432]).any()


def test_restarts_and_steps_see_other_places_and_the_same_ones_each_time():
    first, again = batches(), batches()
    assert np.array_equal(first.rows(3, 1), again.rows(3, 1))
    assert not np.array_equal(first.rows(3, 1), first.rows(3, 0))
    assert not np.array_equal(first.rows(3, 1), first.rows(4, 1))


def test_two_devices_share_the_batch_of_one():
    one, two = batches(), [batches(world=2, rank=rank) for rank in (0, 1)]
    assert sorted(np.r_[two[0][5]["y"][0].numpy(), two[1][5]["y"][0].numpy()]) == sorted(one[5]["y"][0].numpy())
    assert two[0][5]["y"].shape == (2, 32) and (two[0][5]["y"][0] > 0).sum() == 16


def test_the_hardest_places_of_each_restart_are_half_of_the_others_from_then_on():
    places = batches(hardest=0.02)
    places.x = torch.arange(432.0)[:, None].expand(-1, 3)
    places.find_hardest(lambda x: torch.stack([x[:, 0], -x[:, 0]]))
    assert set(places.hardest[0]) == set(places.outside[-len(places.hardest[0]) :])
    assert set(places.hardest[1]) == set(places.outside[: len(places.hardest[1])])
    assert np.isin(places.rows(0, 0)[32:48], places.hardest[0]).all()


def test_the_hottest_places_of_a_film_without_a_place_become_a_weak_lesion_of_each_restart():
    places = batches(unplaced=[np.arange(420, 432)], hottest=2)
    places.x = torch.arange(432.0)[:, None].expand(-1, 3)
    assert not np.isin(np.stack([places.rows(step, 0) for step in range(50)]), np.arange(420, 432)).any()
    places.find_hardest(lambda x: torch.stack([x[:, 0], -x[:, 0]]))
    for restart, weak in enumerate(([430, 431], [420, 421])):
        drawn = np.stack([places.rows(step, restart)[:32] for step in range(300)])
        assert abs(np.isin(drawn, weak).mean() - 1 / 3) < 0.03  # one lesion of three
        assert places.soft[restart, weak].tolist() == [0.5, 0.5] and not np.isin(drawn, 425).any()


def test_weak_lesions_can_be_left_out():
    places = batches(unplaced=[np.arange(420, 432)], weak=0.0)
    places.find_hardest(lambda x: torch.zeros(2, len(x)))
    assert not places.soft[:, 420:].any()


def test_without_a_place_in_a_lesion_there_is_nothing_to_learn_from():
    targets = Targets(np.zeros(9), np.ones(9, bool), np.full(9, NO_LESION))
    with pytest.raises(InputError, match="no place of a training film lies in a lesion"):
        Places(torch.zeros(9, 3), targets, np.ones(9, bool), np.arange(9), DetectorConfig(), seed=0)


@pytest.mark.parametrize("flat", [True, False])
def test_each_restart_learns_without_patients_of_its_own_and_together_they_leave_out_all(flat):
    places = batches(restarts=3, left_out=1 / 3, hardest=1.0, unplaced=[np.arange(420, 432)])
    places.x = torch.arange(432.0)[:, None].expand(-1, 3)
    places.find_hardest(lambda x: torch.zeros(3, len(x)) if flat else x[:, 0].expand(3, -1))
    drawn = [set(np.concatenate([places.rows(step, restart) for step in range(400)]) // 2) for restart in range(3)]
    everyone = set.union(*drawn)
    left = [everyone - one for one in drawn]
    assert all(abs(len(one) - len(everyone) / 3) < 5 for one in left)
    assert sum(map(len, left)) == len(set.union(*left)) > len(everyone) - 5


def test_restarts_without_a_lesion_are_refused():
    with pytest.raises(InputError, match=r"detector.left_out=0.9 leaves one of 20 restarts without a lesion"):
        batches(restarts=20, left_out=0.9)


def test_each_epoch_has_steps_of_its_own():
    steps = Steps(100)
    steps.set_epoch(2)
    assert list(steps) == list(range(200, 300)) and len(steps) == 100


def lattice(rows, columns, step=10.0):
    """Places of a view, with the point of each on a film that is mirrored."""
    down, across = (one.ravel() for one in np.mgrid[:rows, :columns])
    places = np.zeros((rows * columns, len(FACTS)), np.float32)
    for name, values in {"x_px": 500 - step * across, "y_px": 7 + step * down, "row": down, "column": across}.items():
        places[:, FACTS.index(name)] = values
    return places


def test_marks_are_the_hottest_places_and_none_is_near_a_hotter_one():
    heat, places = np.array([5.0, 4.9, 3.0, 2.0]), lattice(4, 1)
    places[:, 0], places[:, 1] = (0, 5, 10, 10.1), 0
    places[:, FACTS.index("row")] = [0, 9, 19, 29]  # none beside another
    found, at = marks_of(heat, places, 9.0)
    assert found == [0, 2] and at.tolist() == [[0, 0], [10, 0]]
    assert marks_of(heat, places, 4.0)[0] == [0, 1, 2]
    assert marks_of(heat, places, 0.0, most=2)[0] == [0, 1]


@pytest.mark.parametrize("peak", [(463.0, 52.0), (460.0, 57.0), (457.0, 48.0)])
def test_a_mark_lies_on_the_peak_between_places(peak):
    places = lattice(9, 9)
    heat = 3 - ((places[:, :2] - peak) ** 2).sum(1) / 50
    found, at = marks_of(heat, places, 1000)
    assert at[0] == pytest.approx(peak) and abs(places[found[0], :2] - peak).max() <= 5


def test_a_mark_at_an_edge_or_beside_a_hotter_place_stays_on_its_place():
    places = lattice(5, 5)
    edge = -((places[:, :2] - (500, 22)) ** 2).sum(1)  # on the first column, between two rows
    assert marks_of(edge, places, 1000)[1][0] == pytest.approx([500, 22])
    slope = -((places[:, :2] - (500, 27)) ** 2).sum(1)
    found, at = marks_of(slope, places, 15)
    assert len(found) > 3 and (places[found, :2] == at).all()
    assert marks_of(np.ones(25), places, 1000)[1][0] == pytest.approx(places[0, :2])


def test_candidates_are_in_pixels_of_the_film_and_sorted_by_suspicion():
    images = pd.DataFrame([{"image_id": "a", "patient": "p", "split": "test"}])
    table = candidates(images, [lattice(1, 2, 80.0)], {"detector": [np.array([1.0, 2.0])]}, [0.5], 10.0)
    assert table["x_px"].tolist() == [420, 500] and table["score"].astype(float).tolist() == [2, 1]
    assert table.loc[0, ["x0_px", "y0_px", "x1_px", "y1_px"]].tolist() == [410, -3, 430, 17]


def test_a_partner_is_the_other_breast_of_the_same_patient_exam_and_view():
    rows = [
        ("p", "1", "MLO", "left"), ("p", "1", "MLO", "right"), ("p", "1", "CC", "right"), ("p", "2", "MLO", "right"),
        ("q", None, None, "left"), ("q", None, None, "right"), ("q", None, None, "right"), ("r", "1", "MLO", None),
        ("unknown", None, "MLO", "left"), ("unknown", None, "MLO", "right"), (None, None, "CC", "left"),
        (None, None, "CC", "right"), ("0", "1", "CC", "left"), ("00", "1", "CC", "right"),
    ]  # fmt: skip
    images = pd.DataFrame(rows, columns=["patient", "exam", "view", "laterality"])
    assert partners_of(images) == [[1], [0], [], [], [5, 6], [4], [4], [], *[[]] * 6]
    assert pairs_in_test(images.assign(split=["test"] * 3 + ["train"] * 11)) == (2, 3)


@pytest.mark.parametrize(
    ("sides", "said", "heads"),
    [
        (["left", "right", "left"], ["2 of 3 test films have"], {"detector", "detector_partner"}),
        (["left", "right", "right"], ["2 of 3 test films have"], {"detector", "detector_partner"}),
        (["left"] * 3, ["0 of 3 test films have"], {"detector"}),
        ([None] * 3, ["0 of 3 test films have"], {"detector"}),
        (["left", "right", "left", "right"], [], {"detector", "detector_partner"}),
    ],
)
def test_films_without_a_partner_are_counted_and_if_none_has_one_there_is_no_second_head(sides, said, heads):
    patients = [f"p{row // 2}" for row in range(len(sides))]
    table = pd.DataFrame({"patient": patients, "exam": None, "view": None, "laterality": sides, "split": "test"})
    config = Config.of({"task": {"kind": "detection", "name": "detection"}})
    found = said_of(config, table)
    assert [one[: len(one_said)] for one, one_said in zip(found, said, strict=True)] == said
    outputs = SimpleNamespace(heat=SimpleNamespace(partners=partners_of(table)), logits=np.zeros((len(sides), 2)))
    prepared = SimpleNamespace(crops=SimpleNamespace(table=table))
    assert set(scores_of(config, prepared, outputs, 0.0)) == heads
    curve = {"slope": 1.0, "offset": 0.0}
    assert set(answers_of(config, prepared, outputs, {"absent": 0.0, "curves": {"detector": curve}})) == {"detector"}


def test_lesions_far_from_every_place_of_their_film_are_told():
    rows = [finding(str(n), x_px=30.0 + 400 * (n < 2), y_px=30.0, radius_px=5.0) for n in range(20)]
    table = findings_table(rows)
    prepared = SimpleNamespace(findings=table, labels=LABELS, crops=SimpleNamespace(table=table))
    (line,) = off_breast_of(prepared, [GRID] * 20)
    assert "2 of 20 places lie off the breast, that of 0 at x 430, y 30" in line
    assert off_breast_of(SimpleNamespace(**vars(prepared) | {"findings": table[1:]}), [GRID] * 20) != []
    assert off_breast_of(prepared, [GRID] * 20, 4.0) == []  # whose places lie 128 mm apart
    assert off_breast_of(SimpleNamespace(**vars(prepared) | {"findings": table[2:]}), [GRID] * 20) == []


@pytest.mark.parametrize("place", [{"radius_px": 400.0}, dict(zip(BOX, (-9.0, -9.0, 210.0, 210.0), strict=True))])
def test_lesions_that_cover_their_whole_breast_are_told(place):
    at = {"x_px": 100.0, "y_px": 100.0}
    table = findings_table([finding("large", **at, **place), finding("small", **at, radius_px=40.0)])
    prepared = SimpleNamespace(findings=table, labels=LABELS, crops=SimpleNamespace(table=table))
    (line,) = off_breast_of(prepared, [GRID] * 2)
    assert "1 lesion covers its whole breast, that of large" in line
    assert off_breast_of(prepared, [GRID[:1]] * 2, 80.0) == []  # a film of one place is no sign


def test_a_score_less_its_partners_mean_and_a_stand_in_where_there_is_none():
    found = with_partners(np.array([4.0, 2.0, 0.0]), [[1, 2], [0], []], 0.5, absent=1.0)
    assert found.tolist() == [3.5, 0.0, -0.5]


def test_the_position_prior_knows_where_lesions_lie_from_training_films_alone():
    rng = np.random.default_rng(0)
    places = np.zeros((4000, 8), np.float32)
    places[:, 4:6] = rng.random((4000, 2))
    near = np.hypot(places[:, 4] - 0.3, places[:, 5] - 0.7) < 0.15
    use = np.arange(4000) < 2000
    soft = np.where(near & use, 1.0, np.where(~use & ~near, 1.0, 0))  # the films that do not train say the opposite
    prior = position_prior(places, Targets(soft, np.ones(4000, bool), np.zeros(4000, int)), use)
    assert prior[near & ~use].mean() > 5 * prior[~near & ~use].mean()


@pytest.mark.parametrize("world", [1, 2])
def test_the_number_of_steps_is_that_of_whole_epochs(world):
    assert len(batches(world=world, steps=403)) == 400


@pytest.mark.parametrize(
    ("settings", "refused"),
    [({"task": {"kind": "detection"}}, True), ({"crop": {"name": "lesion"}}, True), ({}, False)],
)
def test_a_mask_of_another_size_is_refused_where_places_are_taken_from_it(tmp_path, settings, refused):
    write_pgm(tmp_path / "mask.pgm", np.eye(30, 20, dtype=np.uint8))
    found = findings_table([finding("a", mask_path=str(tmp_path / "mask.pgm"))])
    films = pd.DataFrame({"image_id": ["a"], "height": [30], "width": [20]})
    check_masks(found, films, Config.of(settings))
    if not refused:
        check_masks(found, films.assign(width=40), Config.of(settings))
        return
    with pytest.raises(InputError, match=r"image a: the mask .* has 20 x 30 pixels, and its film 40 x 30"):
        check_masks(found, films.assign(width=40), Config.of(settings))
    if "crop" in settings:  # its circle gives the place
        circle = found.assign(x_px=3.0, y_px=4.0, radius_px=2.0)
        check_masks(circle, films.assign(width=40), Config.of(settings))


def test_a_training_part_without_a_region_says_why():
    config = Config.of({"task": {"kind": "segmentation", "name": "segmentation"}})
    notes = [UnknownRegions("regions are unknown"), "2 masks have grey levels: b.png"]
    with pytest.raises(InputError, match=r"the train part has no image with a lesion .*circles\. regions are unknown"):
        check_regions({}, pd.Series(["a"]), {"train": [(0, 0)], "val": []}, config, notes)
