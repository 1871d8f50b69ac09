"""Heads are tuned and calibrated without a look at the test part, and saved without pickle."""

import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from mammo.config import AugmentConfig
from mammo.errors import InputError
from mammo.models.baselines import majority, shortcuts
from mammo.models.heads import HEADS, Head, find_head, fit_head, inner_folds
from mammo.models.heads_io import load_head, save_head
from mammo.preprocessing.augment import Augment

NAMES = {"svm", "svm_linear", "logistic", "lda", "knn", "mlp", "boosting"}


def data(seed=0, patients=60, width=8, classes=2):
    """Features of two films a patient; the classes lie two standard deviations apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 2 * patients)
    features = rng.normal(size=(2 * patients, width)).astype(np.float32)
    features[:, 0] += 2 * labels
    names = np.repeat([f"p{i}" for i in range(patients)], 2)
    split = np.repeat(["train"] * (patients - 30) + ["val"] * 15 + ["test"] * 15, 2)
    return features, labels, pd.DataFrame({"patient": names, "split": split})


def test_every_head_is_named_here():
    """Each is then held to all that follows."""
    assert set(HEADS) == NAMES


QUICK = ("knn", "svm")  # one whose score is its logits, and the usual one; all others with `-m slow`


def of_each(*more, of=QUICK):
    """Each head, with these values beside it; others than these few where slow tests are asked for."""
    return [pytest.param(name, *more, marks=() if name in of else pytest.mark.slow) for name in sorted(HEADS)]


@pytest.mark.parametrize(("name", "trained_backbone"), [*of_each(True), *of_each(False)])
def test_no_head_sees_a_test_film(name, trained_backbone):
    features, labels, rows = data()
    test = (rows["split"] == "test").to_numpy()
    poisoned, flipped = features.copy(), labels.copy()
    poisoned[test] = 1e6
    flipped[test] = 1 - flipped[test]
    honest = fit_head(name, features, labels, rows, trained_backbone=trained_backbone)
    other = fit_head(name, poisoned, flipped, rows, trained_backbone=trained_backbone)
    assert honest.chosen == other.chosen
    assert np.array_equal(honest.probabilities(features), other.probabilities(features))


@pytest.mark.parametrize("name", of_each())
def test_no_answer_depends_on_the_rows_beside_it(name):
    """To the last bit: a film gets the same alone, among the films of the run, and at another place among them."""
    features, labels, rows = data(width=300)
    head = fit_head(name, features, labels, rows, trained_backbone=False)
    score, probabilities = head.score(features), head.probabilities(features)
    for at in (0, 7, len(features) - 1):
        alone = features[at : at + 1]
        assert head.score(alone) == score[at] and np.array_equal(head.probabilities(alone)[0], probabilities[at])
    for moved in (np.arange(len(features))[::-1], np.roll(np.arange(len(features)), 5)):
        assert np.array_equal(head.score(features[moved]), score[moved])
        assert np.array_equal(head.probabilities(features[moved]), probabilities[moved])


def test_a_head_that_selects_on_test_is_tuned_and_calibrated_there_and_says_so():
    features, labels, rows = data()
    assert fit_head("svm", features, labels, rows, trained_backbone=False, select_on="test").how == (
        "tuned and calibrated on test"
    )


def test_shortcuts_learn_from_the_training_part_alone_from_numbers_and_words():
    _, labels, rows = data(patients=200)
    rng = np.random.default_rng(0)
    words = np.where(rng.random(400) < 0.85, np.array(["F", "D"])[labels], "G")
    seen = pd.DataFrame({"breast_mm2": rng.normal(size=400), "density": words})
    score, probabilities = shortcuts(seen, labels, rows)
    test = (rows["split"] == "test").to_numpy()
    assert ((score > 0) == labels)[test].mean() > 0.8
    other = np.where(rows["split"] == "train", labels, 1 - labels)
    assert np.array_equal(shortcuts(seen, other, rows)[1], probabilities)


def test_the_validation_part_chooses_only_where_the_features_have_seen_the_training_labels():
    features, labels, rows = data()
    val = (rows["split"] == "val").to_numpy()
    poisoned = features.copy()
    poisoned[val] = np.random.default_rng(1).normal(size=poisoned[val].shape)

    def answers(trained_backbone):
        fitted = [fit_head("knn", x, labels, rows, trained_backbone=trained_backbone) for x in (features, poisoned)]
        return [head.probabilities(features) for head in fitted]

    assert np.array_equal(*answers(trained_backbone=False))
    assert not np.array_equal(*answers(trained_backbone=True))


def test_without_validation_a_trained_backbones_head_says_that_its_features_saw_the_labels():
    features, labels, rows = data()
    rows["split"] = rows["split"].replace("val", "train")
    assert "trained on the same labels" in fit_head("knn", features, labels, rows, trained_backbone=True).how


def test_copies_that_show_other_patients_are_said_to_flatter_the_choice():
    features, labels, rows = data()
    assert "flatter" in fit_head("svm_linear", features, labels, rows, trained_backbone=False, mixed_copies=True).how
    assert "flatter" not in fit_head("svm_linear", features, labels, rows, trained_backbone=False).how
    assert Augment(AugmentConfig("expand", "crossover")).mixes_copies
    assert not Augment(AugmentConfig("expand")).mixes_copies
    assert not Augment(AugmentConfig("online", "gan")).mixes_copies


def test_a_patients_samples_and_their_copies_lie_in_one_inner_fold():
    _, labels, rows = data()
    patients = np.repeat(rows["patient"].to_numpy(), 6)
    for fit, held in inner_folds(np.repeat(labels, 6), patients):
        assert not set(patients[fit]) & set(patients[held])


def test_too_few_patients_for_folds_is_one_clear_line():
    with pytest.raises(InputError, match="at least two patients"):
        inner_folds(np.array([0, 0, 0, 0, 1, 1]), np.array(["a", "b", "d", "e", "c", "c"]))


@pytest.mark.parametrize(("name", "classes"), [*of_each(2), *of_each(3, of=["lda"])])
def test_probabilities_are_calibrated_and_learn_what_can_be_learnt(name, classes):
    features, labels, rows = data(patients=120, classes=classes)
    head = fit_head(name, features, labels, rows, trained_backbone=False)
    test = (rows["split"] == "test").to_numpy()
    probabilities = head.probabilities(features)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == labels)[test].mean() > 0.55
    score = head.score(features)
    if classes == 3:
        assert score is None
    else:
        assert score.dtype == np.float32 and np.isfinite(score).all()
        assert (np.diff(probabilities[np.argsort(score), 1]) > -1e-6).all()  # a float32 may round to its neighbour


@pytest.mark.parametrize(
    ("name", "classes", "trained_backbone"), [*of_each(2, True, of=[*QUICK, "mlp"]), *of_each(3, False, of=[])]
)
def test_a_saved_head_gives_the_same_answers_as_it_and_as_one_fitted_again(name, classes, trained_backbone, tmp_path):
    features, labels, rows = data(classes=classes)
    head, repeated = (fit_head(name, features, labels, rows, trained_backbone=trained_backbone) for _ in range(2))
    save_head(head, tmp_path / "saved.skops")
    again = load_head(tmp_path / "saved.skops", head.chosen, head.how)
    for other in (again, repeated):
        assert other.chosen == head.chosen
        assert np.array_equal(other.probabilities(features), head.probabilities(features))
        assert classes == 3 or np.array_equal(other.score(features), head.score(features))


def test_a_head_on_wide_features_gives_the_same_from_its_file(tmp_path):
    """The components of a PCA are found by random projections there, and lie in memory with gaps."""
    narrow, labels, rows = data()
    noise = np.random.default_rng(1).normal(size=(len(labels), 600)).astype(np.float32)
    features = np.concatenate([narrow, noise], axis=1)
    head = fit_head("lda", features, labels, rows, trained_backbone=True)
    save_head(head, tmp_path / "saved.skops")
    again = load_head(tmp_path / "saved.skops", head.chosen, head.how)
    assert np.array_equal(again.score(features), head.score(features))


@pytest.mark.parametrize("name", of_each(of=["knn", "lda"]))
def test_seven_classes_of_which_one_is_rare_are_learnt_without_a_warning(name):
    patients = [24, 20, 15, 12, 12, 10, 8]
    labels = np.tile(np.repeat(np.arange(7), patients), 2)
    features = np.random.default_rng(0).normal(size=(len(labels), 16)).astype(np.float32)
    features[np.arange(len(labels)), labels] += 5
    split = np.repeat(["train", "test"], sum(patients))
    rows = pd.DataFrame({"patient": [f"p{i}" for i in range(len(labels))], "split": split})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = fit_head(name, features, labels, rows, trained_backbone=False)
    probabilities = head.probabilities(features)
    assert np.allclose(probabilities.sum(axis=1), 1)
    right = probabilities.argmax(axis=1) == labels
    assert min(right[(labels == i) & (split == "test")].mean() for i in range(7)) > 0.2
    assert head.score(features) is None


@pytest.mark.parametrize("name", of_each())
def test_the_fewest_patients_that_can_be_tuned_on_are_enough_for_each_head(name):
    labels = np.array([0] * 4 + [1] * 2 + [0, 1])
    features = np.random.default_rng(0).normal(size=(8, 600)).astype(np.float32)
    rows = pd.DataFrame({"patient": list("abcdefgh"), "split": ["train"] * 6 + ["test"] * 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = fit_head(name, features, labels, rows, trained_backbone=False)
    assert np.isfinite(head.score(features)).all() and np.isfinite(head.probabilities(features)).all()


def test_a_head_that_cannot_learn_from_one_film_of_each_class_says_so():
    rows = pd.DataFrame({"patient": list("abcd"), "split": "train"})
    with pytest.raises(InputError, match="head lda needs 3 samples"):
        fit_head("lda", np.eye(4, dtype=np.float32), np.array([0, 0, 1, 1]), rows, trained_backbone=False)


@pytest.mark.parametrize("name", of_each(of=["mlp"]))
def test_a_head_gives_the_same_on_any_number_of_threads(name):
    features, labels, rows = data(patients=150, width=600)

    def answers(threads):
        with threadpool_limits(threads):
            return fit_head(name, features, labels, rows, trained_backbone=True).probabilities(features)

    assert np.array_equal(answers(1), answers(2))


class Stranger(RandomForestClassifier):
    """A type of somebody else's."""


def test_a_file_with_other_types_is_not_loaded(tmp_path):
    skops.io.dump(Stranger(n_estimators=1).fit([[0], [1]], [0, 1]), tmp_path / "svm.skops")
    with pytest.raises(InputError, match=r"not trusted.*Stranger"):
        load_head(tmp_path / "svm.skops", {}, "")


def test_a_damaged_tree_is_not_followed(tmp_path):
    """scikit-learn would read beyond the nodes, and the process end."""
    features, labels, rows = data()
    head = fit_head("boosting", features, labels, rows, trained_backbone=True)
    tree = head.model.calibrated_classifiers_[0].estimator.estimators_[0, 0].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = 10**9
    tree.__setstate__(state)
    save_head(head, tmp_path / "boosting.skops")
    with pytest.raises(InputError, match=r"boosting\.skops: .*decision tree"):
        load_head(tmp_path / "boosting.skops", head.chosen, head.how)


def test_a_file_that_holds_no_head_is_refused(tmp_path):
    skops.io.dump(KNeighborsClassifier(), tmp_path / "knn.skops")
    with pytest.raises(InputError, match="holds a KNeighborsClassifier"):
        load_head(tmp_path / "knn.skops", {}, "")


def test_the_majority_head_knows_the_training_frequencies_alone():
    rows = pd.DataFrame({"split": ["train"] * 4 + ["test"] * 4})
    _, probabilities = majority(np.array([0, 0, 0, 1, 1, 1, 1, 1]), rows, 2)
    assert np.allclose(probabilities, [0.75, 0.25])


def test_a_head_without_decision_values_scores_by_its_logits(monkeypatch):
    monkeypatch.setitem(HEADS, "votes", Head(KNeighborsClassifier(), {"n_neighbors": [3, 9]}))
    features, labels, rows = data()
    head = fit_head("votes", features, labels, rows, trained_backbone=False)
    assert np.isfinite(head.score(features)).all()
    assert np.corrcoef(head.score(features), head.probabilities(features)[:, 1])[0, 1] > 0.7


@pytest.mark.parametrize(
    ("row", "said"),
    [(Head(LinearSVC(), {"depth": [1]}), "a grid of depth"), (LinearSVC(), "is a LinearSVC; expected Head")],
)
def test_a_row_that_is_no_head_is_refused_before_it_is_fitted(monkeypatch, row, said):
    monkeypatch.setitem(HEADS, "mine", row)
    with pytest.raises(InputError, match=f"head 'mine' .*{said}"):
        find_head("mine")


def test_an_unknown_head_lists_the_known():
    with pytest.raises(InputError, match=r"head 'svn' .*svm, ") as error:
        fit_head("svn", *data(), trained_backbone=False)
    assert set(str(error.value).partition("some of ")[2].split(", ")) == NAMES
