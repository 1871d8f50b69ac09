"""Subgroups, and what sees no lesion beside what does."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.evaluation.metrics import evaluate
from mammo.evaluation.predictions import Predictions, by_head
from mammo.evaluation.subgroups import accuracy, auroc, beyond_shortcuts, by_subgroup, facts_of, one_liner, subgroups
from mammo.reports.run import shortcut_verdict
from tests.evaluation.tables import predictions

CLASSES = ["normal", "abnormal"]


def samples():
    """Twelve: six normal, three benign and three malignant, of radii 1 to 6 mm, in two densities."""
    finding = ["NORM"] * 6 + ["CIRC"] * 4 + ["SPIC"] * 2
    radius = [np.nan] * 6 + [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    severity = ["normal"] * 6 + ["benign"] * 3 + ["malignant"] * 3
    facts = {"finding": finding, "severity": severity, "density": ["F", "D"] * 6}
    return pd.DataFrame(facts | {"radius_px": radius, "spacing_mm": 0.2})


def test_subgroups_are_by_finding_severity_density_and_thirds_of_lesion_size():
    found = {name: mask.sum() for name, mask in subgroups(samples())}
    assert found == {
        "finding CIRC": 4, "finding SPIC": 2, "severity benign": 3, "severity malignant": 3, "severity normal": 6,
        "density D": 6, "density F": 6, "lesion radius up to 2.7 mm": 2, "lesion radius 2.7 to 4.3 mm": 2,
        "lesion radius above 4.3 mm": 2,
    }  # fmt: skip


def test_several_data_sets_and_sources_of_labels_are_subgroups_and_one_alone_is_none():
    one, several = samples().assign(dataset="mias"), samples().assign(dataset=["mias", "cmmd"] * 6)
    several["severity_source"] = pd.Series(["pathology"] * 3 + [None] * 9, dtype="string")
    assert not any(name.startswith("dataset") for name, _ in subgroups(one))
    found = {name: mask.sum() for name, mask in subgroups(several)}
    assert {name: n for name, n in found.items() if name.startswith(("dataset", "severity_source"))} == {
        "dataset cmmd": 6, "dataset mias": 6, "severity_source pathology": 3, "severity_source unstated": 9,
    }  # fmt: skip


def test_a_data_set_of_one_class_has_no_area_as_its_scanner_would_tell_the_class():
    table = predictions(45).query("split == 'test'")
    of = dict(zip(table["image_id"], np.where(table["label"] == "abnormal", "cmmd", "mias"), strict=True))
    heads = {head: Predictions.of(table.query(f"head == '{head}'"), CLASSES) for head in ("softmax", "majority")}
    facts = table.drop_duplicates("image_id")[["image_id", "finding_id", "patch"]]
    facts = facts.assign(dataset=facts["image_id"].map(of), finding=None, severity=None, density=["F", "D"] * 15,
                         radius_px=np.nan, spacing_mm=0.2)  # fmt: skip
    header, rows = by_subgroup(facts, heads)
    cells = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert cells["dataset cmmd"]["softmax AUROC"] == "undefined"
    assert cells["dataset cmmd"]["softmax accuracy"].startswith("0.")
    assert cells["density F"]["softmax AUROC"].startswith("0.")


def test_a_subgroup_of_one_class_stands_against_all_of_the_other_and_a_mixed_one_within():
    table = predictions(45).query("head == 'softmax'")
    a = Predictions.of(table, CLASSES)
    some = np.zeros(len(a), bool)
    some[1:40:2] = True  # abnormal all
    against = some | (a.labels == 0)
    assert auroc(a, some).value == pytest.approx(roc_auc_score(a.labels[against], a.score[against]))
    some[0] = True
    assert auroc(a, some).value == pytest.approx(roc_auc_score(a.labels[some], a.score[some]))
    assert accuracy(a, some).value == pytest.approx(a.right[some].mean())


def test_the_one_liner_is_the_area_under_brightness_alone():
    a = Predictions.of(predictions(45).query("head == 'majority'").assign(copy=[0, 2] * 45), CLASSES)
    contrast = np.random.default_rng(0).normal(size=len(a))
    facts = a.samples.drop(columns="copy").assign(contrast=contrast)
    shuffled = facts.sample(frac=1, random_state=0)
    assert one_liner(facts_of(shuffled, a), a).value == pytest.approx(roc_auc_score(a.labels, facts["contrast"]))


def test_a_tested_sample_that_is_described_twice_is_refused_and_each_has_its_own_facts():
    a = Predictions.of(predictions(6).query("head == 'majority' and split == 'test'"), CLASSES)
    described = a.samples.drop(columns="copy").assign(contrast=np.arange(len(a)))
    more = pd.concat([described, described.assign(image_id="x" + described["image_id"])]).sample(frac=1, random_state=0)
    assert facts_of(more, a)["contrast"].tolist() == list(range(len(a)))
    with pytest.raises(ValueError, match="unique"):
        facts_of(pd.concat([more, described[:1]]), a)


def verdict(shortcuts, network):
    """The line on shortcuts and a network of such strength, on 60 patients tested."""
    table = predictions(180, strength=network, heads=("softmax",))
    told = table["label"].eq("abnormal") * shortcuts + np.random.default_rng(1).normal(size=len(table))
    table["score"] = table["score"].mask(table["head"] == "shortcuts", told)
    heads = by_head(table, CLASSES, "test")
    return shortcut_verdict(evaluate(heads["shortcuts"], resamples=500)["auroc"], beyond_shortcuts(heads))


@pytest.mark.parametrize(
    ("shortcuts", "network", "leaks"), [(2.0, 1.0, True), (1.5, 0.0, True), (0.5, 4.0, False), (0.0, 0.0, False)]
)
def test_crops_leak_where_shortcuts_are_above_chance_and_the_network_is_not_above_them(shortcuts, network, leaks):
    assert ("The crops leak" in verdict(shortcuts, network)) == leaks
