"""A model card says what the run's files say, and nothing that they do not; it names nobody."""

import json
import re
import shutil
from html.parser import HTMLParser
from unittest.mock import ANY

import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.datasets.findings import PARTS
from mammo.errors import InputError
from mammo.evaluation.segmentation import MEASURES, SEGMENTS
from mammo.files import read_json, write_json
from mammo.processes.resume import FINISHED
from mammo.reports import html, segmentation
from mammo.reports.card import model_card
from mammo.reports.markdown import plain
from mammo.run_folder import RunFolder

WHOLE = ("heads=[svm,knn]", "augment=none")
DETECTOR = (
    *("task=detection", "model=compact", "model.maps=[compact@1]", "model.weights=null", "augment=none"),
    *("detector.axes=32", "detector.steps=60", "detector.spacing_mm=0.6", "detector.restarts=2"),
)
ALL = ("auroc", "sensitivity_at_threshold", "specificity_at_threshold")
SECTIONS = [
    *("The model", "Intended use", "Data", "Protocol", "Preprocessing", "Training", "Results on the test part"),
    *("Calibration", "Subgroups", "Where it looks", "Other films", "Limits", "Licences and digests"),
]


@pytest.fixture(scope="module")
def of(shared_job):
    """Returns the finished run of some settings."""

    def run(words):
        folder, _ = shared_job(*words)
        (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
        return RunFolder(folder)

    return run


@pytest.fixture(scope="module")
def run(of):
    return of(WHOLE)


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the run that a test may change."""
    shutil.copytree(run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def change(path, **values):
    write_json(read_json(path) | values, path)


def part(text, name):
    """The text of a section."""
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def row(text, first):
    """The cells of the first row of a table that begins with a cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_numbers_are_those_of_the_run_by_sample_and_by_patient(run):
    text = model_card(run).markdown()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    both = ("sensitivity", "specificity")
    for unit in (None, "patient"):
        results = part(text, "Results on the test part").partition("By patient")[0 if unit is None else 2]
        found = run.metrics("test", unit)
        assert row(results, "auroc") == [str(one["auroc"]) for one in found.values()]
        at = [str(run.metrics(of, unit)["svm"][f"{name}_at_threshold"]) for of in ("val", "test") for name in both]
        threshold = (run.numbers if unit is None else run.numbers["by_patient"])["operating"]["svm"]["threshold"]
        assert row(text, f"svm, by {unit or 'image'}") == [f"{threshold:.4g}", "youden", *at]
    assert row(part(text, "Calibration"), "brier_calibrated") == [
        str(run.metrics("test")[head]["brier_calibrated"]) for head in ("softmax", "svm", "knn")
    ]


def test_films_and_patients_are_counted_by_part_and_subgroup(run):
    text, samples = model_card(run).markdown(), run.samples
    data = part(text, "Data")
    parts = {name: samples[samples["split"] == name] for name in PARTS}
    assert row(data, "images") == [str(one["image_id"].nunique()) for one in parts.values()]
    assert row(data, "patients") == [str(one["patient"].nunique()) for one in parts.values()]
    for column in ("laterality", "view", "density", "finding"):
        for word in samples[column].unique():
            counted = [str(one.loc[one[column] == word, "image_id"].nunique()) for one in parts.values()]
            assert row(data, f"{column} {word}") == counted
    tested = parts["test"]
    for column in ("laterality", "density", "view"):
        for word, rows in tested.groupby(column):
            counted = [str(rows["image_id"].nunique()), str(rows["patient"].nunique())]
            assert row(part(text, "Subgroups"), f"{column} {word}")[:2] == counted
    every = [str(run.metrics("test")["softmax"][name]) for name in ALL]  # all films are of one view
    assert row(part(text, "Subgroups"), "view MLO")[2:] == every


@pytest.mark.slow
def test_nobody_and_no_place_is_named(run, of):
    for one in (run, of(DETECTOR)):
        card = model_card(one)
        for text in (card.markdown(), card.html()):
            names = {*one.samples["image_id"], *one.samples["patient"], str(one.path), one.path.name}
            assert not [name for name in names if name in text]
            assert "/" not in re.sub(
                r"</?\w+[^>]*>|<!doctype html>|1/[248]|\w+/\w+|1\.55|/\*", "", part(text, "Training")
            )


@pytest.mark.slow
def test_what_is_not_recorded_is_said_to_be_unknown(copied):
    path = copied.path / "provenance.json"
    known = model_card(copied).markdown()
    assert "cutting" in part(known, "Preprocessing") and "not recorded" not in part(known, "Preprocessing")
    origin = read_json(path)
    for key in ("preprocessing", "dataset_digest", "versions", "git_commit", "devices"):
        del origin[key]
    write_json(origin, path)
    (copied.path / "likeness.safetensors").unlink(missing_ok=True)
    text = model_card(copied).markdown()
    assert "Version of the preprocessing: not recorded" in text and "commit not known" in text
    assert row(text, "images, patients and pixels") == ["not known"]
    assert "refuses no film" in part(text, "Intended use")
    shutil.rmtree(copied.path / "checkpoints")
    assert "not known" in row(model_card(copied).markdown(), "the model: weights, heads and choices")[0]


@pytest.mark.filterwarnings("error:'str' is not supported")
def test_labels_of_which_no_grounds_are_stated_are_a_limit(copied):
    samples = pd.read_csv(copied.path / "samples.csv", dtype=str)
    samples.assign(severity_source=None).to_csv(copied.path / "samples.csv", index=False)
    count = (samples["split"] == "test").sum()
    assert f"labels of {count} of {count} test samples" in part(model_card(copied).markdown(), "Limits")


def test_leaks_and_chance_are_limits(copied):
    assert "none found" in part(model_card(copied).markdown(), "Protocol")
    leak = {"kind": "selected_on_test", "n": 8, "text": "epoch and heads were chosen on the test part"}
    change(copied.path / "metrics.json", leaks=[leak])
    text = model_card(copied).markdown()
    assert "epoch and heads were chosen on the test part (n = 8)" in part(text, "Protocol")
    assert "selected_on_test" in part(text, "Limits")
    area = copied.metrics("test")["svm"]["auroc"]
    assert f"{area.low:.3f} to {area.high:.3f}" in part(text, "Limits")
    assert ("chance lies in it" in part(text, "Limits")) == any(
        one["auroc"].low <= 0.5 <= one["auroc"].high for head, one in copied.metrics("test").items()
        if head in ("softmax", "svm", "knn")
    )  # fmt: skip


def test_a_detector_has_its_own_numbers(of):
    detector = of(DETECTOR)
    text = model_card(detector).markdown()
    found = detector.numbers["detection"]["test"]
    assert row(text, "CPM")[0].startswith(f"{found['detector']['cpm']['value']:.3f}")
    assert "Lesions found by subgroup: detector" in part(text, "Subgroups") and "marks suspicious places" in text


def test_a_segmenter_has_its_own_numbers(copied):
    """The run is that of a classifier, whose films get regions here."""
    samples, origin = copied.samples, copied.provenance
    ill = samples["label"] == "abnormal"
    numbers = {name: ill.map({True: 0.5, False: None}) for name in MEASURES} | {"area_mm2": 9.0, "area_px": 225.0}
    heads = [samples.assign(head=head, source="mask", **numbers)[SEGMENTS] for head in ("segmenter", "empty")]
    pd.concat(heads).to_csv(copied.path / "segments.csv", index=False)
    origin["config"]["task"]["kind"] = "segmentation"
    write_json(origin, copied.path / "provenance.json")
    change(copied.path / "selection.json", segmenter={"level": 0.5, "how": "fixed"})
    change(copied.path / "metrics.json", **segmentation.write(RunFolder(copied.path)).facts)
    text = model_card(copied.path).markdown()
    assert row(text, "Dice, images with a true region")[0].startswith("0.500 (")
    assert row(text, "share of images without a region where something was found")[0].startswith("1.000 (")
    assert "outlines the region of lesions" in text and "mean logit of the hottest pixels" in text
    found = part(text, "Subgroups").partition("Regions of the segmenter:")[2]
    tested = samples[samples["split"] == "test"]
    assert row(found, "severity normal")[:3] == [str((tested["severity"] == "normal").sum()), ANY, "-"]


def test_an_external_test_is_shown_beside_the_own_one_and_another_runs_is_refused(copied, run, tmp_path):
    test = tmp_path / "test"
    test.mkdir()
    write_json(copied.provenance | {"external_test": {"run": "../run"}, "dataset": {"name": "theirs"}},
               test / "provenance.json")  # fmt: skip
    value = {"value": 0.6, "low": 0.5, "high": 0.7}
    shift = {"svm": {"auroc": {"here": value, "own": value | {"value": 0.65}, "difference": value | {"value": -0.05}}}}
    write_json({"n": {"test": {"samples": 40, "patients": 20}}, "leaks": [], "shift": shift}, test / "metrics.json")
    text = model_card(copied, [test]).markdown()
    assert row(part(text, "Other films"), "svm, AUROC (ranking)") == [
        "0.600 (0.500 to 0.700)", "0.650 (0.500 to 0.700)", "-0.050 (+0.500 to +0.700)"
    ]  # fmt: skip
    assert "theirs" in text and "No external test" not in text
    with pytest.raises(InputError, match="mammo test"):
        model_card(run, [test])
    with pytest.raises(InputError, match="external test"):
        model_card(test)


class Page(HTMLParser):
    """The words of a page, the addresses that it would load, and its heads."""

    def __init__(self, text):
        super().__init__()
        self.words, self.addresses, self.scopes, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self.scopes += [value for name, value in attributes if name == "scope"]

    def handle_data(self, data):
        self.words += data.split()


def test_the_page_says_the_same_words_and_loads_nothing(run):
    card = model_card(run)
    page = Page(card.html())
    assert all(address.startswith("#") for address in page.addresses) and len(page.addresses) == len(SECTIONS)
    assert set(page.scopes) == {"col", "row"} and {"h1", "nav", "main"} <= set(page.tags)
    words = re.sub(r"[|`*#]|^- |^  - |\\", " ", card.markdown(), flags=re.MULTILINE).replace("---", " ").split()
    shown = "".join(page.words)
    assert not [word for word in words if word not in shown]
    assert "prefers-color-scheme: dark" in card.html() and 'name="viewport"' in card.html()


def test_names_from_outside_stay_text(copied):
    hostile = "<script>alert(1)</script> [x](javascript:alert(1)) *a* `b`"
    change(copied.path / "provenance.json", dataset={"name": "d", "licence": hostile, "citation": hostile})
    page = Page(model_card(copied).html())
    assert "script" not in page.tags and all(address.startswith("#") for address in page.addresses)
    assert hostile.replace(" ", "") in "".join(page.words)
    assert Page(html.page(f"# a\n\n{plain(hostile)}\n")).words[-4:] == hostile.split()


def test_the_digest_tells_models_apart_and_not_copies(run, copied):
    first = copied.digest
    assert first == run.digest and f"`{first}`" in model_card(copied).markdown()
    head = copied.path / "heads/svm.skops"
    kept = head.read_bytes()
    head.write_bytes(kept + b" ")
    assert copied.digest != first
    head.write_bytes(kept)
    numbers = copied.numbers
    numbers["operating"]["svm"]["threshold"] += 1
    write_json(numbers, copied.path / "metrics.json")
    assert copied.digest != first


def test_the_command_writes_both_and_takes_finished_runs_only(copied, tmp_path):
    done = CliRunner().invoke(app, ["card", str(copied.path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0 and "written" in done.output
    card = model_card(copied)
    assert (tmp_path / "out/model_card.md").read_text() == card.markdown()
    assert (tmp_path / "out/model_card.html").read_text() == card.html()
    done = CliRunner().invoke(app, ["card", str(copied.path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and "name a new folder with --out" in done.output  # it may be the card of another run
    (copied.path / FINISHED).unlink()
    assert CliRunner().invoke(app, ["card", str(copied.path)]).exit_code == 2


def test_a_recalibrated_model_has_a_card_too(copied, tmp_path):
    value = {"value": 0.8, "low": 0.7, "high": 0.9}
    told = {"run": "first", "n": {"films": {"samples": 80, "patients": 40}}, "operating": {"svm": {"threshold": 1.0}},
            "films": {"svm": {"sensitivity_at_threshold": value}}, "before": {"svm": {}}}  # fmt: skip
    made = RunFolder(shutil.copytree(copied.path, tmp_path / "made"))
    (made.path / "recalibration.json").write_text(json.dumps(told))
    text = model_card(copied, model=made).markdown()
    assert row(text, "sensitivity on these films") == ["0.800 (0.700 to 0.900)", "-"]
    assert "80 samples of 40 patients" in text and "made of the run first" in text
    assert made.digest != copied.digest and f"`{made.digest}`" in text
