"""The names of the numbers of a published claim: ours, those that people use, and their brackets."""

import difflib
import re

from mammo.auditing.claim_numbers import AUC

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "npv", "f1", "balanced_accuracy")
COUNTS = ("n", "n_pos", "n_neg", "n_train", "n_test", "films_per_patient", "folds")
PARTS = ("train", "test")
KEYS = (*METRICS, AUC, *COUNTS, *PARTS)
SYNONYMS = {
    "acc": "accuracy", "overall_accuracy": "accuracy", "test_accuracy": "accuracy",
    "classification_accuracy": "accuracy", "recall": "sensitivity", "tpr": "sensitivity", "sens": "sensitivity",
    "sn": "sensitivity", "true_positive_rate": "sensitivity", "tnr": "specificity", "spec": "specificity",
    "spe": "specificity", "sp": "specificity", "true_negative_rate": "specificity", "ppv": "precision",
    "prec": "precision", "positive_predictive_value": "precision", "negative_predictive_value": "npv",
    "f1_score": "f1", "f1score": "f1", "f_score": "f1", "fscore": "f1", "f": "f1", "dice": "f1",
    "f_measure": "f1", "f1_measure": "f1", "f_1": "f1", "f_1_score": "f1", "auroc": AUC, "roc_auc": AUC,
    "auc_roc": AUC, "az": AUC, "area_under_the_curve": AUC, "area_under_the_roc_curve": AUC, "k": "folds",
    "cv": "folds", "bacc": "balanced_accuracy", "bal_acc": "balanced_accuracy", "balanced_acc": "balanced_accuracy",
}  # fmt: skip
MEANS = ("macro", "micro", "weighted", "mean", "average", "avg", "averaged")
# Words in brackets that do not change what a number is: `Accuracy (%)`, `AUC [95 % CI]`, `F1 (macro)`.
_PLAIN = frozenset({
    *("95", "90", "99", "ci", "confidence", "interval", "sd", "std", "se", "sem", "per", "cent", "percent", "pct"),
    *("fraction", "overall", "in", "of", "score", "value", "test", "testing", "set", "class"),
    *MEANS,
})  # fmt: skip
_POSITIVE = frozenset(["1", "positive", "pos", "abnormal", "malignant", "malignancy", "cancer"])
_NEGATIVE = frozenset(["0", "negative", "neg", "normal", "benign"])
_FILMS = frozenset(["films", "images", "mammograms", "samples"])
_OF_CLASS = {"sensitivity": _POSITIVE, "precision": _POSITIVE, "f1": _POSITIVE, "specificity": _NEGATIVE,
             "npv": _NEGATIVE}  # fmt: skip
_OTHER = {"sensitivity": "specificity", "precision": "npv"}  # the same number of the other class
_INVERSE = {
    **dict.fromkeys(("error", "error_rate", "misclassification_rate"), "accuracy"),
    **dict.fromkeys(("fpr", "false_positive_rate", "fall_out"), "specificity"),
    **dict.fromkeys(("fnr", "false_negative_rate", "miss_rate"), "sensitivity"),
    **dict.fromkeys(("fdr", "false_discovery_rate"), "precision"),
}
_NOT_MEANS = ("average_precision", "mean_average_precision")  # an area, no mean over classes
SHORT = 4  # letters of a name: short ones are near too many others
_MATRIX = ("tp", "tn", "fp", "fn")


def known_key(name: str) -> str | None:
    """Return our key for a name of a number, say `sensitivity` for `Recall`; None if it is unknown.

    A name is unknown, too, if words in brackets after it make it another number: `N (patients)`, `AUC (PR)`.
    """
    key = _bare_key(name)
    return key if key and all(_changes_nothing(key, said) for said in _brackets(name)) else None


def hint(name: str) -> str:
    """Return what to write for the name of a number that is unknown; empty if nothing is known about it."""
    folded, words = "_".join(_words(name)), _words(name)
    if bare := _bare_key(name):
        odd = [said for said in _brackets(name) if not _changes_nothing(bare, said)]
        other = odd and _of_class(bare, set(_words(odd[0])))
        return f"write {other or bare}= if this is what {name} means, and else leave it out; " if odd else ""
    key = known_key("_".join(word for word in words if word not in MEANS))
    if key and set(words) & set(MEANS) and folded not in _NOT_MEANS:
        return f"write {key}=, whose means over classes are tried too; "
    if folded in _INVERSE:
        return f"write {_INVERSE[folded]}=, which is 100 % less it; "
    if folded in _MATRIX:
        return "write the counts as sensitivity=69/72, tp of tp + fn, and specificity=151/153, tn of tn + fp; "
    return _class_hint(words) or _near(folded)


def _class_hint(words: list[str]) -> str:
    """Return what to write for a number of one class, such as `recall_0` or `precision malignant`."""
    classes = set(words) & (_POSITIVE | _NEGATIVE)
    key = known_key("_".join(word for word in words if word not in {*classes, "class", "of", "for"}))
    other = key and _of_class(key, classes)
    if not other:
        return ""
    return f"write {other}=; " if other == key else f"write {other}=, which is the {key} of the other class; "


def _near(folded: str) -> str:
    near = difflib.get_close_matches(folded, [name for name in (*KEYS, *SYNONYMS) if len(name) > SHORT], 1, cutoff=0.85)
    return f"write {SYNONYMS.get(near[0], near[0])}= if you mean it; " if near else ""


def _bare_key(name: str) -> str | None:
    """Return our key for a name without what stands in brackets."""
    parts = re.split(r"/|\bor\b", re.sub(r"\(.*?\)|\[.*?\]", "", name).casefold())  # Sensitivity/Recall
    keys = {SYNONYMS.get(folded, folded) for folded in ("_".join(_words(part)) for part in parts)}
    key = keys.pop()
    return key if not keys and key in KEYS else None


def _brackets(name: str) -> list[str]:
    return re.findall(r"[(\[](.*?)[)\]]", name)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.casefold())


def _of_class(key: str, classes: set[str]) -> str | None:
    """Return our key for a number of one class, say `specificity` for the sensitivity of benign films."""
    of = _OF_CLASS.get(key, frozenset())
    return None if not classes else key if classes <= of else _OTHER.get(key) if classes <= _NEGATIVE else None


def _changes_nothing(key: str, said: str) -> bool:
    """True if words in brackets leave a number what it is: its unit, another name of it, the class that it is of."""
    words = _words(said)
    if key in PARTS:  # normal and abnormal films, in this order
        return not words or (len(words) == 2 and words[0] in _NEGATIVE and words[1] in _POSITIVE)
    plain = _PLAIN | _OF_CLASS.get(key, frozenset()) | (_FILMS if key in COUNTS else frozenset())
    plain |= {"roc"} if key == AUC else frozenset()
    return set(words) <= plain or _bare_key(said) == key
