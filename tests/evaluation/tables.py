"""Run folders and tables of predictions as small as can be, with predictions that a test chooses."""

import json

import numpy as np
import pandas as pd
from scipy.special import expit

from mammo.config import Config
from mammo.evaluation.areas import average_precision, sums_of_classes

CONFIG = Config.of(
    {
        "task": {"name": "abnormality", "classes": {"normal": ["normal"], "abnormal": ["benign", "malignant"]}},
        "data": {"name": "phantom", "folds": 2}, "augment": {"mode": "none"}, "heads": ["svm"],
    }
).as_dict()  # fmt: skip


def predictions(patients=30, *, strength=1.0, seed=0, fold=None, folds=2, heads=("softmax", "svm"), noise=0):
    """Two images a patient, of either class; `strength` apart in score; a third of the patients in each part."""
    rng = np.random.default_rng([7, noise])
    labels = np.tile([0, 1], patients)
    part = np.arange(patients) % 3
    if fold is not None:  # test is the fold, validation another third of the rest
        part = np.where(np.arange(patients) % folds == fold, 2, (np.arange(patients) // folds) % 2)
    tables = []
    for head in (*heads, "shortcuts", "majority"):
        score = rng.normal(size=2 * patients) + strength * labels
        if head in ("shortcuts", "majority"):
            score = np.zeros(2 * patients) if head == "majority" else rng.normal(size=2 * patients)
        tables.append(
            pd.DataFrame(
                {
                    "image_id": [f"mdb{i + 1:03d}" for i in range(2 * patients)],
                    "finding_id": labels,
                    "patch": 0,
                    "copy": 0,
                    "patient": np.repeat([f"p{w:03d}" for w in range(patients)], 2),
                    "split": np.repeat(np.array(["train", "val", "test"])[part], 2),
                    "fold": "" if fold is None else fold,
                    "seed": seed,
                    "head": head,
                    "label": np.array(["normal", "abnormal"])[labels],
                    "score": score,
                    "p_normal": expit(-score),
                    "p_abnormal": expit(score),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def run_folder(folder, table, settings=None, *, crossing=(), crop_leak=None, **config):
    """A finished run, as far as experiments are read from it.

    `settings` are those of its job; `config` changes some of the configuration, section by section.
    """
    folder.mkdir(parents=True)
    table.to_csv(folder / "predictions.csv", index=False)
    fold = None if table["fold"].iloc[0] == "" else int(table["fold"].iloc[0])
    whole = CONFIG | {"seed": int(table["seed"].iloc[0]), "data": CONFIG["data"] | {"fold": fold}}
    for key, value in config.items():
        section = whole.get(key)
        whole[key] = {**section, **value} if isinstance(section, dict) else value
    crop = {"leak": crop_leak, "caption": None, "several_per_image": False}
    known = {
        "config": whole,
        "classes": ["normal", "abnormal"],
        "crop": crop,
        "dataset": {"name": "mias"},
        "frozen_stages": 0,
    }
    audit = {"patients_in_two_splits": list(crossing), "images_in_two_splits": []}
    for name, content in (
        ("provenance", known), ("split_audit", audit), ("job", {"settings": settings or {}}),
    ):  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def weighted_average_precision(positive, level, weights):
    """(W,) average precisions (the step-wise area, as in scikit-learn) for (W, N) weightings and (N,) levels."""
    return average_precision(*sums_of_classes(positive.astype(bool), level.max() - level, weights))
