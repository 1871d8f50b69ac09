"""Tasks from any column: the words that are there make the classes, and everything that is left out is said."""

import pandas as pd
import pytest

import mammo
from mammo.config import TaskConfig
from mammo.datasets.label_words import fold, resolved, words_of
from mammo.datasets.labels import Labels
from mammo.errors import InputError


def table(*words, images=None):
    images = images or [f"i{at}" for at in range(len(words))]
    return pd.DataFrame({"image_id": images, "Befund": pd.Series(words, dtype=object), "severity": None})


def task(*words, images=None, **settings):
    rows = table(*words, images=images)
    found, notes = resolved(TaskConfig(name="label", column="Befund", **settings), rows)
    return Labels.from_config(found), notes, rows


def test_a_word_is_the_same_with_blanks_or_as_a_number_with_a_point():
    given = pd.Series([" krank ", "a\n b", 1.0, "1.0", 2, True, 1.5, None, float("nan"), "", "n/a", "?", "none"])
    assert words_of(given).fillna("missing").tolist() == [
        "krank", "a b", "1", "1", "2", "true", "1.5", *["missing"] * 5, "none",
    ]  # fmt: skip
    assert fold("GRÖßE  a") == fold("grösse a ")


def test_positive_words_make_two_classes_the_positive_one_last():
    labels, notes, rows = task("krank", "gesund", "Krank ", "gesund", positive=["krank"])
    assert labels.classes == ("gesund", "krank") and labels.ordered and labels.alarming and not labels.of_lesions
    assert labels.label(rows).tolist() == ["krank", "gesund", "krank", "gesund"]
    assert "krank (2 images)" in notes[0] and "krank, Krank" in notes[1]


@pytest.mark.parametrize(
    ("words", "positive", "classes"),
    [
        (["a", "b", "c"], ["c"], ("not c", "c")),
        (["a", "b", "c"], ["c", "B"], ("a", "c+b")),
        (["a", "b", "c"], "c", ("not c", "c")),
        ([0.0, 1.0, None], [1], ("0", "1")),
        (["0.0", "1.0"], ["1"], ("0", "1")),
        ([True, False, "TRUE"], [True], ("false", "true")),
        (["b", "a", "c"], None, ("a", "b", "c")),
        (["b", "a"], [], ("a", "b")),
        (["a/b", "ü, x", "a b"], ["ü, x"], ("not ü, x", "ü, x")),
    ],
)
def test_the_classes_are_named_by_the_words(words, positive, classes):
    labels, _, _ = task(*words, positive=positive)
    assert labels.classes == classes
    assert labels.ordered == labels.alarming == bool(positive)


def test_a_negative_class_holds_all_other_words_and_the_notes_say_which():
    labels, notes, rows = task("krank", "gesund", "unklar", None, "-", positive=["krank"])
    assert labels.label(rows).fillna("").tolist() == ["krank", "not krank", "not krank", "", ""]
    assert "gesund (1 image), unklar (1 image)" in notes[0] and "- in Befund is taken as missing (1 row)" in notes[1]


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (["a", "b"], {"positive": ["c"]}, r"task\.positive=c: .*some of a, b"),
        (["a", "b"], {"positive": ["a", "b"]}, "all words of Befund"),
        (["a", "b"], {"positive": "a", "negative": ["A"]}, "A is in task.positive and in task.negative"),
        (["a", "A "], {}, "the word a alone"),
        (["+", "-"], {"positive": ["+"]}, r"the word \+ alone.*data\.values\.Befund\.-="),
        (["a", "patients"], {}, "cannot be named patients"),
        ([None, None], {}, r"task\.column=Befund: .*one of image_id$"),
    ],
)
def test_words_that_make_no_task_are_refused_in_one_line(words, settings, message):
    with pytest.raises(InputError, match=message) as error:
        task(*words, **settings)
    assert "\n" not in str(error.value)


def test_a_column_that_is_not_there_lists_those_that_are():
    with pytest.raises(InputError, match=r"task\.column=Diagnose: .*image_id, Befund$"):
        resolved(TaskConfig(name="label", column="Diagnose"), table("a", "b"))


def of_images(labels, rows):
    found = labels.of_images(rows.assign(label=labels.label(rows)))
    return found.set_index("image_id")["label"].fillna("").to_dict()


def test_the_positive_word_of_an_image_counts_and_a_missing_one_is_not_negative():
    images = ["a", "a", "b", "b", "c", "c", "d"]
    labels, _, rows = task("no", "yes", "no", None, None, "yes", "no", images=images, positive=["yes"])
    assert of_images(labels, rows) == {"a": "yes", "b": "", "c": "yes", "d": "no"}


def test_without_a_positive_word_the_findings_of_an_image_must_agree():
    images = ["a", "a", "b", "b", "c", "c", "d"]
    labels, _, rows = task("x", "y", "x", "x", None, "y", "y", images=images)
    assert of_images(labels, rows) == {"a": "", "b": "x", "c": "", "d": "y"}


def test_a_split_from_python_spreads_the_words():
    words = ["krank" if at % 4 == 0 else "gesund" for at in range(80)]
    rows = table(*words).assign(dataset="x", finding_id=0, path="x", patient=[f"p{at}" for at in range(80)])
    rows["severity"] = pd.NA
    parts = mammo.split(rows, task={"column": "Befund", "positive": ["krank"]})
    ill = parts["image_id"].map(dict(zip(rows["image_id"], words, strict=True))) == "krank"
    assert parts[ill]["split"].value_counts().to_dict() == {"train": 12, "val": 4, "test": 4}


def test_words_in_neither_class_are_left_out_and_counted():
    words = ("krank", "gesund", "unklar", "gesund", "Unklar")
    labels, notes, rows = task(*words, positive=["krank"], negative=["gesund"])
    assert labels.classes == ("gesund", "krank")
    assert labels.label(rows).fillna("out").tolist() == ["krank", "gesund", "out", "gesund", "out"]
    assert any("unklar (2 images)" in note for note in notes)
    with pytest.raises(InputError, match=r"task\.negative"):
        task(*words, negative=["gesund"])
    with pytest.raises(InputError, match=r"task\.negative=gesnd"):
        task(*words, positive=["krank"], negative=["gesnd"])


def test_a_word_that_is_almost_a_positive_one_is_told_before_it_counts_as_negative():
    _, notes, _ = task("gutatig", "gesund", "bösartig", "gutartig", "gutartig", positive=["gutartig", "bösartig"])
    (told,) = [note for note in notes if "almost" in note]
    assert told.startswith("**gutatig (1 image) is spelt almost like gutartig")
    for words in (("nonmalignant", "malignant"), ("1", "2"), ("benign", "malign")):
        assert not [note for note in task(*words, positive=[words[1]])[1] if "almost" in note]
    named = {"positive": ["gutartig"], "negative": ["gesund", "gutatig"]}
    assert not [note for note in task("gutatig", "gesund", "gutartig", **named)[1] if "almost" in note]


@pytest.mark.parametrize(
    ("word", "positive"), [("ja?", "ja"), ("(4)", "4"), ("4A", "4"), ("krank (?)", "krank"), ("_M_", "M")]
)
def test_a_positive_word_with_a_doubt_or_a_grade_is_told_before_it_counts_as_negative(word, positive):
    _, notes, _ = task(word, "0", positive, positive=[positive])
    assert [note for note in notes if note.startswith(f"**{word} (1 image) is spelt almost like {positive}")]


@pytest.mark.parametrize(("word", "positive"), [("-1", "1"), ("1.5", "1"), ("M-", "M+"), ("14", "4"), ("nein", "ja")])
def test_another_number_or_word_is_no_positive_word_with_a_doubt(word, positive):
    assert not [note for note in task(word, "0", positive, positive=[positive])[1] if "almost" in note]


@pytest.mark.parametrize(
    "other", ["bo\u0308sartig", "b\u00f6s\u00adartig", "\ufeffb\u00f6sartig", "b\uff4f\u0308sartig"]
)
def test_words_that_look_the_same_are_one_word(other):
    labels, notes, rows = task("b\u00f6sartig", "b\u00f6sartig", other, "gutartig", positive=["b\u00f6sartig"])
    assert labels.classes == ("gutartig", "b\u00f6sartig")
    assert labels.label(rows).tolist() == [*["b\u00f6sartig"] * 3, "gutartig"]
    assert any("differ in what is not seen only" in note for note in notes)
