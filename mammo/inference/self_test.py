"""The self-test of a run: three drawn films that its folder keeps, with what each stage made of them when it ended.

`write` is the last step of training. `check` repeats the stages on another machine, or years later, and tells the first
one that differs: reading, cutting, the network, a head, its probabilities or its threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from mammo import __version__
from mammo.datasets.film import pixel_digest
from mammo.datasets.small_films import write_small_films
from mammo.errors import InputError, content_of
from mammo.files import read_arrays, read_json, whole, write_json
from mammo.inference.build import build_predictor
from mammo.inference.predictor import Predictor
from mammo.run_folder import RunFolder
from mammo.wording import number_of

# Other processors and threads add in another order: these are the largest differences that still count as none. Those
# of bfloat16 are larger, as it has 8 bits. Features and places are compared with the largest number of their stage;
# scores, which are log-odds, and probabilities as they are.
TOLERANCE, TOLERANCE_LOW = 1e-3, 3e-2
RELATIVE = ("places", "features")
PIXELS, CUT = "pixels", "crop"
EXPECTED, NUMBERS = "expected.json", "numbers.safetensors"

Stages = dict[str, Any]  # by name: the facts of pixels (`_facts`), or numbers


@dataclass(frozen=True)
class Stage:
    """A stage of the self-test.

    Attributes:
        name: `pixels`, `crop`, `places`, `features`, or for a head `<head>: score` and others.
        same: True if it gave what was expected, within the tolerance.
        said: The difference, in words.
        difference: The largest difference of a number; of pixels that of their mean; None if the shapes differ.
    """

    name: str
    same: bool
    said: str
    difference: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the stage as plain values."""
        return vars(self)


@dataclass(frozen=True)
class SelfTest:
    """The result of a self-test.

    Attributes:
        stages: The stages in their order.
        written_by: The version of mammo that wrote what is expected.
    """

    stages: list[Stage]
    written_by: str

    @property
    def first(self) -> Stage | None:
        """The first stage that differs; None if the test is passed."""
        return next((stage for stage in self.stages if not stage.same), None)

    def lines(self) -> list[str]:
        """Return the result in words, one line for each stage and one for all."""
        said = [f"{stage.name}: {'as expected' if stage.same else 'DIFFERS'}, {stage.said}" for stage in self.stages]
        if self.first is None:
            return [*said, f"self-test passed: {len(self.stages)} stages on drawn films give what the run gave"]
        cause = f"mammo {self.written_by} wrote it and this is {__version__}; compare the versions in provenance.json"
        return [*said, f"self-test failed: the first stage that differs is {self.first.name}; {cause}"]

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        first = None if self.first is None else self.first.name
        return {"passed": first is None, "first": first, "stages": [stage.as_json() for stage in self.stages]}


def write(run: RunFolder) -> None:
    """Draw the films into the run's folder, with what each stage makes of them.

    Raises:
        InputError: The run cannot predict a new film, for example because of its crop.
    """
    predictor = build_predictor(run)
    run.self_test.mkdir(exist_ok=True)
    drawn = write_small_films(run.self_test)
    films = [film if predictor.takes_point else film | {"at": None} for film in drawn]
    found: list[Stages] = [{} for _ in films]
    _fill(found, predictor, films, run.self_test)
    described = [film | {name: of[name] for name in (PIXELS, CUT)} for film, of in zip(films, found, strict=True)]
    numbers = {f"{n}/{name}": value for n, of in enumerate(found) for name, value in _numbers(of).items()}
    with whole(run.self_test / NUMBERS) as temporary:
        temporary.write_bytes(save(numbers))
    write_json({"mammo": __version__, "films": described, "stages": list(found[0])}, run.self_test / EXPECTED)


def check(run: RunFolder) -> SelfTest:
    """Return what each stage makes of the drawn films now, beside what is expected.

    Raises:
        InputError: The run has no self-test, or it is incomplete.
    """
    if not run.self_test.is_dir():
        raise InputError(
            f"{run.path} has no self-test (self_test/): an older version trained it, its crop takes no new film, or "
            "the folder was not copied; copy the whole run again, or train anew"
        )
    _check_there(run, [EXPECTED, NUMBERS])
    said, numbers = read_json(run.self_test / EXPECTED), read_arrays(run.self_test / NUMBERS)
    predictor = build_predictor(run)
    with content_of(run.self_test / EXPECTED):
        films, stages, written_by = said["films"], list(said["stages"]), str(said["mammo"])
        expected = [
            {name: film[name] for name in (PIXELS, CUT)}
            | {key.partition("/")[2]: value for key, value in numbers.items() if key.startswith(f"{n}/")}
            for n, film in enumerate(films)
        ]
        files = [str(film["file"]) for film in films]
    _check_there(run, files)
    found: list[Stages] = [{} for _ in films]
    broken = "which is there on one side only"
    try:
        _fill(found, predictor, films, run.self_test)
    except (InputError, RuntimeError, ValueError, OSError) as error:  # a stage that stops is one that differs
        broken = f"which stops: {' '.join(str(error).split())}"
    tolerance = TOLERANCE_LOW if predictor.low else TOLERANCE
    names = dict.fromkeys([*stages, *(name for of in found for name in of)])
    return SelfTest([_compared(name, expected, found, tolerance, broken) for name in names], written_by)


def _check_there(run: RunFolder, names: Sequence[str]) -> None:
    """Refuse a self-test that lacks a file: what it says would be no fault of this installation."""
    if absent := [name for name in names if not (run.self_test / name).is_file()]:
        raise InputError(f"{run.self_test}: {absent[0]} is missing; copy the whole folder of the run again")


def _fill(found: list[Stages], predictor: Predictor[Any], films: Sequence[dict[str, Any]], folder: Path) -> None:
    """Add the stages of each film to `found`, from its file to the answers, one after the other."""
    read = [predictor.read(folder / film["file"]) for film in films]
    for stages, one in zip(found, read, strict=True):
        stages[PIXELS] = _facts(one.pixels)
    seen = [
        predictor.see(
            one,
            at=tuple(film["at"]) if film["at"] else None,
            laterality=film["laterality"],
            spacing_mm=film["spacing_mm"],
            name=film["file"],
        )
        for one, film in zip(read, films, strict=True)
    ]
    for stages, looked in zip(found, seen, strict=True):
        stages[CUT] = _facts(looked.looked_at)
    for stages, numbers in zip(found, predictor.stages(seen), strict=True):
        stages.update(numbers)


def _facts(pixels: np.ndarray) -> dict[str, Any]:
    """Return what is kept of pixels: their digest, shape, type and mean."""
    kind = str(pixels.dtype)
    return {"sha256": pixel_digest(pixels), "shape": list(pixels.shape), "type": kind, "mean": float(pixels.mean())}


def _numbers(stages: Stages) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(of, np.float64) for name, of in stages.items() if name not in (PIXELS, CUT)}


def _compared(name: str, expected: list[Stages], found: list[Stages], tolerance: float, broken: str) -> Stage:
    """Return a stage of all films together; `broken` says why it is not there."""
    before, now = ([of.get(name) for of in one] for one in (expected, found))
    if any(one is None for one in (*before, *now)):
        return Stage(name, False, broken, None)
    if name in (PIXELS, CUT):
        return _of_pixels(name, before, now)
    first, second = (np.concatenate([np.asarray(one, float).ravel() for one in of]) for of in (before, now))
    if first.shape != second.shape:
        return Stage(name, False, f"{len(second)} numbers instead of {len(first)}", None)
    apart = float(np.nan_to_num(abs(second - first), nan=np.inf).max(initial=0))
    largest = float(abs(first).max(initial=0))
    limit = tolerance * (largest if name in RELATIVE else 1)
    limit = 1e-9 if name.endswith(": threshold") else limit  # which is read, not computed
    said = f"by {apart:.3g} at most" if apart else "to the last digit"
    said += f" (numbers up to {largest:.4g}; allowed {limit:.3g})" * bool(apart)
    return Stage(name, apart <= limit, said, apart)


def _of_pixels(name: str, before: list[Any], now: list[Any]) -> Stage:
    """Return a stage whose pixels must be the same to the last level."""
    other = [n for n, (one, two) in enumerate(zip(before, now, strict=True)) if one["sha256"] != two["sha256"]]
    if not other:
        return Stage(name, True, "to the last grey level", 0.0)
    n = other[0]
    one, two = (f"{of['type']} {of['shape']}, mean {of['mean']:.4f}" for of in (before[n], now[n]))
    said = f"on {len(other)} of {number_of(len(now), 'film')}: {two}, instead of {one} (film {n + 1})"
    shapes = before[n]["shape"] != now[n]["shape"]
    return Stage(name, False, said, None if shapes else abs(now[n]["mean"] - before[n]["mean"]))
