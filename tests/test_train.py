"""The command line is the test: small runs of train.py, from the phantom to the report."""

import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mammo.datasets.findings import SAMPLE
from mammo.datasets.labels import find_task
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError
from mammo.files import read_json
from mammo.models.heads import HEADS, Head
from mammo.paths import home
from mammo.processes import peers
from mammo.processes.launch import launch
from mammo.reports import run as report
from mammo.run_folder import RunFolder
from mammo.runs import log as run
from mammo.runs.hydra_words import for_hydra
from mammo.runs.train import train
from mammo.tasks.build import build_task
from tests.conftest import CONF, SHARES, SMALL, composed, prepared_of, resolved

FILES = [
    "split.csv", "split_audit.json", "samples.csv", "predictions.csv", "metrics.json", "features.safetensors",
    "features.csv", "heads/svm.skops", "checkpoints/best.ckpt", "curves.csv", "report.md", "provenance.json",
    "selection.json", "figures/augmentation.png", "figures/curves.png", "figures/confusion_softmax.png",
    "figures/confusion_svm.png",
]  # fmt: skip


SEEN = "trainer.max_epochs=3"  # of the run that the tests of `shared_job` look at


def test_a_run_folder_is_complete_and_its_tables_agree(job, drawn):
    folder, metrics = job("trainer.max_epochs=1")
    assert [name for name in FILES if not (folder / name).is_file()] == []
    assert not list(folder.rglob("*.tmp"))
    predictions = pd.read_csv(folder / "predictions.csv")
    features, rows = RunFolder(folder).features()
    assert len(features) == len(rows) == 32
    for head in ("softmax", "svm", "majority"):
        assert predictions.loc[predictions["head"] == head, SAMPLE].values.tolist() == rows[SAMPLE].values.tolist()
    written = read_json(folder / "metrics.json")
    assert written["test"]["svm"]["auroc"]["value"] == metrics["test/svm/auroc"]
    assert written["task"] == "abnormality" and written["leaks"] == []
    assert written["n"]["test"]["samples"] == (rows["split"] == "test").sum()


@pytest.mark.slow
def test_a_head_that_somebody_adds_stands_in_tables_and_report(job, monkeypatch):
    grid = {"n_neighbors": [3], "weights": ["uniform", "distance"]}
    monkeypatch.setitem(HEADS, "neighbours", Head(KNeighborsClassifier(), grid))
    for name in set(HEADS) - {"svm", "neighbours"}:  # which take their time
        monkeypatch.delitem(HEADS, name)
    folder, metrics = job("heads=all", "trainer.max_epochs=1")
    assert {f"test/{head}/auroc" for head in ("svm", "neighbours")} <= set(metrics)
    assert {path.stem for path in (folder / "heads").iterdir()} == set(HEADS)
    assert "n_neighbors 3, weights " in (folder / "report.md").read_text()


@pytest.mark.slow
def test_a_run_without_heads_ends_in_a_report(shared_job):
    folder, metrics = shared_job("heads=[]", "trainer.max_epochs=1")
    assert read_json(folder / "selection.json")["heads"] == {} and not list((folder / "heads").iterdir())
    assert {key.split("/")[1] for key in metrics if key.startswith("test/")} == {"softmax", "shortcuts", "majority"}
    assert "- softmax: accuracy " in (folder / "report.md").read_text()


def test_the_time_of_a_run_is_told_by_its_parts_and_imports_once_a_process(monkeypatch):
    monkeypatch.setattr(run.Clock, "first", True)
    monkeypatch.setattr(peers, "BEGAN", time.perf_counter() - 2)  # the process itself is older, as after a shell's exec
    first, second = run.Clock(), run.Clock()
    for clock in (first, second):
        clock.lap("training")
    assert re.fullmatch(r"2\.\d s: imports 2\.\d, training 0\.\d", str(first))
    assert re.fullmatch(r"0\.\d s: training 0\.\d", str(second))


@pytest.mark.slow
def test_the_time_of_each_head_is_printed_and_in_no_table(job, unreported, caplog):
    with caplog.at_level("INFO", "mammo"):
        folder, _ = job("heads=[knn,lda]", "trainer.max_epochs=1")
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("head ")]
    assert [re.fullmatch(r"head   (\w+): {.*}, tuned and .*, \d+\.\d s", line)[1] for line in lines] == ["knn", "lda"]
    for head in read_json(folder / "selection.json")["heads"].values():
        assert set(head) == {"chosen", "how"}


def test_the_same_twice_and_with_workers_gives_the_same_predictions_byte_by_byte(job, unreported):
    """With films mixed, which takes all that an online draw takes, and more."""
    runs = [job("augment=mixup", f"data.workers={workers}")[0] for workers in (0, 2)]
    tables = [(folder / "predictions.csv").read_bytes() for folder in runs]
    assert tables[0] == tables[1]


@pytest.fixture
def passes(monkeypatch, no_trunks):
    """The size of each batch of pixels that a trunk is shown, beginning without any output of one."""
    sizes, stage = [], torch.nn.Sequential.forward

    def counted(self, x):
        if x.dtype == torch.uint8:
            sizes.append(len(x))
        return stage(self, x)

    monkeypatch.setattr(torch.nn.Sequential, "forward", counted)
    return sizes


@pytest.mark.parametrize(
    ("method", "distinct"),
    [("crossover", 32 + 2 * 16), ("cutmix", 32 + 2 * 16), ("gan", 32 + 16)],
)
@pytest.mark.slow
def test_every_augmentation_runs_on_a_trunks_cached_outputs(job, resnet_trunk, passes, method, distinct):
    few = "augment.steps=2" if method == "gan" else "augment.copies=2"
    own = (few, "model=resnet18", f"model.weights={resnet_trunk}", "trainer.max_epochs=1", "heads=[knn]")
    folder, _ = job(f"augment={method}", *own)
    assert 32 < sum(passes) <= distinct + 15  # the last block is filled up to 16
    assert f"augment.method={method}" in (folder / "report.md").read_text()
    if method == "gan":
        table = pd.read_csv(folder / "gan.csv")
        assert len(table) == 16 and table["distance"].min() > 0 and (folder / "figures" / "gan.png").is_file()
        assert set(table["nearest"]) <= set(pd.read_csv(folder / "samples.csv").query("split == 'train'")["image_id"])
        assert "- gan: 16 synthetic crops" in (folder / "report.md").read_text()
        expanded = pd.read_csv(folder / "features.csv")["copy"] == 1
        assert expanded.sum() == 16  # heads learn from synthetic crops too


def test_what_was_watched_is_what_the_predictions_say(shared_job):
    """torchmetrics chose the epoch; the table gives the final number; they are the same number."""
    folder, metrics = shared_job(SEEN)
    curves = pd.read_csv(folder / "curves.csv")
    epoch = read_json(folder / "selection.json")["epoch"]
    assert epoch["number"] == curves.loc[curves["val/auroc"].idxmax(), "epoch"]
    assert metrics["val/softmax/auroc"] == pytest.approx(curves["val/auroc"].max(), abs=1e-6)


@pytest.mark.slow
def test_a_frozen_trunk_runs_once_per_distinct_sample(job, unreported, resnet_trunk, passes):
    weights = ("model=resnet18", f"model.weights={resnet_trunk}")
    folder, _ = job(*weights, "augment.copies=2", "heads=[knn]")
    samples = pd.read_csv(folder / "samples.csv")
    most = 32 + 2 * (samples["split"] == "train").sum()  # each film, and two draws of each training film
    assert 32 <= sum(passes) <= most + 15  # the last block is filled up to 16
    passes.clear()
    again, _ = job(*weights, "augment.copies=2", "heads=[lda]", "optim.lr_head=0.01")
    assert sum(passes) == 0
    first, second = (RunFolder(f).features()[0] for f in (folder, again))
    assert (first == second).all()


def kept(folder):
    """Names of all trunk outputs in the cache, as often as they are there."""
    blocks = sorted((folder / "trunks").glob("*/*.safetensors"))
    return [name for block in blocks for name in load_file(block)]


@pytest.mark.slow
def test_folds_and_seeds_need_no_more_passes_than_there_are_distinct_samples(job, unreported, resnet_trunk, passes):
    common = (
        "model=resnet18",
        f"model.weights={resnet_trunk}",
        "augment.copies=2",
        "heads=[]",
        "trainer.max_epochs=1",
        "data.folds=3",
    )
    trained = set()
    for seed, fold in ((0, 0), (0, 1), (5, 1)):
        passes.clear()
        before = set(kept(home()))
        folder, _ = job(*common, f"data.fold={fold}", f"seed={seed}")
        train = set(pd.read_csv(folder / "split.csv").query("split == 'train'")["image_id"])
        new = 2 * len(train - trained) + (0 if trained else 32)  # two draws of each training film, once; and all films
        assert len(set(kept(home())) - before) == new
        assert new <= sum(passes) <= (new + 15 if new else 0)  # the last block is filled up to 16
        trained |= train
    assert len(kept(home())) == len(set(kept(home())))


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["online", "mixup"])
def test_a_run_without_cache_gives_the_same_to_rounding(job, resnet_trunk, passes, tmp_path, augment):
    common = (
        "model=resnet18",
        f"model.weights={resnet_trunk}",
        f"augment={augment}",
        "augment.copies=2",
        "trainer.precision=32-true",
    )
    folders, counts = [], []
    for cache in ("true", "false"):
        passes.clear()
        folders.append(job(*common, f"data.cache={cache}", "trainer.max_epochs=6", "optim.lr_head=0.01")[0])
        counts.append(sum(passes))
    assert counts[1] > 2 * counts[0]  # each epoch again, instead of once
    tables = [pd.read_csv(folder / "predictions.csv") for folder in folders]
    assert tables[0][SAMPLE].equals(tables[1][SAMPLE])
    difference = (tables[0]["p_abnormal"] - tables[1]["p_abnormal"]).abs()
    assert difference.max() < 1e-4
    metrics = [read_json(folder / "metrics.json")["test"]["softmax"]["auroc"]["value"] for folder in folders]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True])
def test_frozen_outputs_are_not_used_where_what_made_them_has_changed(
    job, resnet_trunk, passes, tmp_path, monkeypatch, everything
):
    monkeypatch.setattr(report, "write", lambda folder: {})
    other, state = tmp_path / "other.safetensors", load_file(resnet_trunk)
    state["conv1.weight"][0] += 1
    save_file(state, other)
    common = ("trainer.precision=32-true", "augment.copies=1", "heads=[]", "trainer.max_epochs=1")

    def needed(*changes, weights=resnet_trunk):
        passes.clear()
        job("model=resnet18", f"model.weights={weights}", *common, *changes)
        return sum(passes)

    assert needed() >= 32 and needed() == 0
    assert needed(weights=other) >= 32
    if not everything:
        return
    changes = "model.channels_last=false", "trainer.precision=bf16-mixed", "model.image_size=40", "crop=lesion"
    assert [change for change in changes if needed(change) < 32] == []
    assert needed("augment.rotate_deg=10") >= 32  # squares are stored in another width
    assert 16 <= needed("augment.symmetries=false") < 32  # the draws alone
    assert needed() == needed("optim.lr_head=0.1", "data.batch_size=4", "loss=focal", "select_on=test") == 0
    with monkeypatch.context() as patch:
        patch.setattr("mammo.models.network.Network.compile_stages", lambda net: setattr(net, "compiled", True))
        assert needed("model.compile=true") >= 32
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 99)
        assert needed() >= 32
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "99.0.0")
        assert needed() >= 32


@pytest.mark.parametrize("trainable", ["all", "head", "last_block"])
@pytest.mark.slow
def test_all_heads_need_no_more_forward_passes_than_one(
    job, unreported, resnet_trunk, monkeypatch, no_trunks, trainable
):
    stage, passes = torch.nn.Conv2d.forward, []

    def counted(self, x):
        passes.append(len(x))
        return stage(self, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", counted)
    for slowest in ("boosting", "mlp", *(["logistic", "lda", "knn"] if trainable == "all" else [])):
        monkeypatch.delitem(HEADS, slowest)

    def needed(heads):
        no_trunks(heads)
        passes.clear()
        model = ("model=compact",) if trainable == "all" else ("model=resnet18", f"model.weights={resnet_trunk}")
        common = (*model, f"model.trainable={trainable}", "augment.copies=2")
        folder, _ = job(*common, f"heads={heads}", "trainer.max_epochs=1")
        table = pd.read_csv(folder / "predictions.csv")
        assert set(table["head"]) - {"softmax", "shortcuts", "majority"} == (set(HEADS) if heads == "all" else {heads})
        return sum(passes), table.loc[table["head"] == "svm", "score"].tolist()

    one, everything = needed("svm"), needed("all")
    assert everything == one and one[0] > 0


@pytest.mark.slow
def test_a_cached_trunk_gives_what_an_uncached_one_gives(job, unreported, resnet_trunk):
    own = ("model=resnet18", f"model.weights={resnet_trunk}", "augment=none", "trainer.precision=32-true", "heads=[]")
    folder, _ = job(*own)
    features, rows = RunFolder(folder).features()
    config = RunFolder(folder).config
    prepared = prepared_of(config)
    net = build_task(config, prepared.labels).net.eval()
    x = torch.stack([prepared.described.pixels(sample, copy) for sample, copy in prepared.described.rows])
    with torch.inference_mode():
        assert torch.allclose(net.features(x), torch.from_numpy(features), rtol=1e-4, atol=1e-6)
    assert rows[SAMPLE].values.tolist() == prepared.rows()[SAMPLE].values.tolist()


def evaluated(folder, name, *overrides):
    """Evaluates a run without training, as the command line would."""
    lines = ["fit=false", f"ckpt_path={folder}", *overrides]
    again = folder.parent / f"{folder.name}-{name}"
    train(resolved(*lines), again)
    return again


@pytest.mark.slow
def test_an_evaluation_without_training_writes_the_same_report(shared_job):
    folder, _ = shared_job(SEEN)
    again = evaluated(folder, "again")
    assert (again / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()
    lines = [(f / "report.md").read_text().splitlines() for f in (folder, again)]
    kept = [[line for line in text if not line.startswith(("Command", "![curves]"))] for text in lines]
    assert [line for line in kept[0] if line] == [line for line in kept[1] if line]


def test_an_evaluation_reads_the_values_of_its_line_as_a_run_does(shared_job):
    folder, _ = shared_job(SEEN)
    words = for_hydra(["fit=false", f"ckpt_path={folder}", "data.root=/a #1, b: c", "split.shares=[0.6,0.2,0.2]"])
    found = resolved(*words)
    assert (found.data.root, found.split.shares) == ("/a #1, b: c", [0.6, 0.2, 0.2])
    assert resolved(*words, *for_hydra(["data.values.view.a: b=CC"])).data.values == {"view": {"a: b": "CC"}}


@pytest.mark.slow
def test_an_evaluation_needs_no_weights_file_but_its_checkpoint(job, unreported, resnet_trunk, tmp_path):
    path = tmp_path / "trunk.safetensors"
    path.write_bytes(resnet_trunk.read_bytes())
    folder, _ = job("model=resnet18", f"model.weights={path}", "trainer.max_epochs=1", "heads=[knn]")
    path.unlink()
    again = evaluated(folder, "no-file")
    assert (again / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task=density", "change single keys"),
        ("model.trainable=all", "fixed by the checkpoint"),
        ("detector.spacing_mm=0.4", "fixed by the checkpoint"),
        ("segmentation.width=8", "fixed by the checkpoint"),
        ("model=inception", "change single keys"),
        ("aggregate=max", "aggregate is mean there; leave it out"),
    ],
)
def test_an_evaluation_does_not_change_what_the_checkpoint_is(shared_job, override, message):
    folder, _ = shared_job(SEEN)
    with pytest.raises(InputError, match=message):
        evaluated(folder, "changed", override)


@pytest.mark.slow
def test_a_trained_last_block_runs_on_a_cached_prefix(job, unreported, resnet_trunk):
    folder, _ = job(
        "model=resnet18", f"model.weights={resnet_trunk}", "model.trainable=last_block", "trainer.max_epochs=1"
    )
    assert read_json(folder / "provenance.json")["frozen_stages"] == 8  # the input, the stem and three of four layers
    assert read_json(folder / "selection.json")["heads"]["svm"]["how"] == "tuned and calibrated on validation"


def test_only_films_that_give_samples_count_in_the_audit(phantom):
    lines = [*SMALL, f"data.root={phantom.root}", SHARES, "model=compact", "model.image_size=32", "task=malignancy"]
    own = {line.partition("=")[0]: line for line in [*lines, "split=image", "seed=1", "data.batch_size=4"]}
    data = prepared_of(resolved(*own.values()))
    audit, samples = data.audit, data.crops.table
    assert sum(audit["images"].values()) == len(samples) < 32
    sides = samples.groupby("patient")["split"].nunique()
    assert audit["patients_in_two_splits"] == sorted(sides[sides > 1].index)


@pytest.fixture
def copied(shared_job, tmp_path):
    """A run's folder that a test may change."""
    return shutil.copytree(shared_job(SEEN)[0], tmp_path / "run")


def test_the_threshold_is_chosen_on_validation(copied):
    folder = copied
    before = read_json(folder / "metrics.json")["val"]["softmax"]
    table = pd.read_csv(folder / "predictions.csv")
    negatives = table.query("head == 'softmax' and split == 'val' and label == 'normal'")["score"]
    found = before["specificity_at_specificity_90"]["value"]
    assert found >= 0.9 and (found * len(negatives)) % 1 == pytest.approx(0, abs=1e-9)
    shifted = table["score"] + 1000 * (table["split"] == "test")
    table.assign(score=shifted).to_csv(folder / "predictions.csv", index=False)
    report.write(folder)
    after = read_json(folder / "metrics.json")
    assert after["val"]["softmax"]["specificity_at_specificity_90"] == before["specificity_at_specificity_90"]
    assert after["test"]["softmax"]["specificity_at_specificity_90"]["value"] == 0.0


@pytest.mark.slow
def test_evaluating_another_split_says_what_the_checkpoint_had_learnt(shared_job):
    folder, _ = shared_job(SEEN)
    again = evaluated(folder, "seed", "seed=7")
    assert [leak.kind for leak in RunFolder(again).leaks] == ["tested_on_learnt"]


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("split=image", "patients_in_two_splits"),
        pytest.param("protocol=paper", "patients_in_two_splits", marks=pytest.mark.slow),
        pytest.param("crop=scaled_lesion", "crop", marks=pytest.mark.slow),
    ],
)
def test_leaks_are_derived_from_what_was_done(shared_job, override, kind):
    folder, _ = shared_job(override)
    (leak,) = RunFolder(folder).leaks
    assert leak.kind == kind and leak.n > 0
    assert leak.text in (folder / "report.md").read_text().split("## Samples")[0]


@pytest.mark.slow
def test_the_last_epoch_counts_where_there_is_no_validation_part(shared_job):
    folder, metrics = shared_job("protocol=paper")
    assert read_json(folder / "selection.json")["epoch"] == {
        "number": 2,
        "how": "the last epoch, fixed before training",
    }
    curves = pd.read_csv(folder / "curves.csv")
    assert {"train/loss", "test/loss"} <= set(curves.columns) and not any(c.startswith("val/") for c in curves.columns)
    assert metrics["test/softmax/auroc"] == pytest.approx(curves["test/auroc"].iloc[-1], abs=1e-6)


@pytest.mark.slow
def test_an_augmentation_before_the_split_deals_copies_and_each_is_tested_once(job):
    folder, _ = job("leak_study=augment_first", "augment.copies=2", "trainer.max_epochs=1")
    assert [leak.kind for leak in RunFolder(folder).leaks] == ["copies_in_two_splits", "patients_in_two_splits"]
    rows = pd.read_csv(folder / "predictions.csv").query("head == 'svm'")
    assert len(rows) == 3 * 32 and not rows.duplicated(SAMPLE).any()
    tested = rows[rows["split"] == "test"]
    assert (tested["copy"] > 0).mean() > 0.4
    assert read_json(folder / "metrics.json")["n"]["test"]["samples"] == len(tested)


@pytest.mark.slow
def test_choices_on_the_test_part_are_made_there_and_told(job):
    folder, metrics = job("leak_study=select_on_test", "trainer.max_epochs=3")
    assert [leak.kind for leak in RunFolder(folder).leaks] == ["selected_on_test"]
    curves = pd.read_csv(folder / "curves.csv")
    assert metrics["test/softmax/auroc"] == pytest.approx(curves["test/auroc"].max(), abs=1e-6)
    assert read_json(folder / "selection.json")["heads"]["svm"]["how"] == "tuned and calibrated on test"


def test_a_report_begins_with_protocol_and_leaks_and_no_accuracy_lacks_interval_n_and_baselines(job):
    folder, _ = job("crop=lesion", "trainer.max_epochs=1", "data.batch_size=4")
    first = (folder / "report.md").read_text().split("## Samples")[0]
    assert first.index("Protocol:") < first.index("Leaks:") < first.index("Test: n =") < first.index("accuracy")
    for head in ("softmax", "svm", "shortcuts", "majority"):
        assert f"- {head}: accuracy " in first and "AUROC of the shortcuts" in first
    strata = (folder / "report.md").read_text().split("## Test by subgroup")[1]
    assert "| severity normal |" in strata and "| density " in strata and "| lesion radius up to " in strata
    assert {"roc.png", "reliability.png"} <= {path.name for path in (folder / "figures").iterdir()}


@pytest.fixture
def various(monkeypatch):
    """The phantom's patients; every second one has findings of all classes on her left breast, so any part has them."""
    honest = Phantom.findings

    def findings(self):
        films = honest(self).drop_duplicates("image_id").assign(finding="NORM", severity="normal", finding_id=0)
        left = (films["laterality"] == "left") & films["patient"].str[-1].isin(list("02468"))
        rows = [films[~left]]
        for number, finding in enumerate(find_task("finding").classes[1:], start=1):
            circle = {"x_px": 223.0, "y_px": 300.0 + 60 * number, "radius_px": 20.0}
            severity = "malignant" if number > 3 else "benign"
            rows.append(films[left].assign(finding=finding, finding_id=number, severity=severity, **circle))
        return pd.concat(rows, ignore_index=True)

    monkeypatch.setattr(Phantom, "findings", findings)


@pytest.mark.parametrize("task", ["severity", "finding", "density", "distortion"])  # the other two run elsewhere
@pytest.mark.slow
def test_a_task_of_any_classes_runs_from_the_table_of_findings_to_the_figures(job, request, task):
    how = ["trainer.max_epochs=1", "split.shares=[0.34,0.33,0.33]"]
    if task in ("finding", "distortion"):  # 16 patients have too few of them
        request.getfixturevalue("various")
        how += ["crop=lesion", "seed=1"]
    folder, metrics = job(f"task={task}", *how)
    classes = find_task(task).classes
    two = len(classes) == 2
    assert pd.read_csv(folder / "predictions.csv")["score"].isna().all() != two
    written = read_json(folder / "metrics.json")
    assert {f"auroc/{name}" for name in classes} | {"auroc", "mcc"} <= set(written["test"]["svm"])
    assert ("test/svm/quadratic_kappa" in metrics) == (task in ("severity", "density"))
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"confusion_svm", "reliability", "curves"} | {f"roc_{name}" for name in classes if not two} <= drawn
    text = (folder / "report.md").read_text()
    assert "## Test by subgroup" in text and ("| quadratic_kappa |" in text) == (task in ("severity", "density"))
    assert ("by_image" in written) == (task == "finding")  # of which a film has six windows
    assert (written["by_patient"]["left_out"] > 0) == (task == "finding")  # patients of six findings


@pytest.mark.slow
def test_films_and_patients_stand_beside_their_patches_each_once(job):
    how = ("crop=grid", "crop.window_mm=80", "aggregate=max", "objective=val_by_image/svm/auroc")
    folder, metrics = job(*how, "trainer.max_epochs=1")
    samples, written = pd.read_csv(folder / "samples.csv"), read_json(folder / "metrics.json")
    assert (samples.groupby("image_id")["split"].nunique() == 1).all() and written["leaks"] == []
    films = samples.groupby("image_id").agg({"split": "first", "label": lambda of: "abnormal" in set(of)})
    assert written["by_image"]["rule"] == "max" and written["by_image"]["left_out"] == 0
    assert written["by_image"]["n"]["test"] | {"patients": 4} == {
        "samples": (films["split"] == "test").sum(),
        "abnormal": films.query("split == 'test'")["label"].sum(),
        "normal": (~films.query("split == 'test'")["label"]).sum(),
        "patients": 4,
    }
    assert written["by_patient"]["n"]["test"]["samples"] == written["by_patient"]["n"]["test"]["patients"]
    rows = pd.read_csv(folder / "predictions.csv").query("head == 'svm' and split == 'test'").groupby("image_id")
    area = roc_auc_score(rows["label"].agg(lambda of: "abnormal" in set(of)), rows["score"].max())
    assert metrics["test_by_image/svm/auroc"] == pytest.approx(area)
    text = (folder / "report.md").read_text()
    assert "(aggregate=max)," in text and "centred on the annotated lesion" not in text
    assert "## Test by image" in text and "the most alarming sample" not in text.split("## Test by image")[0]


def test_tensorboard_has_curves_pictures_and_hyper_parameters(shared_job):
    folder, _ = shared_job(SEEN)
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    assert {"train/loss", "val/auroc"} <= set(tags["scalars"])
    assert {"augmentation", "confusion_svm", "curves"} <= set(tags["images"])
    started = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert (b"test/softmax/auroc" in started and b"trainer.max_epochs" in started) or b"augment" in started
    curves = {tag for tag in tags["scalars"] if tag.split("/")[0] in ("train", "val")}
    assert set(tags["scalars"]) - curves <= {"epoch", "lr-AdamW"}  # no card of one dot
    assert all(len(events.Scalars(tag)) > 1 for tag in tags["scalars"])


def test_the_report_comes_from_the_folder_alone_of_an_earlier_version_too(copied):
    folder = copied
    kept, provenance = (folder / "report.md").read_text(), read_json(folder / "provenance.json")
    del provenance["config"]["aggregate"]
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "report.md").unlink()
    (folder / "metrics.json").unlink()
    report.write(folder)
    assert (folder / "report.md").read_text() == kept
    written = read_json(folder / "metrics.json")
    assert "by_image" not in written  # a film is one sample
    assert set(written["by_patient"]) == {"rule", "left_out", "n", "operating", "val", "test"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=64"], "trainer.devices=64: this machine has"),
        (["trainer.accelerator=cuda:1"], "expected auto, cpu, cuda or gpu .*CUDA_VISIBLE_DEVICES=1"),
        (
            ["model=compact", "model.trainable=all", "data.batch_size=1"],
            "data.batch_size=1: the batch norm of .*compact",
        ),
        (["model=resnet18", "model.weights=nowhere.safetensors"], "a .safetensors file that exists"),
        (["loss.class_weights=some"], "expected balanced or none"),
        (["seed=-1"], "seed=-1: expected a whole number"),
        (["data.batch_size=0"], "data.batch_size=0: expected"),
        (["model.dropout=2"], "model.dropout=2.0: expected"),
        (["optim.warmup_epochs=-1"], "optim.warmup_epochs=-1.0: expected"),
        (["trainer.max_epochs=0"], "trainer.max_epochs=0: expected"),
        (["trainer.precision=foo"], "expected auto, 32-true"),
        (["crop=lesion", "crop.window_mm=0"], "crop.window_mm=0.0: expected"),
        (["objective=val/softmx/auroc"], "say val/softmax/auroc"),
        (["objective=val_by_eye/softmax/auroc"], "say val/softmax/auroc"),
        (["aggregate=median"], "aggregate=median: expected mean, max or noisy_or"),
        (["task=density", "aggregate=max"], "aggregate=max: .* F, G, D"),
        (["data.film_seed=5"], "not Phantom v1 of 16 women, film_seed 5"),
        (["data.fold=9"], "data.fold=9 is out of range"),
    ],
)
def test_bad_settings_end_a_run_before_any_work(job, overrides, message):
    with pytest.raises(InputError, match=message):
        job(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ckpt_path=outputs"], "add fit=false"),
        (["fit=false"], "name its folder"),
        (["fit=false", "ckpt_path=nowhere"], "name a run folder"),
        (["heads=[svn]"], "heads=svn is unknown"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides, message):
    with pytest.raises(InputError, match=message):
        resolved(*overrides)


DELTAS = {  # groups that change the recipe, and are no part of it
    "leak_study": [
        "honest", "image", "paper", "paper_by_patient", "scaled_lesion", "fixed", "expand", "augment_first",
        "select_on_test", "all",
    ],
    "sweep": ["folds", "leak_study", "literature", "transfer", "tune"],
}  # fmt: skip
OPTIONS = {
    group.name: [path.stem for path in sorted(group.glob("*.yaml"))]
    for group in sorted(CONF.iterdir())
    if group.is_dir() and group.name not in ("experiment", "protocol", "sweep", "leak_study")
}


@pytest.mark.parametrize("turn", range(max(map(len, OPTIONS.values()))))
def test_every_option_composes(turn):
    """One of each group at a time."""
    chosen = {group: names[turn % len(names)] for group, names in OPTIONS.items()}
    cfg = composed(*(f"{group}={name}" for group, name in chosen.items()))
    for group, name in chosen.items():  # one of the settings is what the option is called
        assert name in [cfg[group].get(key) for key in ("mode", "method", "name", "class_weights")]


CHANGES = [f"{group}={name}" for group, names in DELTAS.items() for name in names]
FEW = ("leak_study=all", "leak_study=expand", "sweep=folds", "sweep=tune")  # all of them with `-m slow`


@pytest.mark.parametrize(
    "option", [one if one in FEW else pytest.param(one, marks=pytest.mark.slow) for one in CHANGES]
)
def test_every_change_of_the_recipe_composes(option):
    composed(option)


def test_every_change_of_the_recipe_is_named_here():
    assert {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in DELTAS} == {
        group: sorted(names) for group, names in DELTAS.items()
    }


@pytest.mark.parametrize(
    ("protocol", "names"),
    [
        ("patient", ("patient", "whole", "online")),
        ("image", ("image", "whole", "online")),
        ("paper", ("paper", "whole", "expand")),
    ],
)
def test_a_protocol_names_a_combination_of_the_three_keys(protocol, names):
    cfg = composed(f"protocol={protocol}")
    assert (cfg.split.name, cfg.crop.name, cfg.augment.mode) == names
    default = composed()
    assert (default.split.name, default.crop.name, default.augment.mode) == ("patient", "whole", "online")


def test_a_group_has_two_members_at_least():
    assert all(len(list(group.glob("*.yaml"))) >= 2 for group in CONF.iterdir() if group.is_dir())


def test_the_three_keys_are_independent_of_the_protocol():
    cfg = composed("protocol=paper", "split=image", "augment=none")
    assert (cfg.split.name, cfg.crop.name, cfg.augment.mode) == ("image", "whole", "none")


def test_the_phantom_has_no_pretrained_weights_and_the_real_data_do():
    assert composed("data=phantom").model.weights is None
    assert composed("data=phantom", "model=inception").model.weights is None
    assert composed().model.weights == composed("model=inception").model.weights == "imagenet"


def launched(cwd, *arguments):
    """The program itself, as a user starts it."""
    line = [sys.executable, str(CONF.parent / "train.py"), *arguments]
    return subprocess.run(line, check=False, cwd=cwd, capture_output=True, text=True, timeout=300)


def each_film_once(folder, images):
    predictions = pd.read_csv(folder / "predictions.csv")
    assert not predictions.duplicated([*SAMPLE, "head"]).any()
    assert predictions["image_id"].nunique() == images
    assert json.loads((folder / "provenance.json").read_text())["devices"] == "2 cpu"


TWO = ["trainer.devices=2", "heads=[knn]", "model.image_size=32", SHARES, *SMALL[:-1], "trainer.max_epochs=1"]


def forked(config, folder):
    """Two processes of one job, as torchrun starts them; they are copies of this one, so they import nothing."""
    fork = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    own |= {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "2"}

    def run(rank):
        os.environ |= own | {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
        train(config, folder)

    ranks = [fork.Process(target=run, args=[rank]) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
    assert [rank.exitcode for rank in ranks] == [0, 0]


@pytest.mark.slow
def test_two_devices_evaluate_each_film_once_and_as_one_does(shared_job, tmp_path):
    """Up to rounding, as a device sees batches of half the size. They train so, too, with `-m slow`."""
    folder, _ = shared_job("heads=[knn]", "trainer.max_epochs=1", "trainer.precision=32-true")
    forked(resolved("fit=false", f"ckpt_path={folder}", "trainer.devices=2"), tmp_path)
    each_film_once(tmp_path, 32)
    one, two = (pd.read_csv(path / "predictions.csv") for path in (folder, tmp_path))
    assert one["image_id"].tolist() == two["image_id"].tolist()
    assert (one["p_abnormal"] - two["p_abnormal"]).abs().max() < 1e-4
    for name in ("split.csv", "samples.csv"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.slow
def test_two_devices_give_each_film_once(phantom, tmp_path):
    launch(train, resolved(*TWO, "model=compact", f"data.root={phantom.root}"), tmp_path)
    each_film_once(tmp_path, 32)


@pytest.mark.slow
def test_a_sweep_on_two_devices_gives_each_film_once(phantom, tmp_path):
    done = launched(tmp_path, "-m", "model=resnet18,compact", *TWO, f"data.root={phantom.root}")
    assert done.returncode == 0, done.stderr[-3000:]
    (sweep,) = (tmp_path / "outputs").glob("*/*")
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [path.name.rpartition("_")[0] for path in jobs] == ["compact", "resnet18"]
    assert "model=compact" in (sweep / "leaderboard.md").read_text()
    for path in jobs:
        each_film_once(path, 32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outputs"] and not list(sweep.rglob("last.ckpt"))


@pytest.mark.slow
def test_two_devices_evaluate_as_one_does(job, phantom, tmp_path):
    folder, _ = job("trainer.max_epochs=1", "trainer.precision=32-true")
    done = launched(tmp_path, "fit=false", f"ckpt_path={folder}", "trainer.devices=2", "hydra.run.dir=two")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (pd.read_csv(path / "predictions.csv") for path in (folder, tmp_path / "two"))
    assert one["image_id"].tolist() == two["image_id"].tolist()
    assert (one["p_abnormal"] - two["p_abnormal"]).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["task=cancer"], "task=cancer is unknown; expected one of abnormality"),
        pytest.param(["-m", "model.dropout=2"], "model.dropout=2.0: expected", marks=pytest.mark.slow),
        pytest.param(["nonsense=1"], "nonsense is no setting; expected one of task, data", marks=pytest.mark.slow),
        pytest.param(
            ["data.root=${oc.env:NO_SUCH}"],
            "data.root: KeyError raised while resolving interpolation: ",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["run", "sweep", "hydra", "interpolation"],
)
def test_bad_input_is_one_line_and_a_status_of_its_own(tmp_path, arguments, said):
    """Whoever finds it; so a script knows what it need not try again. test_checks has the lines of more kinds."""
    done = launched(tmp_path, *arguments, "data=phantom")
    assert done.returncode == peers.BAD_INPUT == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {said}")
    assert "Traceback" not in done.stderr
