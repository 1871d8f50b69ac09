"""The answers for many films: as a table, as JSON, and in words."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mammo.cells import printable
from mammo.inference.operating import OperatingPoint
from mammo.inference.prediction import Outline, called
from mammo.run_folder import RunFolder
from mammo.wording import count_notes, number_of

FIRST = ["unit", "status", "reason", "path", "image_id", "patient", "exam", "laterality", "view", "films", "head"]
LAST = ["score", "called", "threshold", "sensitivity", "specificity", "notes"]
WARNING = "Not for diagnostic use."


@dataclass
class Answers:
    """The answers of a run for films.

    Attributes:
        run: The run.
        classes: The classes, the negative one of two first.
        notes: What is said of all films together, one line each.
        rows: A row for each unit and head, as `row_of` makes it.
        points: The operating point by head and unit.
        predicted: The number of films with an answer, also where their own rows were not asked for.
        marks: The marks of a detector: `path, image_id`, place and box in pixels of the film, `score`; else None.
        outlines: The regions that were found, by the path of the film, of a run with task=segmentation.
    """

    run: RunFolder
    classes: list[str]
    notes: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    points: dict[tuple[str, str], OperatingPoint] = field(default_factory=dict)
    predicted: int = 0
    marks: pd.DataFrame | None = None
    outlines: dict[str, Outline] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        """The number of files without an answer."""
        return len({row["path"] for row in self.rows if row["status"] != "predicted"})

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table of text and numbers; scores and probabilities have nine digits, as in a run's tables."""
        of = [f"probability_{name}" for name in self.classes]
        rows = [
            row
            | {f"probability_{name}": _digits(row["probabilities"].get(name)) for name in self.classes}
            | {"score": _digits(row["score"]), "notes": "; ".join(row["notes"])}
            for row in self.rows
        ]
        return pd.DataFrame(rows, columns=[*FIRST, *of, *LAST], dtype=object)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values; what is not known is None."""
        marks: dict[Any, list[Any]] = {}
        for mark in [] if self.marks is None else self.marks.to_dict("records"):
            marks.setdefault(mark.pop("path"), []).append({k: v for k, v in mark.items() if k != "image_id"})
        rows = [row | {"notes": list(row["notes"])} for row in self.rows]
        if self.marks is not None:
            rows = [row | ({"marks": marks.get(row["path"], [])} if row["unit"] == "image" else {}) for row in rows]
        config = self.run.config
        return {
            "run": self.run.path.resolve().name,
            "task": config.task.name,
            "classes": self.classes,
            "positive": self.classes[1] if len(self.classes) == 2 else None,
            "operating": [{"head": head} | point.as_json() for (head, _), point in self.points.items()],
            "notes": self.notes,
            "predictions": rows,
            "warning": WARNING,
        }

    def lines(self, *, every: bool) -> list[str]:
        """Return the answers in words.

        Args:
            every: True gives a line to every row, and to what was done to films or assumed of them; False to rows that
                were left out, as the table has the rest.
        """
        two = f"; positive means {self.classes[1]}" if len(self.classes) == 2 else ""
        said = [f"task {self.run.config.task.name}: {' or '.join(self.classes)}{two}"]
        said += [str(point) for point in self.points.values()]
        said += [_calibration(point) for (_, unit), point in self.points.items() if unit == "image"]
        said += [f"note: {note}" for note in self.notes]
        said += [f"note: {line}" for line in count_notes(self._of_films())] if every else []
        shown = [row for row in self.rows if every or row["status"] != "predicted"]
        said += list(dict.fromkeys(_line(row) for row in shown))
        units = {row["unit"] for row in self.rows} - {"image"}
        more = "".join(
            f", {number_of(sum(row['unit'] == unit for row in self.rows), 'row')} by {unit}" for unit in sorted(units)
        )
        said.append(f"{number_of(self.predicted, 'film')} predicted, {self.left_out} left out{more}. {WARNING}")
        return said

    def _of_films(self) -> dict[str, list[str]]:
        """Return the notes of each film that are not of all answers, by its image_id."""
        of_all = {*self.notes, *(note for point in self.points.values() for note in point.notes)}
        found: dict[str, dict[str, None]] = {}
        for row in self.rows:
            if row["unit"] == "image":
                found.setdefault(row["image_id"], {}).update(dict.fromkeys(row["notes"]))
        return {image: [note for note in notes if note not in of_all] for image, notes in found.items()}


def row_of(
    unit: str,
    facts: dict[str, Any],
    probabilities: dict[str, float] | None = None,
    score: float | None = None,
    point: OperatingPoint | None = None,
) -> dict[str, Any]:
    """Return a row: `FIRST`, `probabilities` by class, `LAST`; what is not known is None.

    Args:
        unit: image, breast, exam or patient.
        facts: Columns that are known.
        probabilities: The calibrated probability of each class; None if there is no answer.
        score: The score of the positive class of two.
        point: The operating point that decides; None lets the most probable class decide.
    """
    known = {key: printable(value) if isinstance(value, str) else value for key, value in facts.items()}
    row: dict[str, Any] = dict.fromkeys([*FIRST, "probabilities", *LAST]) | {"unit": unit, "notes": ()} | known
    if probabilities is None:
        return row | {"probabilities": {}}
    threshold = None if point is None else point.threshold
    row |= {"probabilities": probabilities, "score": score, "threshold": threshold}
    if point is not None and threshold is not None:
        row |= {"sensitivity": point.sensitivity.value, "specificity": point.specificity.value}
    return row | {"called": called(probabilities, score, threshold)}


def _calibration(point: OperatingPoint) -> str:
    """Return a line that says what the probabilities of a head rest on."""
    if point.choices.temperature is None and point.before is not None:
        return f"{point.head}: probabilities are not calibrated. {' '.join(point.notes)}"
    if point.choices.temperature is None:
        return f"{point.head}: probabilities are not calibrated, as the run has no validation part"
    if point.choices.warning:
        return f"{point.head}: probabilities are not calibrated: {point.choices.warning}"
    counts = {name: n for name, n in point.counts.items() if name not in ("samples", "patients")}
    shown = ", ".join(f"{n} {name}" for name, n in counts.items())
    if point.before is not None:
        held = f"share of {point.prevalence:.4g} positive" if point.prevalence is not None else "classes of these films"
        return f"{point.head}: probabilities are recalibrated on other films ({shown}), for the {held}"
    return f"{point.head}: probabilities are calibrated for the classes of the run's part {point.chosen_on} ({shown})"


def _line(row: dict[str, Any]) -> str:
    keys = ("patient",) if row["unit"] == "patient" else ("patient", "exam", "laterality")
    who = row["path"] if row["unit"] == "image" else " ".join(str(row[key]) for key in keys if row[key])
    who = who if row["unit"] == "image" else f"{row['unit']} {who}"
    if row["status"] != "predicted":
        return f"{who}: left out: {row['reason']}"
    shown = ", ".join(f"{name} {value:.3f}" for name, value in row["probabilities"].items())
    score = "" if row["score"] is None else f"; score {row['score']:.4g}"
    if row["threshold"] is not None:
        score += f" {'above' if row['score'] > row['threshold'] else 'not above'} the threshold {row['threshold']:.4g}"
    forced = f"; {row['reason']}" if row["reason"] else ""
    return f"{who}: {row['called']} ({row['head']}: {shown}{score}){forced}"


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{np.float32(value):.9g}"
