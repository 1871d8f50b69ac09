"""Published numbers: which counts give them, checked against plain enumeration and the paper's own tables."""

import itertools
import re
import warnings
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np
import pytest
from openpyxl import Workbook
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support, roc_auc_score
from typer.testing import CliRunner

from mammo.auditing.claim import (
    MIAS_BOTH,
    MIAS_FILMS,
    MIAS_NONE,
    MIAS_ONE,
    matrices,
    whole_patients,
    wilson,
)
from mammo.auditing.claim_names import known_key
from mammo.auditing.claim_numbers import read_value
from mammo.auditing.claim_report import audit
from mammo.auditing.claim_table import lines, read_claims
from mammo.auditing.claim_words import read_claim
from mammo.cli.main import app
from mammo.errors import InputError
from tests.evaluation.test_metrics import TABLES

NAMES = ("accuracy", "sensitivity", "specificity", "precision", "f1")
ROWS = [row.split() for _, *rows in TABLES.values() for row in rows]  # class TP TN FP FN ACC RECALL SPE PPV F


def found(rule, *words):
    return sorted(matrices(read_claim(list(words)), rule).each())


def fractions(tp, tn, fp, fn):
    pairs = ((tp + tn, tp + tn + fp + fn), (tp, tp + fn), (tn, tn + fp), (tp, tp + fp), (2 * tp, 2 * tp + fp + fn),
             (tn, tn + fn))  # fmt: skip
    return {
        name: Fraction(*pair) if pair[1] else Fraction(0) for name, pair in zip((*NAMES, "npv"), pairs, strict=True)
    }


def every_matrix(n):
    rests = itertools.product(range(n + 1), repeat=3)
    return {(*rest, n - sum(rest)): fractions(*rest, n - sum(rest)) for rest in rests if sum(rest) <= n}


def meant(fraction, percent, rule):
    """Tell if a number of per cent stands for the fraction, by definition and in exact arithmetic."""
    unit = Fraction(1, 10 ** len(percent.partition(".")[2]))
    beyond = 100 * fraction - Fraction(percent)
    return 0 <= beyond < unit if rule == "truncated" else abs(beyond) <= unit / 2


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_each_row_of_the_papers_tables_has_its_published_matrix_and_no_other(row):
    counts, cells = tuple(map(int, row[1:5])), [f"{name}={cell}" for name, cell in zip(NAMES, row[5:], strict=True)]
    positives = counts[0] + counts[3]
    assert found("truncated", "n=225", f"n_pos={positives}", *cells) == [counts]
    assert found("rounded", "n=225", f"n_pos={positives}", *cells) == []
    assert found("truncated", "n=225", *cells) == [counts]  # the five numbers tell the classes by themselves


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_each_cell_of_the_papers_tables_is_possible_alone_as_truncated(row):
    positives = int(row[1]) + int(row[4])
    for name, cell in zip(NAMES, row[5:], strict=True):
        assert tuple(map(int, row[1:5])) in found("truncated", "n=225", f"n_pos={positives}", f"{name}={cell}")


@pytest.mark.parametrize("rule", ["rounded", "truncated"])
@pytest.mark.parametrize("name", (*NAMES, "npv"))
def test_every_number_alone_has_the_matrices_of_plain_enumeration(name, rule):
    """Eight films, whose eighths are ties of rounding and edges of truncation."""
    everything = every_matrix(8)
    for number in ["0", "12", "13", "12.4", "12.5", "33.3", "37", "38", "49", "50", "66", "67", "99", "99.9", "100"]:
        expected = sorted(matrix for matrix, values in everything.items() if meant(values[name], number, rule))
        assert found(rule, "n=8", f"{name}={number}%") == expected, number


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("rounding", "rule"), [(ROUND_HALF_UP, "rounded"), (ROUND_FLOOR, "truncated")])
def test_numbers_together_have_the_matrices_of_plain_enumeration(rounding, rule, seed):
    rng, n, everything = np.random.default_rng(seed), 9, every_matrix(9)
    for index, size, decimals in itertools.product(rng.choice(len(everything), 8), (2, 3, 5), (0, 1, 2)):
        matrix, values = list(everything.items())[index]
        unit, chosen = Decimal(1).scaleb(-decimals), rng.choice((*NAMES, "npv"), size, replace=False)
        printed = {
            name: str((Decimal(100 * values[name].numerator) / values[name].denominator).quantize(unit, rounding))
            for name in chosen
        }
        words = [f"n={n}", *(f"{name}={number}%" for name, number in printed.items())]
        expected = [
            other
            for other, others in everything.items()
            if all(meant(others[name], number, rule) for name, number in printed.items())
        ]
        assert matrix in expected
        assert found(rule, *words) == sorted(expected)
        positives = matrix[0] + matrix[3]
        alike = sorted(other for other in expected if other[0] + other[3] == positives)
        assert found(rule, *words, f"n_neg={n - positives}") == alike


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("0.9777", "97.77"),
        (".98", "98"),
        ("1.0", "100"),
        ("0.0", "0"),
        ("97.77", "97.77"),
        ("98", "98"),
        ("1", "1"),
        ("1.01", "1.01"),
        ("0.5%", "0.5"),
        ("97,77", "97.77"),
        ("0,9777", "97.77"),
        ("97.77±0.3", "97.77"),
        ("97,77 ± 0,3 %", "97.77"),
        ("0.9777+/-0.003", "97.77"),
        ("97.77 (0.30)", "97.77"),
        ("97.77 (0,30)", "97.77"),
        ("97\u00b777", "97.77"),
        ("97\u066b77", "97.77"),
        ("\uff19\uff17.77\uff05", "97.77"),
        ("97.77 [95.2, 99.1]", "97.77"),
        ("97.77% (95% CI: 95.2\u201399.1)", "97.77"),
        ("97,77 (95 %-KI 95,2 bis 99,1)", "97.77"),
        ("0.9777 (0.952,0.991)", "97.77"),
        ("97.77 (220/225)", "97.77"),
        ("220 of 225", "97.77777800"),
        ("220/225 (97.78%)", "97.78"),
        ("97.77 (SD 0.3)", "97.77"),
        ("97.77 \u00b1 0.3 (SD)", "97.77"),
        ("0.98 (SE 0.01)", "98"),
        ("97.77; 95% CI 94.9 to 99.0", "97.77"),
        ("97.77, 95 % CI [94.9, 99.0]", "97.77"),
        ("220/225 (97.78%; 95% CI 94.9-99.0)", "97.78"),
        ("97.78*", "97.78"),
        ("97.78\u2020", "97.78"),
        ("97.78 [12]", "97.78"),
        ("97.78\u00b9", "97.78"),
    ],
)
def test_a_number_is_a_fraction_when_it_has_a_point_and_is_at_most_one(text, percent):
    number = read_claim(["n=225", f"accuracy={text}"]).numbers["accuracy"]
    assert Fraction(number.digits, number.scale) == Fraction(percent) / 100


def test_what_no_count_gives_is_impossible_with_the_nearest_counts():
    possible, text = audit(["n=225", "accuracy=97.5"])
    assert not possible
    assert text.startswith("Impossible: no counts of 225 films give accuracy 97.5 %, rounded or truncated.")
    assert "Nearest: 219 of 225 (97.3333 %) and 220 of 225 (97.7778 %)." in text
    assert "Nearest: 69 of 72 (95.8333 %) and 70" in audit(["n=225", "n_pos=72", "sensitivity=95.84"])[1]


def test_numbers_that_disagree_are_named_and_the_others_are_not():
    possible, text = audit(["n=225", "n_pos=72", "specificity=98.69", "accuracy=97.77", "f1=90"])
    assert not possible
    assert "give accuracy 97.77 % and f1 90 % together" in text and "specificity" not in text.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("n=225 accuracy=97.77", "Possible only as truncated: no counts"),
        ("n=225 accuracy=97.78", "Possible as rounded:"),
        ("n=100 accuracy=98", "Possible: counts of 100 films give accuracy 98 %, rounded or truncated."),
        ("n=225 n_pos=72 accuracy=97.78 precision=97.18 sensitivity=95.83 f1=96.50", "Possible as rounded:"),
        ("n=225 n_pos=72 accuracy=97.77 f1=96.51", "Impossible:"),
        ("n=225 n_pos=72 accuracy=97.78 specificity=98.69 precision=97.18", "Possible as rounded:"),
        ("n=7 n_pos=3 accuracy=85.72 sensitivity=66.66", "Impossible:"),
        ("n=7 n_pos=3 accuracy=85.71 sensitivity=66.66", "Possible only as truncated:"),
        ("n=9 n_pos=3 accuracy=77.78 sensitivity=66.66", "Possible only as rounded in part and truncated in part:"),
        ("test=153,72 accuracy=68 sensitivity=0 precision=0 f1=0", "Possible:"),
        ("n=225 accuracy=101", "Impossible:"),
        ("n=1000000 accuracy=98.12", "Possible:"),
    ],
)
def test_the_verdict_comes_first(words, verdict):
    possible, text = audit(words.split())
    assert text.startswith(verdict), text
    assert possible == (not verdict.startswith("Impossible"))


def test_few_matrices_are_listed_and_many_are_counted():
    few = audit(["n=225", "accuracy=97.77", "sensitivity=95.83"])[1]
    assert "truncated: tp 23, tn 197, fp 4, fn 1; tp 46," in few and few.count("tp ") == 5
    many = audit(["test=153,72", "accuracy=92.88"])[1]
    assert "17 of them, tp 56 to 72, tn 137 to 153, fp 0 to 16, fn 0 to 16, with 72 positive films." in many
    both = audit(["n=10", "n_pos=4", "sensitivity=50", "specificity=50"])[1]
    assert "Confusion matrix, rounded or truncated: tp 2, tn 3, fp 3, fn 2." in both


def test_right_answers_have_an_interval_by_films_and_a_wider_one_by_patients():
    low, high = wilson(220, 225)
    exact = binomtest(220, 225).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((exact.low, exact.high))
    text = audit(["n=225", "accuracy=97.77"])[1]
    assert (
        "220 of 225 (97.78 %); Wilson 95 % interval by films 94.9 to 99.0 %. The films of one patient are not" in text
    )
    assert "true interval is wider: 93.1 to 99.3 % if a patient's 2 films are always right or wrong together" in text
    alone = audit(["n=225", "accuracy=97.77", "films_per_patient=1"])[1]
    assert "wider" not in alone and "not independent" not in alone


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("n=225 accuracy=97.77", "Majority class: unknown; give n_pos="),
        (
            "n=225 accuracy=97.77 sensitivity=95.83",
            "120 to 201 of 225 correct, because 24 to 120 positive films are possible",
        ),
        (
            "n=225 n_neg=153 accuracy=97.77",
            "153 of 225 (68.00 %) correct; the claim has 67 more correct films, beyond the widest interval",
        ),
        ("test=152,72 accuracy=71", "the claim has 6 to 9 more correct films, but within the widest interval"),
        ("n=225 n_pos=72 accuracy=60.00", "the claim is not above it"),
        ("n=225 n_pos=72 accuracy=68.00", "the claim is not above it"),
        ("n=225 n_pos=72 sensitivity=95.83", "the claim may or may not be above it"),
        ("n=200 n_pos=63 specificity=100 accuracy=69", "the claim may or may not be above it"),
    ],
)
def test_the_claim_stands_beside_the_majority_class(words, line):
    assert line in audit(words.split())[1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "n=225",
            "225 test films cannot be all films of patients with 2 each: some patient has another film in training",
        ),
        ("n=224", "224 test films may be all films of 112 patients"),
        ("n=225 n_train=97", "at least one patient is in both, a leak"),
        ("n=33 n_train=67", "at least one patient is in both, a leak"),
        ("n=33 n_train=66", "a leak cannot be excluded"),
        ("n=64 n_train=258", "258 train and 64 test films may be split by patients with 2 films"),
        ("n=66 films_per_patient=4", "66 test films cannot be all films of patients with 4"),
        ("n=64 n_train=258 films_per_patient=4", "a leak cannot be excluded"),
        ("n=64 n_train=260 films_per_patient=4", "may be split by patients with 4 films"),
        ("n=66 n_train=258 films_per_patient=4", "258 train and 66 test films split a patient with 4 films"),
        ("test=153,72 train=54,43", "no choice of patients has the 54 normal and 43 abnormal films of train"),
        ("test=197,15 train=10,100", "no choice of patients has the 10 normal and 100 abnormal films of train"),
        ("test=41,23 train=166,92", "patients can have the 166 normal and 92 abnormal films of train"),
    ],
)
def test_counts_of_films_tell_when_a_patient_must_be_in_both_parts(words, line):
    assert line in audit([*words.split(), "accuracy=50"])[1]


def test_classes_that_follow_from_the_numbers_serve_to_look_for_whole_patients():
    words = ["n=225", "accuracy=97.78", "sensitivity=95.83", "specificity=98.69", "train=54,43"]
    assert "no choice of patients has the 54 normal" in audit(words)[1]


def test_whole_patients_are_found_exactly_where_some_choice_of_patients_has_these_films():
    """All 102 x 54 x 8 choices; what one part can have, the rest of the data set can have too."""
    every = {
        (one + 2 * none, one + 2 * both)
        for one in range(MIAS_ONE + 1)
        for none in range(MIAS_NONE + 1)
        for both in range(MIAS_BOTH + 1)
    }
    assert max(every) == MIAS_FILMS
    for normal, abnormal in itertools.product(range(MIAS_FILMS[0] + 1), range(MIAS_FILMS[1] + 1)):
        patients = whole_patients(normal, abnormal)
        assert (patients is not None) == ((normal, abnormal) in every)
        if patients:
            assert (patients[0] + 2 * patients[1], patients[0] + 2 * patients[2]) == (normal, abnormal)


@pytest.mark.slow
@pytest.mark.realdata
def test_the_patients_of_mini_mias_are_those_of_its_films(mias):
    films = mias.findings().groupby("image_id").first()
    abnormal = (films["severity"] != "normal").groupby(films["patient"]).sum()
    assert abnormal.value_counts().to_dict() == {1: MIAS_ONE, 0: MIAS_NONE, 2: MIAS_BOTH}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("accuracy=97.77", "n is missing; give the number of test films"),
        ("n=0 accuracy=97.77", "n is 0; .* n=225"),
        ("n=225", "one of accuracy, sensitivity"),
        ("n=225 kappa=0.9", "kappa=0.9. has an unknown key"),
        ("n=225 recall=90 sensitivity=90", "sensitivity=90. is given twice"),
        ("n=225 accuracy=97.77 folds=1", "^folds=1: expected 2 folds"),
        ("n=225 accuracy", "accuracy. is not key=value"),
        ("n=225 accuracy=1 accuracy=2", "is given twice"),
        ("n=225 accuracy=97,7,7", "^accuracy=97,7,7 .*accuracy=97.77 or accuracy=0.9777"),
        ("n=225 accuracy=-3", "^accuracy=-3 .*per cent"),
        ("n=225 accuracy=.", "^accuracy=. .*per cent"),
        (f"n=225 accuracy={'1(' * 3000}", "^accuracy=1.* 6000 signs"),
        ("n=225 accuracy=97.777777777", "at most 8 decimals"),
        ("n=22.5 accuracy=97", "^n=22.5 .*count"),
        ("n=225 n_test=97 accuracy=97", "n has the values 97 and 225"),
        ("n_pos=72 n_neg=153 n=200 accuracy=97", "n has the values 200 and 225"),
        ("n=225 n_pos=226 accuracy=97", "n=225 is smaller"),
        ("n=225 n_neg=226 accuracy=97", "n=225 is smaller"),
        ("n=225 train=97 accuracy=97", "^train=97 .*two counts.* n_train= for all"),
        ("n=225 train=54,43 n_train=96 accuracy=97", "n_train has the values 96 and 97"),
        ("n=225 films_per_patient=0 accuracy=97", "films_per_patient is 0"),
        ("n=4000 f1=97", "^n=4000 .*give n_pos="),
        ("n=225 macro_f1=96.5", "unknown key; write f1=, whose means over classes are tried"),
        ("n=225 accuracy=97.77(98.1-99.2)", "does not lie in its interval"),
        ("accuracy=97.9(220/225)", "220 of 225 is 97.7778 %"),
        ("accuracy=230/225", "230 of 225 is no share"),
        ("accuracy=0/0", "0 of 0 is no share"),
        ("accuracy=220/225 recall=69/72 specificity=151/154", "n has the values 225 and 226"),
        ("n=225 fpr=2.2", "fpr=2.2' has an unknown key; write specificity=, which is 100 % minus it"),
        ("n=225 1-specificity=2.2", "write specificity=, which is 100 % minus it"),
        ("n=225 1-recall=2.2", "write sensitivity=, which is 100 % minus it"),
        ("n=225 1_recall=2.2", "write sensitivity=; "),
        ("n=225 accuracy=much*", r"^accuracy=much\* is neither"),
        ("tp=69", "n is missing"),
        ("tp=69 tn=151 fp=2 fn=3 n=226 accuracy=97", "n has the values 225 and 226"),
        ("tp=30 n=100 n_pos=20 accuracy=90", "tp is 30, but 20 films are positive"),
        ("tp=30 fp=80 n=100 accuracy=90", "tp [+] fp is 110, but 100 films are there"),
        ("tp=0 tn=0 fp=0 fn=0", "^n is 0"),
        ("n=1.000 accuracy=97", "^n=1.000 may be thousands .*n=1000"),
        ("n=225 MCC=0.9", "MCC is not tested: leave it out"),
        ("n=225 cohen's-kappa=0.9", "kappa is not tested: leave it out"),
        ("n=225 recall_0=98", "unknown key; write specificity=, which is the sensitivity of the other class"),
        ("n=225 average_precision=98", "unknown key; write, for example"),
        ("n=225 sensitvity=98", "unknown key; write sensitivity= if you mean it"),
        ("n=225 accuracy=97.77 folds=many", "^folds=many .*number of folds; .*folds=5"),
    ],
)
def test_a_claim_that_cannot_be_read_is_one_line(words, message):
    with pytest.raises(InputError, match=message) as caught:
        audit(words.split())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("n=1000 accuracy=85.00 precision=85.05 recall=85.00 f1=84.80", "means over both classes, weighted"),
        ("test=153,72 accuracy=97.26 sensitivity=95.83 specificity=98.69", ".*accuracy as balanced accuracy"),
        ("test=153,72 precision=97.2 recall=95.8 f1=96.49", ".*F1 computed from the printed precision"),
        ("test=153,72 accuracy=97.26 specificity=98.69 precision=97.2 recall=95.8 f1=96.49", ".*F1 .* and accuracy as"),
        ("n=100 n_pos=40 sensitivity=0 precision=100 accuracy=60", "numbers with 0 / 0 counted as 1"),
        ("test=60,40 folds=5 accuracy=90.5 sensitivity=95 specificity=86", ".*5 folds.*, with accuracy as balanced"),
        ("n=100 folds=5x20 accuracy=85.35", "means over 5 folds \\(dealt 20 times\\)"),
        ("n=100 folds=20x5-fold accuracy=85.35", "means over 5 folds \\(dealt 20 times\\)"),
        ("test=60,40 accuracy=85.00 recall=85.00 precision=85.05 f1=84.80", "means over both classes, weighted"),
        ("test=60,40 recall=83.33 ppv=85.16 specificity=83.33", "means over both classes \\(macro\\)"),
        ("test=60,40 sensitivity=91.67 precision=84.62 specificity=75", "numbers of the other class"),
        ("test=60,40 accuracy=82.0 recall=82.0 ppv=82.0 specificity=82.0", "(.|\\n)*(micro)"),
        (
            "test=60,40 sensitivity=75 specificity=91.67 precision=85.05",
            "a mixture: sensitivity and specificity of the pos",
        ),
        ("n=322 folds=5 accuracy=97.53", "means over 5 folds of nearly equal size"),
    ],
)
def test_other_readings_are_tried_before_a_claim_is_called_impossible(words, verdict):
    """Most numbers are those of 30 of 40 positive films that are found, and 55 of 60 negative ones."""
    possible, text = audit(words.split())
    assert possible and re.match(f"Possible, but not as counts of the positive class: .*{verdict}", text), text


def test_what_was_not_tried_leaves_a_claim_undecided_and_what_nothing_gives_is_impossible_all_the_same():
    for words, why in (
        ("n=2000 precision=85.05 recall=15.00 f1=84.80", "give n_pos="),
        ("n=40000 n_pos=15000 precision=85.05 recall=15.00 f1=84.80", "give accuracy="),
        ("n=100 folds=5 accuracy=85.35\u00b12.1", "give folds=5x10 if ten times"),
        ("n=233 n_pos=111 folds=5 sensitivity=91.37", "unequal shares of a class; give folds=5-fold-stratified"),
        ("test=60,40 folds=2x5-fold sensitivity=90.123 specificity=80 accuracy=83", "folds=2x5-fold-stratified"),
    ):
        possible, text = audit(words.split())
        assert possible and text.startswith("Not decided:") and why in text.splitlines()[0], text
    for words in (
        "n=1000 accuracy=85.01 precision=85.05 recall=15.00 f1=84.80",
        "n=2000 precision=85.05 recall=101",
        "n=100 folds=5x10 accuracy=85.35\u00b12.1",
        "n=100 folds=5 precision=101",
        "test=60,40 folds=5-fold-stratified accuracy=95\u00b12 sensitivity=90 specificity=80",
        "n=233 n_pos=111 folds=stratified-5-fold sensitivity=91.37",
        "n=23 n_pos=11 folds=5 accuracy=91.37 sensitivity=90",
        "test=153,72 accuracy=97.30 sensitivity=95.83 specificity=98.69",
        "test=153,72 balanced_accuracy=97.30 sensitivity=95.83 specificity=98.69",
        "test=60,40 folds=5 accuracy=84 balanced_accuracy=91 sensitivity=90 specificity=80",
        "test=153,72 precision=97.2 recall=95.8 f1=96.60",
        "test=27,5 accuracy=18.90 npv=9.25 recall=19.68 folds=17",
        "test=11,10 accuracy=68 npv=67 f1=67",
        "test=60,40 sensitivity=0 precision=100 accuracy=61",
    ):
        possible, text = audit(words.split())
        assert not possible and text.startswith("Impossible:"), text
    untried = audit(["n=100", "folds=5", "accuracy=85.35"])[1].partition("Not tried:")[2]
    assert "folds=5x10" in untried and "accuracy as balanced accuracy" in untried


def test_numbers_with_0_of_0_as_1_are_those_of_scikit_learn():
    for positives, called, average in itertools.product((1, 4, 9), (0, 1), ("binary", "macro", "weighted")):
        truth, said = [1] * positives + [0] * (10 - positives), [called] * 10
        printed = precision_recall_fscore_support(truth, said, average=average, zero_division=1.0)[:3]
        words = [f"{name}={100 * value:.3f}%" for name, value in zip(("ppv", "recall", "f1"), printed, strict=True)]
        assert audit([f"test={10 - positives},{positives}", *words])[0], words


def test_balanced_accuracy_is_that_of_scikit_learn_and_has_the_matrices_of_plain_enumeration():
    every = {}
    for tp, tn, fp, fn in every_matrix(7):
        truth = [1] * (tp + fn) + [0] * (tn + fp)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a class without films
            every[tp, tn, fp, fn] = balanced_accuracy_score(truth, [1] * tp + [0] * (fn + tn) + [1] * fp)
    for number in ("50", "58.3", "62.50", "0", "100", "87.5"):
        half = 0.5 / 10 ** len(number.partition(".")[2])
        expected = [one for one, value in every.items() if abs(100 * value - float(number)) <= half + 1e-9]
        assert found("rounded", "n=7", f"bacc={number}%") == sorted(expected), number


def test_a_share_above_100_per_cent_is_said_to_be_one():
    possible, text = audit(["n=225", "accuracy=197.5", "recall=98"])
    assert not possible and text.splitlines()[-1] == "Above 100 %, which no share is: accuracy 197.5 %. Is it a slip?"


def test_a_claim_that_no_reading_fits_names_those_that_were_tried():
    possible, text = audit(["test=60,40", "folds=10", "accuracy=85.01", "recall=30", "precision=99", "specificity=20"])
    tried, untried = text.splitlines()[1].split("Not tried:")
    assert not possible and text.startswith("Impossible:")
    for reading in (
        "counts of the positive",
        "(macro)",
        "weighted",
        "micro",
        "mixtures",
        "10 folds of nearly equal",
        "equal shares of each class",
    ):
        assert reading in tried
    assert "folds or runs of unequal size" in untried and "their number" not in untried
    assert "give folds=" in audit(["n=225", "accuracy=97.5"])[1]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("N (patients)", None), ("n (train)", None), ("n (images)", "n"), ("AUC (PR)", None), ("AUC [ROC]", "auc"),
        ("Sensitivity (benign)", None), ("Sensitivity (malignant)", "sensitivity"), ("Accuracy (train)", None),
        ("Accuracy (95 % CI)", "accuracy"), ("F1 (macro)", "f1"), ("Recall (TPR)", "sensitivity"),
        ("Recall (PPV)", None), ("test (malignant, benign)", None), ("test (benign, malignant)", "test"),
        ("True positive rate [%]", "sensitivity"), ("accuracy (10-fold CV)", "accuracy"), ("n_pos (abnormal)", "n_pos"),
        ("n_pos (benign)", None), ("n_neg (normal)", "n_neg"), ("N (total)", "n"), ("Accuracy (decimal)", "accuracy"),
        ("Accuracy (n=322)", "accuracy"), ("Accuracy (MIAS)", "accuracy"), ("Precision (P)", "precision"),
        ("Recall (R)", "sensitivity"), ("Balanced accuracy (BA)", "balanced_accuracy"), ("Accuracy (balanced)", None),
        ("AUC (95% CI, DeLong)", "auc"), ("AUC (precision-recall)", None), ("test (normal/abnormal films)", "test"),
        ("Sensitivity (TP/(TP+FN))", "sensitivity"), ("Accuracy ((TP+TN)/N) [%]", "accuracy"),
        ("Accuracy (hold-out validation, ImageNet pre-training)", "accuracy"),
        ("Specificity (1 - false positive rate)", "specificity"),
        ("Sensitivity (0.95 CI)", "sensitivity"), ("Sensitivity (class 0)", None), ("test (breasts)", None),
        ("Accuracy (cross-validation)", "accuracy"), ("Accuracy (validation)", None), ("n (malignant)", None),
        ("Accuracy (benign vs malignant)", "accuracy"), ("Accuracy (benign)", None), ("n_train (training)", "n_train"),
        ("Accuracy (80 % train, 20 % test)", "accuracy"), ("Sensitivity (per patient)", None), ("Recall (FNR)", None),
        ("Test images", "n_test"), ("Positives", "n_pos"), ("k-fold", "folds"),
    ],
)  # fmt: skip
def test_brackets_that_make_a_name_another_number_are_not_passed_over(name, key):
    assert known_key(name) == key
    if key is None:
        with pytest.raises(InputError, match="and else leave it out"):
            read_claim([f"{name}=97"])


@pytest.mark.parametrize("words", ["accuracy=0.98 sensitivity=1", "accuracy=0.98\u00b10.01 sensitivity=1 f1=.97"])
def test_1_among_fractions_is_all_films(words, tmp_path):
    assert str(read_claim(["n=225", *words.split()]).numbers["sensitivity"].text) == "1.00"
    table = tmp_path / "claims.csv"
    table.write_text('study,n,accuracy,sensitivity\n"A\nB",225,0.98,1\nC,225,98,1\n')
    (one, other), _ = read_claims(table)
    assert (one.name, one.verdict, other.verdict) == ("A B", "possible", "impossible")
    table.write_text("n,accuracy,f1\n225,1,0.97\n225,0.9778,\n225,1,\n")  # the claim before its column
    assert [row.text.split("accuracy ")[1].split()[0] for row in read_claims(table)[0]] == [
        "1.00",
        "0.9778.",
        "1.0000,",
    ]
    films = ["n=225", "n_pos=72", "accuracy=0.9778"]
    assert found("either", *films, "sensitivity=1") == found("either", *films, "sensitivity=100%")


@pytest.mark.parametrize(
    "text",
    [
        "97.78 % (0.949-0.990)", "97.78 (95 % confidence interval 94.9 to 99.0)", "97.78 per cent", "97.78 (p < 0.05)",
        "97.78 (95 % CI 94.9-99.0; p=0.03)", "97.78 (95% credible interval 94.9, 99.0), p<.001",
        "97.78 (p = 0.04, 95 % CI 94.9-99.0)", "97.78 [p-value < .001; 94.9-99.0]", "97.78 [p = 0.04]",
    ],
)  # fmt: skip
def test_what_papers_write_beside_a_number_is_read(text):
    number = read_value("accuracy", text).number
    assert (number.digits, number.scale) == (9778, 10_000)


def test_counts_after_a_number_tell_the_films_and_an_interval_is_said_not_to_be_tested():
    claim = read_claim(
        ["accuracy=97.78% (220/225)", "recall=95.8 (69/72)", "specificity=98.69 [97-99]", "folds=10-fold"]
    )
    assert (claim.n, claim.n_pos, claim.folds) == (225, 72, 10)
    assert claim.untested == ("the interval of specificity",)
    assert audit(["n=225", "accuracy=97.78 (95-99)"])[1].endswith("\nNot tested: the interval of accuracy.")
    assert audit(["n=225", "auc=0.98 (SE 0.01)"])[1].endswith("\nNot tested: the standard error of auc.")
    assert read_value("auc", "97.77 (SD 0.3)").spread == pytest.approx(0.003)


@pytest.mark.parametrize("words", ["n=1,225", "n=1 225", "n=1'225", "n=1225 images", "test=1000/225", "test=1000, 225"])
def test_films_are_counted_as_people_write_them(words):
    assert read_claim([words, "auc_roc=0.9"]).n == 1225


@pytest.mark.parametrize("word", ["LOOCV", "LOPO", "leave-one-out", "hold-out"])
def test_words_for_no_folds_are_understood_and_told(word):
    assert read_claim(["n=225", "accuracy=97.78", f"folds={word}"]).folds is None
    assert audit(["n=225", "accuracy=97.78", f"folds={word}"])[1].endswith(
        "as counts of all films, not as means over folds."
    )


def test_more_classes_and_fitted_curves_are_named_as_not_tried():
    untried = audit(["test=60,40", "accuracy=85", "recall=30", "f1=99"])[1].partition("Not tried:")[2]
    assert "means over three classes" in untried
    assert "fitted curve" in audit(["test=60,40", "auc=0.50010"])[1]


def test_means_over_folds_that_are_dealt_without_regard_to_the_classes_are_never_impossible():
    rng = np.random.default_rng(0)
    for n in (61, 100, 231):
        truth = np.arange(n) < n // 3
        called = np.where(rng.random(n) < 0.9, truth, ~truth)
        folds = np.array_split(rng.permutation(n), 5)
        means = {
            "accuracy": np.mean([(truth == called)[fold].mean() for fold in folds]),
            "sensitivity": np.mean([called[fold][truth[fold]].mean() for fold in folds]),
            "specificity": np.mean([1 - called[fold][~truth[fold]].mean() for fold in folds]),
        }
        words = [f"{name}={100 * mean:.2f}" for name, mean in means.items()]
        possible, text = audit([f"n={n}", f"n_pos={n // 3}", "folds=5", *words])
        assert possible, text


def test_every_mean_over_folds_is_possible_and_a_spread_beyond_all_fractions_is_not():
    rng = np.random.default_rng(0)
    for _ in range(20):
        folds = int(rng.integers(2, 8))
        totals = rng.integers(folds, 60, 2)
        sizes = [[len(part) for part in np.array_split(np.arange(total), folds)] for total in totals]  # larger first
        right = [[rng.integers(0, size + 1) for size in of] for of in sizes]
        means = [np.mean(np.divide(some, of)) for some, of in zip(right, sizes, strict=True)]
        again = [np.mean(np.divide(rng.integers(0, np.add(of, 1), (3, folds)), of)) for of in sizes]
        words = [f"test={totals[0]},{totals[1]}", f"folds={folds}x3", f"spec={again[0]:.6f}", f"recall={again[1]:.6f}"]
        assert audit(words)[0], words
        both = np.mean(np.divide(np.add(*right), np.add(*sizes))) if totals.sum() % folds == totals[0] % folds else None
        words = [f"test={totals[0]},{totals[1]}", f"folds={folds}", f"spec={means[0]:.5f}", f"recall={means[1]:.5f}"]
        assert audit([*words, *([] if both is None else [f"acc={both:.5f}"])])[0], words
    assert audit(["n=225", "accuracy=97.5±0.3"])[1].startswith("Not decided:")
    assert not audit(["n=225", "accuracy=97.5±40"])[0] and not audit(["n=225", "folds=5", "accuracy=97.53±40"])[0]


def test_an_auc_is_held_to_the_number_of_pairs_and_to_the_point_that_the_other_numbers_give():
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores, labels = rng.integers(0, 6, 12), rng.permutation([0] * 7 + [1] * 5)
        area = roc_auc_score(labels, scores)
        called = scores >= rng.integers(0, 7)
        recall, specificity = called[labels == 1].mean(), (~called)[labels == 0].mean()
        words = ["test=7,5", f"auc={area:.4f}", f"recall={recall:.4f}", f"specificity={specificity:.4f}"]
        assert audit(words)[0], words
    for words, why in (("auc=0.99", "outside 25.00 to 75.00 %"), ("auc=0.50010", "= 2,400 pairs"), ("auc=0.5", "")):
        possible, text = audit(["test=60,40", "recall=50", "specificity=50", words])
        assert possible == (not why) and why in text
    assert not audit(["test=60,40", "auc=0.50010"])[0] and audit(["n=100", "auc=0.98"])[0]


def test_a_table_of_claims_is_read_as_people_write_it(tmp_path):
    table = tmp_path / "claims.csv"
    table.write_text(
        "study,year,Accuracy (95 % CI),recall,n\nA,2001,0.9777,NR,225.0\nB,2002,1,-,225\nC,2003,n/a,0.5,225\n"
    )
    assert [row.text.partition(" films give ")[2] for row in read_claims(table)[0]] == [
        "accuracy 0.9777 by rounding.", "accuracy 1.0000, rounded or truncated.",
        "sensitivity 0.5, rounded or truncated.",
    ]  # fmt: skip
    told = CliRunner().invoke(app, ["audit", "claim", "--table", str(table)])
    assert told.exit_code == 0 and told.output.endswith("\nnote: columns that are not used: year\n")
    for text, why in (
        ("paper,acc,accuracy,n\nA,1,2,3\n", "acc and accuracy are both"),
        ("paper,acc,n\n", "a header alone"),
    ):
        table.write_text(text)
        told = CliRunner().invoke(app, ["audit", "claim", "--table", str(table)])
        assert told.exit_code == 2 and why in told.output


def test_a_table_of_claims_is_read_with_what_stands_in_brackets(tmp_path):
    table = tmp_path / "claims.csv"
    table.write_text("accuracy (10-fold CV),n_pos (malignant),n,sensitivity\n97.78,72,225,95.83\n")
    (row,), notes = read_claims(table)
    assert "225 films, 72 positive, give accuracy 97.78 % and sensitivity" in row.text and notes == []


def test_a_table_of_claims_takes_what_programs_write(tmp_path):
    table = tmp_path / "claims.csv"
    table.write_text("paper,Sensitivity/Recall,AUC-ROC,n_pos,n\nA,0.9777777777777777,0.9,90,225\nB,,,,225\n")
    rows, notes = read_claims(table)
    assert rows[0].text.startswith("Possible as rounded: counts of 225 films, 90 positive, give sensitivity 0.97777778")
    assert (rows[1].verdict, notes) == ("without a number", [])
    table.write_text('paper,accuracy,test,f1\nA,97.78\u00b9 (220/225),,\nB,90.5\u00b12,"60,41",\n')
    assert [row.verdict for row in read_claims(table)[0]] == ["possible", "not decided"]


def test_a_workbook_of_claims_has_its_percentages_and_names_its_other_sheets(tmp_path):
    book = Workbook()
    for row in (["paper", "accuracy", "sensitivity", "n"], ["A", 1, 0.9777, 225]):
        book.active.append(row)
    book.active["B2"].number_format, book.active["C2"].number_format = "0%", "0.00%"
    book.create_sheet("more")
    book.save(tmp_path / "claims.xlsx")
    (row,), notes = read_claims(tmp_path / "claims.xlsx")
    assert "accuracy 100 % and sensitivity 97.77 %" in row.text
    told = CliRunner().invoke(app, ["audit", "claim", "--table", str(tmp_path / "claims.xlsx")])
    assert len(notes) == 1 and "more is not" in notes[0] and notes[0] in told.output


def test_a_table_of_claims_has_a_verdict_for_each_row(tmp_path):
    table = tmp_path / "claims.csv"
    table.write_text(
        "authors;Accuracy;test;Recall\nA;98.06 %;;\nB;97,77;153,72;95,83\nC;97,5;153,72;\nD;much;10,10;\nE;;10,10;\n"
    )
    rows, _ = read_claims(table)
    assert [row.verdict.split()[0] for row in rows] == ["without", "possible", "impossible", "not", "without"]
    assert rows[0].text == "accuracy 98.06 % needs at least 103 films (101 of 103)"
    assert (
        list(lines(rows))[-1]
        == "claims: 5; 1 possible, 1 impossible, 1 without the number of films, 1 without a number, 1 not understood"
    )
    told = CliRunner().invoke(app, ["audit", "claim", "--table", str(table)])
    assert told.exit_code == 1 and "B: Possible only as truncated" in told.stdout
    table.write_text("authors,n,accuracy\nA,,97.77\n")  # a column that nobody filled in
    assert read_claims(table)[0][0].verdict.startswith("without")
    table.write_text("authors,year\nA,2019\n")
    with pytest.raises(InputError, match="expected a column of numbers"):
        read_claims(table)
