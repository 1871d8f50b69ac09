"""Fixtures that all tests share: a home of their own, small runs, and the real films where there are any."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a worker has one core, and more threads would wait
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is tested is promised of a CPU

from mammo import figures
from mammo.config import register
from mammo.datasets.download import extract
from mammo.datasets.mias import MIAS, expected_member
from mammo.datasets.phantom import Phantom

CONF = Path(__file__).parents[1] / "conf"
SMALL = ["data=phantom", "data.patients=16", "data.batch_size=8", "data.workers=0", "trainer.max_epochs=2"]
SHARES = "split.shares=[0.5,0.25,0.25]"  # so that each part of 16 patients has both classes
SHARED_ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "all-mias.tar.gz"
ARCHIVE = Path(os.environ.get("MAMMO_MIAS_ARCHIVE") or SHARED_ARCHIVE)  # noted before the fixture below hides it


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MAMMO_MIAS_ARCHIVE", raising=False)
        yield


DRAWN = {name: getattr(figures, name) for name in ("save", "figure")}


@pytest.fixture(autouse=True, scope="session")
def _sketched():
    """All of a figure goes on one pair of axes and is written as grey, which saves half of a run; `drawn` draws it."""

    def sketch(figure, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, [[0.5, 0.5], [0.5, 0.5]], cmap="gray")

    def one_axes(width, height, rows=1, columns=1):
        figure, axes = DRAWN["figure"](width, height)
        return figure, np.full((rows, columns), axes[0, 0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", sketch)
        patch.setattr(figures, "figure", one_axes)
        yield


@pytest.fixture
def drawn(monkeypatch):
    """Figures are drawn."""
    for name, function in DRAWN.items():
        monkeypatch.setattr(figures, name, function)


@pytest.fixture(scope="session")
def mias(tmp_path_factory):
    """The real films, unpacked once."""
    if not ARCHIVE.is_file():
        pytest.skip(f"no mini-MIAS archive at {ARCHIVE}; name one by MAMMO_MIAS_ARCHIVE")
    root = tmp_path_factory.mktemp("films") / "mias"
    extract(ARCHIVE, root, expected=expected_member)
    yield MIAS(root=str(root))
    shutil.rmtree(root)  # pytest would keep 340 MB of each of its last runs


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """Sixteen patients who do not exist, drawn once."""
    dataset = Phantom(root=str(tmp_path_factory.mktemp("films") / "phantom"), patients=16)
    dataset.prepare()
    return dataset


def composed(*overrides):
    """The configuration under these overrides."""
    from hydra import compose, initialize_config_dir

    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def resolved(*overrides):
    """The settings of a run under these overrides, as the program has them."""
    from mammo.runs import settings

    return settings.resolve(composed(*overrides), list(overrides))


def prepared_of(config):
    """The samples of a run, without a network."""
    from mammo.datasets.registry import open_dataset
    from mammo.training.prepare import choose, prepare, split_of

    dataset = open_dataset(config.data)
    dataset.prepare()
    config, chosen = choose(dataset, config)
    return prepare(dataset, chosen.findings, split_of(chosen.findings, config), config, chosen.notes)


@pytest.fixture(scope="session")
def job(phantom, tmp_path_factory):
    """Runs one job in this process; returns its folder and its metrics."""
    from mammo.runs.train import train

    def start(*overrides):
        folder = tmp_path_factory.mktemp("run")
        lines = [*SMALL, f"data.root={phantom.root}", "model.image_size=32", *overrides]
        if not any(line.startswith(("model", "experiment")) for line in overrides):
            lines.insert(0, "model=compact")  # a second less than VGG16 to build and to keep
        lines.insert(0, SHARES)
        return folder, train(resolved(*{line.partition("=")[0]: line for line in lines}.values()), folder)

    return start


@pytest.fixture(scope="session")
def vgg_trunk(tmp_path_factory):
    """A file of VGG16's convolutions, drawn at random: enough to freeze."""
    return _trunk_file("vgg16", tmp_path_factory)


@pytest.fixture(scope="session")
def resnet_trunk(tmp_path_factory):
    """A file of ResNet-18's convolutions, which is built ten times as fast as VGG16 with its large layers."""
    return _trunk_file("resnet18", tmp_path_factory)


def _trunk_file(name, tmp_path_factory):
    import torch
    from safetensors.torch import save_file

    from mammo.models.backbones import BACKBONES

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
    state = BACKBONES[name].build(32).state_dict()
    absent = BACKBONES[name].absent
    save_file(
        {key: value.half() if value.is_floating_point() else value for key, value in state.items() if not absent(key)},
        path,
    )
    return path
