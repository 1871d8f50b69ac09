"""The names of the numbers of a published claim: ours, those that people use, and their brackets."""

import difflib
import re

from mammo.auditing.claim_numbers import AUC

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "npv", "f1", "balanced_accuracy")
COUNTS = ("n", "n_pos", "n_neg", "n_train", "n_test", "films_per_patient", "folds")
PARTS = ("train", "test")
CELLS = ("tp", "tn", "fp", "fn")  # of the confusion matrix
KEYS = (*METRICS, AUC, *COUNTS, *PARTS, *CELLS)
SYNONYMS = {
    "acc": "accuracy", "overall_accuracy": "accuracy", "test_accuracy": "accuracy",
    "classification_accuracy": "accuracy", "recall": "sensitivity", "tpr": "sensitivity", "sens": "sensitivity",
    "sn": "sensitivity", "sen": "sensitivity", "true_positive_rate": "sensitivity", "tnr": "specificity",
    "spec": "specificity", "spc": "specificity",
    "spe": "specificity", "sp": "specificity", "true_negative_rate": "specificity", "ppv": "precision",
    "prec": "precision", "positive_predictive_value": "precision", "negative_predictive_value": "npv",
    "f1_score": "f1", "f1score": "f1", "f_score": "f1", "fscore": "f1", "f": "f1", "dice": "f1",
    "f_measure": "f1", "f1_measure": "f1", "f_1": "f1", "f_1_score": "f1", "auroc": AUC, "roc_auc": AUC,
    "auc_roc": AUC, "az": AUC, "area_under_the_curve": AUC, "area_under_the_roc_curve": AUC, "k": "folds",
    "cv": "folds", "k_fold": "folds", "kfold": "folds", "n_folds": "folds", "number_of_folds": "folds",
    "n_images": "n", "n_films": "n", "n_mammograms": "n", "test_images": "n_test", "test_films": "n_test",
    "n_positive": "n_pos", "n_positives": "n_pos", "positives": "n_pos",
    "n_negative": "n_neg", "n_negatives": "n_neg", "negatives": "n_neg",
    "true_positives": "tp", "true_negatives": "tn", "false_positives": "fp", "false_negatives": "fn",
    "bacc": "balanced_accuracy", "bal_acc": "balanced_accuracy", "balanced_acc": "balanced_accuracy",
}  # fmt: skip
MEANS = ("macro", "micro", "weighted", "mean", "average", "avg", "averaged")
_POSITIVE = frozenset(["1", "positive", "positives", "pos", "abnormal", "malignant", "malignancy", "cancer", "cancers"])
_NEGATIVE = frozenset(["0", "negative", "negatives", "neg", "normal", "normals", "benign", "healthy"])
_OF_CLASS = {
    **dict.fromkeys(("sensitivity", "precision", "f1", AUC, "n_pos"), _POSITIVE),
    **dict.fromkeys(("specificity", "npv", "n_neg"), _NEGATIVE),
}
# The same number of the other class. That of a specificity is named by either class, so it has none.
_OTHER = {"sensitivity": "specificity", "precision": "npv", "n_pos": "n_neg", "n_neg": "n_pos"}
# Words in brackets that make a number another one: `N (patients)`, `AUC (PR)`, `Accuracy (train)`.
_CURVES = frozenset(["pr", "prc", "aupr", "auprc", "precision", "ap", "froc", "partial"])
_UNIT = (
    r"patients?|wom[ae]n|cases?|breasts?|lesions?|subjects?|persons?|people|exams?|examinations?|findings?|mass(?:es)?"
)
_UNITS, _OF_UNITS = (
    re.compile(rf"\b(?:{_UNIT})\b"),
    re.compile(rf"\bper[\s-]+(?:{_UNIT})\b|\b(?:{_UNIT})[\s-]+(?:level|based)\b"),
)
_FILMS = re.compile(r"\b(?:films?|images?|mammograms?|samples?)\b")
_TRAIN, _VAL = frozenset(["train", "training"]), frozenset(["val", "valid", "validation"])
_TEST = frozenset(["test", "testing"])
_COUNTED = ("n", "n_pos", "n_neg", "n_train", "n_test", *PARTS, *CELLS)
_BRACKETS = re.compile(r"[(\[]((?:[^()\[\]]|[(\[][^()\[\]]*[)\]])*)(?:[)\]]|$)")  # with others inside: TP/(TP+FN)
_FILLERS = frozenset(["class", "label", "of", "for", "the"])
_INVERSE = {
    **dict.fromkeys(("error", "error_rate", "misclassification_rate"), "accuracy"),
    **dict.fromkeys(("fpr", "false_positive_rate", "fall_out"), "specificity"),
    **dict.fromkeys(("fnr", "false_negative_rate", "miss_rate"), "sensitivity"),
    **dict.fromkeys(("fdr", "false_discovery_rate"), "precision"),
    **{
        f"{whole}_{name}": SYNONYMS.get(name, name)
        for whole in ("1", "100")
        for name in (*METRICS, AUC, *SYNONYMS)
        if SYNONYMS.get(name) not in (*COUNTS, *CELLS)
    },
}
_UNTESTED = (
    "kappa", "cohen_kappa", "cohens_kappa", "cohen_s_kappa", "mcc", "phi", "youden", "youden_index", "g_mean", "gmean",
    "iou", "jaccard", "miou",
    "auprc", "auc_pr", "pr_auc", "prauc", "ap", "pauc", "threshold", "cutoff", "lr", "dor", "brier", "logloss",
)  # fmt: skip
_NOT_MEANS = ("average_precision", "mean_average_precision")  # an area, no mean over classes
SHORT = 4  # letters of a name: short ones are near too many others


def known_key(name: str) -> str | None:
    """Return our key for a name of a number, say `sensitivity` for `Recall`; None if it is unknown.

    A name is unknown, too, if words in brackets after it make it another number: `N (patients)`, `AUC (PR)`.
    """
    key = _bare_key(name)
    return key if key and not any(_changes(key, said) for said in _BRACKETS.findall(name)) else None


def hint(name: str) -> str:
    """Return what to write for the name of a number that is unknown; empty if nothing is known about it."""
    folded, words = "_".join(_words(name)), _words(name)
    if bare := _bare_key(name):
        odd = next((said for said in _BRACKETS.findall(name) if _changes(bare, said)), None)
        wanted = "" if odd is None else _of_class(bare, _classes(odd)) or f"{bare}="
        return wanted and f"write {wanted} if this is what {name} means, and else leave it out; "
    key = known_key("_".join(word for word in words if word not in MEANS))
    if key and set(words) & set(MEANS) and folded not in _NOT_MEANS:
        return f"write {key}=, whose means over classes are tried too; "
    if folded in _INVERSE and not re.match("1_(precision|recall|f1)", name):  # scikit-learn's names of class 1
        return f"write {_INVERSE[folded]}=, which is 100 % minus it; "
    if folded in _UNTESTED:
        return f"{name} is not tested: leave it out; "
    classes = set(words) & (_POSITIVE | _NEGATIVE)
    key = known_key("_".join(word for word in words if word not in {*classes, *_FILLERS}))
    of_class = key and _of_class(key, classes)
    return f"write {of_class}; " if of_class else _near(folded)


def _near(folded: str) -> str:
    near = difflib.get_close_matches(folded, [name for name in (*KEYS, *SYNONYMS) if len(name) > SHORT], 1, cutoff=0.85)
    return f"write {SYNONYMS.get(near[0], near[0])}= if you mean it; " if near else ""


def _bare_key(name: str) -> str | None:
    """Return our key for a name without what stands in brackets."""
    parts = re.split(r"/|\bor\b", _BRACKETS.sub("", name).casefold())  # Sensitivity/Recall
    keys = {SYNONYMS.get(folded, folded) for folded in ("_".join(_words(part)) for part in parts)}
    key = keys.pop()
    return key if not keys and key in KEYS else None


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.casefold())


def _classes(said: str) -> set[str]:
    """Return the words for a class in brackets; `1 - false positive rate` and `0.95 CI` have none."""
    said = re.sub(r"\bnon[\s-]*(?:malignant|cancers?)\b", "benign", said.casefold())
    words = set(_words(re.sub(r"\b(?:true|false)[\s-]+(?:posi|nega)tives?\b", "rate", said))) - _FILLERS
    return words & (_POSITIVE | _NEGATIVE) - (frozenset() if words <= {"0", "1"} else {"0", "1"})


def _of_class(key: str, classes: set[str]) -> str | None:
    """Return what to write for a number of one class, say `specificity=` for the sensitivity of benign films."""
    of, other = _OF_CLASS.get(key, frozenset()), _OTHER.get(key)
    if classes and classes <= of:
        return f"{key}="
    return f"{other}=, which is the {key} of the other class," if other and classes and not classes & of else None


def _changes(key: str, said: str) -> bool:
    """True if words in brackets are known to make a number another one: another metric, of other films or a class."""
    said = re.sub(r"\b(?:cross|fold|out)[\s-]*val\w*|\bpre[\s-]*train\w*", "", said.casefold())  # of no other films
    return _of_other_name(key, said) or _of_other_films(key, said) or _of_other_class(key, said)


def _of_other_name(key: str, said: str) -> bool:
    words, kind = _words(said), {*METRICS, AUC} if key in (*METRICS, AUC) else {*COUNTS} - {"n"}  # any count is an n
    if any(_bare_key(name) in kind - {key} for name in (said, f"{said} {key}")):  # `Accuracy (balanced)`
        return True
    return "_".join(words) in _INVERSE or (key == AUC and (bool(_CURVES & {*words}) or words[:2] == ["p", "r"]))


def _of_other_films(key: str, said: str) -> bool:
    words, counted = {*_words(said)}, key in _COUNTED
    if _UNITS.search(said) and not _FILMS.search(said) if counted else _OF_UNITS.search(said):
        return True
    if not counted and words & _TRAIN and words & _TEST:  # `Accuracy (80 % train, 20 % test)`
        return False
    return bool(words & (_VAL | (_TEST if key in ("train", "n_train") else _TRAIN)))


def _of_other_class(key: str, said: str) -> bool:
    classes, of = _classes(said), _OF_CLASS.get(key)
    if of is None:  # a number of both, normal films first
        first = next((word for word in _words(said) if word in classes), None)
        one = bool(classes) and (classes <= _POSITIVE or classes <= _NEGATIVE)
        return one or (key in PARTS and first in _POSITIVE)
    return bool(classes) and not classes & of
