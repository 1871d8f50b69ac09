"""Leaks cannot happen quietly: each is injected into the real program, which must end in an error or say its reason."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.callbacks import EarlyStopping
from sklearn.preprocessing import StandardScaler

from mammo.datasets.split import split_images
from mammo.errors import InputError
from mammo.evaluation import evaluate as judged
from mammo.evaluation.predictions import choices
from mammo.models import heads
from mammo.models.heads import fit_head
from mammo.run_folder import RunFolder
from mammo.runs import write
from mammo.runs.train import train
from mammo.training import fit, prepare
from mammo.training.datamodule import MammogramDataModule
from mammo.training.guard import check_labels
from mammo.training.samples import OnceSampler, Samples
from tests.conftest import SHARES, prepared_of, resolved

pytestmark = pytest.mark.usefixtures("quick_init")


@pytest.fixture(scope="module")
def run(job, resnet_trunk):
    """One epoch on a frozen trunk; returns the run folder."""

    def start(*overrides):
        own = ["augment=none", "model=resnet18", f"model.weights={resnet_trunk}", "heads=[knn]", *overrides]
        return job("trainer.max_epochs=1", *own)[0]

    return start


@pytest.fixture(scope="module")
def honest_run(run):
    return run()


def leaks(folder):
    return [leak["kind"] for leak in RunFolder(folder).numbers["leaks"]]


def test_an_honest_run_has_no_reason(honest_run):
    assert leaks(honest_run) == []


def test_what_the_configuration_asks_for_is_a_reason_each(run):
    copies, patients, chosen = leaks(run("split=copy", "augment=expand", "augment.copies=1", "select_on=test"))
    assert [copies, patients, chosen] == ["copies_in_two_splits", "patients_in_two_splits", "selected_on_test"]


def moved(table, **how):
    """A split of which one training patient's second film is tested."""
    split = split_images(table, **how)
    split.loc[split.index[(split["split"] == "train") & split["patient"].duplicated()][0], "split"] = "test"
    return split


def renamed(table, **how):
    """The same, and by her film's name she is another patient there."""
    honest, split = split_images(table, **how), moved(table, **how)
    split.loc[split["split"] != honest["split"], "patient"] = "somebody"
    return split


def augmented_first(table, **how):
    """Copies are dealt as if they were films."""
    return split_images(table, **how | {"name": "copy", "copies": 2})


@pytest.mark.parametrize("leaky", [moved, renamed, augmented_first])
def test_a_split_that_lets_a_patient_cross_is_an_error(run, monkeypatch, leaky):
    monkeypatch.setattr(prepare, "split_images", leaky)
    with pytest.raises(InputError, match=r"patient"):
        run()


def once(data, samples):
    return data._loader(samples, OnceSampler(len(samples), **data._process))


def test_training_on_test_rows_is_an_error(run, monkeypatch):
    monkeypatch.setattr(MammogramDataModule, "train_dataloader", lambda self: once(self, self.prepared.described))
    with pytest.raises(RuntimeError, match=r"leak: training .* 32 rows.* 16 .*train part"):
        run()


def mixed_with_everyone(monkeypatch):
    honest = Samples.__init__

    def leaky(self, crops, labels, rows, augment, seed, pool, *rest):
        honest(self, crops, labels, rows, augment, seed, range(len(labels)), *rest)

    monkeypatch.setattr(Samples, "__init__", leaky)


def learnt_from_everyone(monkeypatch):
    honest = prepare.pool_of
    monkeypatch.setattr(prepare, "pool_of", lambda rows_of: honest({"train": sum(rows_of.values(), [])}))


@pytest.mark.parametrize(
    ("leak", "augment"),
    [(mixed_with_everyone, ["augment=mixup"]), (learnt_from_everyone, ["augment=gan", "augment.steps=1"])],
)
def test_augmentation_that_takes_from_test_films_is_an_error(run, monkeypatch, leak, augment):
    leak(monkeypatch)
    with pytest.raises(RuntimeError, match=r"leak: augmentation .* 16 samples"):
        run(*augment)


def test_stopping_early_on_test_rows_is_an_error(run, monkeypatch):
    def test_rows(self):
        return once(self, self.prepared._samples(self.prepared.rows_of["test"]))

    monkeypatch.setattr(MammogramDataModule, "val_dataloader", test_rows)
    with pytest.raises(RuntimeError, match=r"leak: .* by val/auroc .* val part"):
        run()


def test_stopping_early_by_a_metric_of_test_is_an_error(run, monkeypatch):
    honest = fit.during_fit

    def leaky(*arguments, **how):
        return [*honest(*arguments, **how), EarlyStopping("test/auroc", mode="max", strict=False)]

    monkeypatch.setattr(fit, "during_fit", leaky)
    with pytest.raises(RuntimeError, match=r"leak: EarlyStopping by test/auroc.* val part"):
        run()


def test_choosing_everything_on_test_unasked_is_an_error(run, monkeypatch):
    monkeypatch.setattr(prepare.Prepared, "watched", "test", raising=False)
    monkeypatch.setattr(prepare.Prepared, "__setattr__", watches_test, raising=False)
    with pytest.raises(RuntimeError, match=r"leak: .* by test/auroc"):
        run()


def watches_test(self, name, value):
    """Says that the test part is watched, whatever was said."""
    object.__setattr__(self, name, "test" if name == "watched" else value)


def scaled_on_all(name, features, labels, rows, **how):
    return fit_head(name, StandardScaler().fit_transform(features), labels, rows, **how)


def fitted_on_all(name, features, labels, rows, **how):
    return fit_head(name, features, labels, rows.assign(split="train"), **how)


def tuned_on_test(name, features, labels, rows, **how):
    return fit_head(name, features, labels, rows, **how | {"select_on": "test"})


@pytest.mark.parametrize(
    ("leaky", "message"),
    [(scaled_on_all, "contains infinity"), (fitted_on_all, "withheld"), (tuned_on_test, "withheld")],
)
def test_a_scaler_or_a_head_that_looks_at_test_rows_is_an_error(run, monkeypatch, leaky, message):
    monkeypatch.setattr(heads, "fit_head", leaky)
    with pytest.raises((ValueError, RuntimeError), match=message):
        run()


def on_test(predictions, classes, rule, part):
    return choices(predictions, classes, rule, "test")


def test_a_threshold_that_validation_did_not_choose_is_a_reason(run, monkeypatch):
    monkeypatch.setattr(judged, "choices", on_test)
    assert leaks(run()) == ["chosen_elsewhere"]


def rolled(array):
    """Everyone's is another's."""
    return np.roll(np.asarray(array), 1, axis=0)


@pytest.mark.parametrize(
    ("shuffle", "message"),
    [
        (lambda crops: replace(crops, table=crops.table.assign(label=rolled(crops.table["label"]))), "of the table"),
        (lambda crops: replace(crops, pixels=rolled(crops.pixels)), "are not those that were cut for it"),
    ],
)
def test_labels_that_do_not_follow_their_films_are_an_error(run, honest_run, monkeypatch, tmp_path, shuffle, message):
    honest = prepare.cut_samples
    monkeypatch.setattr(prepare, "cut_samples", lambda *given, **how: shuffle(honest(*given, **how)))
    with pytest.raises(RuntimeError, match=message):
        run()
    lines = ["fit=false", f"ckpt_path={honest_run}"]
    with pytest.raises(RuntimeError, match=message):
        train(resolved(*lines), tmp_path)


def test_a_patch_whose_label_is_not_that_of_its_place_is_an_error(phantom):
    data = prepared_of(resolved("data=phantom", f"data.root={phantom.root}", "data.patients=16", SHARES, "crop=grid",
                                "data.batch_size=4", "model.image_size=32", "augment=none"))  # fmt: skip
    check_labels(data, data.described)
    table = data.crops.table
    one = (table["label"] == "normal") & (table["patch"] > 0) & (table["finding_id"] == 0)
    for changed in ({"label": table["label"].mask(one, "abnormal")}, {"x_px": table["x_px"].mask(~one, 5000.0)}):
        samples = replace_table(data.described, table.assign(**changed))
        with pytest.raises(RuntimeError, match="labels of the table are not those of their findings"):
            check_labels(data, samples)


def replace_table(samples, table):
    """The same samples, said to be others."""
    return Samples(replace(samples.crops, table=table), samples.labels, samples.rows, samples.augment, samples.seed)


def test_training_on_shuffled_labels_is_an_error(run, monkeypatch):
    honest = Samples.__init__

    def leaky(self, crops, labels, *others):
        honest(self, crops, rolled(labels), *others)

    monkeypatch.setattr(Samples, "__init__", leaky)
    with pytest.raises(RuntimeError, match="labels of the loader are not those of their findings"):
        run()


def test_predictions_whose_labels_were_shuffled_are_an_error(run, monkeypatch):
    honest = write.head_table

    def leaky(rows, *given, **how):
        return honest(rows.assign(label=rolled(rows["label"])), *given, **how)

    monkeypatch.setattr(write, "head_table", leaky)
    with pytest.raises(InputError, match=r"have another label than samples\.csv"):
        run()


def test_the_thresholds_that_are_written_can_be_chosen_again_from_validation(honest_run):
    table = pd.read_csv(honest_run / "predictions.csv").query("head == 'knn' and split == 'val'")
    threshold = RunFolder(honest_run).numbers["operating"]["knn"]["threshold"]
    positive = table["label"] == "abnormal"

    def gain(at):
        return (table["score"][positive] > at).mean() + (table["score"][~positive] <= at).mean()

    assert gain(threshold) == max(map(gain, table["score"]))
