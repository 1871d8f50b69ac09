"""Predictions from any source: right ones give scikit-learn's numbers, wrong ones are said or refused by row."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, roc_auc_score
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.errors import InputError
from mammo.evaluation.external import read_external
from mammo.reports import leaderboard
from mammo.reports.external import evaluate


def table(rows=60, **columns):
    """Two samples a patient, scores that overlap."""
    rng = np.random.default_rng(0)
    label = np.tile([0, 1], rows // 2)
    score = 1 / (1 + np.exp(-(rng.normal(size=rows) + label)))
    patients = [f"P{number // 2:03d}" for number in range(rows)]
    return pd.DataFrame({"patient": patients, "label": label, "score": score}).assign(**columns)


def test_the_numbers_are_those_of_scikit_learn():
    given = table(400)
    found, truth, score = evaluate(given), given["label"], given["score"]
    expected = {
        "auroc": roc_auc_score(truth, score),
        "average_precision": average_precision_score(truth, score),
        "accuracy": accuracy_score(truth, score > 0.5),
        "brier": brier_score_loss(truth, score),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name
        assert found[name].low < value < found[name].high


@pytest.mark.slow
def test_intervals_are_by_patient():
    """Each patient's rows five times over add nothing that was not known."""
    one, five = (pd.concat([table(200)] * times).assign(image_id=range(200 * times)) for times in (1, 5))
    widths = [found["auroc"].high - found["auroc"].low for found in map(evaluate, (one, five))]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    by_row = evaluate(five, by=None)["auroc"]
    assert by_row.high - by_row.low < widths[1] / 1.7


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        ([0, 1], None), ([False, True], None), (["normal", "abnormal"], None), (["No", "Yes"], None), ([2, 1], 1),
        (["a", "b"], "B"), (["True ", "False"][::-1], None),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (
            ([-1, 1], None), ([0.0, 1.0], None), (["0", "1"], None), (["benign", "malignant"], None),
            (["NEG", "POS"], None), (["well", "ill"], "ill"),
        )),
    ],
)  # fmt: skip
def test_the_positive_class_is_known_or_told_whatever_the_order(labels, positive):
    given = table()
    area = roc_auc_score(given["label"], given["score"])
    worded = given.assign(label=[labels[one] for one in given["label"]])
    for turned in (worded, worded.iloc[::-1], worded[["score", "label", "patient"]]):
        found = evaluate(turned, positive=positive)
        assert found["auroc"].value == pytest.approx(area, abs=1e-12)
        assert f"positive: {found.external.classes[1]}" in found.text


def test_the_order_of_the_columns_of_probabilities_does_not_matter():
    given = table()
    both = given.assign(label=given["label"].map({0: "neg", 1: "pos"}), p_pos=given["score"], p_neg=1 - given["score"])
    for columns in (["p_pos", "p_neg"], ["p_neg", "p_pos"], ["p_pos"], ["p_neg"]):
        found = evaluate(both[["patient", "label", *columns]], positive="pos")
        assert found["auroc"].value == pytest.approx(roc_auc_score(given["label"], given["score"]), abs=1e-12)
        assert found["sensitivity"].value == ((given["score"] > 0.5) & (given["label"] == 1)).sum() / 30


def test_what_predict_wrote_keeps_its_probabilities_though_scores_lie_between_0_and_1():
    given = table()
    words = {"label": given["label"].map({0: "normal", 1: "abnormal"}), "score": given["score"] / 2}
    chances = {"probability_normal": 1 - given["score"], "probability_abnormal": given["score"]}
    found = evaluate(given.assign(unit="image", image_id=range(60), **words, **chances))
    assert found["brier"].value == pytest.approx(((given["score"] - given["label"]) ** 2).mean(), abs=1e-12)
    with pytest.raises(InputError, match="rows of images alone"):
        read_external(given.assign(unit="patient", image_id=None, **words, **chances))


@pytest.mark.parametrize("label", ["normal", None])
def test_of_what_predict_wrote_the_predicted_images_are_evaluated(label, tmp_path):
    """Its rows of patients have no image, and those of films that were left out no score."""
    words = {"unit": "image", "status": "predicted", "head": "svm", "image_id": [f"i{at}" for at in range(60)]}
    images = table(**words, label=np.tile(["normal", "abnormal"], 30))
    others = images.iloc[[0, 1]].assign(unit=["patient", "image"], status=["predicted", "left_out"], label=label)
    others = others.assign(image_id=[None, "i99"], score=[0.5, None])
    pd.concat([images[:30], others, images[30:]]).to_csv(tmp_path / "both.csv", index=False)
    found = evaluate(tmp_path / "both.csv")
    assert found["svm"] == evaluate(images)["svm"] and "Left out: 2 rows" in found.text
    pd.concat([images[:30], others, images[30:].assign(label="")]).to_csv(tmp_path / "both.csv", index=False)
    with pytest.raises(InputError, match="rows 33, "):  # the numbers are those of the file
        read_external(tmp_path / "both.csv")
    others.to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(InputError, match="unit=image"):
        read_external(tmp_path / "none.csv")


def test_both_classes_are_offered_where_nothing_tells_which_is_positive():
    given = table().assign(label=lambda of: of["label"].map({1: "cancer", 0: "healthy"}))
    with pytest.raises(InputError, match=r"positive=cancer or positive=healthy \(--positive cancer or --positive hea"):
        read_external(given)


def test_scores_that_are_no_probabilities_rank_and_decide_by_a_threshold_alone():
    given = table(score=lambda t: np.log(t["score"] / (1 - t["score"])))
    found = evaluate(given)
    assert set(found["score"]) >= {"auroc", "average_precision"} and "accuracy" not in found["score"]
    decided = evaluate(given, threshold=0.0)
    assert decided["accuracy_at_threshold"].value == ((given["score"] > 0) == (given["label"] == 1)).mean()


@pytest.mark.parametrize("classes", [["F", "G", "D"], ["low", "mid", "high"]])
def test_several_classes_have_a_probability_each(classes):
    given = table(90)
    label = np.resize(classes, 90)
    rng = np.random.default_rng(1)
    chances = rng.dirichlet([1, 1, 1], 90)
    several = given[["patient"]].assign(label=label, **{f"p_{one}": chances[:, i] for i, one in enumerate(classes)})
    found = evaluate(several)
    assert found["accuracy"].value == (np.array(classes)[chances.argmax(axis=1)] == label).mean()


def changed(row, column, value):
    def change(given):
        given = given.astype({column: object})
        given.loc[row, column] = value
        return given

    return change


PER_CENT = {"p_1": lambda t: 100 * t["score"], "p_0": lambda t: 100 - 100 * t["score"]}
PROBABLE = {"p_1": lambda t: t["score"], "p_0": lambda t: 1 - t["score"]}
WRONG = {
    "missing score": (changed(4, "score", np.nan), "row 5: score is missing"),
    "empty score": (changed(4, "score", ""), "row 5: score is missing"),
    "endless score": (changed(4, "score", np.inf), "row 5: score is infinite"),
    "score in words": (changed(4, "score", "high"), "row 5: score .*high"),
    "patient NA": (changed(4, "patient", "NA"), "row 5: patient is empty"),
    "comma among points": (changed(4, "score", "1,234"), "row 5: score has a comma"),
    "endless label": (changed(4, "label", np.inf), "3 classes"),
    "half a finding": (lambda t: t.assign(finding_id=1.5), "finding_id"),
    "a patient of a mark": (changed(4, "patient", "-"), "row 5: patient is empty: '-' counts as missing"),
    "nobody as a patient": (changed([4, 9], "patient", "Anonymous^Patient"), "rows 5, 10: the patient is Anonymous"),
    "words for nobody": (changed([1, 4], "patient", ["de-identified", "XXX"]), "rows 2, 5: .* is de-id.*, XXX, whi"),
    "nobody beside zeros": (changed([1, 4], "patient", ["0", "not known"]), "row 5: the patient is not known"),
    "empty patient": (changed(4, "patient", " "), "row 5: patient is empty"),
    "all patients empty": (lambda t: t.assign(patient=""), "patient is empty"),
    "a label of a mark": (changed(4, "label", "-"), "row 5: label is missing: '-' counts as missing"),
    "missing label": (changed(4, "label", None), "row 5: label is missing"),
    "third label": (changed(4, "label", 2), "3 classes"),
    "one label": (lambda t: t.assign(label=1), "every label is 1"),
    "half label": (changed(4, "label", 0.5), "3 classes"),
    "which is positive": (lambda t: t.assign(label=np.where(t["label"], "x", "y")), "positive"),
    "rows twice": (lambda t: pd.concat([t, t[:5]]), "rows 61, 62, 63 and 2 more: .*same"),
    "an image twice": (lambda t: t.assign(image_id=["i"] * 2 + [f"i{n}" for n in range(58)]), "row 2: .*image"),
    "an image of two patients": (lambda t: t.assign(image_id=[f"i{n % 30}" for n in range(60)]), "two patients"),
    "per cent": (lambda t: t.assign(**PER_CENT), "per cent"),
    "no sum of one": (lambda t: t.assign(**PROBABLE).pipe(changed(4, "p_0", 0.9)), "row 5: .*sum"),
    "negative probability": (lambda t: t.assign(**PROBABLE).pipe(changed(4, "p_0", -0.1)), "row 5: p_0"),
    "missing probability": (lambda t: t.assign(**PROBABLE).pipe(changed(4, "p_0", np.nan)), "row 5: p_0"),
    "label without probability": (lambda t: t.assign(**PROBABLE).pipe(changed(4, "label", 7)), "label 7"),
    "no patient": (lambda t: t.drop(columns="patient"), "no column patient"),
    "no label": (lambda t: t.drop(columns="label"), "no column label"),
    "no score": (lambda t: t.drop(columns="score"), "no column score"),
    "no rows": (lambda t: t[:0], "no rows"),
    "no test rows": (lambda t: t.assign(split="train"), "split=test"),
    "half a fold": (lambda t: t.assign(fold=["", *[0] * 59]), "row 1: fold is empty"),
    "odd fold": (lambda t: t.assign(fold="a"), "fold is a"),
    "odd split": (lambda t: t.assign(split="fold7"), "split is fold7"),
    "no split": (lambda t: t.assign(split=""), "split is empty"),
    "odd finding": (lambda t: t.assign(finding_id="x"), "row.* finding_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_table_is_refused_by_its_rows_from_python_and_from_a_file(name, tmp_path):
    change, said = WRONG[name]
    given = change(table())
    with pytest.raises(InputError, match=said):
        read_external(given)
    given.to_csv(tmp_path / "t.csv", index=False)
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "t.csv")])
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert "t.csv" in result.stderr


def test_heads_of_one_table_are_paired_by_their_rows_and_must_agree():
    """Without image_id the rows of each head are the same samples in the same order."""
    one = table(120)
    other = one.assign(head="b", score=one["score"].round(1))
    both = pd.concat([one.assign(head="a"), other])
    named = pd.concat([frame.assign(image_id=range(120)) for frame in (one.assign(head="a"), other)])
    by_order, by_name = (evaluate(frame) for frame in (both, named))
    assert by_order["a"]["auroc"] == by_name["a"]["auroc"] and by_order["b"]["auroc"] == by_name["b"]["auroc"]
    assert "n = 120, 60 patients" in by_order.text
    with pytest.raises(InputError, match="heads"):
        evaluate(pd.concat([one.assign(head="a"), other[:40]]))
    with pytest.raises(InputError, match="label differs"):
        evaluate(pd.concat([one.assign(head="a"), other.assign(label=1 - other["label"])]))


@pytest.mark.parametrize(("labels", "column"), [(["normal", "abnormal"], "p_normal"), ([0, 1], "p_0")])
def test_one_probability_of_the_negative_class_does_not_make_it_positive(labels, column):
    given = table()
    worded = given.assign(label=[labels[one] for one in given["label"]], **{column: 1 - given["score"]})
    found = evaluate(worded.drop(columns="score"))
    assert found.external.classes[1] == str(labels[1])
    assert found["auroc"].value == pytest.approx(roc_auc_score(given["label"], given["score"]), abs=1e-12)


def test_columns_that_only_look_like_probabilities_are_not_used():
    found = evaluate(table(p_id=range(60), p_value=0.03))
    assert "p_id" in found.text and found["auroc"].value > 0.5


def test_patients_are_compared_where_patients_are_evaluated():
    label = np.repeat(np.arange(60) % 2, 2)  # of both images of a patient
    tables = [table(120, label=label, score=lambda t, k=k: t["score"].round(k)) for k in (3, 1)]
    one, other = (evaluate(frame, unit="patient") for frame in tables)
    means = tables[0]["score"].to_numpy().reshape(60, 2).mean(axis=1).round(12)  # else ties differ by rounding
    assert one["auroc"].value == pytest.approx(roc_auc_score(label[::2], means))
    assert "60 of 60 patients" in leaderboard.compared([one.external, other.external])
    with pytest.raises(InputError, match="unit=image"):
        evaluate(table(), unit="image")


def test_a_threshold_is_a_finite_number_for_one_fold_and_is_printed():
    given = table().assign(split=np.repeat(["val", "test"], 30))
    assert "threshold 0." in evaluate(given).text
    assert "no score lies above the threshold of 50" in evaluate(table(), threshold=50).text
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="threshold"):
            evaluate(table(), threshold=wrong)
    with pytest.raises(InputError, match="threshold"):
        evaluate(table(fold=[0, 1] * 30), threshold=0.5)


FILES = {
    "unquoted decimal commas": ("patient,score,label\nP1,0,9,malignant\nP2,0,1,benign\n", "row 1 has 4 fields"),
    "a stray quotation mark": ('patient,score,label\n"P1,0.9,1\nP2,0.1,0\nP3",0.5,1\nP4,0.2,0\n', "line break"),
    "row names without a header": ("patient,score,label\n1,P1,0.9,1\n2,P2,0.1,0\n", "row 1 has 4 fields"),
    "thousands": ('patient,score,label\nP1,"1,234",1\nP2,950,0\n', "thousand"),
    "old line ends": ("patient,score,label\rP1,0.9\rP2,0.1,0\r", "row 1 has 2 fields"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_whose_rows_are_shifted_is_refused(name, tmp_path):
    text, said = FILES[name]
    (tmp_path / "t.csv").write_bytes(text.encode())
    with pytest.raises(InputError, match=said):
        read_external(tmp_path / "t.csv")


def test_every_row_twice_is_refused_whatever_numbers_the_rows(tmp_path):
    twice = pd.concat([table().round(2)] * 2).reset_index(drop=True)
    with pytest.raises(InputError, match="row"):
        read_external(twice)
    twice.to_csv(tmp_path / "t.csv", index_label="index")
    with pytest.raises(InputError, match="row"):
        read_external(tmp_path / "t.csv")


SAID = {
    "two readers": (lambda t: t.assign(reader=["A", "B"] * 30), "reader is not used.*head"),
    "a split by another name": (lambda t: t.assign(subset=["Training", "Test"] * 30), "subset is not used.*split"),
    "rounded patients": (lambda t: t.assign(patient=["1.23E+15", *t["patient"][1:]]), "rounded by a spreadsheet"),
    "two rankings": (
        lambda t: t.assign(p_1=t["score"].to_numpy()[::-1], p_0=1 - t["score"].to_numpy()[::-1]),
        "rank the rows differently",
    ),
    "rows of the training part": (
        lambda t: t.assign(split=["train"] * 30 + ["test"] * 30), "30 rows of split=train are not evaluated"
    ),
    "patients in two splits": (
        lambda t: t.assign(split=["val", "test"] * 30), "30 patients have rows in test and in another split"
    ),
    "patients in two folds": (lambda t: t.assign(fold=[0, 1] * 30), "30 patients have test rows in several folds"),
    "images in two folds": (
        lambda t: t.assign(fold=[0, 1] * 30, image_id=t["patient"]), "30 images have test rows in several folds"
    ),
    "one class tested": (lambda t: t.assign(split=np.where(t["label"], "val", "test")), "no test row is 1"),
    "blanks": (lambda t: t.assign(patient=t["patient"] + " "), "blanks around the values of patient"),
    "blanks of labels": (
        lambda t: t.assign(label=np.where(t["label"], "yes ", "no")), "blanks around the values of label"
    ),
    "capitals": (lambda t: t.rename(columns={"patient": "Patient"}), "Patient is taken as patient"),
    "a patient of zeros": (changed(4, "patient", "000"), "patient 000 is taken as one;"),
    "two spellings": (changed(4, "patient", "p001"), "P001, p001|p001, P001"),
    "unused": (lambda t: t.assign(age=50), "not used: age"),
    "decisions": (lambda t: t.assign(score=(t["score"] > 0.5).astype(int)), "they are decisions"),
    "one patient": (lambda t: t.assign(patient="P"), "one patient"),
    "the other way round": (lambda t: t.assign(score=1 - t["score"]), "below 0.5"),
    "label in two spellings": (
        lambda t: t.assign(label=np.where(t["label"], "yes", "no")).pipe(changed(1, "label", "YES")), "capitals"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_had_to_be_understood_is_said(name):
    change, said = SAID[name]
    found = evaluate(change(table(120 if name == "the other way round" else 60)))
    assert re.search(said, found.text, re.IGNORECASE)
    notes = found.external.notes
    assert len(notes) == len(set(notes))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("separator", "decimal"), [(",", "."), (";", ","), ("\t", ",")])
def test_a_spreadsheets_file_is_read_whatever_its_encoding_and_separator(tmp_path, encoding, separator, decimal):
    given = table(patient=[f"Müller {number // 2}" for number in range(60)])
    given.to_csv(tmp_path / "t.csv", index=False, encoding=encoding, sep=separator, decimal=decimal)
    found = evaluate(tmp_path / "t.csv")
    assert found["auroc"].value == pytest.approx(roc_auc_score(given["label"], given["score"]), abs=1e-12)
    assert found.external.table["patient"].iloc[0] == "Müller 0"


def test_columns_may_exchange_their_names():
    given = table(40)
    swapped = given.rename(columns={"label": "score", "score": "label"})
    found = read_external(swapped, columns={"label": "score", "score": "label"})
    pd.testing.assert_frame_equal(found.table, read_external(given).table)


def test_columns_are_mapped_and_two_tables_compared(tmp_path):
    given = table(120).rename(columns={"patient": "PatientID", "label": "truth", "score": "prob"})
    given.assign(image_id=range(120)).to_csv(tmp_path / "a.csv", index=False)
    given.assign(image_id=range(120), prob=given["prob"].round(1)).to_csv(tmp_path / "b.csv", index=False)
    line = ["evaluate", str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--by", "PatientID"]
    line += ["--columns", "label=truth,score=prob", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    assert "Paired differences" in result.output and "a.csv - b.csv" in result.output
    assert {one.name for one in (tmp_path / "out" / "a").iterdir()} == {
        "report.md", "metrics.json", "roc.png", "reliability.png",
    }  # fmt: skip


def test_tables_of_other_samples_or_labels_are_not_compared(tmp_path):
    one = table().assign(image_id=range(60))
    others = {
        "labels": one.assign(label=1 - one["label"]), "samples": one.assign(image_id=range(1, 61)),
        "unnamed": table(80),
    }  # fmt: skip
    one.to_csv(tmp_path / "one.csv", index=False)
    for name, other in others.items():
        other.to_csv(tmp_path / f"{name}.csv", index=False)
        result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "one.csv"), str(tmp_path / f"{name}.csv")])
        assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1, name


def test_folds_that_share_no_patient_or_are_of_several_seeds_are_no_leak():
    rows = table()
    of = rows["patient"].str[1:].astype(int) % 2
    for change in ({"fold": of}, {"fold": [0, 1] * 30, "seed": [0, 1] * 30}):
        assert "several folds" not in evaluate(rows.assign(**change)).text
