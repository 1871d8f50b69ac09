"""An option that is given twice is not passed over: it adds up, or it is refused."""

import pytest

from mammo.cli import main, reports
from mammo.errors import DEBUG, InputError, content_of
from tests.evaluation.tables import predictions, run_folder


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "t.csv", "--by", "a", "--by", "b"],
        ["evaluate", "t.csv", "--threshold", "0.5", "--threshold=0.6"],
        ["predict", "run", "film.png", "--head", "svm", "--head", "lda"],
        ["data", "init", "films", "--out", "a.csv", "--out", "b.csv"],
    ],
)
def test_an_option_that_is_given_twice_is_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main.app(words)
    said = capsys.readouterr().err
    assert ended.value.code == main.BAD_INPUT and "given twice" in said and said.count("\n") == 1


def test_columns_add_up_and_name_each_column_once():
    assert reports.named_columns(["score=mine", "label=truth, patient=P"]) == {
        "score": "mine", "label": "truth", "patient": "P",
    }  # fmt: skip
    with pytest.raises(InputError, match="--columns names a column for score twice"):
        reports.named_columns(["score=a", "score=b"])


def test_a_run_whose_facts_lack_a_key_is_one_line(tmp_path):
    folder = run_folder(tmp_path / "run", table := predictions(6))
    other = run_folder(tmp_path / "other", table)
    one = table.drop_duplicates("image_id").assign(radius_px=None, spacing_mm=0.2, contrast=0.0)
    one.to_csv(folder / "samples.csv", index=False)
    one[["image_id", "patient", "split"]].to_csv(folder / "split.csv", index=False)
    (folder / "split_audit.json").write_text('{"patients_in_two_splits": []}')
    for command in (lambda: reports.report([folder]), lambda: reports.compare([other, folder])):
        with pytest.raises(InputError, match=rf"{folder}: it is damaged.*'images_in_two_splits'.*{DEBUG}=1 shows"):
            command()


@pytest.mark.parametrize(
    ("words", "inside"),
    [
        (["report"], "mammo.reports.run.write"),
        (["card"], "mammo.reports.card.model_card"),
        (["run", "errors"], "mammo.runs.mistakes.mistakes"),
        (["compare", "other"], "mammo.run_folder.leaks"),
    ],
)
def test_a_fault_of_the_program_that_is_told_as_damage_shows_its_traceback_if_it_is_asked_for(
    words, inside, tmp_path, monkeypatch, capsys, caplog
):
    def fault(*_):
        return {}["a fault"]

    for name in ("run", "other"):
        (run_folder(tmp_path / name, predictions(6)) / "finished.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inside, fault)
    for asked in (False, True):
        monkeypatch.setenv(DEBUG, "1" * asked)
        with pytest.raises(SystemExit) as ended:
            main.app([*words, "run"])
        assert ended.value.code == main.BAD_INPUT and "(KeyError: 'a fault')" in capsys.readouterr().err
        assert ("in fault" in caplog.text) == asked


@pytest.mark.parametrize("wrapped", [False, True])
def test_ctrl_c_is_told_as_such_while_a_library_is_imported_too(wrapped, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        if not wrapped:
            raise KeyboardInterrupt
        with content_of(tmp_path):
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as error:
                raise RuntimeError("Error calling __set_name__") from error

    monkeypatch.setattr("mammo.run_folder.leaks", interrupted)
    for name in ("run", "other"):
        (run_folder(tmp_path / name, predictions(6)) / "finished.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        main.app(["compare", str(tmp_path / "run"), str(tmp_path / "other")])
    assert (ended.value.code, capsys.readouterr().err.strip()) == (main.INTERRUPTED, "stopped")


@pytest.mark.parametrize("words", [["card"], ["explain", "x"]])
def test_a_model_in_one_file_is_told_from_a_folder_that_is_no_run(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(SystemExit) as ended:
        main.app([words[0], "model.onnx", *words[1:]])
    said = capsys.readouterr().err
    assert ended.value.code == main.BAD_INPUT and "model.onnx is a file, and of models in one file (ONNX) only" in said
