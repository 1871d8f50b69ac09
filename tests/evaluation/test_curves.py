"""Curves: those of scikit-learn, in bands that hold them."""

import numpy as np
import pytest
from sklearn import metrics as sk

from mammo import figures
from mammo.evaluation import curves

RNG = np.random.default_rng(0)
POSITIVE = RNG.random(200) < 0.4
SCORE = (RNG.normal(size=200) + POSITIVE).round(1)  # with ties
PATIENTS = np.repeat(np.arange(100), 2).astype(str)


def test_the_roc_curve_is_scikit_learns_and_its_area_too():
    band = curves.roc(POSITIVE, SCORE, PATIENTS, resamples=50)
    fpr, tpr, _ = sk.roc_curve(POSITIVE, SCORE)
    assert band.y[1:] == pytest.approx(np.interp(band.x, fpr, tpr)[1:], abs=1e-9)
    assert np.trapezoid(band.y, band.x) == pytest.approx(sk.roc_auc_score(POSITIVE, SCORE), abs=0.005)


def test_the_precision_at_a_sensitivity_is_that_of_the_first_threshold_that_reaches_it():
    band = curves.precision_recall(POSITIVE, SCORE, PATIENTS, resamples=50)
    precision, recall, _ = sk.precision_recall_curve(POSITIVE, SCORE)
    for x, y in zip(band.x[1:], band.y[1:], strict=True):
        assert y == pytest.approx(precision[recall >= x - 1e-9][-1] if x else 1.0)
    assert band.y[-1] == pytest.approx(precision[recall == 1.0][-1])


def test_a_precision_recall_curve_begins_with_the_first_positive_sample_though_a_negative_one_ranks_higher():
    band = curves.precision_recall(np.array([False, True, False, True]), np.arange(4.0)[::-1], np.arange(4), 5)
    assert (band.y[0], band.y[1]) == (0.5, 0.5)


@pytest.mark.parametrize(("heads", "bands", "said"), [(3, 3, "95 % bands by patient"), (4, 0, "at most 3 heads")])
def test_bands_have_edges_or_the_figure_says_that_it_has_none(drawn, heads, bands, said):
    one = curves.roc(POSITIVE, SCORE, PATIENTS, resamples=5)
    shown = figures.roc_and_pr({f"head {at}": [one, one] for at in range(heads)}, 0.5, "test")
    assert shown.get_suptitle().endswith(said)
    for axis in shown.axes[:2]:
        edges = [of.get_edgecolor()[0] for of in axis.collections]
        assert len({tuple(edge) for edge in edges}) == bands and all(edge[3] > 0.5 for edge in edges)


@pytest.mark.parametrize("draw", [curves.roc, curves.precision_recall])
def test_a_band_holds_its_curve_and_is_wider_for_fewer_patients(draw):
    many = draw(POSITIVE, SCORE, PATIENTS, resamples=200)
    few = draw(POSITIVE[:50], SCORE[:50], PATIENTS[:50], resamples=200)
    assert ((many.low <= many.y + 0.05) & (many.y <= many.high + 0.05)).all()
    assert (few.high - few.low)[20:80].mean() > (many.high - many.low)[20:80].mean()


def test_reliability_of_true_probabilities_lies_on_the_diagonal():
    predicted = RNG.random(20_000)
    band = curves.reliability(predicted, RNG.random(20_000) < predicted, np.arange(20_000), resamples=2)
    assert len(band.x) == 10 and band.y == pytest.approx(band.x, abs=0.04)
