"""A model of somebody else runs no code, whichever command opens it and wherever its settings name the code."""

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

import mammo
from mammo import trust
from mammo.cli.main import app
from mammo.config import Config, CropConfig, DataConfig
from mammo.datasets.registry import open_dataset
from mammo.errors import InputError
from mammo.files import sha256_of
from mammo.inference.build import build_predictor, open_run
from mammo.inference.exported import ExportedRun
from mammo.inference.films import own_films
from mammo.preprocessing.crops import build_crop
from mammo.processes import resume
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from mammo.runs.predictor import predictor_of
from mammo.runs.transfer import _test as transferred
from mammo.serving.model import examples_of, open_model
from mammo.trust import TRUST, check_words, code_in, trusted
from tests.conftest import resolved

MODULE = "stranger_s_module"
RAN = "ran"  # the file that the stranger's code makes in the folder where the user is
SOURCE = f"""
from pathlib import Path
from mammo.preprocessing.crops import Whole
from mammo.datasets.phantom import Phantom as Films
Path({RAN!r}).touch()
class Crop(Whole): pass
"""
CALLED = {"_target_": "os.mkdir", "arguments": {"path": RAN}}
ATTACKS = {
    "a function": {"crop": CALLED},
    "a class": {"crop": {"_target_": f"{MODULE}.Crop"}},
    "a data set": {"data": CALLED},
    "a part of a union": {"data": {"name": "union", "parts": [{"name": "phantom"}, CALLED]}},
    "a part in JSON": {"data": {"name": "union", "parts": json.dumps([{"name": "phantom"}, CALLED])}},
    "a file": {"plugins": [f"{MODULE}.py"]},
    "a module": {"plugins": MODULE},
}


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path, monkeypatch):
    """The user is in a folder with the stranger's module, and nothing is named in this process yet."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(trust, "_named", set())
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv(TRUST, raising=False)
    yield
    sys.modules.pop(MODULE, None)


def ran():
    found = RAN in {one.name for one in trust.Path().iterdir()}
    return found or MODULE in sys.modules


@pytest.fixture(scope="module")
def run(shared_job):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    return RunFolder(folder)


@pytest.fixture(scope="module")
def models(run, tmp_path_factory):
    """A run, its portable folder, and what `mammo run share` wrote."""
    folder = tmp_path_factory.mktemp("models")
    mammo.export(run, folder / "portable", format="portable")
    assert CliRunner().invoke(app, ["run", "share", str(run.path), "--out", str(folder / "shared")]).exit_code == 0
    return {"run": run.path, "portable": folder / "portable", "shared": folder / "shared"}


def attacked(model, target, attack):
    """Copies a model, changes its settings, and computes the digests anew."""
    shutil.copytree(model, target)
    found, told = (json.loads((target / name).read_text()) for name in ("provenance.json", FINISHED))
    for group, changed in ATTACKS[attack].items():
        found["config"][group] = found["config"][group] | changed if isinstance(changed, dict) else changed
    (target / "provenance.json").write_text(json.dumps(found))
    if "files" in told:
        told["files"] = sha256_of(target, told["files"])
        (target / FINISHED).write_text(json.dumps(told))
    return target


COMMANDS = {
    "predict": ["predict", "{model}", "{film}"],
    "self-test": ["predict", "{model}", "--self-test"],
    "explain": ["explain", "{model}", "{film}", "--out", "{new}"],
    "score": ["explain", "{model}", "--score"],
    "onnx": ["export", "{model}", "{new}.onnx"],
    "export": ["export", "{model}", "{new}", "--format", "portable"],
    "test": ["test", "{model}", "data=phantom", "--out", "{new}"],
    "recalibrate": ["recalibrate", "{model}", "{table}", "--out", "{new}"],
    "share": ["run", "share", "{model}", "--out", "{new}"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_every_command_refuses_a_run_whose_settings_name_code(run, phantom, tmp_path, attack, command):
    film = phantom.findings()["path"].iloc[0]
    (tmp_path / "table.csv").write_text(f"path,patient,severity\n{film},stranger,malignant\n")
    places = {"model": attacked(run.path, tmp_path / "model", attack), "film": film, "new": tmp_path / "new"}
    places["table"] = tmp_path / "table.csv"
    result = CliRunner().invoke(app, [word.format(**places) for word in COMMANDS[command]])
    assert result.exit_code == 2 and TRUST in result.stderr and result.stderr.count("\n") == 1, result.output
    assert not ran() and not [*tmp_path.glob("new*")]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", ["portable", "shared"])
def test_a_folder_that_was_given_away_runs_nothing(models, phantom, tmp_path, kind, attack):
    model, film = attacked(models[kind], tmp_path / "model", attack), phantom.findings()["path"].iloc[0]
    for ask in (mammo.predict, mammo.explain, lambda run, film: open_model(run), lambda run, film: build_predictor(
        RunFolder(run)), lambda run, film: mammo.load_run(run).predictor()):  # fmt: skip
        with pytest.raises(InputError, match=TRUST):
            ask(model, film)
    assert not ran()


def test_the_settings_of_an_onnx_file_run_nothing(run, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    for changed in (CALLED, {"_target_": f"{MODULE}.Crop"}):
        model = ExportedRun(tmp_path / "model.onnx")
        settings = run.provenance["config"]
        facts = {
            "provenance": run.provenance | {"config": settings | {"crop": settings["crop"] | changed}},
            "head": "svm",
        }
        model.__dict__["facts"] = facts  # in the place of the file's metadata
        with pytest.raises(InputError, match=TRUST):
            predictor_of(model)
    assert not ran()


@pytest.mark.slow
def test_an_onnx_file_runs_nothing(run, phantom, tmp_path):
    import onnx_ir as ir

    mammo.export(run, tmp_path / "model.onnx")
    model = ir.load(tmp_path / "model.onnx")
    facts = json.loads(model.metadata_props["mammo_run"])
    facts["provenance"]["config"]["crop"] |= CALLED
    model.metadata_props["mammo_run"] = json.dumps(facts)
    del model.metadata_props["digest"]
    ir.save(model, tmp_path / "model.onnx")
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "model.onnx"), phantom.findings()["path"].iloc[0]])
    assert result.exit_code == 2 and TRUST in result.stderr and not ran()
    with pytest.raises(InputError, match=TRUST):
        build_predictor(open_run(tmp_path / "model.onnx"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_reads_the_films_of_a_run_or_goes_on_with_it_runs_nothing(run, tmp_path, attack):
    model = RunFolder(attacked(run.path, tmp_path / "model", attack))
    with pytest.raises(InputError, match=TRUST):
        own_films(model)
    assert examples_of(model) == []
    result = CliRunner().invoke(app, ["run", "errors", str(model.path), "--out", str(tmp_path / "errors")])
    assert result.exit_code == 0 and not (tmp_path / "errors" / "errors.png").exists()
    with pytest.raises(InputError, match=TRUST):
        resolved("fit=false", f"ckpt_path={model.path}")
    transferred(run, model, tmp_path / "test")
    assert TRUST in (tmp_path / "test" / "failed.json").read_text()
    assert not ran()


@pytest.mark.parametrize("attack", ["a function", "a file"])
def test_reports_of_it_are_written_and_run_nothing(run, tmp_path, attack):
    model = attacked(run.path, tmp_path / "model", attack)
    for words in (["report", str(model)], ["card", str(model)], ["compare", str(run.path), str(model)]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
    assert not ran()


def test_a_folder_that_the_user_trusts_runs_its_class_and_file(run, phantom, tmp_path, monkeypatch):
    film = phantom.findings()["path"].iloc[0]
    for attack in ("a class", "a file"):
        model = attacked(run.path, tmp_path / attack, attack)
        monkeypatch.setenv(TRUST, f"/nowhere:{tmp_path}")
        assert len(mammo.predict(model, film, "svm", force=True)) and MODULE in sys.modules
        monkeypatch.setenv(TRUST, str(tmp_path / "another"))
        with pytest.raises(InputError, match=TRUST):
            mammo.predict(model, film)


def test_code_that_the_user_named_in_this_process_is_no_stranger_s(run, phantom, tmp_path):
    model = attacked(run.path, tmp_path / "model", "a class")
    trust.consent({"crop": {"_target_": f"{MODULE}.Crop"}})
    assert len(mammo.predict(model, phantom.findings()["path"].iloc[0], "svm", force=True))
    assert resolved("fit=false", f"ckpt_path={model}").crop._target_ == f"{MODULE}.Crop"


@pytest.mark.parametrize("name", ["os.mkdir", "subprocess.Popen", "json.dumps", "pathlib.Path"])
def test_what_is_no_crop_or_data_set_is_never_called(name):
    for build, group in ((build_crop, CropConfig), (open_dataset, DataConfig)):
        with pytest.raises(InputError, match=r"expected a class|has no method"):
            build(group(_target_=name, arguments={"path": RAN, "args": ["touch", RAN], "obj": 1}))
    assert not ran()


def test_code_is_found_however_deep_it_stands():
    assert code_in(Config().as_dict()) == []
    crop = {"_target_": "c.D", "arguments": {"x": [{"_target_": "e"}]}}
    assert code_in({"plugins": ["a.py", "b"], "crop": crop}) == [
        "plugins=a.py", "plugins=b", "crop._target_=c.D", "crop.arguments.x[0]._target_=e",
    ]  # fmt: skip


def test_a_folder_is_trusted_with_all_that_is_in_it(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    monkeypatch.setenv(TRUST, str(tmp_path / "link"))
    assert trusted(tmp_path / "mine") and trusted(tmp_path / "mine" / "run") and not trusted(tmp_path / "mine-too")
    assert not trusted(tmp_path) and not trusted(tmp_path / "mine" / ".." / "other")


@pytest.mark.parametrize(
    "word",
    [
        "plugins=[x.py]", "+crop._target_=os.system", "crop={_target_:os.system}", "hydra.searchpath=[file:///tmp]",
        "hydra.launcher.setup=[id]", "hydra.callbacks.a.b=c", "hydra/launcher=../../x", "hydra.job_logging.x=y",
        'data.parts=[{"\\u005ftarget_": "os.system"}]', "data.parts=${oc.decode:x}", "hydra.sweeper.storage=redis://x",
        "hydra.launcher.partition=a\n/bin/id", "~hydra.callbacks", "--config-dir=/tmp", "+../../tmp/x=y", "data@x=../y",
        " plugins=x",
    ],
)  # fmt: skip
def test_words_that_a_folder_kept_are_refused_if_they_name_code(tmp_path, word, monkeypatch):
    with pytest.raises(InputError, match=TRUST):
        check_words(tmp_path, ["seed=1", word])
    (tmp_path / "multirun.yaml").write_text(json.dumps({"hydra": {"overrides": {"task": [word], "hydra": []}}}))
    with pytest.raises(InputError, match=TRUST):
        resume.resumed([f"resume={tmp_path}"])
    monkeypatch.setenv(TRUST, str(tmp_path))
    assert word in resume.resumed([f"resume={tmp_path}"])


def test_words_that_name_no_code_go_on(tmp_path):
    words = [
        "model=inception", "seed=0,1", "+trainer.x=true", "hydra.run.dir=/a b/c", "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=60", "hydra.sweeper.storage=sqlite:///tune.db", "hydra.sweeper.sampler.seed=null",
        "data.patient_from='^(P\\d+)_'", "objective=${x}", "hydra.mode=MULTIRUN", "hydra.output_subdir=null",
    ]  # fmt: skip
    (tmp_path / "multirun.yaml").write_text(json.dumps({"hydra": {"overrides": {"task": words, "hydra": []}}}))
    assert resume.resumed([f"resume={tmp_path}"])[: len(words) + 1] == ["-m", *words]
