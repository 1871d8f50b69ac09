"""Fixtures that all tests share: a home of their own, small runs, and the real films where there are any."""

import fcntl
import gc
import json
import os
import shutil
from copy import deepcopy
from dataclasses import asdict, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from matplotlib.image import imsave

os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # before OpenCV: what a test forks may wait for its threads
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a worker has one core, and more threads would wait

from mammo import figures
from mammo.config import Config, register
from mammo.datasets import phantom as phantoms
from mammo.datasets import scanners
from mammo.datasets.download import extract
from mammo.datasets.film import read_film
from mammo.datasets.mias import MIAS, expected_member
from mammo.datasets.phantom import Phantom
from mammo.drawing.lesions import Finding
from mammo.files import read_json, whole, write_json
from mammo.inference import self_test
from mammo.processes import workers

CONF = Path(__file__).parents[1] / "conf"
SMALL = ["data=phantom", "data.patients=16", "data.batch_size=8", "data.workers=0", "trainer.max_epochs=2"]
SHARES = "split.shares=[0.5,0.25,0.25]"  # so that each part of 16 patients has both classes
SHARED_ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "all-mias.tar.gz"
ARCHIVE = Path(os.environ.get("MAMMO_MIAS_ARCHIVE") or SHARED_ARCHIVE)  # noted before the fixture below hides it


def pytest_configure(config):
    """Hide GPUs from all tests but those of a GPU: what the others promise, they promise of a CPU."""
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_ignore_collect(collection_path, config):
    """Do not even import a file that is slow as a whole, unless slow tests are asked for: that alone takes a while."""
    if collection_path.suffix == ".py" and "not slow" in config.getoption("markexpr"):
        return True if "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() else None
    return None


@pytest.fixture(scope="session")
def common(tmp_path_factory):
    """A folder of all workers of this session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True, scope="session")
def _own_home(common):
    """Give all workers one home that is not the user's, so that crops are cut once."""
    (common / "home").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMO_HOME", str(common / "home"))
        patch.delenv("MAMMO_MIAS_ARCHIVE", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _drawn_once(common):
    """A film of the phantom depends only on the seed and its number, and is drawn once for all workers."""
    honest = phantoms.draw
    (common / "drawn").mkdir(exist_ok=True)

    def draw(seed, patient, side, tissue, findings):
        film = common / "drawn" / f"{seed}-{patient}-{side}.pgm"
        said = film.with_suffix(".json")
        if not said.exists():
            pixels, placed = honest(seed, patient, side, tissue, findings)
            with whole(film) as temporary:
                phantoms.write_pgm(temporary, pixels)
            write_json([asdict(one) for one in placed], said)
        return read_film(film).pixels, [Finding(**one) for one in read_json(said)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantoms, "draw", draw)
        yield


@pytest.fixture(autouse=True, scope="session")
def _read_once():
    """Read the table of a phantom's folder again only if the folder has changed."""
    honest, known = Phantom.findings, {}

    def findings(self):
        info = self.root / "Info.txt"
        if self.scanner != "film" or not info.is_file():
            return honest(self)
        there = [path for path in (self.root, info, self.masks) if path.exists()]
        key = self.film_seed, self.patients, self.masks, *((path, path.stat().st_mtime_ns) for path in there)
        if key not in known:
            known[key] = honest(self), list(self.notes)
        table, self.notes[:] = known[key]
        return table.copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Phantom, "findings", findings)
        yield


@pytest.fixture
def blank(monkeypatch):
    """Phantoms show nothing: for what does not depend on pixels."""

    def draw(*given):
        return np.zeros((1024, 1024), np.uint8), [replace(one, x=500, y=500, radius=9) for one in given[-1]]

    def expose(*given):
        return np.zeros((64, 48), np.uint16), []

    monkeypatch.setattr(phantoms, "draw", draw)
    monkeypatch.setattr(scanners, "expose", expose)


@pytest.fixture(autouse=True, scope="session")
def _one_core():
    """Share films out to no processes: a worker has one core, and each would be a fork of it. See `two_cores`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "FEW", 1000)
        yield


@pytest.fixture
def two_cores(monkeypatch):
    """Eight films or more are shared out to two processes."""
    monkeypatch.setattr(workers, "FEW", FEW)
    monkeypatch.setattr(workers, "_cores", lambda **_: 2)


FEW = workers.FEW
SELF_TEST = self_test.write
DRAWN = {name: getattr(figures, name) for name in ("save", "figure")}


class Nothing:
    """Stands for axes, and for whatever they give: it takes every call, and nothing is drawn."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *given, **how):
        return self

    def __getitem__(self, key):
        return self

    def __iter__(self):
        return iter(())


@pytest.fixture(autouse=True, scope="session")
def _sketched():
    """Draw nothing, and write each figure as grey, which saves half of a run; `drawn` draws it."""

    def sketch(figure, path, **texts):
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, [[0.5, 0.5], [0.5, 0.5]], cmap="gray", metadata=texts)

    def nothing(width, height, rows=1, columns=1, **how):
        axes = np.empty((rows, columns), object)
        axes.fill(Nothing())
        return Nothing(), axes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save", sketch)
        patch.setattr(figures, "figure", nothing)
        yield


@pytest.fixture(autouse=True, scope="session")
def _untested():
    """Runs keep no self-test, whose films many runs of these tests would draw; `self_tested` keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_test, "write", lambda run: None)
        yield


@pytest.fixture
def self_tested(monkeypatch):
    """Runs keep their self-test."""
    monkeypatch.setattr(self_test, "write", SELF_TEST)


@pytest.fixture
def drawn(monkeypatch):
    """Figures are drawn."""
    for name, function in DRAWN.items():
        monkeypatch.setattr(figures, name, function)


@pytest.fixture
def no_trunks(monkeypatch, tmp_path):
    """Nothing of a network is cached, but the crops that are there are; returns a way to begin so again."""
    crops = Path(os.environ["MAMMO_HOME"]) / "crops"
    crops.mkdir(exist_ok=True)

    def begin(name="home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "crops").symlink_to(crops)
        monkeypatch.setenv("MAMMO_HOME", str(tmp_path / name))
        return tmp_path / name

    begin()
    return begin


@pytest.fixture
def unreported(monkeypatch):
    """Runs leave no report, which takes longer than their training; for what their other files say."""
    from mammo.reports import run

    monkeypatch.setattr(run, "write", lambda folder: {})


@pytest.fixture(scope="module")
def all_unreported():
    """All runs of a module leave no report, as with `unreported`; gives the function that writes one."""
    from mammo.reports import run

    honest = run.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "write", lambda folder: {})
        yield honest


@pytest.fixture(scope="session")
def mias(common):
    """The real films, unpacked by the first worker that asks for them, and removed by the last one."""
    if not ARCHIVE.is_file():
        pytest.skip(f"no mini-MIAS archive at {ARCHIVE}; name one by MAMMO_MIAS_ARCHIVE")
    root, users = common / "mias", common / "mias.users"
    mine = users / os.environ.get("PYTEST_XDIST_WORKER", "main")
    with (common / "mias.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users.mkdir(exist_ok=True)
        if not any(users.iterdir()):
            extract(ARCHIVE, root, expected=expected_member)
        mine.touch()
    yield MIAS(root=str(root))
    with (common / "mias.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mine.unlink()
        if not any(users.iterdir()):
            shutil.rmtree(root)  # pytest would keep 340 MB of each of its last runs


@pytest.fixture(scope="session")
def once(common):
    """Returns the folder of a name, which the first worker that asks for it fills and the others wait for."""

    def filled(name, fill):
        folder, done = common / name, common / f"{name}.done"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                fill(folder)
                done.touch()
        return folder

    return filled


@pytest.fixture(scope="session")
def phantom(once):
    """Sixteen patients who do not exist, drawn once, where a run looks for them that names no folder."""
    dataset = Phantom(patients=16)
    once("phantom", lambda _: dataset.prepare())
    return dataset


def by_hydra(*overrides):
    """Return the configuration under these overrides, as Hydra composes it."""
    registered()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


registered = cache(register)
of_groups = cache(by_hydra)  # whose files take a tenth of a second to read


def composed(*overrides):
    """Return the same; options of groups are read once, and single values are then set as Hydra sets them."""
    chosen = [line for line in overrides if (CONF / line.partition("=")[0].lstrip("+~")).is_dir()]
    try:
        values = OverridesParser.create().parse_overrides([line for line in overrides if line not in chosen])
        if any(one.is_sweep_override() or one.is_hydra_override() for one in values):
            return by_hydra(*overrides)
        cfg = deepcopy(of_groups(*sorted(chosen)))
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        return cfg
    except Exception:
        return by_hydra(*overrides)  # which says in its own words what is wrong


@pytest.fixture(autouse=True, scope="session")
def _composed_once():
    """Compose runs that are started from Python so, too; and read a configuration again only if it is another one."""
    honest, known = Config.of, {}

    def of(given):
        key = repr(given)
        if key not in known:
            known[key] = honest(given)
        return deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "of", of)
        patch.setattr("mammo.runs.compose.compose", lambda _, overrides: composed(*overrides))
        yield


def pytest_collection_finish():
    """Let Python look for garbage among what tests make, not among all modules."""
    gc.collect()
    gc.freeze()


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
    """Runs one job in this process, and asks Git for the commit once; returns its folder and its metrics."""
    from mammo.runs import provenance
    from mammo.runs.train import train

    provenance.git_commit = cache(provenance.git_commit)

    def start(*overrides, folder=None):
        folder = folder or tmp_path_factory.mktemp("run")
        lines = [*SMALL, f"data.root={phantom.root}", "model.image_size=32", *overrides]
        if not any(line.startswith(("model", "experiment")) for line in overrides):
            lines.insert(0, "model=compact")  # a second less than VGG16 to build and to keep
        lines.insert(0, SHARES)
        return folder, train(resolved(*{line.partition("=")[0]: line for line in lines}.values()), folder)

    return start


@pytest.fixture(scope="session")
def shared_job(job, once):
    """Runs a job as `job` does, once for all tests that ask for the same settings and only read its folder."""

    def start(*overrides):
        def run(folder):
            _, metrics = job(*overrides, folder=folder)
            (folder / "returned.json").write_text(json.dumps(metrics))

        folder = once(f"run-{sha256(' '.join(overrides).encode()).hexdigest()[:16]}", run)
        return folder, json.loads((folder / "returned.json").read_text())

    return start


@pytest.fixture(scope="module")
def quick_init():
    """Large layers begin with random numbers that repeat, which are made in a tenth of the time."""
    from torch import nn, randn

    block = randn(65_537)  # a prime: no two rows of a layer are alike

    def quick(honest):
        def fill(tensor, *given, **how):
            if tensor.numel() < len(block) or tensor.ndim < 2:
                return honest(tensor, *given, **how)
            wide = block * (2 / tensor[0].numel()) ** 0.5
            tensor.data.copy_(wide.repeat(tensor.numel() // len(block) + 1)[: tensor.numel()].view_as(tensor))
            return tensor

        return fill

    with pytest.MonkeyPatch.context() as patch:
        for name in ("normal_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_"):
            patch.setattr(nn.init, name, quick(getattr(nn.init, name)))
        yield


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
