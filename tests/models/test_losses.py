"""The losses are those of their sources, and learn what they promise."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from mammo.config import LossConfig
from mammo.errors import InputError
from mammo.models.losses import LOSSES, build_loss, check_losses

SETTINGS = {"cross_entropy": {}, "focal": {"gamma": 2.0}, "confusion": {"trace": 0.01}}


def logits_of(p):
    """Two logits under which the second class has probability `p`."""
    return torch.tensor([[0.0, math.log(p / (1 - p))]])


def made(name, classes, **settings):
    return build_loss(LossConfig(name=name, **settings), classes)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_loss_is_one_number_per_sample_weighted_by_class_and_falls_with_training(name):
    torch.manual_seed(0)
    loss, y = made(name, 3, **SETTINGS[name]), torch.arange(12) % 3
    logits = torch.randn(12, 3, requires_grad=True)
    plain = loss(logits, y)
    assert plain.shape == (12,)
    constant = SETTINGS[name].get("trace", 0) * 2.7  # nine tenths on a diagonal of three
    loss.weights = torch.tensor([1.0, 2.0, 3.0])
    assert torch.allclose(loss(logits, y) - constant, (plain - constant) * loss.weights[y], atol=1e-5)
    optimizer = torch.optim.SGD([logits, *loss.parameters()], lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        loss(logits, y).mean().backward()
        optimizer.step()
    assert loss(logits, y).mean() < 0.5 * plain.mean()


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (lambda z: z.mean(), r"the loss gives \(\) for 4 samples; .*\(4,\)"),
        (lambda z: z, r"the loss gives \(4, 2\)"),
        (lambda z: None, "the loss gives NoneType"),
        (lambda z: z[:, 0].detach(), "no gradient"),
    ],
)
def test_what_is_no_loss_for_each_sample_is_refused(losses, said):
    logits = torch.zeros(4, 2, requires_grad=True)
    check_losses(logits[:, 0], logits)
    with pytest.raises(InputError, match=said):
        check_losses(losses(logits), logits)


def test_a_loss_that_cannot_be_made_is_one_line(monkeypatch):
    monkeypatch.setitem(LOSSES, "mine", type("Mine", (), {"__init__": lambda self: None}))
    with pytest.raises(InputError, match=r"loss\.name=mine: .*the number of classes"):
        made("mine", 2)


def test_focal_loss_is_that_of_lin_et_al():
    """With gamma 2 a sample at p = 0.9 loses 100 times less than by cross-entropy, at 0.968 about 1000 times."""
    loss, y = made("focal", 2, gamma=2.0), torch.tensor([1])
    for p, times in ((0.9, 100), (0.968, 1000)):
        assert cross_entropy(logits_of(p), y) / loss(logits_of(p), y) == pytest.approx(times, rel=0.03)
    plain = made("focal", 2, gamma=0.0)
    assert torch.allclose(plain(logits_of(0.3), y), cross_entropy(logits_of(0.3), y))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_has_a_gradient_where_a_sample_is_certain(gamma):
    logits = torch.tensor([[-60.0, 60.0], [60.0, -60.0]], requires_grad=True)
    made("focal", 2, gamma=gamma)(logits, torch.tensor([1, 1])).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_a_learnt_confusion_matrix_finds_which_labels_are_wrong():
    """Three tenths of class 1 are labelled 0: the matrix says so, and the network is as sure as if they were not."""
    torch.manual_seed(0)
    x = torch.randn(1000, 1)
    truth = (x[:, 0] > 0).long()
    labels = torch.where((truth == 1) & (torch.rand(1000) < 0.3), 0, truth)
    network, loss = torch.nn.Linear(1, 2), made("confusion", 2, trace=0.05)
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(network(x), labels).mean().backward()
        optimizer.step()
    assert loss.matrix[0, 0] > 0.93 and 0.6 < loss.matrix[1, 1] < 0.75
    assert network(x[x[:, 0] > 0.5]).softmax(dim=1)[:, 1].mean() > 0.95  # by cross-entropy it would be 0.7


def test_an_unknown_loss_lists_the_known():
    with pytest.raises(InputError, match=r"hinge.*cross_entropy, focal, confusion"):
        made("hinge", 2)
