"""Predict many films: a row for each file, whether it could be used or not, and for each breast, exam and patient."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mammo.cells import printable
from mammo.datasets.labels import Labels
from mammo.errors import InputError, UnreadableFilm
from mammo.evaluation.aggregate import PLACES, UNITS, by_unit, placed, unit_notes
from mammo.evaluation.predictions import head_table
from mammo.inference.answers import Answers, row_of
from mammo.inference.build import detector_of
from mammo.inference.films import Films
from mammo.inference.operating import operating_point
from mammo.inference.prediction import MARKS, Prediction
from mammo.inference.predictor import Point, Predictor, Seen
from mammo.inference.unlike import NO_LIKENESS
from mammo.processes.progress import watched
from mammo.processes.workers import shared_out
from mammo.training.marks import ALONE, PARTNER
from mammo.wording import number_of

if TYPE_CHECKING:
    from mammo.inference.detector import DetectorPredictor

BROKEN = (InputError, OSError, MemoryError)  # errors of one film that end nothing
FEW = 8  # films from which on a bar is shown
PREDICTED, LEFT_OUT = "predicted", "left_out"
SEARCHED = (
    "windows all over the breast were looked at, and the most alarming one counts; no threshold was chosen for that, "
    "and the probabilities are those of windows around known places; name the place in a film with --at x,y"
)


def predict(
    predictor: Predictor[Any],
    films: Films,
    *,
    at: Point | None = None,
    units: Sequence[str] | None = None,
    partners: bool = False,
    force: bool = False,
) -> Answers:
    """Return the answers for films.

    Args:
        predictor: The run and head that answer.
        films: The films.
        at: A point of the only film, for a run on lesion windows.
        units: Some of `UNITS`; None gives those that are known of the films.
        force: True answers for films unlike those of the run too, and says why in their rows.
        partners: True adds the answers of `detector_partner` to those of `detector`, if a film has a partner.

    Raises:
        InputError: A point is given for several films, or a unit is unknown.
    """
    if at is not None and len(films.rows) != 1:
        raise InputError(f"a point is for one film, but {len(films.rows)} are asked about; name one film")
    check_units(units)
    found, refused = _each(predictor, films, at)
    return answers_from(predictor, films, found, refused, units=units, partners=partners, force=force)


def answers_from(
    predictor: Predictor[Any],
    films: Films,
    found: dict[int, Prediction],
    refused: dict[int, str],
    *,
    units: Sequence[str] | None = None,
    partners: bool = False,
    force: bool = False,
) -> Answers:
    """Return the answers for films whose predictions are known; see `predict`.

    Args:
        predictor: The run and head that answered.
        films: The films.
        found: The prediction of each film that has one, as `shown_to` gives it, by its number.
        refused: The reason why a film has none, by its number.
        units: See `predict`.
        partners: See `predict`.
        force: See `predict`.
    """
    if not force:
        refused = refused | {n: one.unlike for n, one in found.items() if one.unlike}
        found = {n: one for n, one in found.items() if not one.unlike}
    rows = films.rows.assign(status=[PREDICTED if n in found else LEFT_OUT for n in range(len(films.rows))])
    rows["reason"] = [refused.get(n) for n in range(len(rows))]
    predicted = rows.loc[sorted(found)]
    several = {predictor.head: [found[n] for n in sorted(found)]}
    detector = detector_of(predictor)
    if detector is not None:
        several = _by_head(detector, several[predictor.head], predicted, partners=partners)
    notes = [*films.notes, *([] if predictor.likeness else [NO_LIKENESS]), *_copies(found, rows["path"])]
    searched = any(one.searched for of_head in several.values() for one in of_head)
    answers = Answers(predictor.run, predictor.classes, [*notes, *[SEARCHED] * searched], predicted=len(predicted))
    for head, of_head in several.items():
        if not searched:
            answers.points[head, "image"] = operating_point(predictor.run, head)
        answers.rows += _image_rows(rows, dict(zip(predicted.index, of_head, strict=True)), answers, head)
    if detector is not None:
        answers.marks = _marks(predicted, next(iter(several.values())))
    answers.outlines = {
        printable(rows.at[n, "path"]): one.outline for n, one in sorted(found.items()) if one.outline is not None
    }
    samples = pd.concat([_samples(predictor, predicted, head, one) for head, one in several.items()])
    for unit in UNITS:
        if unit != "image" and len(predicted) and (units is None or unit in units):
            _add_unit(answers, predictor, samples, unit, asked=units is not None, searched=searched)
    if units is not None and "image" not in units:  # films that were left out are told all the same
        answers.rows = [row for row in answers.rows if row["unit"] != "image" or row["status"] == LEFT_OUT]
    return answers


def check_units(units: Sequence[str] | None) -> None:
    """Refuse a unit that is unknown."""
    if isinstance(units, str):
        raise InputError(f"units={units!r} is one text; expected a list, such as ['image', 'patient']")
    if odd := [unit for unit in units or () if unit not in UNITS]:
        raise InputError(f"unit {odd[0]}: expected {', '.join(UNITS)}")


def shown_to(predictor: Predictor[Any], seen: Iterable[Any]) -> Iterator[Prediction]:
    """Yield the prediction of each film, alone: a detector's are of its head `detector`, from which others follow."""
    detector = detector_of(predictor)
    return (predictor.answers if detector is None else detector.alone)(seen)


def _each(predictor: Predictor[Any], films: Films, at: Point | None) -> tuple[dict[int, Prediction], dict[int, str]]:
    """Return the answer or the reason for each film, by its number. Other processes read while the network answers."""
    known = films.rows.astype(object).where(films.rows.notna(), None).to_dict("records")
    refused = {n: _plain(row["refused"], row["path"]) for n, row in enumerate(known) if row["refused"]}
    readable = [n for n in range(len(known)) if n not in refused]

    def seen_of(number: int) -> Seen:
        row = known[number]
        facts = {key: row[key] for key in ("laterality", "spacing_mm")}
        try:
            return predictor.see(predictor.read(row["path"]), at=at, name=str(row["image_id"]), **facts)
        except BROKEN as error:
            raise UnreadableFilm(str(error) or "it does not fit into the memory") from None

    waiting = deque[int]()

    def usable() -> Iterator[Any]:
        results = watched(shared_out(seen_of, readable), len(readable), "Predicting films", few=FEW)
        for number, one in zip(readable, results, strict=True):
            if isinstance(one, UnreadableFilm):
                refused[number] = _plain(str(one), known[number]["path"])
            else:
                waiting.append(number)
                yield one

    found = {waiting.popleft(): one for one in shown_to(predictor, usable())}
    return found, refused


def _by_head(
    predictor: "DetectorPredictor", alone: list[Prediction], films: pd.DataFrame, *, partners: bool
) -> dict[str, list[Prediction]]:
    """Return the answers of a detector by head; `partners` adds those of `detector_partner`, if a film has one."""
    from mammo.training.places import partners_of  # imports scipy, which a classifier does not need

    of = partners_of(films)
    if predictor.head == PARTNER:
        return {PARTNER: predictor.with_partners(alone, of)}
    if partners and PARTNER in predictor.points and any(of):
        return {ALONE: alone, PARTNER: predictor.with_partners(alone, of)}
    return {ALONE: alone}


def _copies(found: dict[int, Prediction], paths: pd.Series) -> list[str]:
    """Return a note of films that give the network exactly what another one gave it, whatever they are called."""
    first: dict[bytes, int] = {}
    of = {
        number: first.setdefault(blake2b(one.features.tobytes(), digest_size=16).digest(), number)
        for number, one in sorted(found.items())
        if one.features.any()
    }
    again = [n for n, before in of.items() if before != n]
    if not again:
        return []
    one, other = (printable(Path(paths[n]).name) for n in (again[0], of[again[0]]))
    said = f"{number_of(len(again), 'film has', 'films have')} exactly the features of another one"
    return [f"{said}, {one} those of {other}, for example: a film in two files counts twice for its patient"]


def _plain(reason: str, path: str) -> str:
    """Return a reason without the path, which has a column of its own."""
    return reason.removeprefix(f"{path}: ")


def _image_rows(
    rows: pd.DataFrame, found: dict[int, Prediction], answers: Answers, head: str
) -> Iterator[dict[str, Any]]:
    """Yield the row of each film for one head."""
    point = answers.points.get((head, "image"))
    for number, row in enumerate(rows.astype(object).where(rows.notna(), None).to_dict("records")):
        facts = {key: row[key] for key in ("status", "reason", "path", "image_id", "patient", "exam", "view")}
        facts |= {"laterality": row["laterality"], "films": 1, "head": head}
        one = found.get(number)
        if one is None:
            yield row_of("image", facts)
        else:
            facts |= {"notes": one.notes, "reason": one.unlike and f"forced, though {one.unlike}"}
            yield row_of("image", facts, one.probabilities, one.score, point)


def _samples(
    predictor: Predictor[Any], films: pd.DataFrame, head: str, predictions: Sequence[Prediction]
) -> pd.DataFrame:
    """Return the predictions table of all samples of films, with exam and laterality, to the digits of a run's own."""
    counts = [len(one.samples) for one in predictions]
    if not sum(counts):
        return pd.DataFrame()
    table = pd.concat([one.samples for one in predictions], ignore_index=True)
    rows = films.loc[films.index.repeat(counts), ["image_id", "patient", *PLACES]].reset_index(drop=True)
    patches = np.concatenate([np.arange(count) for count in counts])
    named = rows.assign(finding_id=0, patch=patches, copy=0, split="new", label=predictor.classes[0])
    columns = [f"p_{name}" for name in predictor.classes]
    score = table["score"].to_numpy() if "score" in table else None
    made = head_table(named, head, score, table[columns].to_numpy(), predictor.classes, fold=None, seed=0)
    numbers = made[["score", *columns]].replace("", "nan").astype(float)
    return made.assign(**{name: numbers[name] for name in numbers}).join(rows[PLACES])


def _add_unit(
    answers: Answers, predictor: Predictor[Any], samples: pd.DataFrame, unit: str, *, asked: bool, searched: bool
) -> None:
    """Add a row for each breast, exam or patient that is known; unless it was asked for, only if one has several."""
    known = placed(samples[samples["patient"].notna()], unit)
    if known.empty:
        if asked:
            answers.notes.append(f"no {unit} is known of these films; a table of films can say it")
        return
    inner = "exam" if unit == "exam" else "image_id"
    if not asked and known.groupby("patient" if unit == "exam" else UNITS[unit])[inner].nunique().max() < 2:
        return  # each has one image, or each patient one exam, which has a row
    notes = unit_notes(samples[samples["patient"].notna()], unit)
    answers.notes += [note for note in notes if note not in answers.notes]  # breasts and exams may lack the same
    labels = Labels.from_config(predictor.config.task)
    table, _ = by_unit(known, labels, unit, predictor.config.aggregate)
    films = known.groupby(UNITS[unit])["image_id"].nunique().to_dict()
    for head, of_head in table.groupby("head", sort=False):
        point = operating_point(predictor.run, str(head), unit)
        if not searched:
            answers.points[str(head), unit] = point
        columns = [f"p_{name}" for name in predictor.classes]
        calibrated = point.choices.calibrated(of_head[columns].to_numpy(float))
        for row, values in zip(of_head.to_dict("records"), calibrated, strict=True):
            key = tuple(row[name] for name in UNITS[unit])
            facts = {name: row[name] or None for name in UNITS[unit]} | {"status": PREDICTED, "head": head}
            facts |= {
                "films": films[key if len(key) > 1 else key[0]],
                "notes": (*[SEARCHED] * searched, *predictor.said, *point.notes),
            }
            score = None if np.isnan(row["score"]) else float(row["score"])
            probabilities = dict(zip(predictor.classes, map(float, values), strict=True))
            answers.rows.append(row_of(unit, facts, probabilities, score, None if searched else point))


def _marks(films: pd.DataFrame, predictions: Sequence[Prediction]) -> pd.DataFrame:
    """Return the marks of films: `path, image_id`, and `MARKS` in pixels of the film as it is stored."""
    named = films[["path", "image_id"]].map(printable).to_dict("records")
    tables = [one.marks.assign(**name) for name, one in zip(named, predictions, strict=True)]
    return pd.concat(tables, ignore_index=True)[["path", "image_id", *MARKS]] if tables else pd.DataFrame()
