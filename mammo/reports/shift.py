"""The section of an external test that tells what prevalence does and what ranking does, in words and in a table."""

from mammo.evaluation.bootstrap import Value
from mammo.evaluation.prevalence import Row
from mammo.reports.markdown import markdown, signed

Rows = dict[str, Row]
TITLE = "## What prevalence does and what ranking does"
NAMES = {
    "prevalence": "prevalence of {positive}",
    "auroc": "AUROC (ranking)",
    "sensitivity": "sensitivity {at}",
    "specificity": "specificity {at}",
    "ppv": "positive predictive value, as observed",
    "ppv_at_own_prevalence": "positive predictive value at the run's prevalence",
    "npv": "negative predictive value, as observed",
    "npv_at_own_prevalence": "negative predictive value at the run's prevalence",
    "mean_probability": "mean probability of {positive}",
    "mean_probability_corrected": "mean probability, corrected for prevalence",
    "calibration_error": "calibration error",
    "calibration_error_corrected": "calibration error, corrected for prevalence",
    "brier": "Brier score",
    "brier_corrected": "Brier score, corrected for prevalence",
}


def section(heads: dict[str, Rows], positive: str | None, what: str, thresholds: dict[str, bool]) -> list[str]:
    """Return the lines of the section.

    Args:
        heads: The numbers of each head, as `evaluation.prevalence.shift` returns them.
        positive: The positive class of two; None for several classes.
        what: The tested things, `samples` or `images`.
        thresholds: True for each head for which the run has chosen a threshold.
    """
    if positive is None:
        rows = [[head, *_cells(one["auroc"])] for head, one in heads.items()]
        said = "There are more than two classes, so only ranking is compared: the mean AUROC of each class against the "
        table = markdown(["AUROC", "the run's own test part", "here", "here minus own"], rows)
        return [TITLE, "", f"{said}others. Prevalence does not change it.", "", *table, ""]
    lines = [
        *(TITLE, ""),
        f"Prevalence is the share of {positive} among the tested {what}. It does not change AUROC, sensitivity or "
        "specificity. It changes what a call is worth (the predictive values), and it makes probabilities too high or "
        f"too low. Ranking is whether {positive} {what} get higher scores than others (AUROC). If ranking is worse, no "
        "other threshold and no correction of probabilities mends it.",
        "",
    ]
    for head, rows_ in heads.items():
        at = "at the run's threshold" if thresholds[head] else "of the more probable class"
        names = {name: text.format(positive=positive, at=at) for name, text in NAMES.items()}
        rows = [[names[name], *_cells(rows_[name])] for name in NAMES]
        lines += [f"### {head}", "", *_words(rows_, positive, at), ""]
        lines += [*markdown([head, "the run's own test part", "here", "here minus own"], rows), ""]
    return [
        *lines,
        "Corrected for prevalence: the odds of each probability are multiplied by the ratio of the odds of both "
        "prevalences (Elkan 2001), which is exact if nothing but the prevalence differs. The Brier score depends on "
        "the prevalence even if every probability is right, so it has no difference. The two test parts have other "
        "patients; the intervals of the differences hold for independent samples.",
        "",
    ]


def _words(rows: Rows, positive: str, at: str) -> list[str]:
    """Return the table of one head in words."""
    return [_ranking(rows["auroc"]), _threshold(rows, at), _prevalence(rows, positive), _probabilities(rows, positive)]


def _ranking(row: Row) -> str:
    if row.here.value is None or row.difference is None or row.difference.value is None:
        return "- Ranking: AUROC is undefined, as a class is missing."
    line = (
        f"- Ranking: AUROC {row.here} here, {row.own} on the run's own test part; difference {signed(row.difference)}."
    )
    if (moved := _sign(row.difference)) == 0:
        return f"{line} Its interval contains 0, so no change of ranking is shown."
    return f"{line} Ranking is {'worse' if moved < 0 else 'better'} here, and prevalence does not explain it."


def _threshold(rows: Rows, at: str) -> str:
    both = {name: rows[name] for name in ("sensitivity", "specificity")}
    known = {name: row for name, row in both.items() if row.here.value is not None}
    said = ", ".join(f"{name} {row.here} here and {row.own} on the own test part" for name, row in known.items())
    line = f"- Threshold: {said} ({at})."
    moved = {name: _sign(row.difference) for name, row in known.items()}
    if not any(moved.values()):
        return f"{line} No change is shown."
    if moved.get("sensitivity", 0) * moved.get("specificity", 0) < 0:
        where = "higher" if moved["sensitivity"] > 0 else "lower"
        return f"{line} Scores lie {where} here, so that the same threshold divides the films elsewhere."
    changed = " and ".join(f"{'higher' if sign > 0 else 'lower'} {name}" for name, sign in moved.items() if sign)
    return f"{line} Shown: {changed}. Prevalence does not explain it."


def _prevalence(rows: Rows, positive: str) -> str:
    share, ppv, at_own = (rows[name] for name in ("prevalence", "ppv", "ppv_at_own_prevalence"))
    own, here = _percent(share.own), _percent(share.here)
    line = f"- Prevalence: {own} are {positive} on the run's own test part, {here} here."
    if ppv.here.value is None:
        return f"{line} Nothing is called {positive}."
    line += (
        f" Of those that are called {positive}, {_percent(ppv.here)} are ({_percent(ppv.own)} on the own test part)."
    )
    return line if at_own.here.value is None else f"{line} At the run's prevalence it would be {_percent(at_own.here)}."


def _probabilities(rows: Rows, positive: str) -> str:
    mean, error = rows["mean_probability"], rows["calibration_error"]
    line = (
        f"- Probabilities: their mean is {_percent(mean.here)}, and {_percent(rows['prevalence'].here)} are {positive}."
    )
    mended, left = rows["mean_probability_corrected"], rows["calibration_error_corrected"]
    if left.here.value is None or left.difference is None:
        return line
    line += f" Corrected for prevalence the mean is {_percent(mended.here)}, and the calibration error goes from "
    line += f"{_number(error.here)} to {_number(left.here)} ({_number(error.own)} on the own test part)."
    if _sign(left.difference) > 0:
        return f"{line} So more than prevalence makes them wrong."
    return f"{line} No other error than on the run's own films is shown."


def _cells(row: Row) -> list[str]:
    return [
        "" if row.own is None else str(row.own),
        str(row.here),
        "" if row.difference is None else signed(row.difference),
    ]


def _sign(difference: Value | None) -> int:
    """Return the sign of a difference whose interval does not contain 0, else 0."""
    if difference is None or difference.low is None or difference.high is None:
        return 0
    return int(difference.low > 0) - int(difference.high < 0)


def _percent(value: Value | None) -> str:
    return "undefined" if value is None or value.value is None else f"{value.value:.0%}".replace("%", " %")


def _number(value: Value | None) -> str:
    return "undefined" if value is None or value.value is None else f"{value.value:.3f}"
