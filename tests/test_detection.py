"""A detector from settings to tables, on the phantom: what it finds, must not learn from, and refuses."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.config import Config
from mammo.datasets.geometry import CIRCLE
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError
from mammo.evaluation.external import read_external
from mammo.evaluation.lesion_windows import BRIGHTNESS, DRAWINGS, HEAT
from mammo.reports import run as report
from mammo.run_folder import RunFolder
from mammo.runs import checks, external_test
from mammo.runs.train import train
from mammo.training import detection_data, film_maps
from mammo.training.detection_data import DetectionDataModule
from mammo.training.place_guard import targets_for
from tests.conftest import SHARES, SMALL, resolved

ROOT = Path(__file__).parents[1]

QUICK = [
    *("task=detection", "model=compact", "model.maps=[compact@1]", "model.weights=null", "augment=none"),
    *("detector.axes=32", "detector.steps=60", "detector.spacing_mm=0.6", "detector.restarts=2"),
]
FINE = ["detector.axes=64", "detector.steps=300", "detector.spacing_mm=0.3"]  # enough to find what is drawn


@pytest.fixture(scope="module")
def run(job):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write", lambda folder: {})  # which takes as long as the training; see tests/reports
        return RunFolder(job(*QUICK)[0])


def table(run, name):
    return pd.read_csv(run.path / name, dtype={"image_id": str, "patient": str})


def by_head(run):
    found = table(run, "predictions.csv")
    return {head: rows.set_index("image_id")["score"] for head, rows in found.groupby("head")}


def test_an_image_has_a_row_for_each_head_and_a_score_less_half_of_its_partners(run):
    scores = by_head(run)
    assert set(scores) == {"detector", "detector_partner", "shortcuts", "majority"}
    pairs = table(run, "samples.csv").groupby("patient")["image_id"].apply(list)
    for first, second in pairs:
        assert np.isclose(scores["detector_partner"][first], scores["detector"][first] - scores["detector"][second] / 2)


def test_a_score_is_the_mean_of_the_hottest_places_so_its_first_mark_is_above_it(run):
    marks = table(run, "candidates.csv")
    first = marks[marks["head"] == "detector"].drop_duplicates("image_id").set_index("image_id")["score"]
    own = by_head(run)["detector"]
    assert (first[own.index] >= own - 1e-5).all()
    assert marks.groupby(["head", "image_id"])["score"].apply(lambda s: s.is_monotonic_decreasing).all()


@pytest.mark.slow
def test_lesions_that_trained_are_found_where_they_lie_on_left_and_right_films(job, unreported):
    run = RunFolder(job(*QUICK, *FINE)[0])
    marks, lesions = table(run, "candidates.csv"), table(run, "lesions.csv")
    first = marks[marks["head"] == "detector"].drop_duplicates("image_id").set_index("image_id")[["x_px", "y_px"]]
    trained = lesions[lesions["split"] == "train"].drop_duplicates("image_id", keep=False)
    assert set(trained["laterality"]) == {"left", "right"}
    apart = np.hypot(*(first.loc[trained["image_id"]].to_numpy() - trained[["x_px", "y_px"]].to_numpy()).T)
    half = 16 * 2 * 0.3 / 0.2 / 2 * 2**0.5  # of the distance of two places, across a corner, in pixels of the film
    assert (apart <= np.maximum(trained["radius_px"], half)).mean() >= 0.7


def test_baselines_have_marks_too(run):
    heads = set(table(run, "candidates.csv")["head"])
    assert heads == {"detector", "detector_partner", "position_prior", "brightest_blob", "blob_minus_surround"}


def test_a_mark_falls_with_the_score_of_the_other_breast_and_stays_where_it_is(run):
    marks, scores = table(run, "candidates.csv"), by_head(run)
    own, both = (marks[marks["head"] == head].reset_index(drop=True) for head in ("detector", "detector_partner"))
    assert own.drop(columns=["head", "score"]).equals(both.drop(columns=["head", "score"]))
    lower = (scores["detector"] - scores["detector_partner"])[own["image_id"]].to_numpy()
    assert np.allclose(own["score"] - both["score"], lower, atol=1e-5) and lower.any()


def test_its_heat_in_lesion_windows_of_test_films_is_a_table_that_evaluate_reads(run):
    found, samples = read_external(run.path / "windows.csv"), run.samples
    heads = {f"{name}_{drawing}" for name in (HEAT, BRIGHTNESS) for drawing in DRAWINGS}
    assert set(found.table["head"]) == heads and found.classes == ["normal", "abnormal"]
    assert set(found.table["image_id"]) <= set(samples.loc[samples["split"] == "test", "image_id"])


@pytest.mark.slow
def test_the_checkpoint_holds_all_that_the_scores_need(run, unreported, tmp_path):
    train(resolved("fit=false", f"ckpt_path={run.path}"), tmp_path)
    assert by_head(RunFolder(tmp_path))["detector"].equals(by_head(run)["detector"])


@pytest.mark.slow
def test_other_films_are_marked_and_judged_by_the_same_rule(run, tmp_path):
    report.write(run.path)
    (run.path / "finished.json").write_text("{}")  # which the program writes
    external_test.test(run, replace(run.config.data, film_seed=1, patients=3, root=None), tmp_path / "test")
    tested = RunFolder(tmp_path / "test")
    assert set(table(tested, "candidates.csv")["head"]) == {
        *("detector", "detector_partner", "brightest_blob", "blob_minus_surround")
    }
    assert "## Where the lesions are" in tested.report and set(by_head(tested)) >= {"detector", "detector_partner"}


@pytest.mark.slow
def test_without_a_partner_there_is_one_head(job, unreported):
    folder, _ = job(*QUICK, "partner=false", "detector.steps=8")
    assert set(by_head(RunFolder(folder))) == {"detector", "shortcuts", "majority"}


@pytest.mark.slow
def test_a_run_that_was_stopped_among_its_maps_makes_the_others_alone_and_ends_as_if_it_was_not(
    run, job, no_trunks, monkeypatch, unreported
):
    honest, seen = film_maps.find_breast, []

    def stopping(*given):
        if len(seen) == 5:
            raise Stopped
        seen.append(given[-1])
        return honest(*given)

    monkeypatch.setattr(film_maps, "WRITTEN_BYTES", 0)  # each film is written at once
    monkeypatch.setattr(film_maps, "find_breast", stopping)
    with pytest.raises(Stopped):
        job(*QUICK)
    before, seen[:5] = seen[:5], [None] * 6
    again = RunFolder(job(*QUICK)[0])
    assert sorted(before + seen[6:]) == sorted(table(run, "samples.csv")["image_id"])
    for name in ("predictions.csv", "candidates.csv"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes()


@pytest.mark.slow
def test_a_map_that_is_added_is_made_alone(run, job, monkeypatch, unreported):
    honest, made = film_maps.seen_of, []

    def counting(view, frozen, blocks, **how):
        made.extend(str(of) for of, _ in blocks)
        return honest(view, frozen, blocks, **how)

    monkeypatch.setattr(film_maps, "seen_of", counting)
    job(*QUICK, "model.maps=[compact@1,compact@0.5]", "detector.steps=8")
    assert made == ["compact@0.5"] * len(table(run, "samples.csv"))


class Stopped(Exception):
    """Stands for a kill."""


def test_places_of_test_films_that_train_are_an_error(job, monkeypatch):
    monkeypatch.setattr(DetectionDataModule, "_of", lambda self, part: np.ones(len(self.prepared.crops.table), bool))
    with pytest.raises(
        RuntimeError, match=r"leak: training uses places of \d+ films, of which \d+ are not of the train"
    ):
        job(*QUICK)


def moved(prepared, findings, points, config):
    return targets_for(prepared, findings.assign(x_px=findings["x_px"] + 60), points, config)


def exchanged(findings):
    """Each lesion has the circle of another film."""
    placed = findings.index[findings["radius_px"].notna()]
    circles = findings.loc[np.roll(placed, 3), CIRCLE].set_axis(placed)
    others = {column: findings[column].where(~findings.index.isin(placed), circles[column]) for column in CIRCLE}
    return findings.assign(**others)


def swapped(prepared, findings, points, config):
    return targets_for(prepared, exchanged(findings), points, config)


def ringless(*given):
    honest = targets_for(*given)
    return replace(honest, counts=np.ones_like(honest.counts))


@pytest.mark.parametrize("told", [moved, swapped, ringless])
def test_places_that_are_taught_something_else_than_their_findings_say_are_an_error(told, job, monkeypatch):
    monkeypatch.setattr(detection_data, "targets_for", told)
    with pytest.raises(RuntimeError, match="places are taught something else than their findings say"):
        job(*QUICK)


def test_a_partner_of_another_patient_or_of_the_same_breast_is_an_error(job, monkeypatch):
    monkeypatch.setattr(
        detection_data, "partners_of", lambda images: [[(row + 2) % len(images)] for row in range(len(images))]
    )
    with pytest.raises(
        RuntimeError, match=r"leak: .* is taken for the partner of .*, but it is no film of the other breast"
    ):
        job(*QUICK, "detector.steps=8")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data.shuffle_block=64"], "data.shuffle_block does nothing"),
        (["crop=lesion"], "crop=lesion: task=detection looks at whole films; use crop=whole"),
        (["augment=expand"], "augment=expand does nothing with task=detection; leave it out"),
        (["model.maps=[vgg61@1]"], "model.maps=vgg61 is unknown; did you mean vgg19?"),
        (["objective=val/softmax/auroc"], "objective=val/softmax/auroc: expected null or <part>/<head>/<metric>"),
    ],
)
def test_settings_that_do_not_go_with_a_detector_are_refused_in_one_line(words, line):
    with pytest.raises(InputError) as error:
        checks.check(resolved("task=detection", "data=phantom", *words))
    assert str(error.value).startswith(line)


def test_a_detector_needs_two_classes():
    config: Config = resolved("task=detection", "data=phantom")
    config.task.classes = {"a": ["normal"], "b": ["benign"], "c": ["malignant"]}
    with pytest.raises(InputError, match="task=detection has 3 classes; a detector needs two"):
        checks.check(config)


@pytest.mark.slow
def test_two_devices_give_what_one_gives(phantom, tmp_path):
    """In 32 bits, because with 16 the roundings of a step grow over the next ones."""
    lines = [*SMALL, SHARES, *QUICK, f"data.root={phantom.root}", "model.image_size=32", "trainer.precision=32-true"]
    for devices in (1, 2):
        of = {line.partition("=")[0]: line for line in [*lines, f"trainer.devices={devices}"]}.values()
        subprocess.run([sys.executable, "train.py", *of, f"hydra.run.dir={tmp_path}/{devices}"], check=True, cwd=ROOT)
    runs = [RunFolder(tmp_path / str(devices)) for devices in (1, 2)]
    one, two = (by_head(run)["detector"] for run in runs)
    assert np.allclose(one[two.index], two, atol=0.05)
    marks = [table(run, "candidates.csv").query("head == 'detector'").drop_duplicates("image_id") for run in runs]
    first = [of.set_index("image_id")[["x_px", "y_px"]] for of in marks]
    assert (first[0] == first[1].loc[first[0].index]).all(axis=1).mean() > 0.9


class Shuffled(Phantom):
    """The phantom with the findings of each film moved to a film of another patient."""

    def findings(self):
        table = super().findings()
        images = table.drop_duplicates("image_id")[
            ["image_id", "path", "patient", "laterality", "density", "exam", "view"]
        ]
        away = dict(zip(images["image_id"], np.roll(images["image_id"], 10), strict=True))
        facts = images.set_index("image_id")
        table["image_id"] = table["image_id"].map(away)
        for column in facts:
            table[column] = table["image_id"].map(facts[column])
        return table


class Exchanged(Phantom):
    """The phantom with the circle of each lesion exchanged for that of a lesion on another film."""

    def findings(self):
        return exchanged(super().findings())


@pytest.mark.slow
def test_lesions_that_are_moved_to_other_patients_are_not_found(job):
    words = [*QUICK, *FINE, "data.patients=60", "data.root=null", "split.shares=[0.5,0.1,0.4]"]
    found = {}
    for name in ("honest", "Shuffled", "Exchanged"):
        more = [] if name == "honest" else [f"data._target_={__name__}.{name}", "data.patients=60"]
        run = RunFolder(job(*[word for word in words if not more or "patients" not in word], *more)[0])
        found[name] = (
            run.numbers["detection"]["test"]["detector"]["first_mark"]["value"],
            run.metrics("test")["detector"]["auroc"].value,
        )
    assert found["honest"][0] > 0.2 and found["honest"][1] > 0.6
    for name in ("Shuffled", "Exchanged"):
        assert 2.5 * found[name][0] < found["honest"][0] and abs(found[name][1] - 0.5) < 0.17
