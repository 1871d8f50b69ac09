"""The bench measures what it says: processes answer, medians and ratios are right, bad input is one line."""

import json
import re
import subprocess
import sys
import time

import pytest
import torch
from typer.testing import CliRunner

from mammo.archives.rsna import RSNA
from mammo.bench import (
    bare_loop,
    data,
    growth,
    indexing,
    large_tables,
    loading,
    machine,
    models,
    predicting,
    profile,
    runs,
    tables,
)
from mammo.bench.protocol import Measured, pss_bytes, timed
from mammo.cli.main import app
from mammo.errors import InputError
from mammo.evaluation.leaks import check_tables
from mammo.formats.header import read_headers
from mammo.processes import devices
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from tests.evaluation.tables import predictions


def given(model="compact", side=32, batch=4):
    """The settings of a bare loop."""
    words = ["data=phantom", f"model={model}", "model.weights=null", "model.trainable=all", f"data.batch_size={batch}"]
    words += [f"model.image_size={side}", "trainer.accelerator=cpu", "trainer.precision=32-true"]
    return {"config": machine.configuration(words).as_dict(), "prepared": False}


def test_steps_are_timed_one_by_one_and_the_first_is_not_counted():
    waits = iter([0.2, 0.0, 0.05, 0.0])
    seconds = timed(lambda: time.sleep(next(waits)), 3)
    assert len(seconds) == 3 and seconds[1] > 0.05 > max(seconds[0], seconds[2])


def test_a_device_that_runs_behind_gives_one_mean_after_a_wait():
    done = []
    (mean,) = timed(lambda: done.append("step"), 4, wait=lambda: done.append("wait"))
    assert done == ["step", "wait", *["step"] * 4, "wait"] and mean >= 0


SERVER = """
import sys, time
from mammo.bench.protocol import serve

def build(settings):
    held = b"1" * settings["bytes"]
    time.sleep(0.3)
    return {"train": lambda count, held=held: [0.5] * count}

serve(build)
"""


def test_a_process_answers_and_its_memory_is_seen(tmp_path):
    (tmp_path / "server.py").write_text(SERVER)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH=. exec {sys.executable} {tmp_path}/server.py "$3"\n')
    python.chmod(0o755)
    process = Measured("bare_loop", {"bytes": 60_000_000}, python=str(python), log=tmp_path / "log")
    try:
        assert process.actions == ["train"]
        built = process.peak_bytes
        assert built > 60e6
        assert process.ask("train", 3) == [0.5] * 3
        assert process.peak_bytes == built  # not watched while it is timed
    finally:
        process.close()
    assert process.process.returncode == 0


@pytest.mark.slow
def test_the_bare_loop_trains_and_predicts():
    actions = bare_loop.build(given())
    assert set(actions) == {"predict", "train", "limit"}
    for action in actions.values():
        seconds = action(2)
        assert len(seconds) == 2 and min(seconds) > 0


@pytest.mark.slow
def test_the_bare_loop_trains_the_auxiliary_head_too_and_is_shown_what_the_network_makes_of_grey(monkeypatch):
    losses, plain = [], torch.nn.functional.cross_entropy
    monkeypatch.setattr(bare_loop.F, "cross_entropy", lambda *given: losses.append(1) or plain(*given))
    bare_loop.build(given("inception", 299, batch=2))["train"](0)
    assert len(losses) == 2


def test_a_process_that_dies_tells_its_last_line(tmp_path):
    with pytest.raises(RuntimeError, match=r"log ended: .*Error: "):  # it has no Keras
        Measured("keras_loop", {}, python=sys.executable, log=tmp_path / "log")


def test_the_memory_of_children_counts():
    """A small process has a large child; this one gives memory back before a fork, and would shrink."""
    code = "x = bytearray(80_000_000); x[::4096] = b'1' * len(x[::4096]); print(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        assert pss_bytes(child.pid) > 80e6
        child.communicate("\n")


@pytest.mark.slow
def test_the_trainers_loop_gives_as_many_steps_as_it_is_asked_for(phantom, monkeypatch):
    from mammo.bench import trainer_loop
    from mammo.training import frozen

    monkeypatch.setattr(frozen, "BLOCK", 4)  # rows that are predicted at a time, of which 32 films make 8
    config = machine.configuration(
        ["data=phantom", "data.patients=16", f"data.root={phantom.root}", "model=compact", "model.image_size=32",
         "data.batch_size=2", "data.workers=0", "split.shares=[0.5,0.25,0.25]", "trainer.accelerator=cpu"]
    )  # fmt: skip
    actions = trainer_loop.build({"config": config.as_dict()})
    assert set(actions) == {"train", "predict", "features", "load"}
    for name, action in actions.items():
        seconds = action(2)
        assert len(seconds) == 2 and min(seconds) > 0, name
    with pytest.raises(InputError, match="54 batches; use fewer --steps"):
        actions["train"](50)
    with pytest.raises(InputError, match="the samples make 8 batches, too few for 9 batches"):
        actions["predict"](5)


ROW = {
    "backbone": "vgg16", "side": 224, "device": "cpu", "precision": "bf16-mixed", "format": "channels_last",
    "compiled": False, "batch": 16, "peak_bytes": {"mammo": 2e9, "bare": 1.5e9},
    "seconds": {
        "mammo": {"train": [1.0, 2.0, 90.0], "predict": [0.5], "load": [0.01], "features": [0.4]},
        "bare": {"train": [1.6], "predict": [0.5], "limit": [0.5]},
        "prepared": {"train": [1.0]},
        "keras": {"train": [4.0], "predict": [1.0]},
        "keras bfloat16": {"train": [3.0], "predict": [2.0]},
    },
}  # fmt: skip


def test_rates_are_by_the_median_step_and_set_against_the_bare_loop_and_keras():
    assert models.rate(ROW, "mammo", "train") == 8.0
    shown = dict(zip(models.COLUMNS, models.cells(ROW), strict=True))
    assert (
        shown["training"] == "8.0"
        and shown["bare"] == "10.0"
        and shown["of bare"] == "0.80"
        and shown["of it"] == "0.50"
    )
    assert shown["of limit"] == "0.25" and shown["loaders"] == "0.01"
    assert shown["loading"] == "1,600" and shown["peak MB"] == "2,000"
    text = "\n".join(models.tables({"rows": [ROW]}))
    assert "| training | 8.0 | 4.0 | 5.3" in text and "| 2.00 | 1.50" in text
    assert "Keras" not in "\n".join(
        models.tables(
            {"rows": [ROW | {"seconds": {who: ROW["seconds"][who] for who in ("mammo", "bare", "prepared")}}]}
        )
    )


def test_growth_is_drawn_and_told(drawn, tmp_path):
    found = {
        "films": [
            {"films": n, "cached": cached, "seconds": n / 100, "peak_bytes": n * 1e6}
            for n in (322, 1000) for cached in (False, True)
        ],
        "rows": [{"rows": n, "seconds": n / 1e5, "peak_bytes": n * 1e3} for n in (1000, 10_000)],
    }  # fmt: skip
    growth.draw(found, tmp_path)
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    assert "| 1,000 | first | 10.0 | 1,000" in "\n".join(growth.tables(found))


def test_a_command_is_watched_and_a_failure_told():
    code = "import time; x = b'1' * 50_000_000; time.sleep(0.5); print('done')"
    seconds, peak, text = machine.ran(["-c", code], watch=True)
    assert seconds > 0.5 and peak > 50e6 and text == "done\n"
    assert machine.ran(["-c", "pass"])[1] == 0
    with pytest.raises(InputError, match="no such thing"):
        machine.ran(["-c", "raise SystemExit('no such thing')"])


def test_a_run_that_is_grown_for_the_bench_has_whole_tables_and_as_many_rows_as_asked(tmp_path):
    small, table = RunFolder(tmp_path / "small"), predictions(6)
    small.path.mkdir()
    samples = table[table["head"] == "svm"].assign(radius_px=5, spacing_mm=0.2, contrast=0.0)
    small.write_rows("predictions.csv", table)
    small.write_rows("samples.csv", samples)
    small.write_rows("split.csv", samples[["image_id", "patient", "split"]])
    run = RunFolder(large_tables.grown(small.path, tmp_path / "run", 1000))
    grown, _ = run.predictions()
    assert 1000 <= len(grown) <= 1000 + len(table) and (grown["patient"].nunique()) > 40
    check_tables(grown, run.samples, run.split)


def test_a_table_of_many_rows_is_split_and_audited_and_a_leak_would_be_an_error(monkeypatch):
    tables.main(400)
    split = tables.split_images
    monkeypatch.setattr(tables, "split_images", lambda *given, **how: split(*given, **how | {"name": "image"}))
    monkeypatch.setattr(tables, "check_split", lambda *_: None)
    with pytest.raises(RuntimeError, match="is in two splits"):
        tables.main(400)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png16", "pgm", "j2k"])
def test_films_are_decoded_and_cut_and_set_against_the_bare_decoder(form, tmp_path):
    said = []
    large = {"index": 40, "rows": 400} if form == "pgm" else {"index": 0, "rows": 0}
    found = data.measure(films=2, megapixels=0.2, form=form, rounds=1, say=said.append, **large)
    assert {"decode", "cut"} <= set(found["work"]) and found["peak_bytes"]["cut"] > 50e6
    text = "\n".join(data.tables(found))
    assert "| decoding and cutting |" in text and "of the bare decoder's time" in text and len(said) >= 3
    if form == "pgm":
        assert "with 40 tiny films is indexed in" in text and "A table of 400 rows is read and checked in" in text


def test_an_archive_like_rsnas_is_written_quickly_and_indexed(tmp_path, monkeypatch, capsys):
    """Its films are one file, in which numbers are replaced: each header must be that of its row."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    indexing.main("write", str(tmp_path / "archive"), "40")
    indexing.main("index", str(tmp_path / "archive"))
    assert set(json.loads(capsys.readouterr().out)) == {"first", "again"}
    dataset = RSNA(root=str(tmp_path / "archive"))
    found = dataset.findings()
    headers = read_headers(found["path"])
    assert len(found) == 40 and found["patient"].nunique() == 8
    assert not [one for one in dataset.notes if "header" in one]
    assert ["rsna-" + one.patient for one in headers] == found["patient"].tolist() and found["spacing_mm"].notna().all()
    assert len({dataset.read(one).laterality for one in found["image_id"]}) == 2


@pytest.mark.slow
def test_a_made_set_is_all_in_the_cache_and_loaded_from_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    monkeypatch.setattr(loading, "BLOCK", 16)
    config = machine.configuration([*loading.SETTINGS, "data.batch_size=4", "data.shuffle_block=4", "augment=none"])
    loading.write(40, config)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    actions = loading.build({"samples": 40, "home": str(tmp_path), "config": config.as_dict()})
    assert len(actions["load"](2)) == 2 and actions["begin"](1)[0] > 0


def test_the_rate_of_each_size_is_set_against_that_of_10_000():
    size = {"cache_bytes": 3e6, "start_seconds": 2.0, "start_bytes": 7e8, "before_bytes": 6e8, "after_bytes": 6e8}
    found = {"batch_size": 5, "sizes": {1000: size | {"steps": [0.1] * 3}, 10_000: size | {"steps": [0.1, 0.2, 0.9]}}}
    table = loading.tables(found)
    assert table[-2:] == [
        "| 1,000 | 3 | 2.0 | 700 | 1,000 | 2.00 | 600 | 600 |",
        "| 10,000 | 3 | 2.0 | 700 | 500 | 1.00 | 600 | 600 |",
    ]


def test_runs_are_set_against_the_one_without_cache():
    run = {"seconds": 10.0, "imports": 4.0, "computed": 7, "command": "a"}
    found = {
        "runs": {"30 epochs, no cache": run | {"seconds": 100.0}, "again": run},
        "start": {"mammo --help": [0.3, 0.1, 0.2]},
    }
    text = "\n".join(runs.tables(found))
    assert "| again | 10.0 | 4.0" in text and "| 10.0 " in text.splitlines()[-5] and "0.20" in text


def test_predicting_is_shown_beside_the_bare_runtime():
    spent = {"mammo_cpu": [0.3], "bare_cpu": [0.2]}
    works = {"one film": {"mammo": [0.02, 0.2, 0.03], "bare": [0.02]} | spent, "reading": {"mammo": [0.5], "bare": []}}
    works["start"] = {"mammo": [2.0], "bare": [1.0], "bytes": [3e8]}
    text = "\n".join(predicting.tables({"models": {"a/model.onnx": works}}))
    assert re.search(r"model.onnx +\| one film +\| +30.0 \| +20.0 \| +1.50 \| +1.50 \| +33.3", text), text
    assert re.search(r"one film +\| +2.00 \| +1.00 \| +300", text), text


@pytest.mark.slow
def test_a_run_and_its_file_are_measured(shared_job, tmp_path):
    folder, _ = shared_job("heads=[]", "trainer.max_epochs=1")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    found = predicting.measure([folder], films=2, rounds=1, say=print)
    works = found["models"][str(folder)]
    assert list(works) == ["reading and cutting", "one film", "2 films", "start"]
    assert all(len(one["mammo"]) == 1 and one["mammo"][0] > 0 for one in works.values())
    assert works["start"]["bytes"][0] > 1e8 and works["2 films"]["bare"][0] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "--models", "vgg17"], "vgg17"),
        (["models", "--batch", "0"], "--batch"),
        (["data", "--format", "gif"], "--format gif"),
        (["loading", "--samples", "1e6"], "--samples 1e6"),
        (["audit", "--films", "10,x"], "--films 10,x"),
        (["models", "no.such=1", "--models", "compact", "--devices", "cpu"], "no.such"),
        (["models", "trainer.precision=32-true"], "trainer.precision=32-true"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2 and message in result.output and result.output.count("\n") == 1


@pytest.mark.slow
def test_the_profile_tells_convolutions_from_the_rest(monkeypatch):
    monkeypatch.setattr(devices, "has_bfloat16", lambda _: False)
    found = profile.measure(names=["compact"], batch=2, steps=1)
    (row,) = found["rows"]
    assert list(row["ms"]) == [*profile.COLUMNS, "the rest"]
    assert min(row["ms"][kind] for kind in ("convolutions, backward", "forward", "batch norm", "pooling", "relu")) > 0
    assert row["ms"]["the rest"] < sum(row["ms"].values()) / 2
    assert profile.tables(found)[-1].startswith("| compact 224 | 32-true |")
