"""A wrong line is told without torch, within a second, and leaves no folder."""

import inspect
import subprocess
import sys

import lightning as L
import pytest

from mammo.cli import train
from mammo.config import DataConfig
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES
from mammo.models.heads import HEADS
from mammo.models.losses import LOSSES
from mammo.preprocessing.augment import METHODS
from mammo.preprocessing.crops import CROPS
from mammo.processes import peers, resume
from mammo.runs import checks
from mammo.runs.plugins import load_plugins
from mammo.runs.weights_file import check_weights_file
from mammo.trust import code_in
from tests.conftest import CONF, resolved

LINES = {  # one of a kind each
    "heads=[svm,foo]": "heads=foo",
    "optim.lr_head=fast": "optim.lr_head",
    "model.weights=nope.safetensors": "model.weights=nope.safetensors",
    "trainer.max_epoch=3": r"did you mean trainer\.max_epochs\?",
    "+trainer.foo=3": "trainer.foo",
    "batch_size=3": r"did you mean data\.batch_size\?",
    "threshold=1.5": "threshold=1.5",
    "model.name=vgg99": "model.name=vgg99",
    "data._target_=my.Films": "data._target_=my.Films",
    "plugins=[x.py]": "plugins=x.py",
    "hydra.run.dir=/proc/x": "/proc/x",
    "fit=false": "fit=false",
    "-m seed=0,1 heads=svmm": "heads=svmm",
    "=3": "=3",
    "split=table": "split.table=None",
    "sweep=folds": "add -m",
    "data.root=${oc.env:NO_SUCH}": "data.root: KeyError",
}
WEIGHTS = {  # what a file that `model.weights` names begins with, and what is said of it
    b"PK\3\4": "a zip, as torch.save",
    b"\x80\2": "a pickle",
    b"\x89HDF\r\n": "HDF5 .* Keras",
    b"\n<!DOCTYPE html>": "a web page .*; fetch it again",
    b"version https://git-lfs.github.com/spec/v1": "Git LFS, .*; fetch it again",
    b"x" * 40: "of another kind",
    b"": "empty; fetch it again",
    b"\2\0\0\0\0\0\0\0{}": "let it end in .safetensors",
}
MORE = {
    "heads=svmm": "heads=svmm .*svm",
    "heads=null": "heads=None: expected one of all, .* several as heads=",
    "heads=3": "heads=3: expected one of all",
    "plugins=[[x]]": "plugins=.*expected a module or a file",
    "plugins=true": "plugins=True: expected a module or a file",
    "crop.window_mm=-1": "crop.window_mm=-1",
    "data.archive=nope.tgz": "data.archive=nope.tgz",
    "trainer.devices=9999": "trainer.devices=9999",
    "trainer.devices=[3]": "write CUDA_VISIBLE_DEVICES=3 before",
    "+trainer.max_epoch=3": r"did you mean trainer\.max_epochs\?",
    "lr=0.1": r"optim\.lr_head",
    "+model.foo=1": "model.foo",
    "data.fold=7": "data.fold=7",
    "loss.name=l": "loss.name=l",
    "crop.name=x": "crop.name=x",
    "augment.method=zoom": "augment.method=zoom",
    "split.name=foo": "split.name=foo",
    "split.shares=[1,2]": "split.shares",
    "data.name=foo": "data.name=foo",
    "model.image_size=7": "model.image_size=7",
    "model.features=[block3,blok4]": r"model\.features=blok4 .*block1, block2, block3, block4, block5",
    "model=resnet18 model.features=[layer1,layer1]": r"layer1, .*each once",
    "model.features=[block5] model.pool=fc": r"model\.pool=fc",
    "data=phantom data.patients=1": "data.patients=1",
    "trainer.precision=8": "trainer.precision=8",
    "heads=[svm,svm]": "svm twice",
    "task.classes=3": "task.classes=3",
    "crop=lesion crop.windows_mm=[22.4]": r"crop\.windows_mm=\[22\.4\]: expected two",
    "crop=lesion crop.windows_mm=[22.4,22.4]": r"crop\.windows_mm=.* each once",
    "crop=lesion crop.join=features": r"crop\.join=features does nothing",
    "crop=lesion crop.windows_mm=[22.4,14.4] augment=gan": r"augment\.method=gan .*crop\.windows_mm",
    "crop=grid crop.stride_mm=100": "crop.stride_mm=100",
    "split=table split.table=nope.csv": "split.table=nope.csv",
    "source=foo": "source=foo",
    "trainer.num_nodes=0": "trainer.num_nodes=0",
    "seed=4294967296": "seed=4294967296",
    "data=phantom data.film_seed=-1": "data.film_seed=-1",
    "crop=lesion crop.window_mm=22400": "crop.window_mm=22400.0: .*500",
    "crop=lesion crop.windows_mm=[9000,8000]": r"crop\.windows_mm=.* up to 500",
    "task=detection model.features=[block3]": r"model\.features=.* does nothing with task=detection",
    "task=detection model.pool=max": r"model\.pool=max does nothing with task=detection",
    "repeats=0 -m sweep=folds": "repeats=0",
    "-m optim.lr_head=0.1,fast": "optim.lr_head",
    "-m sweep=folds threshold=3": "threshold=3",
}  # fmt: skip
CODE = """
import re, sys
sys.path.insert(0, {root!r})
from mammo.cli import train
lines = {lines!r}
for line, said in lines.items():
    try:
        train.checked(line.split())
    except train.EXPECTED as error:
        told = train.configuration.explained(error)
        assert re.search(said, told) and "\\n" not in told, (line, told)
    else:
        raise AssertionError(line)
heavy = {{"torch", "lightning", "sklearn", "skops", "scipy.optimize"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.slow
@pytest.mark.parametrize("lines", [LINES, pytest.param(MORE, marks=pytest.mark.slow)], ids=["few", "more"])
def test_a_wrong_line_is_told_without_heavy_imports_and_leaves_nothing(tmp_path, lines):
    """All in one process, whose modules tell what was imported on the way."""
    code = CODE.format(root=str(CONF.parent), lines=lines)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [None, 3, True, float("nan"), {"a": 1}])
def test_what_is_no_name_and_no_list_of_names_is_one_line(names):
    with pytest.raises(InputError, match=r"^heads=.*: expected one of svm, or several as heads=\[\.\.\.\]$"):
        checks.known_name("heads", names, ["svm"])
    for wrong in ([names], *([] if names is None else [names])):
        with pytest.raises(InputError, match=r"^plugins=.*: expected a module or a file"):
            load_plugins(wrong)
        assert code_in({"plugins": wrong}) == [f"plugins={names}"]


def test_the_names_are_those_of_the_tables():
    assert list(checks.HEADS) == list(HEADS) and set(checks.LOSSES) == set(LOSSES)
    assert set(checks.METHODS) == set(METHODS) and set(checks.CROPS) == set(CROPS)
    assert {name: row.min_side for name, row in BACKBONES.items()} == checks.SIDES
    assert {name: tuple(row.taps) for name, row in BACKBONES.items()} == checks.STAGES
    assert set(checks.TRAINER) < set(inspect.signature(L.Trainer).parameters)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    config = resolved("data=phantom", "model=compact")
    checks.check(config, tmp_path / "new" / "run")
    with pytest.raises(InputError, match="file"):
        checks.check(config, tmp_path / "file" / "run")
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="MAMMO_HOME"):
        checks.check(config)


def test_a_folder_of_other_films_is_not_downloaded_into(tmp_path):
    from mammo.datasets.registry import open_dataset

    (tmp_path / "film.png").touch()
    with pytest.raises(InputError, match=r"Info\.txt"):
        open_dataset(DataConfig(root=str(tmp_path))).prepare()


def test_a_second_run_leaves_the_records_of_the_first_alone(tmp_path, monkeypatch):
    """A busy folder is told before Hydra writes there; the other ranks of the same job are not held up."""
    monkeypatch.setattr(resume, "PATIENCE_S", 0.3)
    line = ["data=phantom", "model=compact", f"hydra.run.dir={tmp_path / 'run'}"]
    (tmp_path / "run").mkdir()
    with resume.held(tmp_path / "run"):
        with pytest.raises(InputError, match="another process"):
            train.checked(line)
        monkeypatch.setattr(peers, "peers", lambda: peers.Peers("torchrun", 1, 2, 1))
        train.checked(line)
    monkeypatch.undo()
    train.checked(line)
    assert [one.name for one in (tmp_path / "run").iterdir()] == [".lock"]


@pytest.mark.parametrize("content", WEIGHTS)
def test_a_file_that_holds_no_weights_is_told_by_its_content(tmp_path, content):
    path = tmp_path / "weights.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"model.weights={path}: .*{WEIGHTS[content]}"):
        check_weights_file(path)


def test_the_checkpoint_of_a_run_names_the_run(tmp_path):
    path = tmp_path / "run" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK")
    (tmp_path / "run" / "provenance.json").write_text("{}")
    with pytest.raises(InputError, match=f"model.weights={path}: .*name the run's folder, {tmp_path / 'run'}$"):
        check_weights_file(path)
