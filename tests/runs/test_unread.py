"""A setting that no job reads is refused; one that a job of the sweep reads, or that says nothing, is not."""

import pytest

from mammo.errors import InputError
from mammo.runs.unread import check_read
from tests.conftest import resolved


def jobs(*lines):
    return [(resolved(*line), list(line)) for line in lines]


@pytest.mark.parametrize(
    ("words", "by"),
    [
        (["split.table=mine.csv"], "split=table"),
        (["model.maps=[vgg16@1]"], "task=detection"),
        (["partner=true"], "task=detection"),
        (["detector.steps=8"], "task=detection"),
        (["segmentation.width=16"], "task=segmentation"),
        (["augment.steps=4"], "augment=gan"),
        (["repeats=3"], "-m sweep=folds"),
    ],
)
def test_a_setting_that_the_variant_does_not_read_is_refused(words, by):
    key = words[0].partition("=")[0]
    with pytest.raises(InputError, match=f"{key} does nothing here: only {by} reads it"):
        check_read(jobs(words))


@pytest.mark.parametrize(
    "words",
    [["split.table=null"], ["split=table", "split.table=mine.csv"], ["task=detection", "partner=false"], ["seed=3"]],
)
def test_a_setting_that_is_read_or_says_nothing_passes(words):
    check_read(jobs(words))


@pytest.mark.parametrize("word", ["loss=focal", "optim.lr_head=0.1", "trainer.max_epochs=7", "model.dropout=0.1"])
def test_what_a_detector_does_not_learn_by_is_told(word, caplog):
    check_read(jobs([word]))
    check_read(jobs([word], ["task=detection", word]))
    assert not caplog.messages
    check_read(jobs(["task=detection", word]))
    assert [one.split(" does nothing with a detector")[0] for one in caplog.messages] == [word.partition("=")[0]]


def test_in_a_sweep_one_job_has_to_read_it():
    lines = [["split=patient", "split.table=mine.csv"], ["split=table", "split.table=mine.csv"]]
    check_read(jobs(*lines))
    with pytest.raises(InputError, match=r"split\.table does nothing"):
        check_read(jobs(lines[0], ["split=image", "split.table=mine.csv"]))
    check_read(jobs(["repeats=3"]), "folds")
    check_read(jobs(["seed=3"], ["seed=4"]), "folds")
    with pytest.raises(InputError, match=r"repeats does nothing beside seed: .*seed=5,6,7"):
        check_read(jobs(["repeats=3", "seed=5"]), "folds")
    check_read(jobs(["augment.alpha=2"]), "literature")  # whose experiments differ
