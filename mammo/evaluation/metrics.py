"""The metrics of one head, with intervals by bootstrap over patients. All are fractions, not percentages.

Equations (1) to (5) of Behery et al. 2023 give accuracy, sensitivity, specificity, precision and F1. Every metric
is computed for many weightings of the samples at once: the first is the plain one, the others are resamples.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

import numpy as np

from mammo.datasets.labels import task_of
from mammo.evaluation.areas import FLOOR, auroc, average_precision, sums_of_classes
from mammo.evaluation.bootstrap import RESAMPLES, Value, biased_interval, interval, resampled
from mammo.evaluation.grouped import Weights
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Patients, Predictions

RANKING = ("auroc", "average_precision")  # all that scores without probabilities give
AT_THRESHOLD = ("accuracy", "sensitivity", "specificity")  # at thresholds that validation chose


@dataclass(frozen=True)
class Case:
    """N samples with their labels and predicted classes, under W weightings."""

    labels: np.ndarray  # (N,) class numbers; for one class against the rest, true where it is that class
    called: np.ndarray  # (N,) the same for the predicted class
    score: np.ndarray  # (N,) higher for class 1
    probabilities: np.ndarray  # (N, classes)
    weights: Weights  # (W, N) how often each sample counts
    known: Callable[[], np.ndarray] | None = None  # returns the (N,) `level`, if that is known
    opposite: "Case | None" = None  # that of the other one of two classes, which has the same sums

    @classmethod
    def of_all(cls, predictions: Predictions, probabilities: np.ndarray, weights: Weights) -> "Case":
        """Return the case of all classes at once."""
        return cls(predictions.labels, predictions.called, probabilities[:, 1], probabilities, weights)

    @classmethod
    def of_class(cls, predictions: Predictions, index: int, called: np.ndarray, weights: Weights) -> "Case":
        """Return the case of one class against the rest; `called` is true where it is predicted."""

        def level() -> np.ndarray:
            upwards = predictions.levels
            return upwards if index == 1 else upwards.max(initial=0) - upwards

        score, known = class_score(predictions, index), None if predictions.score is None else level
        return cls(predictions.labels == index, called, score, predictions.probabilities, weights, known)

    @cached_property
    def level(self) -> np.ndarray:
        """(N,) the places of the samples' scores among the different scores, the lowest first."""
        return np.unique(self.score, return_inverse=True)[1] if self.known is None else self.known()

    @cached_property
    def upwards(self) -> tuple[np.ndarray, np.ndarray]:
        """(W, levels) weights of the positives and of the negatives on each level, the lowest first."""
        if self.opposite:
            return self.opposite.downwards[::-1]
        return sums_of_classes(self.labels == 1, self.level, self.weights)

    @cached_property
    def downwards(self) -> tuple[np.ndarray, np.ndarray]:
        """The same, the highest first."""
        if self.opposite:
            return self.opposite.upwards[::-1]
        return sums_of_classes(self.labels == 1, self.level.max(initial=0) - self.level, self.weights)

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(W,) true positives, true negatives, false positives and false negatives."""
        truth, called = self.labels == 1, self.called == 1
        pairs = (truth & called, ~truth & ~called, ~truth & called, truth & ~called)
        tp, tn, fp, fn = (self.weights @ pair.astype(float) for pair in pairs)
        return tp, tn, fp, fn

    @property
    def eyes(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, classes) labels and predicted classes, each with a 1 in the column of the class."""
        identity = np.eye(self.probabilities.shape[1])
        return identity[self.labels], identity[self.called]


@dataclass(frozen=True)
class Metric:
    """A metric: its formula, its range, and the patients that it rests on."""

    of: Callable[[Case], np.ndarray]  # (W,) values; NaN where undefined
    rests_on: str = "rarest"  # patients of the `rarest` class, `all`, or those with a `positive` or `negative` sample
    low: float = 0.0
    high: float = 1.0
    by_class: bool = True  # for one class against the rest; else from the probabilities of all classes
    biased: bool = False  # too high in small samples


def _of_counts(formula: Callable[..., np.ndarray]) -> Callable[[Case], np.ndarray]:
    return lambda case: formula(*case.counts)


def _multiclass_mcc(case: Case) -> np.ndarray:
    """Return the correlation of two categorical assignments (Gorodkin 2004)."""
    weights, (truth, called) = case.weights, case.eyes
    total, right = weights.sum(axis=1), weights @ (case.labels == case.called)
    true_counts, called_counts = weights @ truth, weights @ called
    return (right * total - (true_counts * called_counts).sum(axis=1)) / np.sqrt(
        (total**2 - (called_counts**2).sum(axis=1)) * (total**2 - (true_counts**2).sum(axis=1))
    )


def _quadratic_kappa(case: Case) -> np.ndarray:
    """Return the agreement of two assignments to ordered classes, weighted by squared distance (Cohen 1968)."""
    weights, (truth, called) = case.weights, case.eyes
    squared = np.subtract.outer(np.arange(truth.shape[1]), np.arange(truth.shape[1])) ** 2
    true_counts, called_counts = weights @ truth, weights @ called
    observed = (weights @ squared[case.labels, case.called]) * weights.sum(axis=1)
    return 1 - observed / ((true_counts @ squared) * called_counts).sum(axis=1)


def _brier(case: Case) -> np.ndarray:
    """Return the mean squared error of the probabilities; for two classes, of the positive one's alone."""
    apart = case.probabilities.copy()  # changed in place: millions of samples fill the memory
    apart[np.arange(len(apart)), case.labels] -= 1
    apart **= 2
    squared = apart.sum(axis=1) / (2 if apart.shape[1] == 2 else 1)
    return (case.weights @ squared) / case.weights.sum(axis=1)


def _calibration_error(case: Case) -> np.ndarray:
    """Return the mean distance of confidence and accuracy over bins of equal width (Guo et al. 2017)."""
    confidence, right = case.probabilities.max(axis=1), (case.labels == case.called).astype(float)
    return mean_gap(confidence, right, case.weights)


def mean_gap(predicted: np.ndarray, true: np.ndarray, weights: Weights) -> np.ndarray:
    """Return the (W,) mean distances of (N,) probabilities and outcomes over ten bins of equal width."""
    which = np.minimum((predicted * 10).astype(int), 9)
    gaps, total = [], weights.sum(axis=1)
    for members in (np.flatnonzero(which == one) for one in np.unique(which)):
        inside = weights.take(members, axis=1)
        mass = inside.sum(axis=1)
        means = [(inside * values[members]).sum(axis=1) / np.maximum(mass, FLOOR) for values in (true, predicted)]
        gaps.append(abs(means[0] - means[1]) * (mass / total))
    return np.stack(gaps, axis=1).sum(axis=1)


METRICS = {
    "accuracy": Metric(_of_counts(lambda tp, tn, fp, fn: (tp + tn) / (tp + tn + fp + fn)), "all"),
    "sensitivity": Metric(_of_counts(lambda tp, tn, fp, fn: tp / (tp + fn)), "positive"),
    "specificity": Metric(_of_counts(lambda tp, tn, fp, fn: tn / (tn + fp)), "negative"),
    "precision": Metric(_of_counts(lambda tp, tn, fp, fn: tp / (tp + fp))),
    "f1": Metric(_of_counts(lambda tp, tn, fp, fn: 2 * tp / (2 * tp + fp + fn))),
    "balanced_accuracy": Metric(_of_counts(lambda tp, tn, fp, fn: (tp / (tp + fn) + tn / (tn + fp)) / 2)),
    "mcc": Metric(
        _of_counts(lambda tp, tn, fp, fn: (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5),
        low=-1.0,
    ),
    "auroc": Metric(lambda case: auroc(*case.upwards)),
    "average_precision": Metric(lambda case: average_precision(*case.downwards)),
    "brier": Metric(_brier, "all", by_class=False),
    "ece": Metric(_calibration_error, "all", by_class=False, biased=True),
}
SEVERAL = {  # for three classes or more, in place of the mean over the classes
    "accuracy": Metric(lambda case: (case.weights @ (case.labels == case.called)) / case.weights.sum(axis=1), "all"),
    "mcc": Metric(_multiclass_mcc, low=-1.0),
    "quadratic_kappa": Metric(_quadratic_kappa, low=-1.0),  # only if the classes are ordered
    "brier": Metric(_brier, "all", high=2.0, by_class=False),
}


def find_metric(name: str, classes: int) -> Metric:
    """Return the metric behind a name of `evaluate`, such as `sensitivity_at_threshold` or `f1/normal`."""
    plain, _, of = name.partition("/")
    known = METRICS | SEVERAL if classes > 2 and not of else METRICS
    return known[plain.partition("_at_")[0].removesuffix("_calibrated")]


def confusion_metrics(tp: float, tn: float, fp: float, fn: float) -> dict[str, float]:
    """Return the metrics of the paper's equations (1) to (5) from four counts; an undefined one is NaN."""
    labels, called = np.array([1, 0, 0, 1]), np.array([1, 0, 1, 0])
    case = Case(labels, called, called, np.eye(2)[called], np.array([[tp, tn, fp, fn]], float))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: float(METRICS[name].of(case)[0]) for name in list(METRICS)[:5]}


def evaluate(
    predictions: Predictions, operating: Operating | None = None, resamples: int = RESAMPLES
) -> dict[str, Value]:
    """Return all metrics of one head for one split, with their intervals by patient.

    Args:
        predictions: The predictions of the head.
        operating: The choices made on its validation predictions; None if there are none.
        resamples: Number of resamples of the intervals.

    Returns:
        Under `<metric>/<class>`, each class against the rest. Under the plain name, the positive class's metric if
        there are two classes; if there are more, the macro mean or the metric of `SEVERAL`.
    """
    patients = predictions.who.ranked
    arrays = resampled(patients, lambda weights: weighted_metrics(predictions, weights, operating), resamples)
    values = {}
    for name, array in arrays.items():
        count, low, high = support(predictions, name)
        biased = find_metric(name, len(predictions.classes)).biased
        values[name] = biased_interval(array, count) if biased else interval(array, count, low, high)
    if predictions.score is not None:
        for name in (f"{one}_at_{chosen}" for chosen in ("threshold", "specificity_90") for one in AT_THRESHOLD):
            values.setdefault(name, Value(None, reason="no validation scores to choose a threshold on"))
    return values


def support(predictions: Predictions, name: str) -> tuple[int, float, float]:
    """Return the number of patients that a metric rests on, and its lowest and highest value."""
    metric, of = find_metric(name, len(predictions.classes)), name.partition("/")[2]
    patients = predictions.patients_of
    count = min(patients)
    if metric.rests_on == "all":
        count = predictions.who.count()
    elif metric.rests_on != "rarest" and len(patients) == 2:
        positive = predictions.classes.index(of) if of else 1
        count = patients[positive if metric.rests_on == "positive" else 1 - positive]
    return count, metric.low, metric.high


def weighted_metrics(
    predictions: Predictions,
    weights: Weights,
    operating: Operating | None = None,
    only: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return the (W,) values of each metric of `evaluate`, or of `only` some, for (W, N) weightings."""
    classes, operating = predictions.classes, operating or Operating()
    cases = _against_rest(predictions, weights)
    of_all = Case.of_all(predictions, predictions.probabilities, weights)

    @cache
    def of_class(name: str, index: int) -> np.ndarray:
        return METRICS[name].of(cases[index])

    def macro(name: str) -> np.ndarray:
        return np.mean([of_class(name, index) for index in range(len(classes))], axis=0)

    @cache
    def calibrated() -> Case:
        return Case.of_all(predictions, operating.calibrated(predictions.probabilities), weights)

    def of_calibrated(name: str) -> np.ndarray:
        return METRICS[name].of(calibrated())

    by_class = [name for name, metric in METRICS.items() if metric.by_class]
    if len(classes) == 2:
        found = {name: partial(of_class, name, 1) for name in by_class}
    else:
        found = {name: partial(macro, name) for name in by_class}
        found["balanced_accuracy"] = partial(macro, "sensitivity")
        ordered = (task := task_of(classes)) and task.ordered
        several = [name for name in SEVERAL if ordered or name != "quadratic_kappa"]
        found |= {name: partial(SEVERAL[name].of, of_all) for name in several}
    for name in ("brier", "ece"):
        found[name] = partial(METRICS[name].of, of_all)
        if operating.temperature is not None:
            found[f"{name}_calibrated"] = partial(of_calibrated, name)
    for suffix, threshold in (("threshold", operating.threshold), ("specificity_90", operating.threshold_90)):
        if threshold is not None and predictions.score is not None:
            above = Case.of_class(predictions, 1, predictions.score > threshold, weights)
            found |= {f"{name}_at_{suffix}": partial(METRICS[name].of, above) for name in AT_THRESHOLD}
    for index, of in enumerate(classes):
        found |= {f"{name}/{of}": partial(of_class, name, index) for name in by_class}
    if not predictions.decides:
        found = {name: of for name, of in found.items() if name in RANKING or "_at_" in name}
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: compute() for name, compute in found.items() if only is None or name in only}


def _against_rest(predictions: Predictions, weights: Weights) -> list[Case]:
    """Return the case of each class against the rest; the first of two takes its sums from the other one."""
    called = predictions.called
    cases = [Case.of_class(predictions, index, called == index, weights) for index in range(len(predictions.classes))]
    if predictions.score is not None:
        cases[0] = replace(cases[0], opposite=cases[1])
    return cases


def mean_auroc(tests: Sequence[Predictions]) -> np.ndarray:
    """Return the (1 + resamples,) means of the AUROC of several tests, such as seeds; each draws the same patients."""
    patients = Patients.apart([one.who for one in tests])
    everyone = np.unique(np.concatenate(patients))
    computed = [(of, partial(weighted_metrics, one, only=["auroc"])) for of, one in zip(patients, tests, strict=True)]
    return np.mean([resampled(*of, everyone=everyone)["auroc"] for of in computed], axis=0)


def class_score(predictions: Predictions, index: int) -> np.ndarray:
    """Return the (N,) score that orders the samples by one class."""
    if predictions.score is None:
        return predictions.probabilities[:, index]
    return predictions.score if index == 1 else -predictions.score
