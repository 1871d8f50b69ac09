"""A run fitted to another hospital carries its new numbers into every answer, and refuses films that it has learnt."""

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError
from mammo.evaluation import recalibration
from mammo.inference.build import build_predictor
from mammo.inference.films import films_of
from mammo.inference.operating import COMPUTES, operating_point
from mammo.inference.predict import predict
from mammo.inference.self_test import check
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from mammo.runs import external_test
from mammo.runs.labelled import labelled_predictions
from mammo.runs.own_answers import curve_of
from mammo.runs.recalibrate import Question, chosen
from tests.conftest import CONF

WORDS = ("heads=[svm,knn]", "augment=none")
PAGE = (CONF.parent / "docs/how-to/recalibrate.md").read_text()
PATIENTS = 40


@pytest.fixture(scope="module")
def run(shared_job):
    folder, _ = shared_job(*WORDS)
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    return mammo.load_run(folder)


def labelled(run, path, **changed):
    """Writes what `mammo predict --out` writes for films of other patients, with a label for each."""
    rng, rows = np.random.default_rng(0), []
    choices = {head: operating_point(run, head).choices for head in ("softmax", "svm")}
    own, _ = run.predictions()
    curves = {
        head: curve_of(*own.loc[own["head"] == head, ["score", "p_abnormal"]].to_numpy(float).T) for head in choices
    }
    for number in range(2 * PATIENTS):
        label = ("normal", "abnormal")[int(number % 2 == 0 and number < PATIENTS)]
        for head, one in choices.items():
            score = rng.normal((label == "abnormal") * 1.5, 1)
            odds = curves[head](score)
            chance = one.calibrated(np.array([[expit(-odds), expit(odds)]]))[0]
            facts = {"unit": "image", "status": "predicted", "image_id": f"film {number}", "label": label}
            facts |= {"patient": f"woman {number // 2}", "laterality": ("left", "right")[number % 2], "head": head}
            facts |= {"score": score, "probability_normal": chance[0], "probability_abnormal": chance[1]}
            rows.append(facts | {"threshold": one.threshold})
    rows.append({"unit": "image", "status": "left_out", "image_id": "bad"})
    rows.append({"unit": "patient", "status": "predicted", "head": "svm", "patient": "woman 1", "label": "normal"})
    pd.DataFrame(rows).assign(**changed).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """A model folder of predictions that were labelled."""
    folder = tmp_path_factory.mktemp("made")
    table = labelled(run, folder / "ours.csv")
    return mammo.recalibrate(run, table, out=folder / "model", sensitivity=0.9, prevalence=0.006)


def ended(*words):
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_every_answer_carries_the_new_numbers_and_says_so(run, made, phantom):
    films = films_of(phantom.findings()["path"].unique()[:2])
    before, after = (predict(build_predictor(one, "svm"), films) for one in (run, RunFolder(made.path)))
    record = made.recalibration["operating"]["svm"]
    for old, new in zip(before.table.to_dict("records"), after.table.to_dict("records"), strict=True):
        assert new["score"] == old["score"] and new["threshold"] == record["threshold"] != old["threshold"]
        assert "Recalibrated on 80 samples of 40 patients" in new["notes"] and "Recalibrated" not in old["notes"]
        assert f"validation was {old['threshold']:.4g}" in new["notes"]
        odds = [float(row["probability_abnormal"]) / float(row["probability_normal"]) for row in (old, new)]
        told = run.numbers["operating"]["svm"]["temperature"] / record["temperature"]
        assert np.log(odds[1]) == pytest.approx(told * np.log(odds[0]) + record["offset"], abs=1e-3)
    said = after.as_json()["operating"][0]
    assert said["chosen_on"] == "films" and said["before"]["threshold"] == operating_point(run, "svm").threshold
    assert any("recalibrated" in line for line in after.lines(every=True))


def test_the_new_threshold_reaches_what_was_asked_for(run, made):
    point, table = operating_point(made, "svm"), pd.read_csv(made.path.parent / "ours.csv")
    rows = table[(table["head"] == "svm") & (table["unit"] == "image")]
    ill = rows["label"] == "abnormal"
    assert point.sensitivity.value == (rows["score"][ill] > point.threshold).mean() >= 0.9
    assert point.specificity.value == (rows["score"][~ill] <= point.threshold).mean()
    assert point.counts == {"samples": 80, "normal": 60, "abnormal": 20, "patients": 40}
    assert operating_point(made, "svm", "patient").counts["samples"] == 40
    share = made.recalibration["prevalence"]["svm"]
    assert share == pytest.approx(0.003)  # a patient has two films, and a positive one has one that is positive
    assert made.recalibration["before"]["svm"]["sensitivity_at_threshold"]["value"] is not None


def test_the_report_has_what_is_now_and_what_was(made):
    text = (made.path / "recalibration.md").read_text()
    assert "a sensitivity of 0.9" in text and "more positive samples" in text and "| now" in text
    assert "0.003" in text and "0.006 of the patients" in text and "Not for diagnostic use" in text
    assert "negative patients too" not in text  # by patient the share is what was asked for


def test_films_are_refused_as_by_the_run(run, made):
    kept, before = RunFolder(made.path).likeness, run.likeness
    assert before and kept.keys() == before.keys()
    assert all(np.array_equal(kept[name], before[name]) for name in before)


def test_the_folder_names_nobody_and_can_be_asked_for_all_heads_but_tested(run, made, phantom):
    for path in made.path.rglob("*"):
        if path.suffix in (".csv", ".json", ".md"):
            assert not re.search(r"woman \d|mdb\d", path.read_text()), path
    told = predict(build_predictor(RunFolder(made.path), "knn"), films_of(phantom.findings()["path"].unique()[:1]))
    (row,) = told.rows
    assert row["threshold"] is None and "not for knn by image" in row["notes"][-1]  # the table had no rows of this head
    status, said = ended("test", made.path, "data=phantom", "--out", made.path.parent / "test")
    assert status == 2 and "is a recalibrated model" in said
    with pytest.raises(InputError, match="was recalibrated before"):
        mammo.recalibrate(made, made.path.parent / "ours.csv", out=made.path.parent / "again")


@pytest.mark.slow
def test_it_keeps_a_self_test_of_its_own_numbers(run, self_tested, tmp_path):
    again = mammo.recalibrate(run, labelled(run, tmp_path / "ours.csv"), out=tmp_path / "model")
    assert check(again).first is None
    record = again.recalibration
    record["operating"]["svm"]["offset"] += 1
    (again.path / "recalibration.json").write_text(json.dumps(record))
    told = json.loads((again.path / FINISHED).read_text())
    del told["files"]["recalibration.json"]  # the digest that would tell of it before
    (again.path / FINISHED).write_text(json.dumps(told))
    assert check(again).first.name == "svm: probabilities"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label": "normal"}, "no film is abnormal"),
        ({"label": "cancer"}, "label 'cancer': expected normal or abnormal"),
        ({"label": None}, "no row of an image has a label"),
        ({"patient": None}, "have no patient"),
        ({"patient": "one"}, "1 patient is normal, and at least 10"),
        ({"head": "mlp"}, "head mlp: the run has"),
        ({"image_id": "same"}, "an image has two rows"),
        (
            {"probability_abnormal": -0.2},
            "rows 2, 3, 4 and 157 more: probability_normal and probability_abnormal are no",
        ),
        ({"probability_normal": 0.9, "probability_abnormal": 0.9}, "that add up to 1"),
        ({"probability_abnormal": "high"}, "probability_abnormal is high; expected a number"),
        ({"score": "inf"}, "score is infinite"),
    ],
)
def test_tables_that_cannot_answer_are_refused_in_one_line(run, tmp_path, changed, said):
    table = labelled(run, tmp_path / "ours.csv", **changed)
    status, output = ended("recalibrate", run.path, table, "--out", tmp_path / "model")
    assert status == 2 and said in output and output.count("\n") == 1
    assert not (tmp_path / "model").exists() and len(list(tmp_path.iterdir())) == 1


def test_labels_that_are_exchanged_are_told(run, tmp_path):
    sheet = pd.read_csv(labelled(run, tmp_path / "ours.csv"), dtype="string")
    exchanged = sheet["label"].map({"normal": "abnormal", "abnormal": "normal"})
    table, _ = labelled_predictions(run, sheet.assign(label=exchanged), "ours.csv")
    found, notes = chosen(run, table, Question())
    assert all(one.values["auroc"].high < 0.5 for one in found["sample"].values())
    assert all(any(f"{head}, by sample: AUROC" in note for note in notes) for head in found["sample"])


def negated(table):
    return table.assign(score=-table["score"])


def scaled(table):
    return table.assign(score=100 * table["score"])


def exchanged(table):
    return table.rename(
        columns={"probability_normal": "probability_abnormal", "probability_abnormal": "probability_normal"}
    )


def of_another_run(table):
    return table.assign(threshold=table["threshold"] + 0.01)


def of_another_precision(table):
    return table.assign(notes=f"inverted; {COMPUTES} int8: on 10 test images its probabilities were at most 0.03 apart")


@pytest.mark.parametrize("change", [negated, scaled, exchanged, of_another_run, of_another_precision])
def test_predictions_that_are_not_this_run_s_are_refused_by_their_row(run, tmp_path, change):
    change(pd.read_csv(labelled(run, tmp_path / "ours.csv"))).to_csv(tmp_path / "ours.csv", index=False)
    with pytest.raises(InputError, match=r"ours\.csv: rows? \d+.*(belong together|threshold|computes otherwise)"):
        mammo.recalibrate(run, tmp_path / "ours.csv", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_table_without_threshold_or_of_an_onnx_file_passes(run, made, tmp_path):
    table = pd.read_csv(labelled(run, tmp_path / "ours.csv")).drop(columns="threshold")
    table["notes"] = pd.Series({0: "inverted"})  # most have none
    near = np.where(np.arange(len(table)) % 2, 9e-4, -9e-4)  # an ONNX file may differ by 0.001
    for name in ("probability_normal", "probability_abnormal"):
        table[name] = (table[name] + near).clip(0, 1)
        near = -near
    table.to_csv(tmp_path / "ours.csv", index=False)
    mammo.recalibrate(run, tmp_path / "ours.csv", out=tmp_path / "model", sensitivity=0.9)


@pytest.mark.parametrize("kind", [None, "portable"])
def test_what_mammo_predict_writes_of_other_films_passes(run, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(recalibration, "FEWEST", 1)
    monkeypatch.setattr(recalibration, "patients_needed", lambda sensitivity: 1)
    films, model = Phantom(root=str(tmp_path / "films"), patients=4, film_seed=7), run.path
    films.prepare()
    if kind is not None:
        mammo.export(run, model := tmp_path / "given", format=kind)
    paths = films.findings().drop_duplicates("image_id")["path"].tolist()
    status, said = ended("predict", model, *paths, "--force", "--head", "svm", "--out", tmp_path / "out.csv")
    assert status == 0, said
    table = pd.read_csv(tmp_path / "out.csv").assign(patient=lambda of: "woman " + of["image_id"].astype(str))
    table["label"] = np.where(np.arange(len(table)) % 2, "normal", "abnormal")
    table.to_csv(tmp_path / "labelled.csv", index=False)
    mammo.recalibrate(run, tmp_path / "labelled.csv", out=tmp_path / "model")


@pytest.mark.parametrize("kind", [lambda score: 2 * score - 1, lambda score: 4 * expit(score) - 2])
def test_a_curve_of_either_kind_is_found_and_no_other(kind):
    score = np.random.default_rng(0).normal(0, 2, 50)
    curve = curve_of(score, expit(kind(score)))
    assert curve(np.array([-3.0, 0.5])) == pytest.approx(kind(np.array([-3.0, 0.5])), abs=1e-6)
    assert curve_of(score, expit(np.sin(score))) is None and curve_of(score[:2], expit(score[:2])) is None


def test_a_table_of_a_spreadsheet_with_decimal_commas_gives_the_same(run, made, tmp_path):
    labelled(run, tmp_path / "points.csv")
    pd.read_csv(tmp_path / "points.csv").to_csv(tmp_path / "commas.csv", sep=";", decimal=",", index=False)
    again = mammo.recalibrate(run, tmp_path / "commas.csv", out=tmp_path / "model", sensitivity=0.9, prevalence=0.006)
    assert again.recalibration["operating"] == made.recalibration["operating"]


def test_a_score_that_is_missing_is_named_by_its_row(run, tmp_path):
    table = pd.read_csv(labelled(run, tmp_path / "ours.csv"))
    table.loc[5, "score"] = np.nan
    table.to_csv(tmp_path / "ours.csv", index=False)
    with pytest.raises(InputError, match="row 7: score is missing"):
        mammo.recalibrate(run, tmp_path / "ours.csv", out=tmp_path / "model")


def test_predictions_of_images_that_were_learnt_are_refused(run, tmp_path):
    table = pd.read_csv(labelled(run, tmp_path / "ours.csv"))
    first = run.learnt_images.iloc[0]
    table.loc[table["image_id"] == "film 0", ["image_id", "patient"]] = [first["image_id"], first["patient"]]
    table.to_csv(tmp_path / "ours.csv", index=False)
    with pytest.raises(InputError, match=rf"learnt from 1 of the patients \({first['patient']}\)"):
        mammo.recalibrate(run, tmp_path / "ours.csv", out=tmp_path / "model")
    table.replace(first["patient"], first["patient"].upper()).to_csv(tmp_path / "ours.csv", index=False)
    with pytest.raises(InputError, match=rf"almost the name of one .*\({first['patient'].upper()}\)"):
        mammo.recalibrate(run, tmp_path / "ours.csv", out=tmp_path / "model")
    status, output = ended(
        "recalibrate", run.path, tmp_path / "ours.csv", "--out", tmp_path / "m", "--sensitivity", "2"
    )
    assert status == 2 and "--sensitivity 2" in output


def test_films_are_read_as_the_run_read_its_own(run, tmp_path, monkeypatch):
    def tested(run, data, *_, **__):
        raise InputError(f"asked with voi {data.voi}")

    monkeypatch.setattr(external_test, "test", tested)
    monkeypatch.setattr(run.config.data, "voi", "none")
    pd.DataFrame({"path": ["a.dcm"], "patient": ["p"], "label": ["normal"]}).to_csv(tmp_path / "films.csv", index=False)
    for words, said in (((), "asked with voi none"), (["data.voi=first"], "data.voi=first: the run reads films with")):
        with pytest.raises(InputError, match=said):
            mammo.recalibrate(run, tmp_path / "films.csv", out=tmp_path / "model", settings=words)


def test_labelled_images_that_were_not_predicted_or_were_forced_are_counted(run, tmp_path):
    table = pd.read_csv(labelled(run, tmp_path / "ours.csv"), dtype="string")
    table.loc[table["image_id"] == "bad", "label"] = "normal"
    table.loc[table["image_id"] == "film 3", "reason"] = "forced, though unlike"
    notes = labelled_predictions(run, table, "ours.csv")[1]
    assert [note[:30] for note in notes] == ["left out: 1 labelled image tha", "1 image counts that is unlike "]


@pytest.mark.slow
def test_a_table_of_films_is_predicted_and_films_of_training_are_refused(run, phantom, tmp_path, monkeypatch):
    monkeypatch.setattr(recalibration, "FEWEST", 1)
    films = phantom.findings().drop_duplicates("image_id").merge(run.split[["image_id", "split"]])
    columns = ["path", "image_id", "patient", "laterality", "view", "spacing_mm", "severity"]
    films[films["split"] == "test"][columns].to_csv(tmp_path / "test.csv", index=False)
    films[films["split"] == "train"][columns].assign(patient=lambda of: "x" + of["patient"]).to_csv(
        tmp_path / "train.csv", index=False
    )
    with pytest.raises(InputError, match=r"told by the pixels of their films.* leave them out$"):  # not by the names
        mammo.recalibrate(run, tmp_path / "train.csv", out=tmp_path / "model")
    made = mammo.recalibrate(run, tmp_path / "test.csv", out=tmp_path / "model")
    notes = made.recalibration["notes"]  # the folder without `test` can be given away
    assert set(json.loads((made.path / "test/provenance.json").read_text())["notes"]).isdisjoint(notes)
    assert "test/report.md" in notes[0]
    table = run.predictions()[0]
    told = table[(table["split"] == "test") & (table["head"] == "svm")]
    assert operating_point(made, "svm").counts["samples"] == len(told)
    best = recalibration.thresholds(
        (told["label"] == "abnormal").to_numpy(), told["score"].to_numpy(), np.ones((1, len(told))), "youden"
    )
    assert operating_point(made, "svm").threshold == pytest.approx(best[0], rel=1e-6)
    assert (made.path / "test" / "report.md").is_file() and set(made.recalibration["operating"]) >= {"svm", "softmax"}
    again = mammo.recalibrate(run, made.path / "test" / "predictions.csv", out=tmp_path / "again")
    assert again.recalibration["operating"] == made.recalibration["operating"]


@pytest.mark.slow
def test_the_lines_of_the_page_run_as_they_stand(run, tmp_path, monkeypatch):
    """The line that trains is left to the documents' test, and the clinic has fewer patients."""
    monkeypatch.setattr(recalibration, "FEWEST", 1)
    monkeypatch.setattr(recalibration, "patients_needed", lambda sensitivity: 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(run.path)
    names, count = {}, 0
    for kind, block in re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        if kind == "python":
            exec(compile(block, "recalibrate.md", "exec"), names)
            continue
        for line in (line for line in block.splitlines() if line.startswith("mammo")):
            status, output = ended(*shlex.split(re.sub(r"--patients \d+", "--patients 8", line))[1:])
            assert status == 0, (line, output)
            count += 1
    assert count == 5
    assert names["table"]["notes"].str.contains("Recalibrated").all()
