"""Measures how well runs refuse what is no mammogram, and how often they refuse their own test films in error."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mammo.bench.others import dicom_files, others
from mammo.datasets.film import write_picture
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError, UnreadableFilm
from mammo.evaluation.areas import weighted_auroc
from mammo.inference.build import build_predictor
from mammo.inference.predict import BROKEN
from mammo.inference.predictor import Predictor, Seen
from mammo.inference.unlike import NO_LIKENESS, Likeness, films_of
from mammo.processes.workers import shared_out
from mammo.reports.markdown import markdown
from mammo.run_folder import RunFolder

SCANNERS = {"film": "drawn films", "cr": "drawn films of a CR plate", "dr": "drawn films of a digital detector"}
KINDS = ("appearance", "features", "both")
Scores = np.ndarray  # (films, KINDS) how strange films are; above 0 in the last column, a film is refused


def measure(
    paths: Sequence[Path], *, patients: int, also: Sequence[Path] = (), say: Callable[[str], None]
) -> dict[str, Any]:
    """Show runs pictures that are no mammograms, drawn films, and the films of their own test parts.

    Args:
        paths: Finished runs that differ in their patients alone, such as the folds of a sweep.
        patients: The number of drawn patients of each machine; 0 leaves them out.
        also: Folders of other pictures or films, each of which is a group by its name.
        say: Takes lines about what was measured.

    Raises:
        InputError: A run cannot say which films are like its own, or has tested none.
    """
    predictors = [build_predictor(RunFolder(path)) for path in paths]
    for path, predictor in zip(paths, predictors, strict=True):
        if predictor.likeness is None:
            raise InputError(f"{path}: {NO_LIKENESS}")
    own = [_of_test(predictor) for predictor in predictors]
    if untested := [str(path) for path, one in zip(paths, own, strict=True) if not len(one)]:
        raise InputError(f"{untested[0]}: the run has tested no film; name runs with a test part")
    found: dict[str, Any] = {"runs": len(paths), "test": [_plain(one) for one in own], "groups": {}}
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        for group, files in _files(Path(folder), patients, also).items():
            scores = _scores(predictors, files)
            found["groups"][group] = {"files": len(files), "scores": [_plain(one) for one in scores]}
            say(f"{group}: {len(files)} files, {len(scores[0])} reach the network")
    return found


def _plain(scores: Scores) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in scores]


def _files(folder: Path, patients: int, also: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files of each group, which are written to a folder unless a package ships them."""
    files: dict[str, list[Path]] = {}
    for number, (group, _, pixels) in enumerate(others()):
        path = folder / f"{number}.png"
        write_picture(path, pixels)
        files.setdefault(group, []).append(path)
    files["DICOM files of pydicom"] = dicom_files()
    for scanner, name in SCANNERS.items() if patients else ():
        phantom = Phantom(patients=patients, film_seed=1, scanner=scanner, root=str(folder / scanner))
        phantom.prepare()
        files[name] = [Path(path) for path in phantom.findings()["path"].unique()]
    for other in also:
        if not (found := sorted(path for path in other.rglob("*") if path.is_file())):
            raise InputError(f"--also {other}: expected a folder with files, and there are none")
        if (name := other.resolve().name) in files:
            raise InputError(f"--also {other}: there is a group {name} already; give the folder another name")
        files[name] = found
    return files


def _scores(predictors: Sequence[Predictor[Any]], files: Sequence[Path]) -> list[Scores]:
    """Return the scores of the files that each run can look at; those of one network are computed once."""
    first = predictors[0]

    def seen_of(path: Path) -> Seen:
        try:
            return first.see(first.read(path), name=path.name)
        except BROKEN as error:
            raise UnreadableFilm(str(error)) from None

    seen = [one for one in shared_out(seen_of, files) if not isinstance(one, UnreadableFilm)]
    features: dict[str, list[np.ndarray]] = {}
    found = []
    for predictor in predictors:
        key = _digest(predictor)
        if key not in features:
            features[key] = [answer.features for answer in predictor.answers(seen)]
        numbers = [one.appearance for one in seen]
        found.append(_strange(predictor.likeness, numbers, features[key]))
    return found


def _digest(predictor: Predictor[Any]) -> str:
    """Return a name of all weights that make the features, which the last layer of a classifier does not."""
    digest, network = hashlib.sha256(), predictor.network
    for name, tensor in network.state_dict().items():
        if not name.startswith("head.") or network.trains_features:
            digest.update(name.encode() + tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _of_test(predictor: Predictor[Any]) -> Scores:
    """Return the scores of a run's test films, from its own tables."""
    numbers, features, _ = films_of(predictor.run, ("test",))
    return _strange(predictor.likeness, list(numbers), list(features))


def _strange(likeness: Likeness | None, numbers: Sequence[np.ndarray], features: Sequence[np.ndarray]) -> Scores:
    assert likeness is not None  # `measure` has seen to it
    pairs = [likeness.strangeness(*one) for one in zip(numbers, features, strict=True)]
    two = np.array(pairs, np.float64).reshape(-1, 2)
    return np.column_stack([two, two.max(1)])


def tables(found: dict[str, Any]) -> list[str]:
    """Return the table as lines of Markdown: means over runs, and AUROC against the films of each run's test part."""
    test = [np.array(one) for one in found["test"]]
    strange = np.concatenate([one[:, -1] for one in test]) > 0
    rows = [
        [
            f"the runs' own test films ({found['runs']} runs)",
            f"{len(strange)}",
            "0",
            f"{strange.mean():.1%}",
            *["-"] * 3,
        ]
    ]
    for group, of in found["groups"].items():
        scores = [np.array(one).reshape(-1, len(KINDS)) for one in of["scores"]]
        reached, files = len(scores[0]), of["files"]
        refused = np.mean([files - reached + (one[:, -1] > 0).sum() for one in scores]) / files
        curves = ["-"] * len(KINDS)
        if reached:
            pairs = [
                [_auroc(own[:, n], one[:, n]) for n in range(len(KINDS))] for own, one in zip(test, scores, strict=True)
            ]
            curves = [f"{value:.3f}" for value in np.mean(pairs, axis=0)]
        rows.append([group, f"{files}", f"{files - reached}", f"{refused:.1%}", *curves])
    head = ["pictures", "files", "cannot be a film", "refused in all", *(f"AUROC, {kind}" for kind in KINDS)]
    return markdown(head, rows)


def _auroc(own: np.ndarray, other: np.ndarray) -> float:
    positive = np.repeat([False, True], [len(own), len(other)])
    return float(weighted_auroc(positive, np.concatenate([own, other]), np.ones((1, len(positive))))[0])
