"""The operating point of a head: its threshold and temperature from validation, and what it reached there."""

from dataclasses import dataclass
from typing import Any

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.operating_point import Operating
from mammo.run_folder import RunFolder

UNDEFINED = Value(None, reason="the run has no validation part with both classes")
PARTS = {"val": "validation", "test": "the test part, which is a leak"}


@dataclass(frozen=True)
class OperatingPoint:
    """The choices that a run has made for a head and a unit.

    Attributes:
        head: The head.
        unit: The unit that is decided about: image, breast, exam or patient.
        chosen_for: The unit, or `sample`, for which they were chosen; another one than `unit` if the run has no
            numbers of that, because it was the same there as this one.
        chosen_on: The part of the run that chose them: val, or test.
        choices: Threshold and temperature.
        sensitivity: The sensitivity at the threshold in that part.
        specificity: The specificity at the threshold in that part.
        counts: The number of samples, of patients, and of samples of each class in that part.
    """

    head: str
    unit: str
    chosen_for: str
    chosen_on: str
    choices: Operating
    sensitivity: Value
    specificity: Value
    counts: dict[str, int]

    @property
    def threshold(self) -> float | None:
        """The score above which the positive class is called; None if none was chosen."""
        return self.choices.threshold

    def as_json(self) -> dict[str, Any]:
        """Return the point as plain numbers."""
        return {
            "unit": self.unit,
            "chosen_for": self.chosen_for,
            "chosen_on": self.chosen_on,
            "rule": self.choices.rule,
            "threshold": self.threshold,
            "temperature": self.choices.temperature,
            "sensitivity": self.sensitivity.as_json(),
            "specificity": self.specificity.as_json(),
            "counts": self.counts,
        }

    def __str__(self) -> str:
        who = f"{self.head}, by {self.unit}"
        if self.threshold is None:
            return f"{who}: no threshold was chosen, so the most probable class is called"
        other = "" if self.chosen_for in (self.unit, "sample") else f", chosen for each {self.chosen_for}"
        return (
            f"{who}: positive above the score {self.threshold:.4g}{other}; on {PARTS[self.chosen_on]} this had a "
            f"sensitivity of {self.sensitivity} and a specificity of {self.specificity}"
        )


def operating_point(run: RunFolder, head: str, unit: str = "image") -> OperatingPoint:
    """Return the operating point of a head for a unit.

    A unit that the run has no numbers of was the same there as a finer one (a breast of one image), or as the patient
    (the only exam), whose choices are then taken.

    Raises:
        InputError: The run has no numbers.
    """
    numbers, image = run.numbers, ["image", "sample"] if run.crop["several_per_image"] else ["sample"]
    order = {"image": image, "breast": ["breast", *image], "exam": ["exam", "patient"], "patient": ["patient"]}
    if unit not in order:
        raise InputError(f"unit={unit}: expected {' or '.join(order)}")
    found = {one: numbers if one == "sample" else numbers.get(f"by_{one}", {}) for one in order[unit]}
    chosen_for = next((one for one, of in found.items() if head in of.get("operating", {})), order[unit][-1])
    of, part = found[chosen_for], run.config.select_on
    reached = {name: Value(**one) for name, one in of.get(part, {}).get(head, {}).items()}
    return OperatingPoint(
        head,
        unit,
        chosen_for,
        part,
        Operating(**of.get("operating", {}).get(head, {})),
        reached.get("sensitivity_at_threshold", UNDEFINED),
        reached.get("specificity_at_threshold", UNDEFINED),
        of.get("n", {}).get(part, {}),
    )
