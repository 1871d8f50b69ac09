"""The parts of a model card on what was reached: by unit, at the threshold, by subgroup, and on other films."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammo.evaluation.aggregate import RULES
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES
from mammo.evaluation.segmentation import SEGMENTER, Segmentation, evaluate_segments
from mammo.evaluation.subgroups import DESCRIBED, accuracy, at_threshold, auroc, facts_of, subgroups
from mammo.reports import detection, explained, recalibration, segmentation, shift
from mammo.reports.card_subject import Subject, values
from mammo.reports.markdown import markdown, plain, signed
from mammo.reports.run import BRIEFLY, HEADS, metrics_table
from mammo.run_folder import RunFolder
from mammo.wording import number_of

RESULTS = [name for name in BRIEFLY if not name.startswith(("brier", "sensitivity_at", "specificity_at"))]
CALIBRATION = ["brier", "brier_calibrated", "ece", "ece_calibrated"]
ONE_CLASS = "A subgroup with one class only is compared with all test samples of the other class."
GROUPS = (*DESCRIBED, "laterality", "view")
AT = ("sensitivity", "specificity")
EXTERNAL = ("prevalence", "auroc", "sensitivity", "specificity", "ppv", "npv", "brier", "calibration_error")


def results(of: Subject) -> list[str]:
    """Return the metrics of the test part by sample and unit, those at the threshold, and those of places."""
    lines = []
    if of.config.task.kind == "detection":
        lines += ["Places on the films:", "", detection.RULE, ""]
        lines += [*detection.table_of(values(of.numbers["detection"].get("test", {}))), ""]
    if of.config.task.kind == "segmentation" and (found := of.numbers["segmentation"].get("test")):
        regions = {head: Segmentation(values(found)[head], found[head]["n"]) for head in found}
        lines += ["Regions on the films:", "", *segmentation.table_of(regions), ""]
    for unit in of.units:
        numbers, named = of.of_unit(unit), unit or of.sample
        said = f"By {named}"
        if unit is not None:
            said += f", each of which takes {RULES[numbers['rule']]}"
            said += f"; {numbers['left_out']} are left out for two classes" * bool(numbers["left_out"])
        tested = of.metrics("test", unit)
        lines += [f"{said}:", "", *metrics_table(tested, numbers["n"]["test"], RESULTS, of.positive), ""]
    heads = {head: said for head, said in HEADS.items() if head in of.metrics("test") and head in BASELINES}
    lines += [f"- {head}: {said}." for head, said in heads.items()]
    return [*lines, "", *_thresholds(of)]


def _thresholds(of: Subject) -> list[str]:
    """Return sensitivity and specificity at the threshold, on the part that chose it and on the test part."""
    if of.positive is None:
        return ["With several classes there is no threshold: the most probable class is called."]
    part, rows = of.config.select_on, []
    for unit in of.units:
        operating = of.of_unit(unit)["operating"]
        for head in of.heads:
            if (threshold := operating.get(head, {}).get("threshold")) is None:
                continue
            said = [str(of.metrics(one, unit)[head][f"{name}_at_threshold"]) for one in (part, "test") for name in AT]
            rows.append([f"{head}, by {unit or of.sample}", f"{threshold:.4g}", str(operating[head]["rule"]), *said])
    if not rows:
        return ["No threshold was chosen, as there is no validation part: the most probable class is called."]
    columns = [f"{name}, {one}" for one in (part, "test") for name in AT]
    lead = f"Called {plain(of.positive)} if the score is above the threshold, which the part {part} chose:"
    return [lead, "", *markdown(["head", "threshold", "rule", *columns], rows)]


def calibration(of: Subject) -> list[str]:
    """Return the errors of the probabilities, before and after the temperature."""
    lines = []
    for unit in of.units:
        tested = {head: one for head, one in of.metrics("test", unit).items() if head in of.heads}
        rows = metrics_table(tested, of.of_unit(unit)["n"]["test"], CALIBRATION)
        lines += [f"By {unit or of.sample}:", "", *rows, ""]
    chosen = {head: Operating(**of.numbers["operating"][head]) for head in of.heads}
    told = [f"{head} {one.temperature:.3f}" for head, one in chosen.items() if one.temperature is not None]
    warned = "".join(f" Of {head}, {one.warning}." for head, one in chosen.items() if one.warning)
    counts = of.numbers["n"].get(of.config.select_on, {})
    if not told:
        return [*lines, "There is no validation part, so the probabilities were not calibrated."]
    share = ", ".join(f"{counts[name]} {plain(name)}" for name in of.classes)
    return [
        *lines,
        f"Temperature by {of.sample}: {', '.join(told)}. It was chosen on {counts['samples']} {of.sample}s of "
        f"{number_of(counts['patients'], 'patient')} ({share}), and the probabilities hold for such "
        "a share of classes only." + warned,
    ]


def subgroup_lines(of: Subject) -> list[str]:
    """Return the test numbers of each subgroup that is known, with the numbers of films and patients."""
    lines = []
    if of.config.task.kind == "detection":
        marks = detection.subgroup_lines(detection.judged(of.run).get("test", {}))
        lines += [f"{line[4:]}:" if line.startswith("### ") else line for line in marks]
    if of.config.task.kind == "segmentation":
        lines += _regions(of)
    facts = facts_of(of.samples, next(iter(of.tested.values())))
    groups = subgroups(facts, GROUPS)
    if not groups:
        return [*lines, "No subgroup is known of the test part."]
    for head in of.heads:
        lines += [f"{head}:", "", *_of_head(of, head, facts, groups), ""]
    return [*lines, *([ONE_CLASS, ""] if of.positive else []), _unknown(facts)]


def _of_head(of: Subject, head: str, facts: pd.DataFrame, groups: list[tuple[str, np.ndarray]]) -> list[str]:
    """Return the table of one head."""
    one = of.tested[head]
    operating = Operating(**of.numbers["operating"][head])
    rows = []
    for name, mask in groups:
        counts = [str(facts.loc[mask, "image_id"].nunique()), str(len(set(one.patients[mask])))]
        if of.positive is None:
            rows.append([name, *counts, str(accuracy(one, mask))])
            continue
        alone = name.startswith("dataset ")
        said = [auroc(one, mask, alone=alone), *at_threshold(one, mask, operating).values()]
        rows.append([name, *counts, *map(_short, said)])
    numbers = ["accuracy"] if of.positive is None else ["AUROC", *(f"{name} at the threshold" for name in AT)]
    return markdown(["subgroup", "images", "patients", *numbers], rows)


def _short(value: Value) -> str:
    return "-" if value.value is None else str(value)


def _unknown(facts: pd.DataFrame) -> str:
    """Return what is not known of how many test images."""
    facts = facts.reindex(columns=["image_id", *GROUPS])
    lost = {name: facts.loc[facts[name].isna(), "image_id"].nunique() for name in GROUPS}
    said = [f"{name} of {number_of(count, 'image')}" for name, count in lost.items() if count]
    return f"Not known in the test part: {', '.join(said)}." if said else "Each of these is known of all test images."


def _regions(of: Subject) -> list[str]:
    """Return overlap and false regions of the segmenter by subgroup."""
    table = of.run.segments
    found = table[(table["split"] == "test") & (table["head"] == SEGMENTER)].reset_index(drop=True)
    images = of.samples.drop_duplicates("image_id")
    facts = found[["image_id"]].merge(images, how="left", on="image_id")
    rows = []
    for name, mask in subgroups(facts, GROUPS):
        one = evaluate_segments(found[mask])
        counts = [str(int(mask.sum())), str(one.counts["patients"])]
        rows.append([name, *counts, *(_short(one.values[key]) for key in ("dice", "missed", "false_region"))])
    if not rows:
        return []
    header = ["subgroup", "images", "patients", "Dice", "regions that are not touched", "false regions"]
    return ["Regions of the segmenter:", "", *markdown(header, rows), ""]


def maps(of: Subject) -> list[str]:
    """Return how well maps point at lesions, if that was measured."""
    found = of.run.explained
    if found is None:
        return ["Not known: no map was scored. `mammo explain --score` does it, if lesions have a place."]
    return explained.lines(found)[2:]


def other_films(of: Subject, tests: Sequence[RunFolder]) -> list[str]:
    """Return external tests, and what a recalibration chose on other films."""
    lines = [] if tests else ["No external test was given to this card."]
    for number, test in enumerate(tests, start=1):
        lines += [*_external(of, test, number), ""]
    if (told := of.recalibration) is not None:
        lines += ["", *_recalibrated(told)]
    return lines


def _external(of: Subject, test: RunFolder, number: int) -> list[str]:
    """Return the numbers of an external test beside those of the run's own test part."""
    numbers, origin = test.numbers, test.provenance
    counts = numbers["n"]["test"]
    leaks = "; ".join(plain(str(leak)) for leak in test.leaks) or "none found"
    lead = f"External test {number}, on {plain(origin['dataset']['name'])}: {counts['samples']} {of.sample}s of "
    lead += f"{number_of(counts['patients'], 'patient')}. Leaks: {leaks}. Nothing was fitted or chosen there."
    rows = []
    for head, shifts in numbers["shift"].items():
        for name, row in shifts.items():
            if name not in EXTERNAL:
                continue  # the report of the test has it
            here, own = (Value(**row[key]) if row.get(key) else None for key in ("here", "own"))
            apart = signed(Value(**row["difference"])) if row.get("difference") else "-"
            told = shift.NAMES.get(name, name).format(positive=of.positive, at="at the threshold")
            rows.append([f"{head}, {told}", _or_dash(here), _or_dash(own), apart])
    return [lead, "", *markdown(["", "there", "own test part", "difference"], rows)]


def _or_dash(value: Value | None) -> str:
    return "-" if value is None else _short(value)


def _recalibrated(told: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]) -> list[str]:
    """Return what was chosen on other films, and what was before."""
    counts = told["n"]["films"]
    lead = f"Threshold and probabilities were chosen again on {counts['samples']} samples of {counts['patients']} "
    lines = [f"{lead}patients of the user's own, which is no test: the same films chose and are measured."]
    for head, now in values(told["films"]).items():
        before = values(told["before"]).get(head, {})
        rows = [
            [recalibration.NAMES.get(name, name), _short(one), _or_dash(before.get(name))] for name, one in now.items()
        ]
        lines += ["", f"{head}:", "", *markdown(["", "now", "before"], rows)]
    return lines
