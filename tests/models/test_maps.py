"""Frozen maps of a whole film: in place, in windows, and as bytes."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mammo.detector_config import DetectorConfig, MapOf, blocks_of
from mammo.errors import InputError
from mammo.models.maps import CELL_PX, STEP, FrozenMaps, in_windows, to_bytes, weights_file


def blocks(maps, **detector):
    return blocks_of(maps, DetectorConfig(**detector))


MAPS = [
    ("compact", 1.0),
    pytest.param("vgg16", 1.0, marks=pytest.mark.slow),
    pytest.param("vgg16", 0.5, marks=pytest.mark.slow),
    pytest.param("inception", 2.0, marks=pytest.mark.slow),
    ("inception", 1.0),
]


@pytest.mark.parametrize(("backbone", "scale"), MAPS)
def test_a_map_lies_on_the_film_that_it_shows(backbone, scale):
    """The middle of all that a bright square changes is where the square is."""
    maps = FrozenMaps(backbone)
    plain = np.full((256, 192), 90, np.uint8)
    changed = plain.copy()
    changed[112:144, 64:96] = 220  # its middle is at 128, 80
    found = (maps(changed, scale) - maps(plain, scale))[: maps(plain, scale).shape[0] // 2].abs()
    assert found.shape[1:] == (256 // CELL_PX, 192 // CELL_PX)
    weight = found[: len(found) // 3].mean(0).numpy() ** 2  # the earliest tap, which sees the least around
    y, x = ((np.arange(length) + 0.5) * CELL_PX for length in weight.shape)
    at = (weight.sum(1) @ y / weight.sum(), weight.sum(0) @ x / weight.sum())
    assert np.allclose(at, (128, 80), atol=CELL_PX / 2)


@pytest.mark.parametrize(("backbone", "scale"), [*MAPS, ("compact", 0.25)])
def test_layers_that_are_symmetric_see_on_the_flip_of_a_film_what_they_see_on_the_film(backbone, scale):
    """So cells of the flip are those of the film to a pixel, although Inception's layers do not pad."""
    maps = FrozenMaps(backbone)
    for layer in maps.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = (layer.weight.data + layer.weight.data.flip(2)) / 2
    noise = np.random.default_rng(0).random((288, 96)).astype(np.float32)
    view = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    film, flip = maps(view, scale), maps(view, scale, flip=True)
    spread = film.std((1, 2), keepdim=True).clamp_min(1e-5)
    apart = ((film - flip).abs() / spread).mean((0, 2))[:8]  # of rows that do not see the black below the film
    assert apart.max() < 0.01 < ((film[:, 1:] - flip[:, :-1]).abs() / spread).mean()


@pytest.mark.parametrize("backbone", ["compact", "inception", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_a_breast_of_one_place_has_a_map_at_the_smallest_scale(backbone):
    view = np.full((32, 32), 90, np.uint8)
    found = FrozenMaps(backbone)(view, 0.125)
    assert found.shape[1:] == (2, 2) and found.isfinite().all()


def test_windows_hold_mean_and_spread_of_what_lies_in_their_cells():
    rng = np.random.default_rng(0)
    fine = rng.random((3, 9, 8, 4)).astype(np.float32)  # four numbers in each of 9 x 8 cells
    maps = torch.from_numpy(np.concatenate([fine.mean(-1), np.sqrt((fine**2).mean(-1))]))
    rows, columns = np.array([0, 2, 4]), np.array([0, 1, 3])
    found = in_windows(maps, 3, rows, columns).numpy()
    for place, (row, column) in enumerate(zip(rows * STEP, columns * STEP, strict=True)):
        inside = fine[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].reshape(3, -1)
        assert np.allclose(found[place], [*inside.mean(1), *inside.std(1)], atol=1e-3)


def test_bytes_give_each_number_back_to_half_a_step():
    values = torch.randn(50, 7) * torch.tensor([1e-3, 1, 1, 5, 100, 1, 0]) + 3
    channels, (least, step) = to_bytes(values)
    assert channels.dtype == torch.uint8
    assert ((least + step * channels.float() - values).abs() <= step / 2 + 1e-5).all()
    assert (step * 255).max() <= np.ptp(values.numpy(), axis=0).max() + 1e-3


def test_the_settings_name_maps_and_windows():
    found = blocks(["vgg16@1", "vgg16@0.5"], windows=[3, 7], coarse_windows=[5])
    assert found == [(MapOf("vgg16", 1.0), 3), (MapOf("vgg16", 1.0), 7), (MapOf("vgg16", 0.5), 5)]


@pytest.mark.parametrize("text", ["vgg16", "vgg16@0", "vgg16@9", "vgg16@x", "@1", "vgg16@1@2"])
def test_a_map_that_cannot_be_read_is_refused(text):
    with pytest.raises(InputError, match=f"^model.maps={text}: expected <backbone>@<scale>"):
        blocks([text])


@pytest.mark.parametrize(
    ("maps", "windows"), [([], [3]), (["vgg16@1", "vgg16@1.0"], [3]), (["vgg16@1"], [4]), (["vgg16@1"], [])]
)
def test_maps_that_are_none_or_twice_and_even_windows_are_refused(maps, windows):
    with pytest.raises(InputError, match="expected"):
        blocks(maps, windows=windows)


def test_a_folder_gives_each_backbone_the_file_whose_keys_fit(tmp_path):
    from safetensors.torch import save_file

    from mammo.models.backbones import find_backbone

    rows = {name: find_backbone(name).build(224).state_dict() for name in ("compact", "alexnet_modified")}
    for name, state in rows.items():
        save_file({key: tensor.clone() for key, tensor in state.items()}, tmp_path / f"weights of {name}.safetensors")
    assert weights_file(str(tmp_path), "compact").endswith("weights of compact.safetensors")
    assert weights_file("imagenet", "compact") == "imagenet"
    with pytest.raises(InputError, match=r"no .safetensors file in this folder fits vgg16; add one, or leave"):
        weights_file(str(tmp_path), "vgg16")


def test_random_maps_are_the_same_in_every_process():
    torch.manual_seed(5)
    first = FrozenMaps("compact").digest()
    torch.manual_seed(6)
    assert FrozenMaps("compact").digest() == first
