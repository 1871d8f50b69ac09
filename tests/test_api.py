"""The library: the lines of its page run as they stand, and a predictor gives what the run says."""

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
import torchvision.models as tv

import mammo
from mammo.errors import InputError
from mammo.evaluation.predictions import read_predictions
from mammo.files import read_json
from mammo.models import weights
from tests.conftest import ARCHIVE, CONF
from tests.formats.ways import dicom

PAGES = CONF.parent / "docs" / "how-to"
FAST = ["data.workers=0", "data.batch_size=8"]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)


README = re.search(r"^```python\n(.*?)^```", (CONF.parent / "README.md").read_text(), re.MULTILINE | re.DOTALL)[1]


def test_the_readmes_lines_call_what_is_there_as_it_is_called():
    """Every name of the package, every function with its arguments."""
    called = set()
    for node in ast.walk(ast.parse(README)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("mammo."):
            found = mammo
            for name in ast.unparse(node.func).split(".")[1:]:
                found = getattr(found, name)
            inspect.signature(found).bind(*node.args, **{one.arg: one.value for one in node.keywords})
            called.add(ast.unparse(node.func))
    assert called >= {f"mammo.{name}" for name in ("split", "train", "load_run", "compare", "evaluate", "audit")}


@pytest.mark.slow
@pytest.mark.realdata
def test_the_readmes_lines_run_as_they_stand_on_the_real_films(mias, tmp_path, monkeypatch):
    """ImageNet's weights are drawn at random, as there may be no network; everything else is what the lines say."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "_from_torchvision", lambda source: (tv.vgg16(weights=None).state_dict(), "drawn"))
    (tmp_path / "all-mias.tar.gz").symlink_to(ARCHIVE)
    (tmp_path / "new.dcm").write_bytes(dicom(cv2.imread(mias.root / "mdb001.pgm", cv2.IMREAD_GRAYSCALE), bits=8))
    other = ["model.image_size=64", "trainer.max_epochs=1"]
    split = mammo.split(mias.findings(), by="patient", seed=0)
    mammo.train(mias, split, crop="lesion", model="compact", heads=["svm"], out="runs/inception", settings=other)
    shutil.copy("runs/inception/predictions.csv", "their_predictions.csv")
    exec(compile(README, "README.md", "exec"), {})
    assert mammo.load_run("runs/vgg16").config.model.weights == "imagenet"


@pytest.fixture(scope="module")
def lines_run(once):
    """The page's lines, run one after the other in an empty folder, once for all workers.

    Returns the folder, and names of the page: the data set and both splits, and what was said.
    """

    def run(folder):
        names = {}
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for block in blocks("python.md"):
                exec(compile(block, "python.md", "exec"), names)
        mammo.HEADS.pop("forest")
        for name in ("split", "mine"):
            names[name].to_csv(folder / f"{name}.csv", index=False)
        said = {"comparison": names["comparison"], "judged": names["judged"]["svm"]["auroc"].value}
        (folder / "said.json").write_text(json.dumps(said))

    folder = once("notebook", run)
    names = {name: pd.read_csv(folder / f"{name}.csv") for name in ("split", "mine")}
    return folder, {"films": mammo.datasets.Phantom(patients=20), **names, **read_json(folder / "said.json")}


@pytest.mark.slow
def test_the_lines_of_the_page_run_as_they_stand(lines_run):
    folder, names = lines_run
    area = mammo.load_run(folder / "runs/compact").metrics("test")["svm"]["auroc"]
    assert 0 <= area.low <= area.value <= area.high <= 1
    assert "Paired differences" in names["comparison"]
    assert "**model=compact**" in names["comparison"] and str(folder) not in names["comparison"]
    assert names["judged"] == pytest.approx(area.value, abs=1e-12)
    assert {one.name for one in (folder / "judged").iterdir()} >= {"report.md", "metrics.json", "roc.png"}


@pytest.mark.slow
def test_the_split_that_was_given_is_the_one_that_was_run(lines_run):
    folder, names = lines_run
    used = mammo.load_run(folder / "runs/compact").split.set_index("image_id")["split"]
    assert used.to_dict() == names["split"].set_index("image_id")["split"].to_dict()


@pytest.mark.slow
def test_a_run_that_has_finished_is_not_run_again(lines_run, monkeypatch):
    folder, names = lines_run
    monkeypatch.chdir(folder)
    before = (folder / "runs/mine/predictions.csv").stat().st_mtime_ns
    settings = ["trainer.max_epochs=1", "model.image_size=64"]
    mammo.train(names["films"], names["mine"], model="compact", heads=[], out="runs/mine", settings=settings)
    assert (folder / "runs/mine/predictions.csv").stat().st_mtime_ns == before


OWN = {"other": ["normal", "benign"], "malignant": ["malignant"]}


@pytest.mark.parametrize(
    ("task", "classes"),
    [
        ("detection", ["normal", "abnormal"]),
        ({"name": "mine", "kind": "detection", "column": "severity", "classes": OWN}, list(OWN)),
    ],
)
def test_a_detector_needs_no_setting_beside_its_task(task, classes, phantom, tmp_path, monkeypatch):
    """Heads on features, the objective and the rule of units are those of task=detection."""
    ran = []
    monkeypatch.setattr("mammo.runs.job.run", lambda config, *given, **how: ran.append(config))
    split = mammo.split(phantom.findings(), seed=0)
    mammo.train(phantom, split, task=task, out=tmp_path / "run")
    assert list(ran[0].task.classes) == classes and ran[0].task.kind == "detection"
    assert (ran[0].heads, ran[0].objective, ran[0].aggregate) == ([], "val/detector/auroc", "max")


@pytest.mark.parametrize("head", ["softmax", pytest.param("logistic", marks=pytest.mark.slow)])
def test_a_predictor_gives_what_the_predictions_table_says(shared_job, phantom, head):
    folder, _ = shared_job("heads=[logistic]", "trainer.precision=32-true", "augment=none")
    run = mammo.load_run(folder)
    table, classes = read_predictions(folder / "predictions.csv")
    told = table[table["head"] == head].set_index("image_id")
    predictor = run.predictor(head)
    threshold = run.numbers["operating"][head]["threshold"]
    for image in told.index[:6]:
        answer = predictor(mammo.read_film(phantom.root / f"{image}.pgm"))
        assert answer.score == pytest.approx(told.at[image, "score"], abs=1e-4), image
        assert answer.called == classes[int(told.at[image, "score"] > threshold)]
        assert answer.windows[f"p_{classes[1]}"].iloc[0] == pytest.approx(told.at[image, f"p_{classes[1]}"], abs=1e-4)
        assert any("0.2 mm is assumed" in note for note in answer.notes)


@pytest.mark.slow
def test_a_run_has_the_heads_that_it_has(lines_run):
    folder, _ = lines_run
    with pytest.raises(InputError, match="no head svmm; it has softmax, svm"):
        mammo.load_run(folder / "runs/compact").predictor("svmm")


@pytest.mark.slow
def test_another_runs_folder_is_not_overwritten(lines_run):
    folder, names = lines_run
    with pytest.raises(InputError, match=r"other settings .*seed"):
        settings = ["trainer.max_epochs=1", "model.image_size=64", "seed=1"]
        mammo.train(names["films"], model="compact", heads=[], out=folder / "runs/mine", settings=settings)


@pytest.mark.slow
def test_another_split_is_another_run(lines_run):
    folder, names = lines_run
    other = names["mine"].assign(split=names["mine"]["split"].to_numpy()[::-1])
    settings = ["trainer.max_epochs=1", "model.image_size=64"]
    with pytest.raises(InputError, match=r"other settings \(split\)|in two splits"):
        mammo.train(names["films"], other, model="compact", heads=[], out=folder / "runs/mine", settings=settings)


@pytest.mark.slow
def test_a_run_needs_no_split_and_takes_a_task_of_ones_own(phantom, tmp_path):
    task = {"name": "sick", "column": "severity", "classes": {"well": ["normal", "benign"], "sick": ["malignant"]}}
    settings = ["trainer.max_epochs=1", "model.image_size=32", "split.shares=[0.4,0.3,0.3]", *FAST]
    run = mammo.train(phantom, task=task, model="compact", heads=[], out=tmp_path / "new", settings=settings)
    assert run.provenance["classes"] == ["well", "sick"] and run.provenance["command"][0] == "mammo.train"
    assert run.config.split.name == "patient" and run.job["model"] == "compact"


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [(["heads=[lda]"], {"heads": ["svm"]}), (["data.patients=30"], {}), (["model=vgg16"], {"model": "compact"}),
     (["split=image"], {"split": True}), (["protocol=paper"], {"split": True})],
)  # fmt: skip
def test_a_setting_that_an_argument_gives_is_not_given_twice(phantom, tmp_path, settings, arguments):
    split = mammo.split(phantom) if arguments.pop("split", None) else None
    with pytest.raises(InputError, match=settings[0].split("=")[0]):
        mammo.train(phantom, split, out=tmp_path / "run", settings=settings, **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_predictor_of_windows_answers_at_a_point_as_the_run_did(job, phantom):
    folder, _ = job("crop=lesion", "heads=[]", "trainer.precision=32-true", "augment=none")
    run = mammo.load_run(folder)
    samples = run.samples.query("severity != 'normal'").drop_duplicates("image_id")
    findings = phantom.findings().drop_duplicates("image_id").set_index("image_id")
    told = read_predictions(folder / "predictions.csv")[0].query("head == 'softmax'")
    for image in samples["image_id"][:4]:
        at = findings.loc[image, "x_px"], findings.loc[image, "y_px"]
        answer = run.predictor()(mammo.read_film(phantom.root / f"{image}.pgm"), at=at)
        assert len(answer.windows) == 1
        near = told.loc[told["image_id"] == image, "score"]
        assert np.abs(near - answer.score).min() < 1e-4
    everywhere = run.predictor()(mammo.read_film(phantom.root / f"{image}.pgm"))
    assert len(everywhere.windows) > 10 and everywhere.score == everywhere.windows["score"].max()


def test_a_wrong_argument_is_one_line(phantom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split = mammo.split(phantom.findings(), shares=[0.5, 0.25, 0.25])
    torn = split.assign(split=np.resize(["train", "val", "test"], len(split)))
    wrong = {
        "model.name=vgg17": {"model": "vgg17"},
        "heads=svmm": {"heads": ["svmm"]},
        "model.weights=none.safetensors": {"weights": "none.safetensors"},
        "partner does nothing": {"settings": ["partner=true"]},
        "trainer.max_epoch": {"settings": ["trainer.max_epoch=1"]},
        "image_id": {"split": split.drop(columns="image_id")},
        "patient.* in two splits": {"split": torn, "settings": ["model.image_size=64", *FAST]},
        "images have no split": {"split": split[:-2], "settings": FAST},
    }
    for said, how in wrong.items():
        with pytest.raises(InputError, match=said) as caught:
            mammo.train(phantom, **{"split": split, "model": "compact", "heads": [], "out": "run"} | how)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="findings: expected a row for each image"):
        mammo.split(phantom.findings()[:0])
    with pytest.raises(InputError, match="compare: found a DataFrame"):
        mammo.compare(split, split)
    with pytest.raises(InputError, match=r"provenance\.json"):
        mammo.load_run(tmp_path / "nowhere")
    with pytest.raises(AttributeError, match="trian"):
        _ = mammo.trian


class Forgetful:
    """A data set that does not keep its argument."""

    name = licence = citation = "forgetful"

    def __init__(self, depth: int = 1) -> None:
        self.other = depth


def test_a_data_set_that_could_not_be_made_again_is_refused():
    with pytest.raises(InputError, match=r"self\.depth = depth"):
        mammo.train(Forgetful(2))


def test_the_import_is_light():
    code = "import time; t = time.perf_counter(); import mammo; print(time.perf_counter() - t); import sys; "
    code += "print({'torch', 'numpy', 'pandas', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CONF.parent)
    seconds, loaded = done.stdout.splitlines()
    assert float(seconds) < 0.1 and loaded == "set()"


@pytest.mark.slow
def test_a_split_of_ones_own_is_a_setting_too(job, shared_job, phantom, tmp_path):
    split = mammo.split(phantom.findings(), shares=[0.5, 0.25, 0.25])
    split.to_csv(tmp_path / "split.csv", index=False)
    given = job("split=table", f"split.table={tmp_path / 'split.csv'}", "trainer.max_epochs=1", "heads=[]")[0]
    dealt = shared_job("heads=[]", "trainer.max_epochs=1")[0]
    tables = [pd.read_csv(folder / "predictions.csv") for folder in (given, dealt)]
    pd.testing.assert_frame_equal(*tables)
    assert "Leaks: none found" in (given / "report.md").read_text()
