"""A run folder that can be given away: tables with salted digests in the place of names, and what was trained.

Patients, exams and images are renamed, each by the same digest in every table, and the salt is thrown away. The digests
sort as the names did, since the bootstrap draws patients in that order: so all numbers stay the same.
"""

import hashlib
import hmac
import re
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.predictions import WORDS
from mammo.files import take_name, workshop, write_json, write_table
from mammo.preprocessing.crop_table import FILM_COLUMNS
from mammo.processes import checkpoint_io
from mammo.processes.resume import FINISHED
from mammo.reports import run as report
from mammo.run_folder import WEIGHTS, RunFolder
from mammo.run_tables import ROWS, windowed
from mammo.runs.checks import check_writable
from mammo.runs.external_data import check_run
from mammo.runs.plugins import load_plugins_of
from mammo.tasks.build import build_task

TRAINED = "trained.safetensors"  # weights without those of the public trunk
FROZEN = "net.frozen."  # the keys of the trunk in a checkpoint
NAMED = ("patient", "exam", "image_id")  # columns of names
TABLES = (
    *("split.csv", "samples.csv", "films.csv", "predictions.csv", "learnt.csv", "unreadable.csv"),
    *("candidates.csv", "lesions.csv", "windows.csv", "segments.csv", "explained.csv"),
)
PATHS = ("root", "archive", "table", "arguments", "columns", "values", "patient_from", "parts")  # keys of the data
ORIGIN = (  # keys of provenance.json that go along as they are
    *("task", "classes", "crop", "dataset", "versions", "git_commit", "preprocessing", "dataset_digest"),
    *("weights_digest", "frozen_stages", "precision", "devices", "train_rows"),
)
HIDDEN = "a note of the run is left out here, as it names an image, a patient or a file"
WINDOW = "window of the file applied"  # stands for all notes of a film


class Names:
    """Stands for the names of some runs by salted digests, which sort as the names do."""

    def __init__(self, runs: Iterable[RunFolder]) -> None:
        salt = secrets.token_bytes(32)  # kept nowhere
        self.of: dict[str, dict[str, str]] = {}
        for column in NAMED:
            known = sorted({name for run in runs for table in TABLES for name in _names(run.path / table, column)})
            digests = (hmac.new(salt, f"{column} {name}".encode(), hashlib.sha256).hexdigest()[:16] for name in known)
            self.of[column] = dict(zip(known, sorted(digests), strict=True))
        self.all = {name: digest for of in self.of.values() for name, digest in of.items()}

    def table(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with digests in its columns of names."""
        return table.assign(
            **{name: table[name].map(of, na_action="ignore") for name, of in self.of.items() if name in table}
        )

    def plain(self, content: Any) -> Any:
        """Return JSON whose words that are names are digests; other words are kept."""
        if isinstance(content, dict):
            return {self.all.get(key, key): self.plain(one) for key, one in content.items()}
        if isinstance(content, list):
            return [self.plain(one) for one in content]
        return self.all.get(content, content) if isinstance(content, str) else content

    def tells(self, text: str) -> bool:
        """Return True if a text names an image, a patient, an exam or a path."""
        words = set(re.findall(r"[^\s,;:()\[\]'\"]+", text))
        return bool(words & self.all.keys()) or any("/" in word or "\\" in word for word in words)


def _names(path: Path, column: str) -> list[str]:
    """Return the names in a column of a table; none if there is no such table or column."""
    if not path.is_file():
        return []
    found = pd.read_csv(path, dtype=str, usecols=lambda name: name == column, **WORDS)
    return [] if column not in found else found[column].dropna().unique().tolist()


def share(runs: Sequence[RunFolder], target: Path) -> list[RunFolder]:
    """Write run folders without names and paths; several get the same digests, so that they can be compared.

    Args:
        runs: Finished runs.
        target: The folder, which does not exist; for several runs it has a folder for each, `1` and so on.

    Raises:
        InputError: A folder is no finished run, it was exported or shared before, or the target exists.
    """
    for run in runs:
        check_run(run)
        if run.portable or run.shared:
            raise InputError(f"{run.path} has no names in it; share the run itself, or give this folder as it is")
    if target.exists():
        raise InputError(f"{target} exists and is not overwritten; name another folder with --out")
    check_writable(target.parent, "--out")
    target.parent.mkdir(parents=True, exist_ok=True)
    names = Names(runs)
    with workshop(target) as temporary:
        for number, run in enumerate(runs, start=1):
            load_plugins_of(run)
            _write(run, temporary / "made" / (str(number) if len(runs) > 1 else ""), names)
        take_name(temporary / "made", target)
    return [RunFolder(target / (str(number) if len(runs) > 1 else "")) for number in range(1, len(runs) + 1)]


def _write(run: RunFolder, folder: Path, names: Names) -> None:
    """Write one run into a new folder."""
    (folder / "heads").mkdir(parents=True)
    (folder / "figures").mkdir()
    for name in TABLES:
        if (run.path / name).is_file():
            write_table(names.table(_table(run.path / name)), folder / name)
    for name in ("curves.csv", "selection.json", ROWS):
        if (run.path / name).is_file():
            shutil.copyfile(run.path / name, folder / name)
    write_json(names.plain(run.split_audit), folder / "split_audit.json")
    public = _weights(run, folder)
    write_json(_origin(run, names, public), folder / "provenance.json")
    write_json({"settings": _settings(run.job, names)}, folder / "job.json")
    for name in run.selection["heads"]:
        shutil.copyfile(run.file(f"heads/{name}.skops"), folder / "heads" / f"{name}.skops")
    made = RunFolder(folder)
    made.write_likeness(run.likeness)
    if run.self_test.is_dir():
        shutil.copytree(run.self_test, made.self_test)
    report.write(folder)
    write_json({"digest": "shared", "metrics": {}}, folder / FINISHED)


def _table(path: Path) -> pd.DataFrame:
    """Return a table as its file has it, without paths and without notes in words."""
    table = pd.read_csv(path, dtype=str, **WORDS).drop(columns=["path", "mask_path"], errors="ignore")
    if path.name == "films.csv":
        notes = table["notes"].fillna("").map(lambda said: WINDOW if windowed(said.split("; ")) else "")
        return table.assign(notes=notes)[[name for name in FILM_COLUMNS if name in table]]
    if path.name == "learnt.csv":
        return table.assign(run="an earlier run")
    return table.drop(columns="reason", errors="ignore")


def _weights(run: RunFolder, folder: Path) -> bool:
    """Write the weights; those of a trunk that came from a file, and did not change, are left out. True if they are."""
    state = checkpoint_io.read(run.checkpoint)["state_dict"]
    trained = {name: one for name, one in state.items() if not name.startswith(FROZEN)}
    public = run.config.model.weights is not None and "began_from" not in run.trainer.provenance
    public &= run.provenance.get("weights_digest") is not None and len(trained) < len(state)
    checkpoint_io.write_weights(trained if public else state, folder / (TRAINED if public else WEIGHTS))
    return public


def _origin(run: RunFolder, names: Names, public: bool) -> dict[str, Any]:
    """Return the content of `provenance.json`, without a path."""
    given, config = run.provenance, run.config
    found = {key: given[key] for key in ORIGIN if key in given} | {"shared": True, "digest": run.digest}
    plain = given["config"] | {"ckpt_path": None, "plugins": [Path(one).name for one in _several(config.plugins)]}
    plain["data"] = plain["data"] | {key: {} if key == "arguments" else None for key in PATHS}
    plain["split"] = plain["split"] | {"table": None}
    if plain["model"]["weights"] not in (None, "imagenet"):
        plain["model"] = plain["model"] | {"weights": given.get("weights_digest") or "not told"}
    found["config"] = plain
    found["command"] = ["mammo", "train", *(f"{key}={one}" for key, one in _settings(run.job, names).items())]
    found["notes"] = [HIDDEN if names.tells(note) else note for note in given.get("notes", [])]
    found["tested_on_learnt"] = names.plain(list(given.get("tested_on_learnt", ())))
    if "almost_learnt" in given:
        found["almost_learnt"] = names.plain(list(given["almost_learnt"]))
    if public:
        found["trunk"] = {"name": config.model.name, "weights": given["weights_digest"]}
    if "began_from" in given:
        found["began_from"] = "an earlier run"
    return found


def _several(one: Any) -> list[str]:
    return [one] if isinstance(one, str) else list(one)


def _settings(job: dict[str, Any], names: Names) -> dict[str, Any]:
    """Return the settings of a command line that name no file, no patient and no image."""
    return {key: one for key, one in job.items() if not names.tells(str(one)) and not key.startswith("hydra")}


def complete(shared: RunFolder, trunk: str) -> Path:
    """Put the public trunk back into a shared folder, which can then predict; return the path of the weights.

    Args:
        shared: A folder that `share` wrote.
        trunk: The file of the trunk's weights, or `imagenet`.

    Raises:
        InputError: The folder lacks nothing, or the file is not the one that the run began with.
    """
    expected = shared.provenance.get("trunk")
    if expected is None or not (shared.path / TRAINED).is_file():
        raise InputError(f"{shared.path} has all its weights; mammo run complete takes a folder that has {TRAINED}")
    config, labels = shared.config, Labels.from_config(shared.config.task)
    task = build_task(replace(config, model=replace(config.model, weights=trunk)), labels)
    if task.net.weights_digest != expected["weights"]:
        raise InputError(
            f"{trunk} has the digest {task.net.weights_digest}, but the run began with {expected['weights']}; name the "
            f"weights of {expected['name']} that have this SHA-256 or address"
        )
    state, trained = task.state_dict(), checkpoint_io.read(shared.path / TRAINED)["state_dict"]
    frozen = {name: one for name, one in state.items() if name.startswith(FROZEN)}
    checkpoint_io.write_weights(frozen | trained, shared.path / WEIGHTS)
    return shared.path / WEIGHTS
