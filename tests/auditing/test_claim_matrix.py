"""A claim that prints its confusion matrix is held to it, and means over folds may be those of whole patients."""

import itertools
import re
from fractions import Fraction

import pytest

from mammo.auditing.claim_folds import of_patients
from mammo.auditing.claim_report import audit
from mammo.auditing.claim_table import lines, read_claims
from mammo.auditing.claim_words import read_claim

PAPER = "tp=69 tn=151 fp=2 fn=3"


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (f"{PAPER} accuracy=97.77 sensitivity=95.83 specificity=98.69", "Possible only as truncated"),
        (f"{PAPER} precision=97.18 npv=98.05 f1=96.5", "Possible: "),
        ("True_Positives=69 TN=151 FP=2 FN=3", "Possible as rounded: .* accuracy 0.97777778"),
        (f"{PAPER} accuracy=97.9", "Impossible: .* with tp 69, tn 151, fp 2, fn 3, give accuracy 97.9 %"),
        (f"{PAPER} accuracy=97.77 sensitivity=98.61", "Impossible"),
        (f"{PAPER} f1=97.44", "Possible, but not as .* means over both classes \\(macro\\)"),
        (f"{PAPER} f1=98.8", "Impossible"),
        (f"{PAPER} auc=0.9999 sensitivity=95.83", "Impossible: auc"),
        ("tp=30 fn=10 n=100 sensitivity=75", "Possible: counts of 100 films, 40 positive"),
        ("tp=30 n=100 n_pos=40 sensitivity=85", "Possible, but not as .* other class"),
        ("tp=30 fp=0 n=100 n_pos=40 sensitivity=85", "Impossible"),
        ("fp=2 n=225 accuracy=99.11", "Possible: "),
        ("fp=2 n=225 accuracy=99.56", "Impossible"),
        ("fn=3 tp=0 n=10 n_pos=3 precision=100 specificity=100", "Possible, but .* 0 / 0 counted as 1"),
        ("fn=3 fp=1 n=10 n_pos=3 precision=100", "Impossible"),
        ("tp=1 fp=1 n=10 n_pos=3 precision=100", "Impossible"),
    ],
)
def test_a_claim_is_held_to_the_confusion_matrix_that_it_prints(words, verdict):
    possible, text = audit(words.split())
    assert re.match(verdict, text), text
    assert possible == text.startswith("Possible")
    assert ("The counts give accuracy 97.78 %, sensitivity 95.83 %" in text) == ("tn=151" in words.lower())


def test_a_row_of_a_review_may_have_the_four_counts(tmp_path):
    table = tmp_path / "claims.csv"
    table.write_text("paper,tp,tn,fp,fn,accuracy\nA,69,151,2,3,97.78\nB,69,151,2,3,98.9\nC,69,151,,,98.9\n")
    rows, _ = read_claims(table)
    assert [row.verdict for row in rows] == ["possible", "impossible", "without the number of films"]
    assert list(lines(rows))[-1] == "claims: 3; 1 possible, 1 impossible, 1 without the number of films"


def test_means_over_folds_of_whole_patients_are_those_of_plain_enumeration():
    sizes = 6, 4, 4  # 7 patients with 2 films each
    means = {sum(map(Fraction, right, sizes)) / 3 for right in itertools.product(*(range(one + 1) for one in sizes))}
    for number in range(0, 1001, 7):
        near = any(Fraction(number) - Fraction(1, 2) <= 1000 * one < number + 1 for one in means)
        wrong = of_patients(read_claim(["n=14", "folds=3", f"accuracy={number / 10:.1f}%"]))
        assert (not wrong) == near, number
    text = audit(["n=14", "folds=3", "accuracy=94.44"])
    assert text[0] and "means over 3 folds of whole patients with 2 films each" in text[1]
    assert not audit(["n=14", "folds=3", "accuracy=94.44", "films_per_patient=1"])[0]
    assert "of whole patients" in audit(["n=14", "folds=3", "accuracy=94.0"])[1].partition("Not tried")[0]
