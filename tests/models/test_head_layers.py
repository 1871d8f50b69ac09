"""Heads as layers give what scikit-learn gives, for all of them, with two classes and with three."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from mammo.errors import InputError
from mammo.models.head_layers import HeadLayers
from mammo.models.heads import HEADS, FittedHead, fit_head


@pytest.fixture(scope="module", params=[2, 3])
def samples(request):
    """Features of several scales, labels, and rows of a table of samples."""
    rng, classes = np.random.default_rng(0), request.param
    labels = np.arange(96) % classes
    features = rng.normal(3, 1, (96, 20)) * rng.uniform(0.1, 50, 20)
    features[:, :4] += 2 * labels[:, None] * features[:, :4].std(axis=0)
    split = np.where(np.arange(96) < 60, "train", np.where(np.arange(96) < 80, "val", "test"))
    return features.astype(np.float32), labels, pd.DataFrame({"patient": np.arange(96).astype(str), "split": split})


@pytest.mark.parametrize("name", HEADS)
def test_each_head_gives_its_score_and_probabilities(samples, name, monkeypatch):
    features, labels, rows = samples
    small = {key: values[:1] for key, values in HEADS[name].grid.items()}
    if name == "boosting":
        small = {"max_depth": [3], "n_estimators": [8]}
    monkeypatch.setitem(HEADS, name, HEADS[name].__class__(**vars(HEADS[name]) | {"grid": small}))
    fitted = fit_head(name, features, labels, rows, trained_backbone=True)
    layers = HeadLayers(name, fitted).eval()
    with torch.inference_mode():
        score, probabilities = layers(torch.from_numpy(features))
    assert np.allclose(probabilities, fitted.probabilities(features), atol=2e-6)
    if score is None:
        assert fitted.score(features) is None and len(set(labels)) == 3
    else:
        new = rows["split"] != "train"  # a training sample is its own neighbour, but for a rounding that decides
        assert np.allclose(score.numpy()[new], fitted.score(features)[new], rtol=1e-4, atol=1e-5)


def test_several_windows_give_the_mean_of_their_answers(samples):
    features, labels, rows = samples
    fitted = fit_head("lda", features, labels, rows, trained_backbone=True)
    both = FittedHead(fitted.model, {}, "", windows=2)
    with torch.inference_mode():
        _, found = HeadLayers("lda", both)(torch.from_numpy(features.reshape(48, -1)))
    assert np.allclose(found, both.probabilities(features.reshape(48, -1)), atol=2e-6)


def test_a_head_without_layers_is_refused_by_its_name():
    inner = SimpleNamespace(estimator=RandomForestClassifier())
    with pytest.raises(InputError, match=r"head forest .*RandomForestClassifier"):
        HeadLayers("forest", FittedHead(SimpleNamespace(calibrated_classifiers_=[inner]), {}, ""))
