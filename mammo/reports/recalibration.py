"""The report of a recalibration: what was chosen, what it reaches, what was before, and how many films would do."""

from collections.abc import Mapping, Sequence
from typing import Any

from mammo.evaluation.bootstrap import Value
from mammo.evaluation.recalibration import Recalibration
from mammo.reports.markdown import markdown, page
from mammo.wording import number_of

CHANCE = 0.5  # the AUROC of scores that tell nothing
NAMES = {
    "threshold": "threshold of the score",
    "temperature": "temperature",
    "offset": "offset of the log-odds",
    "auroc": "AUROC on these films",
    "sensitivity_at_threshold": "sensitivity on these films",
    "sensitivity_expected": "sensitivity on other patients",
    "specificity_at_threshold": "specificity on these films",
    "specificity_expected": "specificity on other patients",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
}
ABOUT = (
    "Numbers in brackets are 95 % intervals, from a bootstrap over patients. The films chose the threshold, so on "
    "other patients it does a little worse: those are means over resamples, of patients that were not drawn."
)
SHIFT = (
    "The probabilities and predictive values hold for this share of positive {unit}s: {share:.4g}. It follows from "
    "{prevalence:g} of the patients, as positive patients have negative {unit}s too."
)
BY_PATIENT = "The probabilities and predictive values hold for the share of positive patients that was asked for, {:g}."


def text(found: Mapping[str, Mapping[str, Recalibration]], record: Mapping[str, Any]) -> str:
    """Return the report, in Markdown.

    Args:
        found: The recalibrations by unit and head.
        record: The content of `recalibration.json`.
    """
    asked = record["question"]
    rule = "the rule of the run" if asked["sensitivity"] is None else f"a sensitivity of {asked['sensitivity']:g}"
    lines = [f"# {record['run']}, recalibrated on {record['table']}", ""]
    lines += [f"The threshold follows {rule}. {ABOUT}", ""]
    lines += [f"- {note}." for note in record["notes"]] + [""] * bool(record["notes"])
    for unit, heads in found.items():
        counts = dict(next(iter(heads.values())).counts)
        shown = ", ".join(f"{n} {name}" for name, n in counts.items() if name not in ("samples", "patients"))
        lines += [
            f"## By {unit}",
            "",
            f"{counts['samples']} {unit}s of {number_of(counts['patients'], 'patient')}: {shown}.",
            "",
        ]
        share = next(iter(heads.values())).prevalence
        if share is not None and asked["prevalence"] is not None and unit == "patient":
            lines += [BY_PATIENT.format(asked["prevalence"]), ""]
        elif share is not None and asked["prevalence"] is not None:
            lines += [SHIFT.format(unit=unit, share=share, prevalence=asked["prevalence"]), ""]
        elif share is not None:
            lines += [f"The probabilities and predictive values hold for the share of these films, {share:.4g}.", ""]
        for head, one in heads.items():
            warned = [f"Not calibrated: {one.operating.warning}.", ""] if one.operating.warning else []
            lines += [f"### {head}", "", *_table(one), "", *warned, *_more(one, unit, asked["half_width"])]
    return page([*lines, "Not for diagnostic use.", ""])


def doubt(auroc: Value | None, classes: Sequence[str]) -> str | None:
    """Return what an AUROC says against films or labels that choose a threshold; None if it says nothing."""
    if auroc is None or auroc.low is None or auroc.high is None or auroc.low > CHANCE:
        return None
    if auroc.high < CHANCE:
        return (
            f"AUROC {auroc} on these films, below {CHANCE}: {classes[0]} films have the higher scores; look if the "
            "labels are exchanged, as no threshold makes sense with them"
        )
    return (
        f"AUROC {auroc} on these films, which is not shown to be above {CHANCE}: a threshold chosen on them may tell "
        "nothing; look at the labels, and add films"
    )


def _table(one: Recalibration) -> list[str]:
    """Return the numbers of a head beside those of before."""
    chosen = {"threshold": one.old.threshold, "temperature": one.old.temperature}
    old = {name: f"{number:.4g}" for name, number in chosen.items() if number is not None}
    old |= {"offset": "0"} if old else {}
    old |= {name: str(value) for name, value in one.before.items()}
    rows = [[NAMES[name], _shown(value), old.get(name, "")] for name, value in one.values.items()]
    return markdown(["", "now", "before"], rows)


def _shown(value: Value) -> str:
    if value.value is not None and value.low is None:
        return f"{value.value:.3f}"
    return str(value)


def _more(one: Recalibration, unit: str, half_width: float) -> list[str]:
    """Return a line that says how many more films an interval of the half width needs."""
    if not one.more:
        return []
    said = [
        f"{one.more[kind]} more {kind} {unit}s for the {name}" if one.more[kind] else f"enough for the {name}"
        for kind, name in (("positive", "sensitivity"), ("negative", "specificity"))
    ]
    return [f"For intervals of half a width of {half_width:g}: {', '.join(said)}.", ""]
