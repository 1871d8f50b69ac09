"""A detector's numbers: three films on paper, a slow second way, a law in closed form, ties, and what is undefined."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from mammo.errors import InputError
from mammo.evaluation import detection as numbers
from mammo.evaluation.bootstrap import bootstrap_weights, difference, interval
from mammo.evaluation.detection import CPM_RATES, RATES, by_subgroup, compare, evaluate_marks, froc_curve, sensitivities
from mammo.evaluation.marks import judge
from tests.evaluation.marks import drawn, films, lesions, marks, numbered


def on_paper():
    """Two films with a lesion each and a normal one.

    a: lesion; a mark of 0.95 near its edge and one of 0.1 on its centre, one of 0.6 beside it.
    b: lesion; a mark of 0.5 on it, one of 0.7 beside it.
    c: normal, with a mark of 0.8.
    """
    return judge(
        marks(
            ("a", 127, 100, 0.95), ("a", 100, 100, 0.1), ("a", 200, 200, 0.6),
            ("b", 300, 310, 0.5), ("b", 50, 50, 0.7), ("c", 10, 10, 0.8),
        ),
        numbered(lesions(("a", 100, 100, 30), ("b", 300, 300, 30))),
        films(a=True, b=True, c=False),
    )  # fmt: skip


def values(one):
    return {name: value.value for name, value in evaluate_marks([one], 50).items()}


def test_three_films_on_paper():
    """Marks by score: 0.95 hit, 0.8 false, 0.7 false, 0.6 false, 0.5 hit, 0.1 neither. Three films, two lesions.

    Above 0.5 all three false marks are kept, one an image, with one lesion of two. At 0.5 both lesions are found. The
    hottest mark of a hits and is above that of c; the hottest mark of b does not hit.
    """
    found = values(on_paper())
    assert [found[f"froc_{rate:g}"] for rate in RATES] == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert [found[f"froc_normal_{rate:g}"] for rate in RATES] == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert found["cpm"] == pytest.approx((3 * 0.5 + 4) / 7)
    assert (found["first_mark"], found["localisation_roc"]) == (0.5, 0.5)
    assert sensitivities(on_paper(), np.ones((1, 3)), [0.99, 1.0]).tolist() == [[0.5, 1.0]]


def test_the_hottest_mark_on_a_lesion_finds_it_and_its_other_marks_are_neither():
    one = on_paper()
    assert one.lesion_score.tolist() == [0.95, 0.5]
    assert one.false_score.tolist() == [0.8, 0.7, 0.6]


def test_a_normal_film_more_lowers_the_false_marks_of_all_and_not_those_of_the_normal():
    """Five more normal films without a mark: 3 marks on 8 films; on normal films 1 mark on 6."""
    tables = (marks(("a", 0, 0, 0.2), ("a", 200, 0, 0.9), ("b", 200, 0, 0.9), ("c", 0, 0, 0.9)),
              numbered(lesions(("a", 0, 0, 30))))  # fmt: skip
    few = judge(*tables, films(a=True, b=False, c=False))
    many = judge(*tables, films(a=True, b=False, c=False, d=False, e=False, f=False, g=False, h=False))
    weights = (np.ones((1, 3)), np.ones((1, 8)))
    assert sensitivities(few, weights[0], [0.5, 1.0]).tolist() == [[0.0, 1.0]]
    assert sensitivities(many, weights[1], [0.25, 3 / 8]).tolist() == [[0.0, 1.0]]
    assert sensitivities(few, weights[0], [0.99, 1.0], normal=True).tolist() == [[0.0, 1.0]]
    assert sensitivities(many, weights[1], [0.28, 2 / 7], normal=True).tolist() == [[0.0, 1.0]]


def slowly(one, weights, rate, normal):
    """The definition, threshold by threshold."""
    counted = ~one.positive if normal else np.ones(len(one.images), bool)
    best, total = 0.0, weights[one.lesion_image].sum()
    for threshold in np.unique(np.r_[one.false_score, one.lesion_score]):
        kept = one.false_image[one.false_score >= threshold]
        if (weights * counted)[kept].sum() <= rate * weights[counted].sum() and threshold > -np.inf:
            best = max(best, weights[one.lesion_image[one.lesion_score >= threshold]].sum() / total)
    return best


@pytest.mark.parametrize("digits", [8, 1])
def test_the_quick_way_is_the_definition_with_and_without_ties(digits, monkeypatch):
    monkeypatch.setattr(numbers, "AT_ONCE", 7)  # so that several blocks are summed
    rng = np.random.default_rng(digits)
    candidates, placed, images = drawn(rng, 24)
    one = judge(candidates.assign(score=candidates["score"].round(digits)), placed, images)
    weights = bootstrap_weights(one.patients, 15)
    for normal in (False, True):
        expected = [[slowly(one, row, rate, normal) for rate in CPM_RATES] for row in weights]
        assert sensitivities(one, weights, CPM_RATES, normal=normal) == pytest.approx(np.array(expected))
    every = numbers.weighted_marks(one, weights)
    for row, w in enumerate(weights):
        tops, ups, downs = one.top_score, np.flatnonzero(one.positive), np.flatnonzero(~one.positive)
        pairs = [
            w[i] * w[j] * one.top_hit[i] * (0.5 if tops[i] == tops[j] else tops[i] > tops[j])
            for i in ups
            for j in downs
        ]
        assert every["localisation_roc"][row] == pytest.approx(sum(pairs) / w[ups].sum() / w[downs].sum())
        assert every["first_mark"][row] == pytest.approx((w * one.top_hit)[ups].sum() / w[ups].sum())


def law(distance, marked, false):
    """The numbers of `drawn` in closed form: the sensitivity at each rate, first mark, localisation ROC.

    A share 1 - Phi(t) of `false` marks an image lies above t, and a share Phi(distance - t) of the marked lesions. No
    false mark of an image lies above t with the chance exp(-false (1 - Phi(t))).
    """

    def none_above(t):
        return np.exp(-false * norm.sf(t))

    froc = [marked * (norm.cdf(distance - norm.isf(rate / false)) if rate < false else 1) for rate in CPM_RATES]
    first = quad(lambda t: marked * norm.pdf(t - distance) * none_above(t), -10, 10)[0]
    area = quad(lambda t: marked * norm.pdf(t - distance) * none_above(t) ** 2, -10, 10)[0]
    return froc, first, area


@pytest.mark.parametrize(("distance", "marked", "false"), [(1.5, 0.8, 3.0), (2.5, 0.9, 1.0)])
def test_many_films_of_a_known_law_have_its_numbers(distance, marked, false):
    one = judge(*drawn(np.random.default_rng(0), 20_000, distance=distance, marked=marked, false=false))
    once = np.ones((1, len(one.images)))
    froc, first, area = law(distance, marked, false)
    assert sensitivities(one, once, CPM_RATES)[0] == pytest.approx(froc, abs=0.02)
    assert sensitivities(one, once, CPM_RATES, normal=True)[0] == pytest.approx(froc, abs=0.02)
    found = numbers.weighted_marks(one, once)
    assert found["cpm"][0] == pytest.approx(np.mean(froc), abs=0.02)
    assert found["first_mark"][0] == pytest.approx(first, abs=0.02)
    assert found["localisation_roc"][0] == pytest.approx(area, abs=0.02)


def test_equal_scores_are_kept_together_and_do_not_depend_on_the_order_of_rows():
    """A brightest-blob baseline on saturated films gives each mark the same score: it tells nothing."""
    tables = (
        marks(("a", 0, 0, 1.0), ("a", 200, 0, 1.0), ("a", 400, 0, 1.0), ("c", 0, 0, 1.0)),
        numbered(lesions(("a", 0, 0, 30))),
        films(a=True, c=False),
    )
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        found = values(judge(tables[0].iloc[order], *tables[1:]))
        assert (found["froc_1"], found["froc_2"]) == (0.0, 1.0)  # three false marks on two films
        assert found["first_mark"] == pytest.approx(1 / 3)
        assert found["localisation_roc"] == pytest.approx(1 / 6)  # a third, times a half for equal ratings


def test_a_film_without_a_mark_is_a_miss_or_free_of_false_marks():
    one = judge(marks(("a", 0, 0, 0.5)), numbered(lesions(("a", 0, 0, 9), ("b", 0, 0, 9))), films(a=1, b=1, c=0))
    found = values(one)
    assert found["froc_0.125"] == found["first_mark"] == found["localisation_roc"] == 0.5
    nothing = values(judge(marks(), numbered(lesions(("a", 0, 0, 9))), films(a=True, c=False)))
    assert set(nothing.values()) == {0.0}  # a head that marks nothing finds nothing


def test_what_cannot_be_said_is_undefined_and_says_why():
    no_normal = evaluate_marks([judge(marks(("a", 0, 0, 0.5)), numbered(lesions(("a", 0, 0, 9))), films(a=True))], 20)
    for name in ("localisation_roc", "froc_normal_1"):
        assert no_normal[name].value is None and "normal image" in no_normal[name].reason
    assert no_normal["froc_1"].value == no_normal["first_mark"].value == 1.0
    assert no_normal["cpm"].low is None and "one patient" in no_normal["cpm"].reason
    for images in (films(c=False), films()):
        one = judge(marks(("c", 0, 0, 1.0)).head(len(images)), lesions(), images)
        found = evaluate_marks([one], 20)
        assert list(found) == numbers.NAMES and by_subgroup(one, 20) == []
        assert all(value.value is None and "no lesion" in value.reason for value in found.values())
        assert all(value.value is None for value in compare([one], [one], 20).values())


def test_subgroups_share_the_thresholds_of_all_lesions():
    facts = [{"finding": "CALC", "density": "D"}, {"finding": "CIRC", "density": "F"}]
    candidates = marks(("a", 0, 0, 0.9), ("b", 200, 0, 0.8), ("b", 0, 0, 0.7), ("c", 0, 0, 0.6))
    placed = numbered(lesions(("a", 0, 0, 30, facts[0]), ("b", 0, 0, 30, facts[1])))
    found = {group.name: group for group in by_subgroup(judge(candidates, placed, films(a=1, b=1, c=0)), 20)}
    assert {"finding CALC", "finding CIRC", "density D", "density F", "severity benign"} <= set(found)
    at_a_quarter = {name: group.found[0.25].value for name, group in found.items()}
    assert at_a_quarter["finding CALC"] == 1.0 and at_a_quarter["density F"] == 0.0
    assert found["finding CIRC"].found[1.0].value == 1.0  # its threshold counts the films of all findings
    assert found["severity benign"].lesions == found["severity benign"].patients == 2


def test_a_paired_difference_is_narrower_than_its_sides_and_zero_against_itself():
    candidates, placed, images = drawn(np.random.default_rng(0), 200)
    first = judge(candidates, placed, images)
    nudged = candidates["score"] + np.random.default_rng(1).normal(0, 0.05, len(candidates))
    second = judge(candidates.assign(score=nudged), placed, images.sample(frac=1, random_state=0))
    found, alone = compare([first], [second], 300)["cpm"], evaluate_marks([first], 300)["cpm"]
    assert found.high - found.low < 0.5 * (alone.high - alone.low)
    assert found.value == pytest.approx(alone.value - evaluate_marks([second], 20)["cpm"].value)
    same = compare([first], [first], 50)
    assert all(value.value == value.low == value.high == 0.0 for value in same.values())


def test_a_fold_without_a_lesion_does_not_count_and_the_number_says_so():
    with_lesions, other = (judge(*drawn(np.random.default_rng(0), 20, abnormal=share)) for share in (0.4, 0.0))
    assert other.positive.sum() == 0
    found, alone = (evaluate_marks(jobs, 20) for jobs in ([with_lesions, other], [with_lesions]))
    assert all(value.of == "1 of 2 folds (20 of 10 patients)" for value in found.values())
    assert all(found[name].value == alone[name].value and alone[name].of is None for name in numbers.NAMES)
    assert compare([with_lesions, other], [with_lesions, other], 20)["cpm"].of == found["cpm"].of


def test_several_jobs_are_averaged_and_their_patients_are_drawn_together():
    jobs = [judge(*drawn(np.random.default_rng(seed), images)) for seed, images in enumerate((60, 40))]
    weak = [judge(*_weaker(np.random.default_rng(seed), images)) for seed, images in enumerate((60, 40))]
    found = compare(jobs, weak, 100)["cpm"]
    each = [evaluate_marks([one], 20)["cpm"].value for one in (*jobs, *weak)]
    assert found.value == pytest.approx(np.mean(each[:2]) - np.mean(each[2:]))
    marked, placed, table = drawn(np.random.default_rng(0), 60)
    more = pd.concat([table, pd.DataFrame({"image_id": ["more"], "patient": ["more"], "positive": [False]})])
    alone, twice = (evaluate_marks(of, 300)["cpm"] for of in ([jobs[0]], [jobs[0], judge(marked, placed, more)]))
    assert twice.high - twice.low > 0.85 * (alone.high - alone.low)  # 0.71 as wide, if drawn apart


def _weaker(rng, images):
    candidates, placed, table = drawn(rng, images)
    return candidates.assign(score=rng.normal(size=len(candidates))), placed, table


def test_detectors_of_other_films_lesions_or_jobs_are_not_paired():
    one = on_paper()
    placed = numbered(lesions(("a", 100, 100, 30), ("a", 0, 0, 30), ("b", 300, 300, 30)))
    for other in (
        judge(marks(), numbered(lesions(("a", 1, 1, 9), ("b", 1, 1, 9))), films(a=True, b=True, d=False)),
        judge(marks(), placed, films(a=True, b=True, c=False)),
    ):
        with pytest.raises(InputError, match="cannot be paired"):
            compare([one], [other])
    with pytest.raises(InputError, match="1 and 2 jobs"):
        compare([one], [one, one])


@pytest.mark.parametrize(
    ("column", "change"),
    [("x_px", 800), ("y_px", -1), ("radius_px", 0.5), ("spacing_mm", 0.001), ("x0_px", None)],
)
def test_detectors_judged_on_lesions_that_lie_elsewhere_are_not_paired(column, change):
    candidates, images = marks(("a", 100, 100, 0.9)), films(a=True, b=True, c=False)
    box = dict(zip(["x0_px", "y0_px", "x1_px", "y1_px"], (270, 270, 330, 330), strict=True))
    placed = numbered(lesions(("a", 100, 100, 30), ("b", 300, 300, 30, box)))
    moved = placed.astype({column: float})
    moved.loc[1, column] = np.nan if change is None else moved.loc[1, column] + change
    with pytest.raises(InputError, match=r"1 lesion has another place, size or spacing .* of b;"):
        compare([judge(candidates, placed, images)], [judge(candidates, moved, images)])
    written = placed.assign(x_px=placed["x_px"] * (1 + 1e-9))[::-1]  # as %.9g keeps it, in another order
    assert compare([judge(candidates, placed, images)], [judge(candidates, written, images)], 20)["cpm"].value == 0


def test_detectors_judged_on_circles_of_other_films_are_not_paired():
    candidates, images = marks(("a", 100, 100, 0.9)), films(a=True, b=True, c=False)
    placed = numbered(lesions(("a", 100, 100, 30), ("b", 300, 300, 40)))
    with pytest.raises(InputError, match="2 lesions have another place"):
        other = placed.assign(image_id=placed["image_id"].to_numpy()[::-1])
        compare([judge(candidates, placed, images)], [judge(candidates, other, images)])


def test_the_drawn_curve_rises_inside_its_band():
    curve = froc_curve(judge(*drawn(np.random.default_rng(0), 200)), resamples=100)
    assert (np.diff(curve.y) >= 0).all() and (curve.low <= curve.y).all() and (curve.y <= curve.high).all()
    assert (curve.x[0], curve.x[-1]) == pytest.approx((1 / 8, 8))


def coverage(images, sets, resamples, names):
    """Share of data sets whose interval holds the truth, by number; and the same of a difference of nothing."""
    froc, first, area = law(1.5, 0.8, 3.0)
    truth = {f"froc_{rate:g}": value for rate, value in zip(CPM_RATES, froc, strict=True)}
    truth |= {f"froc_normal_{rate:g}": value for rate, value in zip(CPM_RATES, froc, strict=True)}
    truth |= {"cpm": np.mean(froc), "first_mark": first, "localisation_roc": area}
    rng, inside = np.random.default_rng(images), dict.fromkeys([*names, "difference"], 0)
    for number in range(sets):
        candidates, placed, table = drawn(rng, images)
        one = judge(candidates, placed, table)
        weights = bootstrap_weights(one.patients, resamples, number)
        arrays = numbers.weighted_marks(one, weights)
        for name in names:
            found = interval(arrays[name], len(numbers._support([one], name)))
            inside[name] += found.low <= truth[name] <= found.high
        again = candidates.assign(score=candidates["score"] + 0.5 * rng.normal(size=len(candidates)))
        other = candidates.assign(score=candidates["score"] + 0.5 * rng.normal(size=len(candidates)))
        both = [numbers.weighted_marks(judge(side, placed, table), weights)["cpm"] for side in (again, other)]
        found = difference(*both, len(np.unique(one.lesion_patients)))
        inside["difference"] += found.low <= 0 <= found.high
    return {name: count / sets for name, count in inside.items()}


@pytest.mark.slow
def test_intervals_by_patient_cover_about_as_often_as_they_say():
    for name, share in coverage(64, 40, 50, ["froc_0.25", "cpm", "first_mark", "localisation_roc"]).items():
        assert share >= 0.85, name


@pytest.mark.slow
@pytest.mark.parametrize("images", [322, 64])
def test_intervals_cover_93_to_98_percent(images):
    found = coverage(images, 500, 300, numbers.NAMES)
    print(f"\n{images} images:", ", ".join(f"{name} {share:.3f}" for name, share in found.items()))
    assert all(0.92 <= share <= 0.985 for share in found.values()), found
