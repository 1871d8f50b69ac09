"""Words of the command line reach the configuration as users write them."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException
from omegaconf import OmegaConf
from yaml import YAMLError

from mammo.cli.train import checked
from mammo.errors import InputError, message_for_user
from mammo.runs.compose import config_of
from mammo.runs.hydra_words import for_hydra, in_file, said_twice, written
from mammo.runs.plugins import load_plugins
from tests.conftest import by_hydra, composed


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (r"data.patient_from=(P\d+)_", r"(P\d+)_"),
        (r"data.patient_from='(P\d+)_'", r"(P\d+)_"),
        (r"data.patient_from=^(?P<patient>\w+?)_[LR]", r"^(?P<patient>\w+?)_[LR]"),
        ("data.table=/a b/Tabelle (neu) ä.csv", "/a b/Tabelle (neu) ä.csv"),
        ("data.table=it's.csv", "it's.csv"),
        ("data.columns.patient=Patient ID", {"patient": "Patient ID"}),
        ("data.columns.patient=Schlüssel (neu)", {"patient": "Schlüssel (neu)"}),
        ("data.columns={patient: ID}", {"patient": "ID"}),
        ("data.values.severity.bösartig?=malignant", {"severity": {"bösartig?": "malignant"}}),
        ("data.values.severity.4a=null", {"severity": {"4a": None}}),
        ("data.values.Patient ID.x.y=a=b", {"Patient ID": {"x.y": "a=b"}}),
        ("data.root=null", None),
        ("data.label_columns=[krank (sicher),ja]", ["krank (sicher)", "ja"]),
        ("data.label_columns=['krank, sicher', a: b?,1]", ["krank, sicher", "a: b?", 1]),
        ("task.column=Befund", "Befund"),
        ("data.parts=[mias,phantom]", ["mias", "phantom"]),
        (
            "data.parts=[mias,{name: table, table: a/b.csv, columns: {patient: ID}}]",
            ["mias", {"name": "table", "table": "a/b.csv", "columns": {"patient": "ID"}}],
        ),
        (
            r"data.parts=[mias,{name:table,table:/a b/ä.csv,patient_from: (P\d+)_,values: {view: {schräg: MLO}}}]",
            [
                "mias",
                {
                    "name": "table",
                    "table": "/a b/ä.csv",
                    "patient_from": r"(P\d+)_",
                    "values": {"view": {"schräg": "MLO"}},
                },
            ],
        ),
    ],
)
def test_a_word_is_taken_as_it_is_written(word, value):
    group, _, key = word.partition("=")[0].partition(".")
    assert getattr(getattr(config_of([word], {}), group), key.split(".")[0]) == value


def test_words_of_several_columns_are_one_setting_and_all_others_stay():
    line = ["-m", "data=table", "seed=1,2", "data.values.view.a=CC", "data.values.view.b=ML", "+trainer.x=1"]
    assert for_hydra(line)[:4] == ["-m", "data=table", "seed=1,2", "+trainer.x=1"]
    assert config_of(for_hydra(line[3:5]), {}).data.values == {"view": {"a": "CC", "b": "ML"}}
    assert for_hydra(for_hydra(line)) == for_hydra(line)  # a run that is resumed reads its own line
    for whole in ("data.values={view: {a: CC}}", "data.values.view={a: CC}", """data.values='{"view": {"a": "CC"}}'"""):
        assert config_of([whole, "data.values.view.b=ML"], {}).data.values == {"view": {"a": "CC", "b": "ML"}}
    parts = for_hydra(["data.parts=[mias,{name: table, table: ä.csv}]"])
    assert for_hydra(parts) == parts
    assert for_hydra(["task.positive=[bösartig, krank]"]) == ["task.positive=['bösartig', krank]"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed=1 seed=2", "seed is given twice, as 1 and as 2; 2 counts"),
        ("seed=1 model=compact ++seed=2", "seed is given twice, as 1 and as 2; 2 counts"),
        ("data.fold=1 data.fold=null", "data.fold is given twice, as 1 and as null; null counts"),
        ("-m seed=1,2 model=compact seed=3", "seed is given twice, as 1,2 and as 3; 3 counts"),
    ],
)
def test_a_key_with_two_values_is_told_by_the_program_and_by_the_other_verbs(line, said, capsys, caplog):
    checked(line.split())
    assert capsys.readouterr().err == f"{said}\n"
    config_of([word for word in line.split() if word != "-m" and "," not in word], {})
    assert ([said] if "," not in line else []) == caplog.messages


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data.values.view.a=CC data.values.view.a=MLO", "data.values.view.a is given twice, as CC and as MLO; "),
        ("data.values.view.a=CC data.values.view.a=null", "data.values.view.a is given twice, as CC and as null; "),
        ("data.values={view:{a:CC}} data.values.view.a=MLO", "data.values.view.a is given twice"),
    ],
)
def test_a_word_with_two_meanings_is_refused(line, said):
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        config_of(line.split(), {})


@pytest.mark.parametrize(
    "line",
    [
        "seed=1 seed=1 seed='1'",
        "model=compact model.image_size=32 +trainer.x=1 trainer.max_epochs=3",
        "~heads heads=[svm] data.values.view.a=CC data.values.view.b=CC data.values.view.a=CC",
        "data.values={view:{a:CC}} data.values={laterality:{a:left}} --config-dir a --config-dir b -m",
    ],
)
def test_a_value_said_again_and_all_that_is_no_second_value_pass(line):
    assert not said_twice(line.split())
    for_hydra(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "data=phantom model=compact trainer.max_epochs=2 split.shares=[0.5,0.25,0.25] crop=lesion",
        "experiment=behery2023_vgg16 model.image_size=32 heads=[svm]",
        "protocol=paper split=image +data.arguments.root=/x data._target_=tests.lab.Lab",
        "leak_study=all data.columns={patient: ID}",
    ],
)
def test_the_tests_compose_as_hydra_does(line):
    words = for_hydra(line.replace(": ", ":").split())
    assert OmegaConf.to_yaml(composed(*words)) == OmegaConf.to_yaml(by_hydra(*words))


PATHS = ["a b/ä", "x=y", "a,b", "[x]/y", "[x]", "#a", "a#b", "100%", "it's", "{a}", "12", "1e3", "true", " a", "a\\b"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_text_whatever_its_characters_mean_to_hydra(path):
    keys = ["data.root", "data.table", "model.weights", "hydra.run.dir"]
    found = composed(*for_hydra([f"{key}={path}" for key in keys[:3]]))
    assert [OmegaConf.select(found, key) for key in keys[:3]] == [path] * 3
    words = for_hydra([f"{key}={path}" for key in keys])
    assert for_hydra(words) == words  # a run that is resumed reads its own line
    assert OverridesParser.create().parse_override(words[3]).value() == path


def test_a_comma_separates_the_values_of_a_sweep_but_in_its_folder_and_in_quotes():
    words = ["-m", "model.weights=a,b", 'data.root="a,b"', "hydra.sweep.dir=a,b"]
    assert for_hydra(words) == [*words[:3], "hydra.sweep.dir='a,b'"]
    assert for_hydra(words[1:2]) == ["model.weights='a,b'"]


@pytest.mark.parametrize("value", ["a.csv", "/a b/ä,c=d.csv", "it's, x.csv", "[a]/x.csv", "null", "12", " a"])
def test_a_written_word_is_read_as_its_value(value):
    assert config_of([written("data.table", value)], {}).data.table == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colum: severity", r"task/mine\.yaml: task\.colum is no setting; did you mean task\.column\?"),
        ("ordered: [1]", r"task/mine\.yaml: "),
        ("name: [x", r"no YAML .*mine\.yaml.*line"),
    ],
)
def test_a_file_of_settings_that_cannot_be_read_is_one_line(tmp_path, text, said):
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").write_text(f"{text}\n")
    with pytest.raises((CompactHydraException, YAMLError)) as error:
        by_hydra("task=mine", f"hydra.searchpath=[file://{tmp_path}]")
    told = in_file(error.value) or message_for_user(error.value)
    assert "\n" not in told and re.search(said, told)


def test_a_detection_of_ones_own_needs_no_objective():
    classes = {"well": ["normal"], "ill": ["benign", "malignant"]}
    chosen = {"task": {"name": "mine", "kind": "detection", "classes": classes}}
    assert config_of(["data=phantom"], chosen).objective == "val/detector/auroc"


def test_a_plugin_that_ends_the_program_is_told(tmp_path):
    (tmp_path / "ends.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(InputError, match=r"plugins=.*ends\.py: SystemExit: 3"):
        load_plugins(str(tmp_path / "ends.py"))
