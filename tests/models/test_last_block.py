"""The last block of a map: what it sees on a patch is what it sees on the whole film, and it can learn from it."""

import numpy as np
import pytest
import torch

from mammo.detector_config import MapOf
from mammo.errors import InputError
from mammo.models.detector import Axes
from mammo.models.last_block import LEAST, LastBlock
from mammo.models.maps import CELL_PX, STEP, FrozenMaps, in_windows, to_bytes

PLACES = 9, 7  # rows and columns of the view
WINDOWS = {0: 3, 1: 7}


def view(seed=0):
    side = CELL_PX * STEP
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (PLACES[0] * 8, PLACES[1] * 8), np.uint8)
    return np.kron(coarse, np.ones((side // 8, side // 8), np.uint8))


def a_block(backbone="compact", scale=1.0, windows=WINDOWS):
    maps = FrozenMaps(backbone)
    return maps, LastBlock(maps, MapOf(backbone, scale), windows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "scale"),
    [
        ("compact", 1.0),
        ("compact", 2.0),
        ("compact", 0.5),
        pytest.param("vgg16", 1.0, marks=pytest.mark.slow),
        pytest.param("inception", 2.0, marks=pytest.mark.slow),
    ],
)
def test_a_place_is_seen_on_its_patch_as_on_the_whole_film_at_the_edge_too(backbone, scale):
    maps, block = a_block(backbone, scale)
    pixels = view()
    with torch.inference_mode():
        entrance = maps.entrance(pixels, scale)
        whole = maps(pixels, scale)
        cut = 0
        for at in np.ndindex(*PLACES):
            patch, cells, own = block.patch(entrance, PLACES, at)
            cut += patch[0].numel() < entrance[0].numel()
            (found,) = block.maps(patch[None], cells)
            for window in WINDOWS.values():
                true = in_windows(whole, window, *np.array([at]).T)
                seen = in_windows(found, window, *np.array([own]).T)
                columns = block.columns(true.shape[1])
                assert torch.allclose(seen, true[:, columns], atol=2e-3 * float(true.abs().max()))
    assert cut  # the patches are smaller than the view


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_block_that_has_not_learnt_sees_what_the_frozen_map_sees_to_the_bit(dtype):
    maps, block = a_block()
    maps, block = maps.to(dtype), block.to(dtype)
    whole = maps(view())
    with torch.inference_mode():
        (found,) = block.maps(maps.entrance(view())[None], [side * STEP for side in PLACES])
    assert torch.equal(found, whole[block.columns(len(whole))])


def test_its_gradient_is_finite_where_a_channel_sees_nothing():
    maps, block = a_block()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    patch, cells, own = block.patch(maps.entrance(view()).clone(), PLACES, (4, 3))
    (found,) = block.maps(patch[None].clone(), cells, LEAST)
    in_windows(found, 3, [own[0]], [own[1]], LEAST).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in block.parameters())


def test_it_moves_the_coordinates_of_its_map_alone_and_by_what_it_has_learnt():
    maps, block = a_block(windows={1: 3})
    pixels, at = view(), (4, 3)
    with torch.inference_mode():
        whole = in_windows(maps(pixels), 3, *np.indices(PLACES).reshape(2, -1))
        entrance = maps.entrance(pixels)
    axes = torch.nn.ModuleList([Axes(6), Axes(6), Axes(6)])
    for one in axes:
        one.fit(whole.clone())
    place = at[0] * PLACES[1] + at[1]
    patch, cells, own = block.patch(entrance, PLACES, at)
    frozen = whole[[place]][:, block.columns(whole.shape[1])].clone()
    group = {"rows": torch.tensor([0]), "entrances": patch[None].clone(), "cells": cells, "at": [own]}
    x = torch.zeros(1, 18)

    def moved():
        return block(x, [group | {"frozen": {1: frozen}}], axes)

    assert moved().abs().max() < 1e-2  # it has not learnt yet
    with torch.no_grad():
        next(block.parameters()).mul_(1.5)
        new = block.maps(entrance[None], [side * STEP for side in PLACES])[0]
        anew = whole[[place]].clone()
        anew[:, block.columns(whole.shape[1])] = in_windows(new, 3, [at[0]], [at[1]])
        channels, scale = to_bytes(torch.cat([anew, anew + 1]))
        true = axes[1](channels, scale)[:1] - (whole[[place]] - axes[1].mean) @ axes[1].matrix
        found = moved()
    assert found[:, 6:12].abs().max() > 0.1 and not found[:, :6].any() and not found[:, 12:].any()
    assert torch.allclose(found[:, 6:12], true, atol=0.05)


@pytest.mark.parametrize(("backbone", "scale"), [("resnet18", 1.0), ("compact", 0.25)])
def test_a_block_whose_map_does_not_lie_on_what_enters_it_is_refused(backbone, scale):
    with pytest.raises(InputError, match=rf"^detector.block_map={backbone}@{scale:g}: model.trainable=last_block"):
        a_block(backbone, scale)
