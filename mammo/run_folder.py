"""The run folder. Only this module and `run_tables` know the names of its files. Opening a folder reads nothing."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.errors import InputError, content_of
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.leaks import Leak, external_leaks, leaks
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES, choices
from mammo.files import read_json, sha256_of
from mammo.run_tables import LEARNT, RunTables, windowed
from mammo.trust import check_code

if TYPE_CHECKING:
    from mammo.models.heads import FittedHead
    from mammo.models.network import Network

NEEDED = ("config", "classes", "crop", "dataset")  # keys of provenance.json
FINISHED = "finished.json"  # the last file that is written
WEIGHTS = "weights.safetensors"  # of a portable model
WHOLE = ("provenance.json", "selection.json", "metrics.json", WEIGHTS)  # whose digests a portable folder must tell
ANSWERING = ("task", "crop", "detector", "segmentation", "aggregate")  # settings that change an answer


@dataclass(frozen=True)
class RunFolder(RunTables):
    """A run's folder. Each property reads its file when it is used; a missing file is an InputError."""

    def _facts(self, name: str) -> dict[str, Any]:
        """Return the mapping that a JSON file of the folder holds."""
        path = self.file(name)
        with content_of(path):
            return {**read_json(path)}

    @property
    def provenance(self) -> dict[str, Any]:
        """The origin of the run: its configuration, classes, crop facts, versions, command."""
        found = self._facts("provenance.json")
        missing = [key for key in NEEDED if key not in found]
        if missing:
            said = f"{self.path}: provenance.json lacks {', '.join(missing)}"
            raise InputError(f"{said}, so another version of mammo wrote it; train again")
        return found

    @cached_property
    def asked(self) -> Config:
        """The configuration as it was asked for; the classes of a task of words are not in it."""
        with content_of(self.path):
            return Config.of(self.provenance["config"])

    @cached_property
    def config(self) -> Config:
        """The configuration with the classes of its task."""
        with content_of(self.path):
            found = self.provenance
            return Config.of(found["config"] | ({"task": found["task"]} if "task" in found else {}))

    @property
    def crop(self) -> dict[str, Any]:
        """The facts `leak`, `caption` and `several_per_image` of the crop."""
        with content_of(self.path / "provenance.json"):
            return dict(self.provenance["crop"])

    @property
    def job(self) -> dict[str, Any]:
        """The settings that the command line gave this run; empty if there is no `job.json`."""
        if not (self.path / "job.json").is_file():
            return {}
        with content_of(self.path / "job.json"):
            return dict(self._facts("job.json")["settings"])

    @property
    def from_python(self) -> bool:
        """True if `mammo.train` started the run, and no command line."""
        return (self.path / "job.json").is_file() and bool(self._facts("job.json").get("from_python"))

    @property
    def selection(self) -> dict[str, Any]:
        """The choices made: the epoch, and the hyperparameters of the heads."""
        return self._facts("selection.json")

    @property
    def numbers(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return self._facts("metrics.json")

    def metrics(self, split: str = "test", unit: str | None = None) -> dict[str, dict[str, Value]]:
        """Return the metrics of a split, by head and name: each has `value`, `low` and `high`.

        Args:
            split: train, val or test.
            unit: `image`, `breast`, `exam` or `patient`, for the metrics of these instead of samples.

        Raises:
            InputError: The run has no such numbers.
        """
        with content_of(self.path / "metrics.json"):
            numbers = self.numbers if unit is None else self.numbers.get(f"by_{unit}", {})
            if split not in PARTS or split not in numbers:
                known = [part for part in PARTS if part in numbers]
                found = f"{split}{f' by {unit}' if unit else ''}"
                raise InputError(f"{self.path} has no metrics of {found}; expected one of {', '.join(known) or 'none'}")
            return {head: {name: Value(**one) for name, one in of.items()} for head, of in numbers[split].items()}

    @property
    def leaks(self) -> list[Leak]:
        """The leaks that the report found."""
        with content_of(self.path / "metrics.json"):
            return [Leak(**leak) for leak in self.numbers["leaks"]]

    @property
    def report(self) -> str:
        """The report, in Markdown."""
        return self.file("report.md").read_text()

    @property
    def split_audit(self) -> dict[str, Any]:
        """The patients and images by split, and those in two splits."""
        return self._facts("split_audit.json")

    @property
    def trainer(self) -> "RunFolder":
        """The run that trained the weights: this one, or the one that it only evaluated."""
        if (self.path / "checkpoints/best.ckpt").is_file() or "trained_in" not in self.provenance:
            return self
        return RunFolder(Path(self.provenance["trained_in"])).trainer

    @property
    def learnt_images(self) -> pd.DataFrame:
        """The images of train and val that gave samples in this run: `image_id`, `patient` and `dataset`."""
        used, split = self.samples, self.split
        kept = split.loc[(split["split"] != "test") & split["image_id"].isin(used["image_id"]), ["image_id", "patient"]]
        of = used.drop_duplicates("image_id").set_index("image_id").get("dataset", {})  # older runs do not tell
        return kept.assign(dataset=kept["image_id"].map(of)).astype("string")

    @property
    def learnt(self) -> pd.DataFrame:
        """All patients that the weights have learnt from, `LEARNT`: of train and val, here and in the runs before."""
        if (trainer := self.trainer) != self:
            return trainer.learnt
        own = self.learnt_images.assign(run=self.path.resolve().name)
        return pd.concat([own[LEARNT], self.learnt_before]).drop_duplicates(ignore_index=True).astype("string")

    @property
    def finished(self) -> bool:
        """True if the run, or the external test, has ended; its last file is then there."""
        return (self.path / FINISHED).is_file()

    def check_whole(self) -> None:
        """Refuse a finished folder by its digests. A run tells none, as its tables may be written again."""
        if not self.finished:
            return
        with content_of(self.path / FINISHED):
            told = dict(self._facts(FINISHED).get("files", {}))
        for name, digest in sha256_of(self.path, told).items():
            if digest != told[name]:
                said = "is missing" if digest is None else "has changed since it was written"
                raise InputError(f"{self.path}: {name} {said}; copy the whole folder again")
        if untold := sorted({*WHOLE} - {*told} if "films" in self._facts("provenance.json") else ()):
            raise InputError(f"{self.path}: {FINISHED} lacks the digest of {untold[0]}; copy the whole folder again")

    def check_code(self) -> None:
        """Refuse settings that name code, unless the user trusts the folder; call it before anything is built."""
        check_code(self.path, self.config.as_dict())

    @property
    def recalibration(self) -> dict[str, Any] | None:
        """The choices on other films, in the form of `metrics.json` with the part `films`; None if there are none."""
        return self._facts("recalibration.json") if (self.path / "recalibration.json").is_file() else None

    @property
    def external(self) -> dict[str, Any] | None:
        """The facts of an external test, whose `operating` are the choices of the run that it tests; None for a run."""
        found: dict[str, Any] | None = self.provenance.get("external_test")
        return found

    @property
    def tested_run(self) -> "RunFolder":
        """The run that an external test tests; its path is kept from the folder of the test."""
        if self.external is None:
            raise InputError(f"{self.path}: expected an external test; mammo test <run> data=<name> writes one")
        return RunFolder(Path(os.path.normpath(self.path / self.external["run"])))

    def choices(self, table: pd.DataFrame, classes: list[str]) -> dict[str, Operating]:
        """Return the choices of each head: those that the table gives, or in an external test those of its run."""
        if self.external is not None:
            return {head: Operating(**one) for head, one in self.external["operating"]["sample"].items()}
        return choices(table, classes, self.config.threshold, self.config.select_on)

    def find_leaks(
        self, table: pd.DataFrame, classes: list[str], operating: dict[str, Operating] | None = None
    ) -> list[Leak]:
        """Return the run's leaks, derived again; `operating` has the choices in use, by default those of the table."""
        with content_of(self.path):
            config, learnt = self.config, self.provenance.get("tested_on_learnt", ())
            almost = self.provenance.get("almost_learnt", ())
            if self.external is not None:
                return external_leaks(self.crop["leak"], table, learnt, almost)
            operating = operating or self.choices(table, classes)
            return leaks(config, self.split_audit, self.crop["leak"], table, classes, operating, learnt, almost)

    @property
    def portable(self) -> bool:
        """True of a folder that `mammo export` or `mammo recalibrate` wrote: it can predict, and has no film's name."""
        return "films" in self.provenance

    @property
    def shared(self) -> bool:
        """True of a folder that `mammo run share` wrote: it has tables, and digests in the place of names."""
        return bool(self.provenance.get("shared"))

    @property
    def of_films(self) -> dict[str, Any]:
        """The facts of all films: `spacing_mm`, None if they differ, and `windowed`, if each had a window applied."""
        if self.portable:
            return dict(self.provenance["films"])
        spacings, notes = self.samples["spacing_mm"].dropna().unique(), self.films["notes"].fillna("")
        applied = bool(len(notes)) and all(windowed(one.split("; ")) for one in notes)
        return {"spacing_mm": float(spacings[0]) if len(spacings) == 1 else None, "windowed": applied}

    @property
    def checkpoint(self) -> Path:
        """The path of the weights of the chosen epoch."""
        if self.portable or (self.shared and (self.path / WEIGHTS).is_file()):
            return self.file(WEIGHTS)
        if self.shared:
            raise InputError(
                f"{self.path} has what was trained, but not the weights of {self.provenance['trunk']['name']} that it "
                f"began with; put them there with mammo run complete {self.path} <file>"
            )
        return self.trainer.file("checkpoints/best.ckpt")

    @property
    def self_test(self) -> Path:
        """The folder of the drawn films and what is expected of them; older runs have none."""
        return self.path / "self_test"

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of the weights of the chosen epoch as safetensors, as which a portable folder has them."""
        from mammo.processes.checkpoint_io import weights_digest  # noqa: PLC0415 - torch, not needed for tables

        return weights_digest(self.checkpoint)

    @property
    def digest(self) -> str:
        """The SHA-256 of what answers: weights, heads, choices and settings; copies and portable folders have the same.

        Raises:
            InputError: The weights are not there.
        """
        if self.shared:  # the run's own: some weights may be left out
            return str(self.provenance["digest"])
        plain = self.config.as_dict()
        settings = {key: plain[key] for key in ANSWERING} | {"voi": self.config.data.voi}
        settings["model"] = plain["model"] | {"weights": None}  # where they began is a path, and they have changed
        chosen = [_chosen(one) for one in (self.numbers, self.recalibration or {})]
        facts = [self.provenance["classes"], settings, self.selection, chosen]
        found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        found.update(self.weights_digest.encode())
        for name in sorted(self.selection["heads"]):
            found.update(hashlib.sha256(self.file(f"heads/{name}.skops").read_bytes()).digest())
        return found.hexdigest()

    def heads(self) -> dict[str, "FittedHead"]:
        """Return the fitted heads by name."""
        from mammo.models.heads_io import load_head  # noqa: PLC0415 - scikit-learn, not needed for tables

        chosen = self.selection["heads"]
        return {name: load_head(self.file(f"heads/{name}.skops"), **how) for name, how in chosen.items()}

    def network(self) -> "Network":
        """Return the network with the weights of the chosen epoch, in eval mode."""
        from mammo.models.task_networks import network_of  # noqa: PLC0415 - torch, not needed for tables
        from mammo.processes import checkpoint_io  # noqa: PLC0415

        config, frozen_stages = self.config, self.provenance["frozen_stages"]
        net: Any = network_of(config, len(self.provenance["classes"]), frozen_stages)
        state = checkpoint_io.read(self.checkpoint)["state_dict"]
        net.load_state_dict({name[4:]: of for name, of in state.items() if name.startswith("net.")})
        return net.eval()


def _chosen(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return what was chosen for each unit and head that can answer, from `metrics.json` or a file of its form."""
    units = {"sample": numbers} | {unit: of for unit, of in numbers.items() if unit.startswith("by_")}
    return {
        unit: {head: one for head, one in of.get("operating", {}).items() if head not in BASELINES}
        for unit, of in units.items()
    }
