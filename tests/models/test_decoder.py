"""The decoder: a logit for each pixel from any backbone with maps; its loss falls to zero on what is right."""

from itertools import pairwise

import pytest
import torch

from mammo.config import ModelConfig
from mammo.models.decoder import Segmenter, overlap_loss
from mammo.models.network import build_network, linear_head

SIDE = 64


def segmenter(name="compact", **how):
    config = ModelConfig(name=name, weights=None, image_size=SIDE, trainable="all")
    network = build_network(config, lambda width: linear_head(width, 2, 0.0), classes=2, **how)
    return Segmenter(network, width=16, side=SIDE)


@pytest.mark.parametrize(
    "name", ["compact", *(pytest.param(one, marks=pytest.mark.slow) for one in ("resnet18", "swin_t"))]
)
def test_each_pixel_has_a_logit(name):
    net = segmenter(name)
    pixels = torch.randint(0, 255, (2, 1, SIDE, SIDE), dtype=torch.uint8)
    sides = [one.shape[-1] for one in net.maps(pixels)]
    assert sides[0] < SIDE and all(first >= 1.5 * second for first, second in pairwise(sides))
    logits, features = net(pixels)
    assert logits.shape == (2, SIDE, SIDE) and features.shape[0] == 2 and features.dtype == torch.float32


def test_a_frozen_part_learns_nothing_and_keeps_its_mode():
    net = segmenter(frozen_stages=4)
    net(torch.randint(0, 255, (2, 1, SIDE, SIDE), dtype=torch.uint8))[0].sum().backward()
    assert not net.frozen.training and net.body.training
    assert all(one.grad is None for one in net.frozen.parameters())
    assert all(one.grad is not None for part in (net.body, net.decoder) for one in part.parameters())


def test_the_loss_of_what_is_right_is_nearly_zero_and_nothing_over_nothing_is_no_overlap():
    shares = torch.zeros(2, 8, 8)
    shares[0, 2:5, 2:5] = 1
    sure = (shares * 2 - 1) * 20
    assert overlap_loss(sure, shares) < 1e-4 and overlap_loss(-sure, shares) > 0.9
    shares[1] = 1
    one_of_two = torch.stack([-sure[0], torch.full((8, 8), 20.0)])  # the small region is missed, the large one is found
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(one_of_two, shares)
    assert torch.isclose(overlap_loss(one_of_two, shares) - 2 * entropy, torch.tensor(0.5), atol=1e-4)
    nothing = torch.zeros(2, 8, 8)
    said = overlap_loss(torch.full((2, 8, 8), -20.0), nothing)
    assert said < 1e-4 and torch.isfinite(overlap_loss(sure, nothing))


@pytest.mark.slow
def test_a_decoder_learns_discs_on_grey():
    torch.manual_seed(0)
    net = segmenter()
    down, across = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    places = torch.randint(12, SIDE - 12, (4, 2))
    shares = torch.stack([(torch.hypot((across - x).float(), (down - y).float()) < 8).float() for x, y in places])
    pixels = (60 + 120 * shares).to(torch.uint8)[:, None]
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(24):
        loss = overlap_loss(net(pixels)[0], shares)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
