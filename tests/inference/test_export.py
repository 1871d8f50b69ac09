"""An exported run answers as its folder does, without torch; what would answer otherwise is not written."""

import json
import re
import shutil
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.datasets.small_films import write_small_films
from mammo.errors import InputError
from mammo.inference import export as exporting
from mammo.inference.build import build_predictor, open_run
from mammo.processes.resume import FINISHED
from tests.conftest import CONF

PAGE = (CONF.parent / "docs/how-to/export.md").read_text()
EXACT = ("heads=[svm]", "augment=none", "trainer.precision=32-true", "model.flips=horizontal")


@pytest.fixture(scope="module")
def run(shared_job):
    """A finished run in float32."""
    folder, _ = shared_job(*EXACT)
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    return mammo.load_run(folder)


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    """The run and its SVM as an ONNX file, and the comparison."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    return path, mammo.export(run, path, "svm")


@pytest.mark.slow
def test_the_comparison_covers_all_test_images_and_stages(run, model):
    _, parity = model
    assert (parity.films, parity.left_out, parity.changed) == (8, 0, 0)
    stages = ["features", "score", "probability of a window", "probability of an image"]
    assert list(parity.differences) == stages and max(parity.differences.values()) < 1e-5


@pytest.mark.slow
def test_a_file_answers_as_its_run_for_films_of_all_parts(run, model, phantom):
    path, _ = model
    films = phantom.findings()["path"].drop_duplicates()[:12]
    ours, theirs = (mammo.predict(one, list(films), "svm") for one in (run, path))
    assert list(ours["called"]) == list(theirs["called"]) and list(ours["notes"]) == list(theirs["notes"])
    assert list(ours["reason"].notna()) == list(theirs["reason"].notna()) and ours["reason"].notna().any()
    for column in ("score", "probability_normal", "probability_abnormal", "threshold", "sensitivity", "specificity"):
        assert np.allclose(ours[column].astype(float), theirs[column].astype(float), atol=1e-5, equal_nan=True)


@pytest.mark.slow
def test_the_metadata_says_what_the_file_is_and_names_no_place_or_patient(run, model):
    said = open_run(model[0]).metadata
    assert json.loads(said["classes"]) == ["normal", "abnormal"] and said["head"] == "svm"
    assert json.loads(said["threshold"]) == run.numbers["operating"]["svm"]["threshold"]
    assert json.loads(said["temperature"]) == run.numbers["operating"]["svm"]["temperature"]
    assert json.loads(said["parity"])["films"] == 8 and len(json.loads(said["weights_digest"])["trained"]) == 64
    assert {"leaks", "protocol", "licences", "data_digest", "intended_use", "preprocessing"} <= set(said)
    text = " ".join(said.values())
    assert "mdb0" not in text and "phantom-0" not in text and str(run.path.parent) not in text and "/home" not in text


@pytest.mark.slow
def test_predicting_with_a_file_imports_no_torch(model, phantom):
    words = ["predict", str(model[0]), str(phantom.root / "mdb001.pgm"), "--json"]
    code = f"""
import sys
from typer.testing import CliRunner
from mammo.cli.main import app
from mammo.datasets.small_films import write_small_films
result = CliRunner().invoke(app, {words!r})
assert result.exit_code == 0 and '"predicted"' in result.output, result.output
heavy = {{"torch", "lightning", "sklearn", "skops", "albumentations", "onnx"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CONF.parent)


@pytest.mark.slow
def test_a_file_of_other_preprocessing_says_so(model, phantom):
    exported = open_run(model[0])
    exported.facts["preprocessing"] = {"reading": 0, "cutting": 0}
    ask = build_predictor(exported)
    assert "pixels may differ" in ask(ask.read(phantom.root / "mdb001.pgm"), force=True).notes[-1]
    with pytest.raises(InputError, match="no stages"):
        ask.stages([])


def test_a_file_that_answers_otherwise_is_not_written(tmp_path):
    parity = exporting.Parity(films=8)
    for stage in ("features", "score", "probability of a window", "probability of an image"):
        parity.add(stage, [0.5], [0.5])
    parity.refuse(tmp_path, "svm")
    parity.add("probability of an image", [0.5], [0.502])
    with pytest.raises(InputError, match=r"head svm differs by 0\.002"):
        parity.refuse(tmp_path, "svm")
    with pytest.raises(InputError, match="--precision float32"):
        parity.refuse(tmp_path, "svm", low=True)
    parity.differences["probability of an image"] = 0.0
    for value in (np.nan, 0.5):  # a number that is none is not forgotten
        parity.add("probability of an image", [value], [0.5])
    with pytest.raises(InputError, match="differs by nan"):
        parity.refuse(tmp_path, "svm")
    parity.differences["probability of an image"], parity.changed = 0.0, 1
    with pytest.raises(InputError, match="1 of 8 decisions"):
        parity.refuse(tmp_path, "svm")


@pytest.mark.slow
@pytest.mark.parametrize("head", ["softmax", "knn", "boosting"])
def test_other_heads_are_written_too(shared_job, tmp_path, head):
    folder, _ = shared_job("heads=[knn,boosting]", "augment=none", "trainer.precision=32-true")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    parity = mammo.export(folder, tmp_path / "model.onnx", head)
    assert parity.films == 8 and max(parity.differences.values()) < 1e-4


def test_a_file_is_named_by_its_own_digest_as_it_may_answer_otherwise_than_its_run(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"a graph")
    assert open_run(tmp_path / "model.onnx").digest == sha256(b"a graph").hexdigest()


@pytest.mark.parametrize("content", [b"", b"no model", bytes(1000)])
def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match="no ONNX file, or a damaged one"):
        _ = open_run(tmp_path / "model.onnx").session


def refused(words, said, new):
    """Check that the command line refuses words in one line, and that nothing is written."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and said in result.output and not new.exists(), result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "{run}", "{new}", "--head", "forest"], "no head forest; it has softmax"),
        (["export", "{run}", "{old}"], "exists and is not overwritten"),
        (["export", "{run}", "model.txt"], "model.txt: expected a name that ends in .onnx"),
        (["export", "{empty}", "{new}"], "provenance.json"),
        (["predict", "{old}", "{film}"], "or an ONNX file; it is no ONNX file, or a damaged one"),
    ],
)
def test_what_cannot_be_done_is_said(shared_job, phantom, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    run, _ = shared_job("heads=[]", "trainer.max_epochs=1")
    (run / FINISHED).write_text('{"digest": "", "metrics": {}}')
    places = {"run": run, "new": tmp_path / "new.onnx", "old": tmp_path / "text.onnx", "empty": tmp_path / "empty"}
    places |= {"film": phantom.root / "mdb001.pgm"}
    refused([word.format(**places) for word in words], said, places["new"])


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_runs_of_other_kinds_have_no_file(shared_job, tmp_path, kind):
    run, _ = shared_job("heads=[]", "trainer.max_epochs=1")
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / FINISHED).write_text('{"digest": "", "metrics": {}}')
    origin = json.loads((run / "provenance.json").read_text())
    origin["config"]["task"]["kind"] = kind
    (tmp_path / "run/provenance.json").write_text(json.dumps(origin))
    if kind == "detection":
        (tmp_path / "run/selection.json").write_text('{"detector": {"curves": {"detector": {}}}}')
    refused(["export", str(tmp_path / "run"), str(tmp_path / "new.onnx")], f"task.kind={kind}", tmp_path / "new.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "{cut}", "{film}"], "expected a run folder or an ONNX file"),
        (["predict", "{model}", "{film}", "--head", "softmax"], "no head softmax; it has svm"),
        (["predict", "{model}", "--self-test"], "no stages"),
        (["explain", "{model}", "{film}"], "only mammo predict and mammo serve"),
        (["export", "{model}", "{new}"], "only mammo predict and mammo serve"),
    ],
)
def test_what_a_file_cannot_do_is_said(model, phantom, tmp_path, words, said):
    (tmp_path / "cut.onnx").write_bytes(model[0].read_bytes()[:-100])
    places = {"new": tmp_path / "new.onnx", "model": model[0], "cut": tmp_path / "cut.onnx"}
    places |= {"film": phantom.root / "mdb001.pgm"}
    refused([word.format(**places) for word in words], said, places["new"])


@pytest.mark.slow
def test_the_lines_of_the_page_run_as_they_stand(run, phantom, tmp_path, monkeypatch):
    """The lines that train and make films are left to other pages' tests."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/float32").symlink_to(run.path)
    (tmp_path / "clinic/films").mkdir(parents=True)
    for name in ("mdb001.pgm", "mdb002.pgm"):
        shutil.copy(phantom.root / name, tmp_path / "clinic/films")
    lines = [
        line.split() for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()
    ]
    verbs = [line[1:] for line in lines if line[0] == "mammo" and line[1] != "data"]
    assert [one[0] for one in verbs] == ["export", "predict", "export", "predict"]
    for words in verbs:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    for name in ("from_onnx.csv", "portable.csv"):
        assert set(pd.read_csv(name)["status"]) == {"predicted"}
    (script,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(script, {})


@pytest.mark.slow
def test_a_file_in_int8_tells_its_loss_and_is_smaller(run, model, phantom, tmp_path):
    parity = mammo.export(run, tmp_path / "int8.onnx", "svm", precision="int8")
    assert parity.films == 8 and 1e-6 < parity.apart < 0.2
    assert (tmp_path / "int8.onnx").stat().st_size < 0.7 * model[0].stat().st_size
    said = open_run(tmp_path / "int8.onnx").metadata
    assert said["precision"] == "int8" and f"{parity.apart:.2g}" in said["loss"]
    listed = phantom.findings().drop_duplicates("image_id").head(2).assign(patient="p", view="MLO")
    listed[["path", "patient", "laterality", "view", "spacing_mm"]].to_csv(tmp_path / "films.csv", index=False)
    table = mammo.predict(tmp_path / "int8.onnx", tmp_path / "films.csv", force=True)
    assert "patient" in set(table["unit"])
    assert table["notes"].str.contains("The model computes in int8: on 8 test images").all()


@pytest.mark.slow
def test_a_run_in_bfloat16_can_be_written_in_float32(shared_job, tmp_path):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none", "trainer.precision=bf16-mixed")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    parity = mammo.export(folder, tmp_path / "model.onnx", precision="float32")
    assert parity.against == "the run in float32" and parity.apart < 1e-5
    assert parity.beside.against == "the run" and parity.beside.apart > 1e-5
    assert "from the run's" in open_run(tmp_path / "model.onnx").metadata["loss"]


@pytest.mark.slow
def test_an_environment_without_torch_predicts_a_dicom_film(model, tmp_path):
    """The packages are those that the page names."""
    (packages,) = re.findall(r"^pip install (onnxruntime .*)$", PAGE, re.M)
    python = tmp_path / "env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    install = [python, "-m", "pip", "install", "-q", *packages.split()]
    if subprocess.run(install, check=False, capture_output=True).returncode:
        pytest.skip("no package registry answers")
    (drawn,) = [one for one in write_small_films(tmp_path) if one["file"].endswith(".dcm")]
    words = ["-m", "mammo", "predict", str(model[0]), str(tmp_path / drawn["file"]), "--force", "--json"]
    environment = {"PYTHONPATH": str(CONF.parent), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    found = subprocess.run([python, *words], env=environment, capture_output=True, text=True, check=True)
    (row,) = json.loads(found.stdout)["predictions"]
    assert row["status"] == "predicted" and row["head"] == "svm"
    ours = mammo.predict(model[0], tmp_path / drawn["file"], force=True)
    assert float(ours["probability_abnormal"].iloc[0]) == pytest.approx(row["probabilities"]["abnormal"], abs=1e-6)
    search = 'import importlib.util as u; assert not u.find_spec("torch")'
    subprocess.run([python, "-c", search], env=environment, check=True)
