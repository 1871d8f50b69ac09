"""The area under the ROC curve of a claim: what the numbers of films and the other numbers allow."""

import numpy as np

from mammo.auditing.claim import Matrices
from mammo.auditing.claim_numbers import Number
from mammo.auditing.claim_words import Claim


def auc_lines(claim: Claim, found: Matrices | None) -> tuple[bool, list[str]]:
    """Return False if the AUC is impossible, and the lines about it; there are none if the claim has no AUC.

    A pair of a positive and a negative film is ranked rightly, wrongly or alike, so the AUC is a multiple of
    1 / (2 positives negatives). The classes are decided at one point of the curve, and the curve rises: so it lies
    between the two steps through this point. A mean over folds is not held to either.

    Args:
        claim: The claim.
        found: The matrices of its other numbers; None if there are none.
    """
    auc = claim.auc
    if auc is None:
        return True, []
    if claim.folds or "auc" in claim.spreads:
        return True, [f"AUC {auc.text}: a mean over folds, which may be any number from 0 to 100 %."]
    if why := _no_ranking(auc, claim.n_pos, claim.n):
        return False, [f"Impossible: {why}. Not tried: the area under a fitted curve, such as a binormal one."]
    if found is None:
        tested = (
            "as far as the number of pairs tells" if claim.n_pos is not None else "but nothing is tested; give n_pos="
        )
        return True, [f"Possible: auc {auc.text}, {tested}."]
    return _beside_others(auc, found)


def _beside_others(auc: Number, found: Matrices) -> tuple[bool, list[str]]:
    """Return what `auc_lines` does, of an AUC beside the matrices of other numbers."""
    rows = found.rows[(found.rows[:, 0] > 0) & (found.rows[:, 0] < found.n)]
    if not len(rows):
        return False, [f"Impossible: auc {auc.text} needs films of both classes; the other numbers leave those of one."]
    positives, tp, fewest, most = rows.T
    negatives = found.n - positives
    pairs = 2 * positives * negatives  # a pair counts two, and one if it is ranked alike: all numbers are whole
    lowest, highest = 2 * tp * (negatives - most), pairs - 2 * (positives - tp) * fewest
    wholes, of = np.unique(pairs, return_inverse=True)
    least, largest = np.array([auc.numerators(whole, "either") for whole in wholes.tolist()]).T[:, of]
    ends = f"{100 * (lowest / pairs).min():.2f} to {100 * (highest / pairs).max():.2f} %"
    if not ((least <= highest) & (largest >= lowest)).any():
        return False, [
            f"Impossible: auc {auc.text} is outside {ends}, where the ROC curve lies that passes through the other "
            "numbers. (Numbers of different models or runs need not fit, nor the area under a fitted curve.)"
        ]
    line = f"AUC {auc.text}: possible; the ROC curve through the other numbers has an area of {ends}."
    middle = tp * negatives + (negatives - fewest) * positives
    if ((middle >= least) & (middle <= largest)).any():
        line += " It may be the mean of sensitivity and specificity, which is the area if classes are taken as scores."
    return True, [line]


def _no_ranking(auc: Number, positives: int | None, n: int) -> str:
    """Return why no ranking of the films has an AUC; empty if one has."""
    if positives is None:
        return f"auc {auc.text} is above 100 %" if auc.digits > auc.scale else ""
    pairs = positives * (n - positives)
    if not pairs:
        return f"auc {auc.text} needs positive and negative films, and {positives} of {n} are positive"
    low, high = auc.numerators(2 * pairs, "either")
    if low > min(high, 2 * pairs):
        return f"no ranking of {positives} x {n - positives} = {pairs:,} pairs gives auc {auc.text}"
    return ""
