"""The operating point of a head: its threshold and temperature from validation, and what it reached there."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammo.errors import InputError, content_of
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.recalibration import Recalibrated
from mammo.run_folder import RunFolder
from mammo.wording import number_of

UNDEFINED = Value(None, reason="the run has no validation part with both classes")
REACHED = ("sensitivity_at_threshold", "specificity_at_threshold")
FILMS = "films"  # the part of a recalibrated run that chose
COMPUTES = "The model computes in"  # the note of answers of a file that computes otherwise than its run
PARTS = {"val": "validation", "test": "the test part, which is a leak", FILMS: "the films that chose it"}


@dataclass(frozen=True)
class OperatingPoint:
    """The choices that a run has made for a head and a unit.

    Attributes:
        head: The head.
        unit: The unit that is decided about: image, breast, exam or patient.
        chosen_for: The unit, or `sample`, for which they were chosen; another one than `unit` if the run has no
            numbers of that, because it was the same there as this one.
        chosen_on: The part of the run that chose them: val, or test; `films` if other films did (`mammo recalibrate`).
        choices: Threshold and temperature.
        sensitivity: The sensitivity at the threshold in that part.
        specificity: The specificity at the threshold in that part.
        counts: The number of samples, of patients, and of samples of each class in that part.
        prevalence: The share of positive samples for which the probabilities hold, if other films chose them.
        before: The point that validation chose, if other films chose this one.
    """

    head: str
    unit: str
    chosen_for: str
    chosen_on: str
    choices: Operating
    sensitivity: Value
    specificity: Value
    counts: dict[str, int]
    prevalence: float | None = None
    before: "OperatingPoint | None" = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The note of an answer that it rests on choices of other films; none if it does not."""
        if self.before is None:
            return ()
        if self.choices.temperature is None:
            return (f"The run was recalibrated, but not for {self.head} by {self.unit}, so nothing is chosen here.",)
        n, patients = (self.counts[name] for name in ("samples", "patients"))
        held = "" if self.prevalence is None else f", for a share of {self.prevalence:.4g} that is positive"
        was = "none" if self.before.threshold is None else f"{self.before.threshold:.4g}"
        return (
            f"Recalibrated on {number_of(n, 'sample')} of {number_of(patients, 'patient')}{held}; "
            f"the threshold of validation was {was}.",
        )

    @property
    def threshold(self) -> float | None:
        """The score above which the positive class is called; None if none was chosen."""
        return self.choices.threshold

    def as_json(self) -> dict[str, Any]:
        """Return the point as plain numbers."""
        before = {} if self.before is None else {"prevalence": self.prevalence, "before": self.before.as_json()}
        return {
            "unit": self.unit,
            "chosen_for": self.chosen_for,
            "chosen_on": self.chosen_on,
            "rule": self.choices.rule,
            "threshold": self.threshold,
            "temperature": self.choices.temperature,
            **({"offset": self.choices.offset} if isinstance(self.choices, Recalibrated) else {}),
            "sensitivity": self.sensitivity.as_json(),
            "specificity": self.specificity.as_json(),
            "counts": self.counts,
        } | before

    def __str__(self) -> str:
        who = f"{self.head}, by {self.unit}"
        if self.threshold is None:
            return f"{who}: no threshold was chosen, so the most probable class is called"
        other = "" if self.chosen_for in (self.unit, "sample") else f", chosen for each {self.chosen_for}"
        return (
            f"{who}: positive above the score {self.threshold:.4g}{other}; on {PARTS[self.chosen_on]} this had a "
            f"sensitivity of {self.sensitivity} and a specificity of {self.specificity}"
            + "".join(f". {note[:-1]}" for note in self.notes)
        )


def operating_point(run: RunFolder, head: str, unit: str = "image") -> OperatingPoint:
    """Return the operating point of a head for a unit.

    A unit that the run has no numbers of was the same there as a finer one (a breast of one image), or as the patient
    (the only exam), whose choices are then taken.

    Raises:
        InputError: The run has no numbers.
    """
    with content_of(run.path):
        before = _point(run, head, unit, run.numbers, run.config.select_on, Operating)
        if (told := run.recalibration) is None:
            return before
        return replace(_point(run, head, unit, told, FILMS, Recalibrated), before=before)


def choices_of(path: Path, found: dict[str, Any], kind: type[Operating] = Operating) -> Operating:
    """Return the choices of a head as a file has them.

    Args:
        path: The file, for errors.
        found: Its content about the head, by the names of `kind`.
        kind: The class of the choices.

    Raises:
        InputError: A choice is no finite number, or a temperature is not above 0.
    """
    with content_of(path):
        made = kind(**found)
    for name, one in vars(made).items():
        if name != "rule" and (one is not None or name == "offset"):
            check_number(path, name, one, above=0 if name == "temperature" else -math.inf)
    return made


def check_number(path: Path, name: str, found: object, *, above: float = -math.inf) -> None:
    """Refuse what is no finite number above a bound; NaN is above none."""
    if not isinstance(found, int | float) or isinstance(found, bool) or not above < found < math.inf:
        bound = "" if above == -math.inf else f" above {above:g}"
        raise InputError(f"{path}: {name} is {found!r}; expected a finite number{bound}; copy the file again")


def _point(
    run: RunFolder, head: str, unit: str, numbers: dict[str, Any], part: str, kind: type[Operating]
) -> OperatingPoint:
    """Return the operating point of a head for a unit in some numbers of the form of `metrics.json`."""
    image = ["image", "sample"] if run.crop["several_per_image"] else ["sample"]
    order = {"image": image, "breast": ["breast", *image], "exam": ["exam", "patient"], "patient": ["patient"]}
    if unit not in order:
        raise InputError(f"unit={unit}: expected {' or '.join(order)}")
    path = run.path if run.path.is_file() else run.path / ("recalibration.json" if part == FILMS else "metrics.json")
    found = {one: numbers if one == "sample" else numbers.get(f"by_{one}", {}) for one in order[unit]}
    chosen_for = next((one for one, of in found.items() if head in of.get("operating", {})), order[unit][-1])
    of = found[chosen_for]
    reached = {name: Value(**one) for name, one in of.get(part, {}).get(head, {}).items()}
    reached = {name: one for name, one in reached.items() if name in REACHED}
    told = {f"{name} of {key}": one for key, of_key in reached.items() for name, one in vars(of_key).items()}
    told |= {"prevalence": of.get("prevalence", {}).get(head)}
    for name, one in told.items():
        if one is not None and not name.startswith("reason"):
            check_number(path, name, one)
    for name, one in of.get("n", {}).get(part, {}).items():
        check_number(path, f"n of {name}", one, above=-1)
    return OperatingPoint(
        head,
        unit,
        chosen_for,
        part,
        choices_of(path, of.get("operating", {}).get(head, {}), kind),
        reached.get(REACHED[0], UNDEFINED),
        reached.get(REACHED[1], UNDEFINED),
        of.get("n", {}).get(part, {}),
        of.get("prevalence", {}).get(head),
    )
