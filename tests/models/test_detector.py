"""The axes and the head of a detector."""

import numpy as np
import pytest
import torch

from mammo.models.detector import Axes, Detector, PlaceHead
from mammo.models.maps import to_bytes
from mammo.models.platt import Platt


def some(n=400, width=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator) @ torch.randn(5, width, generator=generator) + 3


def test_places_have_unit_variance_and_no_correlation_on_their_axes():
    values = some()
    axes = Axes(5)
    axes.fit(values)
    found = axes(*_whole_bytes(values))
    assert torch.allclose(found.T.cov(), torch.eye(5), atol=0.05)


def _whole_bytes(values):
    channels, scale = to_bytes(values)
    return channels, scale


def test_axes_that_there_are_not_are_zero():
    axes = Axes(9)
    axes.fit(some(width=4))
    assert axes.matrix.shape == (4, 9) and not axes.matrix[:, 4:].any()


def test_a_channel_that_was_dead_in_training_blows_nothing_up():
    values = torch.cat([some(), torch.zeros(400, 3)], 1)
    axes = Axes(15)
    axes.fit(values)
    alive = values.clone()
    alive[:, -3:] = 5
    assert axes(*to_bytes(alive)).abs().max() < 1e3


def test_each_film_has_a_scale_of_its_own_and_its_places_land_where_their_numbers_do():
    values = some()
    axes = Axes(5)
    axes.fit(values)
    true = (values - axes.mean) @ axes.matrix
    for film in (values[:40] * 1.0, values[40:90] * 0.5, values[90:] + 1):
        whole = (film - axes.mean) @ axes.matrix
        assert torch.allclose(axes(*to_bytes(film)), whole, atol=0.06)
    assert true.shape == (400, 5)


def test_fitting_draws_nothing_from_the_global_generator():
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    Axes(5).fit(some())
    assert torch.rand(1) == first


def a_detector(**changes):
    settings = {"restarts": 2, "members": 3, "hidden": 4, "drop_inputs": 0.2, "dropout": 0.5} | changes
    torch.manual_seed(0)
    return Detector({}, 2, 5, 3, **settings)


def test_axes_come_back_from_a_checkpoint_whatever_their_size():
    first, second = a_detector(), a_detector()
    for axes in first.axes:
        axes.fit(some())
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.axes[1].matrix, first.axes[1].matrix)


def test_each_restart_learns_as_if_it_were_alone():
    head = PlaceHead(6, 2, 3, 4, drop_inputs=0.0, dropout=0.0)
    x, y = torch.randn(2, 8, 6), torch.rand(2, 8)

    def gradient(restarts):
        head.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            head(x)[restarts], y[restarts][..., None].expand(-1, -1, 3)
        )
        (loss * len(head(x)[restarts])).backward()
        return head.inner.grad.clone()

    both, alone = gradient([0, 1]), gradient([0])
    assert torch.allclose(both[0], alone[0], atol=1e-7) and not alone[1].any()


def test_a_films_score_is_the_mean_of_its_hottest_places():
    net = a_detector().eval()
    x = torch.randn(20, 10)
    heat, score, features = net.film(x[:, None])
    assert torch.allclose(heat, net(x), atol=1e-6)
    assert torch.isclose(score, heat.topk(3).values.mean()) and features.shape == (2 * 3 * 4,)
    assert torch.isclose(net.film(x[:2, None])[1], net(x[:2]).mean())  # a film of fewer places


def test_the_heat_of_a_film_is_the_mean_over_its_flips():
    net = a_detector().eval()
    x = torch.randn(20, 2, 10)
    heat, score, _ = net.film(x)
    assert torch.allclose(heat, (net(x[:, 0]) + net(x[:, 1])) / 2, atol=1e-6)
    assert torch.isclose(score, heat.topk(3).values.mean())


def test_dropout_takes_the_same_inputs_from_all_places_of_a_step():
    head = PlaceHead(50, 1, 1, 8, drop_inputs=0.5, dropout=0.0).train()
    torch.manual_seed(0)
    first, second = head(torch.ones(1, 2, 50)).flatten().tolist()
    assert first == second


def test_a_curve_gives_scores_the_odds_that_they_have():
    rng = np.random.default_rng(0)
    score = rng.normal(size=4000)
    positive = rng.random(4000) < 1 / (1 + np.exp(-(2 * score - 1)))
    curve = Platt.fit(score, positive)
    assert np.allclose([curve.slope, curve.offset], [2, -1], atol=0.2)
    assert np.allclose(curve(score).sum(1), 1)


@pytest.mark.parametrize("positive", [[True, True, True], [True, False, False], [False, True, True]])
def test_a_curve_never_turns_scores_round(positive):
    curve = Platt.fit(np.array([1.0, 2.0, 3.0]), np.array(positive))
    assert curve.slope > 0
