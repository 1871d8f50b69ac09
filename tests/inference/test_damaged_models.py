"""A model that is damaged, incomplete or another's ends in one line that names it."""

import json
import shutil
import zipfile
from io import BytesIO
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import skops.io
from safetensors.numpy import load, save
from sklearn.svm import SVC
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.config import Config
from mammo.errors import InputError, message_for_user
from mammo.files import sha256_of, write_json
from mammo.inference.build import build_predictor, open_run
from mammo.inference.exported import BLANK, sealed
from mammo.inference.operating import operating_point
from mammo.models.heads_io import load_head
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from tests.formats.ways import WAYS


def zipped(**files):
    written = BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.json", content)
    return written.getvalue()


CALL = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "x", "protocol": 2}
HEADS = {
    "empty": b"", "text": b"<html>", "no archive": skops.io.dumps(SVC())[:300], "an archive of nothing": zipped(),
    "no schema": zipped(other="{}"), "an empty schema": zipped(schema="{}"), "a list": skops.io.dumps([1, 2]),
    "an own kind": zipped(schema=json.dumps(CALL)), "not calibrated": skops.io.dumps(SVC()),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_none_is_one_line_with_its_path(tmp_path, name):
    path = tmp_path / "svm.skops"
    path.write_bytes(HEADS[name])
    with pytest.raises(InputError, match=r"^[^\n]*svm\.skops: [^\n]+$"):
        load_head(path, {}, "")


def test_a_folder_that_tells_digests_refuses_a_file_that_has_gone_or_changed(tmp_path):
    (tmp_path / "heads").mkdir()
    names = ["heads/svm.skops", "provenance.json"]
    for name in names:
        (tmp_path / name).write_text("{}")
    write_json({"files": sha256_of(tmp_path, names)}, tmp_path / FINISHED)
    RunFolder(tmp_path).check_whole()
    (tmp_path / names[0]).write_text("{ }")
    with pytest.raises(InputError, match=r"heads/svm\.skops has changed"):
        RunFolder(tmp_path).check_whole()
    (tmp_path / names[0]).unlink()
    with pytest.raises(InputError, match=r"heads/svm\.skops is missing"):
        RunFolder(tmp_path).check_whole()
    (tmp_path / FINISHED).write_text("[]")
    with pytest.raises(InputError, match=r"finished\.json"):
        RunFolder(tmp_path).check_whole()


def test_a_seal_tells_any_change_of_a_file():
    content, digest = sealed(b"weights " + BLANK.encode() + b" and more")
    assert digest in content.decode() and sealed(content, digest) == (content, digest)
    for at in (0, 20, len(content) - 1):
        changed = bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]])
        assert sealed(changed, digest)[1] != digest


def test_onnxruntime_prints_nothing_of_its_own_about_a_graph_that_does_not_begin(tmp_path, monkeypatch, capfd):
    def fail(*given):
        raise RuntimeError("no such operator")

    monkeypatch.setattr("onnxruntime.InferenceSession._create_inference_session", fail)
    (tmp_path / "model.onnx").write_bytes(b"a graph")
    with pytest.raises(InputError, match=r"^[^\n]*model\.onnx: [^\n]*no such operator$"):
        _ = open_run(tmp_path / "model.onnx").session
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def run(shared_job):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    return mammo.load_run(folder)


def told(model, film, head="softmax"):
    """The line that `mammo predict` prints of a model that cannot be used; None if it answers."""
    result = CliRunner().invoke(app, ["predict", str(model), str(film), "--force", "--head", head])
    assert isinstance(result.exception, SystemExit | None), (result.exception, model)
    if result.exit_code == 0:
        return None
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 2 and line.startswith("error: "), line
    return line


def damages(content, name):
    """Yield what may become of a file of a model; None removes it."""
    yield from (None, b"", content[: len(content) // 2], b"<html>", bytes(90))
    if name.endswith(".json"):
        yield from (b"{}", b"[]", b"null", b"\xff")
        found = json.loads(content)
        for key in found if isinstance(found, dict) else ():
            yield json.dumps({one: of for one, of in found.items() if one != key}).encode()
            yield from (json.dumps(found | {key: other}).encode() for other in (None, 7, "x", [], {}))
    if name.endswith(".safetensors"):
        found = load(content)
        first = next(iter(found))
        yield save({one: of for one, of in found.items() if one != first})
        yield save(found | {first: np.zeros(3, np.float32)})
        yield save(found | {first: np.full_like(found[first], np.nan)})


WRONG = [
    *((name, one) for name in ("threshold", "temperature") for one in ('"abc"', "[]", "true", "NaN", "Infinity", "{}")),
    *(("temperature", one) for one in ("0", "-1", "1e999")),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_choice_that_is_no_finite_number_is_told_with_its_file(run, tmp_path, name, value):
    for of, numbers in (("metrics.json", run.numbers), ("recalibration.json", run.numbers | {"run": "r", "n": {}})):
        chosen = numbers["operating"] | {"softmax": numbers["operating"]["softmax"] | {name: "HERE"}}
        text = json.dumps(numbers | {"operating": chosen}).replace('"HERE"', value)
        made = SimpleNamespace(path=tmp_path, numbers=run.numbers, recalibration=None, crop=run.crop, config=run.config)
        setattr(made, "numbers" if of == "metrics.json" else "recalibration", json.loads(text))
        with pytest.raises(InputError, match=rf"^[^\n]*{of}: {name} is [^\n]*$"):
            operating_point(made, "softmax")


@pytest.mark.parametrize("part", ["val", "n", "prevalence"])
@pytest.mark.parametrize("value", ["x", [], True, float("nan")])
def test_so_is_what_was_reached_and_how_many_there_were(run, tmp_path, part, value):
    numbers = run.numbers
    if part == "val":
        numbers["val"]["softmax"]["sensitivity_at_threshold"]["low"] = value
    else:
        numbers |= {"n": {"val": {"patients": value}}} if part == "n" else {"prevalence": {"softmax": value}}
    made = SimpleNamespace(path=tmp_path, numbers=numbers, recalibration=None, crop=run.crop, config=run.config)
    with pytest.raises(InputError, match=r"metrics\.json: .* is "):
        operating_point(made, "softmax")


def test_a_portable_folder_that_tells_no_digests_is_refused(run, tmp_path):
    mammo.export(run, tmp_path / "model", format="portable")
    finished = json.loads((tmp_path / "model" / FINISHED).read_text())
    for told in ({}, {"files": {}}, finished | {"files": finished["files"] | {"metrics.json": None}}):
        if told.get("files"):
            del told["files"]["metrics.json"]
        (tmp_path / "model" / FINISHED).write_text(json.dumps(told))
        for ask in (RunFolder(tmp_path / "model").check_whole, lambda: build_predictor(RunFolder(tmp_path / "model"))):
            with pytest.raises(InputError, match=r"finished\.json lacks the digest of metrics\.json"):
                ask()


def test_a_square_that_no_memory_holds_is_refused_and_so_is_what_opencv_cannot_cut():
    with pytest.raises(InputError, match=r"model\.image_size=1000000: expected a whole number from 1 to 8192"):
        Config.of({"model": {"image_size": 1_000_000}})
    with pytest.raises(cv2.error) as found:
        cv2.resize(np.zeros((0, 0), np.uint8), (4, 4))
    assert "\n" not in message_for_user(found.value) and "smaller" in message_for_user(found.value)


@pytest.mark.slow
def test_a_damaged_run_or_portable_folder_answers_or_says_why_in_a_line(run, tmp_path):
    """Each change of a portable folder is told."""
    film = tmp_path / "film"
    film.write_bytes(WAYS["explicit"][0])
    mammo.export(run, tmp_path / "portable", format="portable")
    for source, whole in ((run.path, False), (tmp_path / "portable", True)):
        copy = tmp_path / "copy"
        shutil.copytree(source, copy)
        assert told(copy, film) is None
        names = [*json.loads((tmp_path / "portable" / FINISHED).read_text())["files"], FINISHED]
        if not whole:
            names = [one for one in names if (copy / one).is_file()]
        for name in names:
            content = (copy / name).read_bytes()
            for other in damages(content, name):
                (copy / name).unlink(missing_ok=True)
                if other is not None:
                    (copy / name).write_bytes(other)
                said = told(copy, film, "svm" if name.startswith("heads/svm") else "softmax")
                assert said or not whole or name == FINISHED, (name, other and other[:80])
            (copy / name).write_bytes(content)
        shutil.rmtree(copy)


@pytest.mark.slow
def test_an_onnx_file_that_is_damaged_or_not_ours_is_told_in_a_line(run, tmp_path):
    import onnx_ir as ir

    film, path = tmp_path / "film", tmp_path / "model.onnx"
    film.write_bytes(WAYS["explicit"][0])
    mammo.export(run, path)
    content = path.read_bytes()
    assert told(path, film) is None
    rng = np.random.default_rng(0)
    for at in (*rng.integers(0, len(content), 20), len(content) - 9):
        path.write_bytes(bytes([*content[:at], content[at] ^ 4, *content[at + 1 :]]))
        assert told(path, film), at
    for other in (b"", b"<html>", content[:-99], content[:5000], content + b"\0"):
        path.write_bytes(other)
        assert told(path, film)
    path.write_bytes(content)
    model = ir.load(path)
    known = dict(model.metadata_props)
    facts = json.loads(known["mammo_run"])
    others = [{key: of for key, of in facts.items() if key != name} for name in facts]
    others += [facts | {name: other} for name in facts for other in (7, "x", [])]
    for changed in (None, "{", "[]", *map(json.dumps, others)):
        model.metadata_props.clear()
        model.metadata_props.update({key: of for key, of in known.items() if key not in ("mammo_run", "digest")})
        if changed is not None:
            model.metadata_props["mammo_run"] = changed
        ir.save(model, path)
        told(path, film)
