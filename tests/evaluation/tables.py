"""Run folders and tables of predictions as small as can be, with answers that a test chooses."""

import json

import numpy as np
import pandas as pd
from scipy.special import expit

CONFIG = {
    "task": "abnormality", "seed": 0, "threshold": "youden", "select_on": "val",
    "model": {"name": "vgg16"}, "data": {"name": "phantom", "fold": None, "folds": 2},
    "split": {"name": "patient"}, "crop": {"name": "whole"}, "augment": {"mode": "none"},
}  # fmt: skip


def predictions(women=30, *, strength=1.0, seed=0, fold=None, folds=2, heads=("softmax", "svm"), noise=0):
    """Two films a woman, of either class; `strength` apart in score; a third of the women in each part."""
    rng = np.random.default_rng([7, noise])
    labels = np.tile([0, 1], women)
    part = np.arange(women) % 3
    if fold is not None:  # test is the fold, validation another third of the rest
        part = np.where(np.arange(women) % folds == fold, 2, (np.arange(women) // folds) % 2)
    tables = []
    for head in (*heads, "shortcuts", "majority"):
        score = rng.normal(size=2 * women) + strength * labels
        if head in ("shortcuts", "majority"):
            score = np.zeros(2 * women) if head == "majority" else rng.normal(size=2 * women)
        tables.append(
            pd.DataFrame(
                {
                    "sample_id": [f"mdb{i + 1:03d}" for i in range(2 * women)],
                    "image_id": [f"mdb{i + 1:03d}" for i in range(2 * women)],
                    "patient": np.repeat([f"p{w:03d}" for w in range(women)], 2),
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


def run_folder(folder, table, overrides=(), *, crossing=(), **config):
    """A finished run, as far as systems are read from it."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(list(overrides)))
    table.to_csv(folder / "predictions.csv", index=False)
    data = CONFIG["data"] | {"fold": None if table["fold"].iloc[0] == "" else int(table["fold"].iloc[0])}
    whole = CONFIG | {"seed": int(table["seed"].iloc[0]), "data": data} | config
    (folder / "provenance.json").write_text(json.dumps({"config": whole, "classes": ["normal", "abnormal"]}))
    audit = {"patients_in_two_splits": list(crossing), "images_in_two_splits": []}
    (folder / "split_audit.json").write_text(json.dumps(audit))
    return folder
