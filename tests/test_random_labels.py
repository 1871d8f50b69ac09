"""With labels that mean nothing an honest protocol finds nothing, and the leaky ones find something.

Each patient gets a label by the toss of a coin, both her films the same; split, crops, copies, head and intervals are
the program's own. Only the features are cheaper than a network's: levels of grey and of its slope, whatever the
orientation, by which a film's copy is known again, and a patient's other film a little.

`python -m pytest -m slow -n 0 -s tests/test_random_labels.py` prints the table for 20 seeds.
"""

from dataclasses import replace

import numpy as np
import pytest

from mammo.datasets.phantom import Phantom
from mammo.datasets.registry import open_dataset
from mammo.evaluation.metrics import evaluate
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Predictions, head_table
from mammo.models.heads import fit_head, withheld
from mammo.preprocessing.crop_table import cut_samples
from mammo.training import prepare
from mammo.training.guard import check_labels
from tests.conftest import ARCHIVE, resolved

PROTOCOLS = {"by patient": "patient", "by image": "image", "augmentation first": "copy"}
LEVELS = np.linspace(0, 1, 33)
CLASSES = ["normal", "abnormal"]


@pytest.fixture
def cut_once(monkeypatch):
    """Whole breasts do not depend on the split or the labels: they are cut for the first seed alone."""
    made = []

    def cut(crop, findings, cutter, labels, **how):
        if not made:
            made.append(cut_samples(crop, findings, cutter, labels, **how))
        (crops,) = made
        images = findings.set_index("image_id").loc[crops.table["image_id"]].reset_index()
        drawn = images[["severity", "split"]].assign(label=images["severity"].map(labels.of))
        return replace(crops, table=crops.table.assign(**drawn))

    monkeypatch.setattr(prepare, "cut_samples", cut)


def tossed(findings, seed):
    """The findings, one an image, with a severity by the patient's coin."""
    images = findings.drop_duplicates("image_id").reset_index(drop=True)
    patients = images["patient"].unique()
    heads = np.random.default_rng([seed, 0xC014]).random(len(patients)) < 0.5
    return images.assign(
        severity=images["patient"].map(dict(zip(patients, np.where(heads, "malignant", "normal"), strict=True))),
        finding_id=1,
    )


def described(pixels):
    """(66,) levels of grey, and of its slope."""
    slopes = np.hypot(*np.gradient(pixels.astype(np.float32)))
    return np.concatenate([np.quantile(pixels, LEVELS), np.quantile(slopes, LEVELS)])


def area(source, split, seed, shares, copies):
    """AUROC of the test part with its interval."""
    config = resolved(*source, f"split={split}", f"split.shares={shares}", f"seed={seed}", "augment=expand",
                      f"augment.copies={copies}", "model.image_size=64", "data.batch_size=4")  # fmt: skip
    dataset = open_dataset(config.data)
    findings = tossed(dataset.findings(), seed)
    dataset.findings = lambda: findings
    data = prepare.prepare(dataset, findings, prepare.split_of(findings, config), config)
    check_labels(data, data.described)
    rows = data.rows()
    features = np.array([described(data.described.pixels(*row)[0].numpy()) for row in data.described.rows], np.float32)
    labels = (rows["label"] == CLASSES[1]).to_numpy().astype(int)
    head = fit_head("svm", withheld(features, rows), labels, rows, trained_backbone=False)
    outputs = head.score(features), head.probabilities(features)
    table = head_table(rows, "svm", *outputs, CLASSES, fold=None, seed=seed)
    numbers = table.assign(**table[["score", "p_normal", "p_abnormal"]].astype(float))
    return evaluate(Predictions.of(numbers[numbers["split"] == "test"], CLASSES), Operating())["auroc"]


def benchmark(source, seeds, shares=(0.6, 0.2, 0.2), copies=5):
    """By protocol: (3, seeds) areas and the ends of their intervals; prints the table."""
    found = {}
    print(f"\n| random labels, {seeds} seeds | mean AUROC (its standard error) | intervals cover 0.5 | lie above |")
    print("| --- | --- | --- | --- |")
    for name, split in PROTOCOLS.items():
        values = [area(source, split, seed, list(shares), copies) for seed in range(seeds)]
        found[name] = np.array([(one.value, one.low, one.high) for one in values]).T
        areas, lows, _ = found[name]
        error = areas.std(ddof=1) / np.sqrt(seeds)
        print(f"| {name} | {areas.mean():.3f} ({error:.3f}) | {covering(found[name])} | {(lows > 0.5).sum()} |")
    return found


def covering(found):
    """Count the intervals that hold 0.5."""
    _, lows, highs = found
    return int(((lows <= 0.5) & (highs >= 0.5)).sum())


@pytest.mark.slow
def test_random_labels_are_not_learnt_by_patient_but_by_copies(phantom, cut_once):
    source = ["data=phantom", f"data.root={phantom.root}", f"data.patients={phantom.patients}"]
    found = benchmark(source, seeds=5, shares=(0.5, 0, 0.5))
    assert covering(found["by patient"]) >= 4
    assert found["augmentation first"][0].mean() > 0.6


@pytest.mark.slow
def test_random_labels_of_161_patients_and_20_seeds(request, cut_once, tmp_path):
    if ARCHIVE.is_file():
        source = [f"data.root={request.getfixturevalue('mias').root}"]
    else:
        films = Phantom(root=str(tmp_path), patients=161)
        films.prepare()
        source = ["data=phantom", f"data.root={films.root}", f"data.patients={films.patients}"]
    found = benchmark(source, seeds=20)
    assert covering(found["by patient"]) >= 16
    areas = found["by image"][0]
    assert areas.mean() - areas.std(ddof=1) / np.sqrt(len(areas)) > 0.5
    areas, lows, _ = found["augmentation first"]
    assert areas.mean() > 0.6 and (lows > 0.5).sum() > 10
