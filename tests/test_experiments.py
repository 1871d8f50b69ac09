"""Every experiment is what its source says, and runs; the table of them says what was run and what is claimed."""

import json

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mammo.errors import InputError
from mammo.reports import literature
from tests.conftest import CONF, composed
from tests.evaluation.tables import predictions, run_folder

# What each takes from its source, and the head that stands for it.
EXPERIMENTS = {
    "behery2023_vgg16": ({"model.name": "vgg16", "split.name": "paper", "augment.copies": 5}, "svm"),
    "behery2023_inception": ({"model.name": "inception", "split.name": "paper", "augment.mode": "expand"}, "svm"),
    "shi2019": ({"task": "density", "model.weights": None}, "softmax"),
    "lopez_almazan2022": ({"task": "density", "loss.name": "confusion"}, "softmax"),
    "raj2022": ({"task": "abnormality", "model.name": "vgg16", "augment.method": "crossover"}, "softmax"),
    "ting2019": ({"task": "severity"}, "softmax"),
    "sadad2021": ({"task": "density", "model.name": "densenet201", "augment.mode": "online"}, "softmax"),
    "guan2017": ({"task": "abnormality", "model.name": "vgg16", "model.trainable": "head"}, "softmax"),
    "gao2018": ({"task": "malignancy", "model.name": "shallow_deep"}, "boosting"),
    "oyelade2021": ({"task": "distortion", "crop.name": "grid", "aggregate": "max"}, "softmax"),
    "dhivya2020": ({"task": "abnormality", "augment.method": "gan"}, "softmax"),
    "omonigho2020": ({"task": "malignancy", "model.name": "alexnet_modified"}, "softmax"),
    "muduli2022": ({"task": "malignancy"}, "softmax"),
    "thomaz2017": ({"task": "density", "model.name": "vgg16", "model.trainable": "head"}, "mlp"),
    "desai2021": ({"task": "malignancy", "heads": "mlp"}, "softmax"),
}
# What each best recipe is, and the head that stands for it.
BEST = {
    "best_density": ({"task.name": "density", "crop.name": "whole", "model.features": None}, "logistic"),
    "best_malignancy": ({"task.name": "malignancy", "crop.name": "lesion", "crop.recentre": False}, "logistic"),
}
# What sixteen patients, 32 pixels and one epoch need beside it.
SMALLER = {
    "behery2023_inception": ["model.image_size=75"],
    "omonigho2020": ["model.image_size=63"],
    "oyelade2021": ["data.patients=40", "data.root=null", "split.shares=[0.34,0.33,0.33]"],
    "dhivya2020": ["augment.steps=2"],
    "best_density": ["split.shares=[0.34,0.33,0.33]"],
    **{key: ["split.shares=[0.34,0.33,0.33]"] for key in ("shi2019", "lopez_almazan2022", "sadad2021", "thomaz2017")},
}
FILES = ["predictions.csv", "metrics.json", "features.safetensors", "checkpoints/best.ckpt", "report.md",
         "provenance.json", "selection.json", "split_audit.json", "curves.csv", "figures/augmentation.png"]  # fmt: skip


def test_every_experiment_is_named_here():
    assert {path.stem for path in (CONF / "experiment").glob("*.yaml")} == {
        *(*EXPERIMENTS, *BEST, "best_abnormality", "best_patient", "best_lesion", "best_window", "shen2019")
    }


@pytest.mark.parametrize("name", sorted(BEST))
def test_a_best_recipe_is_frozen_and_honest(name):
    cfg = composed(f"experiment={name}")
    said, head = BEST[name]
    assert {key: OmegaConf.select(cfg, key) for key in said} == said
    assert (cfg.split.name, cfg.select_on, cfg.model.trainable, cfg.source) == ("patient", "val", "head", None)
    assert head in cfg.heads and cfg.crop.name != "scaled_lesion"
    assert (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[1] == f"# python train.py experiment={name}"


def test_a_sweep_of_the_literature_leaves_out_the_best_recipes():
    options = [path.stem for path in (CONF / "experiment").glob("*.yaml")]
    pattern = OmegaConf.load(CONF / "sweep" / "literature.yaml").hydra.sweeper.params.experiment
    chosen = OverridesParser.create().parse_override(f"experiment={pattern}").value().filter(options)
    assert set(chosen) == set(EXPERIMENTS)


def test_the_best_detector_chooses_nothing_on_validation_and_four_questions_share_it():
    cfg = composed("experiment=best_abnormality")
    assert (cfg.task.kind, cfg.split.name, list(cfg.split.shares)) == ("detection", "patient", [0.8, 0, 0.2])
    assert cfg.partner and cfg.detector.partner_share == 0.65 and cfg.source is None
    assert list(cfg.model.maps) == ["vgg16@1", "vgg16@0.5", "vgg16@0.25", "inception@2"]
    assert cfg.model.flips == "vertical"
    assert (cfg.detector.restarts, cfg.detector.left_out) == (9, 0.333)
    for name in ("best_patient", "best_lesion", "best_window"):
        assert composed(f"experiment={name}") == cfg


def test_from_patches_to_films_is_a_detector_whose_last_block_learns_on_patches():
    cfg = composed("experiment=shen2019")
    assert (cfg.task.kind, list(cfg.model.maps), cfg.model.trainable) == ("detection", ["vgg16@0.5"], "last_block")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_an_experiment_is_what_its_source_says(name):
    taken, head = EXPERIMENTS[name]
    cfg = composed(f"experiment={name}")
    said = {"task.name" if key == "task" else key: value for key, value in taken.items()}
    assert {key: OmegaConf.select(cfg, key) for key in said} == said
    assert (cfg.source.key, cfg.source.head) == (name, head)
    assert head == "softmax" or head in cfg.heads
    assert f"python train.py experiment={name}" in (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[1]


FEW = ("desai2021",)  # the others with `-m slow`


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in sorted(EXPERIMENTS | BEST)]
)
def test_an_experiment_leaves_a_complete_run_folder(job, name):
    folder, metrics = job(f"experiment={name}", "trainer.max_epochs=1", *SMALLER.get(name, []))
    assert [file for file in FILES if not (folder / file).is_file()] == []
    assert f"test/{(EXPERIMENTS | BEST)[name][1]}/auroc" in metrics


def test_what_the_paper_claims_of_others_is_what_its_table_says():
    """Table 1 of Behery et al. 2023, in per cent; its own rows from Tables 3 and 4."""
    claimed = {
        "shi2019": 83.0, "lopez_almazan2022": 85.0, "raj2022": 85.7, "ting2019": 90.0, "sadad2021": 90.47,
        "guan2017": 91.0, "gao2018": 92.0, "oyelade2021": 93.75, "dhivya2020": 94.0, "omonigho2020": 95.7,
        "muduli2022": 96.61, "thomaz2017": 98.0, "desai2021": 98.06,
        "behery2023_vgg16": 97.77, "behery2023_inception": 92.88,
    }  # fmt: skip
    found = {name: composed(f"experiment={name}").source.accuracy for name in EXPERIMENTS}
    assert found == {name: pytest.approx(value / 100) for name, value in claimed.items()}


SOURCE = {"key": "doe2020", "authors": "Doe et al. 2020", "method": "CNN", "accuracy": 0.97, "head": "softmax"}


def swept(folder, *, source=SOURCE, data="phantom", **config):
    """A sweep of two folds by patient and by image; returns its folder."""
    whole = {"model": {"weights": None, "image_size": 32}, "source": source, "data": {"name": data}} | config
    for split, strength in (("patient", 0.5), ("image", 2.0)):
        for fold in (0, 1):
            table = predictions(fold=fold, strength=strength)
            run_folder(folder / f"{split}{fold}", table, **{"split": {"name": split}} | whole)
    (folder / "jobs.json").write_text(json.dumps(sorted(job.name for job in folder.iterdir())))
    return folder


@pytest.mark.slow
def test_the_table_is_computed_from_the_predictions_and_says_whose_claim_stands_beside(tmp_path):
    literature.collect([swept(tmp_path / "sweep")], tmp_path / "tables")
    warning, _, header, _, row = literature.table(tmp_path / "tables")
    assert warning.startswith("**Synthetic films")  # the runs are of the phantom
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert header.endswith("| claimed by its authors, on their data and task, not re-run |")
    assert cells[0] == "`doe2020`" and cells[-1] == "Doe et al. 2020: 0.97"
    assert cells[3:5] == ["60 of 30 patients, 2 folds", "0.500"]
    (tested, folds), _ = (
        (table[table["head"] == "softmax"], table["fold"].nunique())
        for table in (pd.read_csv(tmp_path / "tables" / f"doe2020_{split}.csv.xz") for split in ("patient", "image"))
    )
    right = (tested["p_abnormal"] > 0.5) == (tested["label"] == "abnormal")
    assert folds == 2 and cells[6].startswith(f"{right.groupby(tested['fold']).mean().mean():.3f} (")
    assert float(cells[9][:5]) > float(cells[7][:5])  # by image they were made easier


@pytest.mark.slow
def test_an_experiment_that_is_run_again_replaces_its_rows_and_leaves_the_others(tmp_path):
    out = tmp_path / "tables"
    literature.collect([swept(tmp_path / "one"), swept(tmp_path / "two", source=SOURCE | {"key": "roe2021"})], out)
    literature.collect([swept(tmp_path / "three", source=SOURCE | {"accuracy": 0.5})], out)
    index = pd.read_csv(out / "literature.csv")
    assert index[["key", "split", "claimed"]].to_numpy().tolist() == [
        ["doe2020", "image", 0.5], ["doe2020", "patient", 0.5],
        ["roe2021", "image", 0.97], ["roe2021", "patient", 0.97],
    ]  # fmt: skip


@pytest.mark.slow
def test_a_source_of_images_is_evaluated_by_image(tmp_path):
    sweep = swept(tmp_path / "sweep", source=SOURCE | {"unit": "image"})
    for job in sweep.glob("*/predictions.csv"):
        table = pd.read_csv(job)
        patches = [table.assign(patch=patch) for patch in range(3)]
        pd.concat(patches).to_csv(job, index=False)
    literature.collect([sweep], tmp_path / "tables")
    judged = pd.read_csv(tmp_path / "tables" / "doe2020_patient.csv.xz")
    assert not judged[["finding_id", "patch"]].any(axis=None) and not judged.duplicated(["image_id", "head"]).any()


@pytest.mark.slow
def test_an_experiment_that_leaks_by_patient_is_told_so(tmp_path):
    literature.collect([swept(tmp_path / "sweep", crop_leak="windows are scaled")], tmp_path / "tables")
    assert any(
        "doe2020, by patient, leaks: windows are scaled" in line for line in literature.table(tmp_path / "tables")
    )


@pytest.mark.slow
def test_one_experiment_is_one_configuration_each_fold_once_and_one_table_one_data_set(tmp_path):
    one = swept(tmp_path / "one")
    other = swept(tmp_path / "other", loss={"name": "focal"})
    real = swept(tmp_path / "real", data="mias", source=SOURCE | {"key": "roe2021"})
    for sweeps, message in (
        ([one, other], "run in two ways, loss cross_entropy and focal"),
        ([one, one], "run twice with the same seed and fold"),
        ([one, real], "of one data set, found mias and phantom"),
    ):
        with pytest.raises(InputError, match=message):
            literature.collect(sweeps, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_runs_without_a_source_and_folders_without_tables_are_one_line(tmp_path):
    for number, settings in enumerate(({"source": None}, {"split": {"name": "paper"}})):
        with pytest.raises(InputError, match="no run of an experiment with a source, by patient or image"):
            literature.collect([swept(tmp_path / f"sweep{number}", **settings)], tmp_path / "tables")
    with pytest.raises(InputError, match=r"no literature\.csv in it"):
        literature.table(tmp_path)
