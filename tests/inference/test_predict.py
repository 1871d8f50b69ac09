"""Films of a run get to the last digit what its tables say; every file has a row; bad files end nothing."""

import json
import re
import shlex
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.datasets.film import read_film, write_picture
from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError
from mammo.inference import predict as predicting
from mammo.inference.answers import FIRST, LAST, Answers, row_of
from mammo.inference.build import build_predictor
from mammo.inference.films import films_of
from mammo.inference.operating import operating_point
from mammo.inference.predict import predict
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from tests.conftest import CONF
from tests.formats import ways

PAGE = (CONF.parent / "docs/how-to/predict.md").read_text()
BLOCKS = {kind: re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for kind in ("sh", "python")}
WHOLE = ("heads=[svm,knn]", "augment=none")
EVERY = ("heads=all", "augment=online", "augment.copies=1")
LESION = ("crop=lesion", "crop.windows_mm=[22.4,14.4]", "model.flips=horizontal", "augment=none", "heads=[svm,lda]")
GRID = ("crop=grid", "crop.window_mm=44.8", "heads=[lda]", "augment=none", "aggregate=mean")
DETECTOR = (
    *("task=detection", "model=compact", "model.maps=[compact@1]", "model.weights=null", "augment=none"),
    *("detector.axes=32", "detector.steps=60", "detector.spacing_mm=0.6", "detector.restarts=2"),
)
FLIPS = (*DETECTOR, "model.flips=vertical")
BLOCK = (*DETECTOR, "model.trainable=last_block", "detector.block_steps=4", "detector.block_lr=3e-4", "partner=false")


@pytest.fixture(scope="module")
def trained(shared_job):
    """Returns the run of some settings, which has finished."""

    def run(words):
        folder, _ = shared_job(*words)
        (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
        return mammo.load_run(folder)

    return run


@pytest.fixture(scope="module")
def listed(phantom, tmp_path_factory):
    """A table of the phantom's films, as a lab has one."""
    path = tmp_path_factory.mktemp("listed") / "films.csv"
    films = phantom.findings().drop_duplicates("image_id")
    films[["path", "image_id", "patient", "laterality", "view", "spacing_mm"]].to_csv(path, index=False)
    return path


def written(run, head):
    """The rows of a head in the run's own table, as text, without copies."""
    table = pd.read_csv(run.path / "predictions.csv", dtype=str)
    return table[(table["head"] == head) & (table["copy"] == "0")]


def digits(values):
    return [f"{value:.9g}" for value in np.asarray(values, np.float32)]


def samples(predictor, films, seen):
    """The samples of films, by image and patch, to the digits of a run's table."""
    found = {}
    for image, answer in zip(films.rows["image_id"], predictor.answers(seen), strict=True):
        columns = [digits(answer.samples[name]) for name in answer.samples if name == "score" or name[:2] == "p_"]
        found |= {(image, str(patch)): row for patch, row in enumerate(zip(*columns, strict=True))}
    return found


def one_by_one(ask, seen):
    """The digits of films that are asked about one at a time, and the sizes of the blocks for the last of them."""
    answers, plain, given = [], ask.outputs, []
    for number, film in enumerate(seen):
        if number == len(seen) - 1:  # before that, a full block is computed, and then sizes are compared
            ask.outputs = lambda block, size=None: given.append(len(block)) or plain(block, size)
        answers += [digits(answer.samples["score"]) for answer in ask.answers([film])]
    return answers, given


def test_films_that_come_one_by_one_get_the_same_digits_with_less_work(trained, listed):
    """Where this processor computes fewer films in the same way; a block stays full where it does not."""
    run = trained(WHOLE)
    for head in ("softmax", "svm", "knn"):
        ask = run.predictor(head)
        seen = [ask.see(ask.read(path)) for path in films_of([listed]).rows["path"].head(5)]
        together = [digits(answer.samples["score"]) for answer in ask.answers(seen)]
        alone, given = one_by_one(ask, seen)
        assert alone == together and given == ask.sizes[:1]
        assert ask.sizes[-1] == ask.rows


def test_a_block_stays_full_where_fewer_films_give_other_digits(trained, listed):
    ask = trained(WHOLE).predictor()
    plain = ask.outputs

    def differs(samples, block=None):
        features, logits = plain(samples, block)
        return features, logits * np.float32(1 + (len(samples) < 4) * 1e-6)

    ask.outputs = differs
    seen = [ask.see(ask.read(path)) for path in films_of([listed]).rows["path"].head(3)]
    assert one_by_one(ask, seen)[1] == [ask.sizes[0]] and 1 not in ask.sizes


SLOW = [pytest.param(words, marks=pytest.mark.slow) for words in (EVERY, GRID)]


@pytest.mark.parametrize("words", [WHOLE, *SLOW], ids=["whole", "every", "grid"])
def test_every_film_of_a_run_gets_what_its_predictions_say(trained, listed, words):
    """All parts, all heads, all digits; though the run predicted other films beside each, and in another order."""
    run, films = trained(words), films_of([listed])
    ask = run.predictor()
    seen = [ask.see(ask.read(row.path), laterality=row.laterality) for row in films.rows.itertuples()]
    for head in ("softmax", *run.selection["heads"]):
        told, found = written(run, head), samples(build_predictor(run, head), films, seen)
        columns = ["score", *(f"p_{name}" for name in run.provenance["classes"])]
        assert len(told) >= 32
        for row in told.to_dict("records"):
            assert found[row["image_id"], row["patch"]] == tuple(row[one] for one in columns), (head, row["image_id"])


@pytest.mark.slow
def test_every_lesion_of_a_run_gets_at_its_point_what_the_predictions_say(trained, phantom):
    """With two windows and a mirror image of each, which is six squares of a block."""
    run, findings = trained(LESION), phantom.findings().dropna(subset="x_px")
    for head in ("softmax", "svm", "lda"):
        ask, told = run.predictor(head), written(run, head).set_index(SAMPLE[:2])["score"]
        for row in findings.to_dict("records"):
            if (key := (row["image_id"], str(row["finding_id"]))) in told.index:
                answer = ask(ask.read(row["path"]), at=(row["x_px"], row["y_px"]), force=True)
                assert digits([answer.score]) == [told[key]], (head, key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "head"),
    [(DETECTOR, "detector"), (DETECTOR, "detector_partner"), (BLOCK, "detector"), (FLIPS, "detector")],
)
def test_every_film_of_a_detector_gets_its_score_and_its_marks(trained, listed, words, head):
    run = trained(words)
    answers = predict(build_predictor(run, head), films_of([listed]))
    told = written(run, head).set_index("image_id")["score"]
    rows = answers.table[answers.table["unit"] == "image"].set_index("image_id")
    assert rows["score"].to_dict() == told.to_dict()
    marks = pd.read_csv(run.path / "candidates.csv", dtype={"image_id": str})
    marks = marks[marks["head"] == head].set_index("image_id")
    for image, of in answers.marks.groupby("image_id"):
        assert np.array_equal(of.drop(columns=["path", "image_id"]), marks.loc[[image], of.columns[2:]]), image


@pytest.mark.slow
def test_a_detector_says_which_answers_needed_two_films(trained, listed, phantom):
    run, films = trained(DETECTOR), pd.read_csv(listed, dtype=str)
    both = predict(build_predictor(run), films_of([listed]), partners=True).table
    assert set(both["head"]) == {"detector", "detector_partner"}
    alone = predict(build_predictor(run), films_of([films["path"][0]]), partners=True).table
    assert list(alone["head"]) == ["detector"]  # nobody knows of a partner
    ask = run.predictor("detector_partner")
    answer = ask(ask.read(films["path"][0]))
    assert "no film of the other breast" in answer.notes[-1] and len(answer.marks) > 1
    assert run.predictor()(ask.read(films["path"][0])).score != answer.score
    with pytest.raises(InputError, match="1024 mm large"):
        ask.see(ask.read(films["path"][0]), spacing_mm=1.0)


def test_a_detector_without_the_second_head_answers_for_films_of_both_breasts_with_the_first():
    films = pd.DataFrame({"patient": "p", "exam": None, "view": "MLO", "laterality": ["left", "right"]})
    alone = SimpleNamespace(head="detector", points={"detector": None})
    assert predicting._by_head(alone, ["one", "two"], films, partners=True) == {"detector": ["one", "two"]}


def test_probabilities_are_calibrated_and_the_threshold_is_that_of_validation(trained, listed):
    run = trained(WHOLE)
    answers = predict(build_predictor(run, "svm"), films_of([listed]), force=True)
    told, numbers = run.predictions()[0], run.numbers
    classes, operating = run.provenance["classes"], operating_point(run, "svm")
    told = told[(told["head"] == "svm") & (told["copy"] == 0)].set_index("image_id")
    rows = answers.table[answers.table["unit"] == "image"].set_index("image_id")
    expected = operating.choices.calibrated(told.loc[rows.index, [f"p_{name}" for name in classes]].to_numpy(float))
    assert np.allclose(rows[[f"probability_{name}" for name in classes]].astype(float), expected, rtol=1e-6)
    threshold = numbers["operating"]["svm"]["threshold"]
    assert list(rows["called"]) == [classes[int(score > threshold)] for score in told.loc[rows.index, "score"]]
    lines = [line for line in answers.lines(every=True) if f"threshold {threshold:.4g})" in line and ".pgm: " in line]
    assert [" not above the" in line for line in lines] == [called == classes[0] for called in rows["called"]]
    reached = run.metrics("val")["svm"]
    assert set(rows["sensitivity"]) == {reached["sensitivity_at_threshold"].value}
    assert set(rows["specificity"]) == {reached["specificity_at_threshold"].value}
    of_patients = operating_point(run, "svm", "patient")
    assert of_patients.threshold == numbers["by_patient"]["operating"]["svm"]["threshold"]


@pytest.mark.slow
def test_a_patient_has_the_mean_of_the_films_and_a_breast_only_a_row_if_it_has_several(trained, listed):
    run = trained(WHOLE)
    table = predict(build_predictor(run), films_of([listed]), force=True).table
    assert table["unit"].value_counts().to_dict() == {"image": 32, "patient": 16}
    images, patients = (table[table["unit"] == unit].astype({"score": float}) for unit in ("image", "patient"))
    means = images.groupby("patient")["score"].mean()
    assert np.allclose(patients.set_index("patient")["score"], means[patients["patient"]], atol=1e-6)
    assert set(patients["films"]) == {2} and patients["image_id"].isna().all()
    asked = predict(build_predictor(run), films_of([listed]), units=["breast"], force=True).table
    assert set(asked["unit"]) == {"breast"} and len(asked) == 32
    alone = predict(build_predictor(run), films_of(list(images["path"][:2])), units=["patient"], force=True)
    assert alone.table.empty and "no patient is known" in alone.notes[0]


def test_films_whose_patient_or_side_is_not_known_belong_to_no_patient_or_breast(trained, listed, tmp_path):
    films = pd.read_csv(listed, dtype=str)[:4]
    films.loc[[0, 3], "patient"], films.loc[1, "laterality"] = None, None
    films.to_csv(tmp_path / "films.csv", index=False)
    films, units = films_of([tmp_path / "films.csv"]), ["breast", "patient"]
    answers = predict(build_predictor(trained(DETECTOR)), films, units=units, partners=True)
    table = answers.table
    assert set(table["head"]) == {"detector"}  # films of unknown patients are no pair
    assert (table["unit"] == "patient").sum() == 2 and (table["unit"] == "breast").sum() == 1
    assert any("no known laterality" in note for note in answers.notes)


def test_what_was_done_to_films_is_said_without_a_table_too():
    answers = Answers(SimpleNamespace(config=SimpleNamespace(task=SimpleNamespace(name="any"))), ["no", "yes"], ["all"])
    for name, head, notes in (("a", "x", ("all", "white is 9")), ("a", "y", ("alone",)), ("b", "x", ("white is 8",))):
        facts = {"status": "predicted", "path": name, "image_id": name, "head": head, "notes": notes}
        answers.rows.append(row_of("image", facts, {"no": 0.4, "yes": 0.6}))
    lines = [line for line in answers.lines(every=True) if line.startswith("note")]
    assert lines == [
        "note: all",
        "note: 2 images (a, b): white is 9 (numbers of the first; the others differ)",
        "note: 1 image (a): alone",
    ]
    assert not any("white" in line for line in answers.lines(every=False))


def test_what_breasts_and_exams_lack_is_said_once(trained, listed, tmp_path):
    films = pd.read_csv(listed, dtype=str)[:3].assign(patient="P", exam=["E1", "E2", None])
    films.to_csv(tmp_path / "films.csv", index=False)
    answers = predict(build_predictor(trained(WHOLE)), films_of([tmp_path / "films.csv"]), units=["breast", "exam"])
    assert sum("no exam" in note for note in answers.notes) == 1


def ended(*words):
    result = CliRunner().invoke(app, ["predict", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def folder(phantom, tmp_path):
    """Films with odd names, and files of other kinds."""
    inner = tmp_path / "films" / "Übung, zwei"
    inner.mkdir(parents=True)
    whole = (phantom.root / "mdb001.pgm").read_bytes()
    (inner / "links oben, größer.pgm").write_bytes(whole)
    (inner / "cut.pgm").write_bytes(whole[:-100])
    (inner / "=2+2.dcm").touch()
    (inner / "text.png").write_text("no picture")
    (inner / "notes.txt").write_text("no film")
    (inner / "black.pgm").write_bytes(b"P5\n64 64\n255\n" + bytes(64 * 64))
    (inner / ".hidden").touch()
    (tmp_path / "films" / "gone.pgm").symlink_to("nowhere")
    return tmp_path / "films"


def test_every_file_of_a_folder_has_a_row_and_bad_ones_end_nothing(trained, folder, tmp_path):
    run, out = trained(WHOLE), tmp_path / "new" / "predictions.csv"
    status, output = ended(run.path, folder, "--out", out)
    table = pd.read_csv(out, keep_default_na=False)
    assert status == 1 and "1 film predicted, 6 left out" in output and "1 hidden" in output
    assert len(table) == 7 and sum(table["status"] == "predicted") == 1
    assert "'=2+2" in set(table["image_id"]) and not table.astype(str).map(
        lambda one: one.startswith(("=", "+", "@"))
    ).any(axis=None)
    left = table[table["status"] == "left_out"]
    assert set(left["called"]) == {""} and left["reason"].str.len().min() > 10
    assert not left["reason"].str.contains(str(folder), regex=False).any()
    status, output = ended(run.path, folder, "--units", "patient")  # of which none is known
    assert status == 1 and "1 film predicted, 6 left out" in output
    status, output = ended(run.path, folder, "--out", out.with_suffix(".xlsx"))
    assert status == 2 and "ends in .csv" in output
    assert ended(run.path, folder, "--out", out) == (
        2,
        f"error: {out} exists and is not overwritten; name another file with --out or --marks\n",
    )


@pytest.mark.parametrize("error", [InputError("it has no spacing_mm"), MemoryError(), OSError(5, "gone")])
def test_what_goes_wrong_with_one_film_is_its_reason(trained, listed, monkeypatch, error):
    predictor, films = build_predictor(trained(WHOLE)), films_of(pd.read_csv(listed)["path"][:3])
    honest = predictor.see

    def see(film, *, name, **facts):
        if name == "mdb002":
            raise error
        return honest(film, name=name, **facts)

    monkeypatch.setattr(predictor, "see", see)
    table = predict(predictor, films).table
    assert list(table["status"]) == ["predicted", "left_out", "predicted"] and table["reason"][1]


def test_a_film_gives_the_same_alone_in_a_folder_and_from_python(trained, folder, phantom):
    run = trained(WHOLE)
    status, output = ended(run.path, phantom.root / "mdb001.pgm", "--json", "--head", "knn")
    said = json.loads(output)
    assert status == 0 and (said["positive"], said["task"]) == ("abnormal", "abnormality")
    (row,) = said["predictions"]
    table = mammo.predict(run, folder, "knn")
    assert digits([row["score"]]) == list(table["score"].dropna())
    assert said["operating"][0]["threshold"] == row["threshold"] and row["probabilities"].keys() == {
        "normal",
        "abnormal",
    }
    assert any("0.2 mm is assumed" in note for note in row["notes"])


@pytest.mark.slow
def test_a_point_names_the_lesion_and_without_one_the_breast_is_searched(trained, phantom):
    run, lesion = trained(LESION), phantom.findings().dropna(subset="x_px").iloc[0]
    status, output = ended(run.path, lesion["path"], "--at", f"{lesion['x_px']},{lesion['y_px']}", "--json")
    (row,) = json.loads(output)["predictions"]
    assert status == 0 and row["threshold"] is not None
    status, output = ended(run.path, lesion["path"], "--json")
    (row,) = json.loads(output)["predictions"]
    assert status == 0 and row["threshold"] is None and "all over the breast" in row["notes"][-1]
    both = phantom.findings().query("patient == @lesion.patient")["path"].unique()
    status, output = ended(run.path, *both, "--units", "image,breast", "--json")
    found = json.loads(output)
    assert status == 0 and not found["operating"] and any("no threshold was chosen" in note for note in found["notes"])
    assert all(row["threshold"] is None and "all over the breast" in str(row["notes"]) for row in found["predictions"])
    assert "positive above" not in ended(run.path, lesion["path"])[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{run}", "{empty}"], "no file is in this folder"),
        (["{run}", "nowhere.png"], "error: nowhere.png: no such file or folder; name films"),
        (["{run}", "nowhere/a.png", "b.csv", "data.spacing_mm=0.1"], "no such file or folder, nor for 1 other name; "),
        (["{run}", "nowhere.png", "--json"], '"reason": "it cannot be read (No such file'),
        (["{run}", "nowhere.png", "{film}/b.png", "{link}"], "0 films predicted, 3 left out"),
        (["{run}", "{film}", "--head", "svmm"], "no head svmm; it has softmax, svm"),
        (["{run}", "{film}", "--at", "4;5"], "--at 4;5: expected x,y"),
        (["{run}", "{film}", "", "--at", "4,5"], "the name of a film is empty"),
        (["{run}", "{film}", "--at", "4,5"], "crop=whole looks at whole films"),
        (["{run}", "{film}", "{film}2", "--at", "4,5"], "a point is for one film"),
        (["{run}", "{film}", "--units", "woman"], "unit woman: expected image, breast"),
        (["{run}", "{film}", "--marks", "marks.csv"], "is no detector"),
        (["{run}", "{film}", "data.voi=none"], "data.voi=none does nothing here"),
        (["{run}", "{film}", "data.root=films"], "data.root=films is for a table of films, and none is named"),
        (["{lesion}", "{film}", "--at", "2000,3"], "the point 2000,3 is outside the film of 1024 x 1024 pixels"),
        (["{lesion}", "{film}", "--at", "nan,3"], "the point nan,3 is outside the film"),
        (["{detector}", "{film}", "--out", "{empty}/marks.csv"], "would hold the answers and the marks"),
        (["{empty}", "{film}"], "it has no provenance.json"),
    ],
)
def test_where_nothing_can_be_done_it_is_said_and_the_status_is_2(trained, phantom, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.png").symlink_to("nowhere.png")
    places = {"run": trained(WHOLE).path, "empty": tmp_path / "empty", "film": phantom.root / "mdb001.pgm"}
    places["link"] = tmp_path / "link.png"
    places |= {
        name: trained(of).path for name, of in (("lesion", LESION), ("detector", DETECTOR)) if f"{{{name}}}" in words
    }
    status, output = ended(*[word.format(**places) for word in words])
    assert status == 2 and said in output


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("films.txt", "film.pgm\nfilm.pgm\n", "begins with a film, film.pgm, and not with a header"),
        ("films.xls", "\xd0\xcf\x11\xe0", "a file of old Excel"),
    ],
)
def test_a_table_that_is_none_says_what_it_is(tmp_path, name, content, said):
    (tmp_path / "film.pgm").write_bytes(b"P5 1 1 255\n\0")
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=re.escape(said)):
        films_of([tmp_path / name])


def test_paths_from_python_come_in_any_order_of_things_but_no_table_or_text_is_taken_apart(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 1 1 255\n\0")
    assert list(films_of(tmp_path.glob("*.pgm")).rows["path"]) == [str(tmp_path / "a.pgm")]
    with pytest.raises(InputError, match="a table in memory"):
        films_of(pd.DataFrame({"path": ["a.pgm"]}))
    with pytest.raises(InputError, match="units='patient' is one text"):
        predicting.check_units("patient")


def test_a_film_in_two_files_is_told(tmp_path):
    for name, uid in (("a.dcm", "1.2.3"), ("b.dcm", "1.2.3"), ("c.dcm", "1.2.4"), ("d.dcm", None)):
        (tmp_path / name).write_bytes(ways.dicom(ways.X, SOPInstanceUID=uid))
    one, two = films_of([tmp_path]), films_of([tmp_path / "a.dcm", tmp_path / "c.dcm"])
    assert len(one.rows) == 4 and [note[:40] for note in one.notes] == ["1 file states the SOPInstanceUID of anot"]
    assert two.notes == []


def test_a_film_under_two_names_is_told_by_what_the_network_sees(trained, listed, tmp_path):
    first, second, *_ = pd.read_csv(listed)["path"]
    for name, of in (("a.pgm", first), ("b.png", first), ("c.pgm", second)):
        write_picture(tmp_path / name, read_film(of).pixels)
    ask = trained(WHOLE).predictor()
    (note,) = (one for one in predict(ask, films_of([tmp_path])).notes if "features" in one)
    assert note.startswith("1 film has exactly") and "b.png those of a.pgm" in note
    assert not any("features" in one for one in predict(ask, films_of([first, second])).notes)


def test_sheets_that_are_not_read_are_told_after_the_columns(tmp_path):
    with pd.ExcelWriter(tmp_path / "films.xlsx") as book:
        for sheet, column in (("readme", "note"), ("films", "path")):
            pd.DataFrame({column: ["x"]}).to_excel(book, sheet_name=sheet, index=False)
    with pytest.raises(InputError, match="<one of note>; the workbook has 2 sheets"):
        films_of([tmp_path / "films.xlsx"])


def test_a_table_whose_path_is_not_told_is_refused_and_takes_the_words_of_training(trained, listed, tmp_path):
    films = pd.read_csv(listed, dtype=str)[:2].rename(columns={"path": "Ort", "patient": "Fall"})
    films.to_csv(tmp_path / "films.csv", sep=";", index=False)
    with pytest.raises(InputError, match=r"data\.columns\.path=<one of Ort"):
        films_of([tmp_path / "films.csv"])
    words = ["data.columns.path=Ort", "data.columns.patient=Fall"]
    status, output = ended(trained(WHOLE).path, tmp_path / "films.csv", *words)
    assert status == 0 and "2 films predicted" in output


@pytest.mark.slow
def test_the_lines_of_the_page_run_as_they_stand(trained, listed, phantom, tmp_path, monkeypatch):
    """The line that trains is left to the documents' test; other runs stand for its."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name, words in (("first", WHOLE), ("lesion", LESION), ("detector", DETECTOR)):
        (tmp_path / "runs" / name).symlink_to(trained(words).path)
    shutil.copy(phantom.findings().dropna(subset="x_px")["path"].iloc[0], "film.pgm")
    shutil.copy(listed, "films.csv")
    lines = [line for block in BLOCKS["sh"] for line in block.splitlines() if line.startswith("mammo")]
    left = ("mammo bench", "mammo predict runs/first --self-test")  # the first takes long; see test_self_test
    lines = [line for line in lines if not line.startswith(left)]
    assert len(lines) == 7
    for line in lines:
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        beyond = "--at 512,300" in line and "no window can be cut" in result.output  # of this film's breast
        unlike = result.exit_code == 1 and "as may be" in result.output  # of a small run
        assert result.exit_code == 0 or beyond or unlike, (line, result.output)
    assert set(pd.read_csv("forced.csv")["status"]) == {"predicted"}
    assert set(pd.read_csv("detected.csv")["head"]) == {"detector", "detector_partner"}
    assert len(pd.read_csv("marks.csv")) > 100
    names = {}
    exec(compile(BLOCKS["python"][0], "predict.md", "exec"), names)
    assert digits([names["answer"].score]) == [names["table"]["score"][0]]
    columns = re.findall(r"`(\w+)`(?=[^|]*\|)", PAGE.partition("| column |")[2].partition("\n\n")[0])
    assert {one for one in FIRST + LAST} <= {*columns, "unit"}


def test_a_run_that_was_tested_elsewhere_is_named_instead_of_its_test(trained, tmp_path):
    run = trained(WHOLE)
    shutil.copytree(run.path, tmp_path / "test")
    origin = json.loads((tmp_path / "test" / "provenance.json").read_text())
    (tmp_path / "test" / "provenance.json").write_text(
        json.dumps(origin | {"external_test": {"run": str(run.path), "operating": {}}})
    )
    with pytest.raises(InputError, match="external test of the run"):
        build_predictor(RunFolder(tmp_path / "test"))
