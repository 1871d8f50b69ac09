"""The run that a model card is about: what its folder tells, with None where it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.evaluation.aggregate import UNITS
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.evaluate import Metrics
from mammo.evaluation.predictions import BASELINES, Predictions, by_head
from mammo.reports.markdown import plain
from mammo.reports.samples import datasets
from mammo.run_folder import RunFolder

SCORE = "the mean logit of the hottest pixels of a film"


@dataclass(frozen=True)
class Subject:
    """A run, what it tells, and the portable model that is made of it, if one is."""

    run: RunFolder
    model: RunFolder | None = None

    @cached_property
    def recalibration(self) -> dict[str, Any] | None:
        """The choices on other films, the content of `recalibration.json`; None if none have."""
        return (self.model or self.run).recalibration

    @cached_property
    def origin(self) -> dict[str, Any]:
        """The content of `provenance.json`."""
        return self.run.provenance

    @cached_property
    def config(self) -> Config:
        """The configuration of the run."""
        return self.run.config

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """The content of `metrics.json`."""
        return self.run.numbers

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return list(self.origin["classes"])

    @cached_property
    def positive(self) -> str | None:
        """The positive one of two classes; None for more classes."""
        return self.classes[1] if len(self.classes) == 2 else None

    @cached_property
    def selection(self) -> dict[str, Any]:
        """The choices that were made."""
        return self.run.selection

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The samples of the run."""
        return self.run.samples

    @cached_property
    def tested(self) -> dict[str, Predictions]:
        """The predictions of the test part by head."""
        return by_head(*self.run.predictions(), "test")

    @cached_property
    def datasets(self) -> list[str]:
        """The names of the data sets."""
        return datasets(self.samples) or [str(self.origin["dataset"]["name"])]

    @cached_property
    def sources(self) -> list[str | None]:
        """The settings `data.name` of the data sets; None for a class of a user's own."""
        data = self.config.data
        if data._target_ is not None:
            return [None]
        parts = data.parts if data.name == "union" and data.parts else [data.name]
        return [part.get("name") if isinstance(part, Mapping) else str(part) for part in parts]

    @cached_property
    def heads(self) -> list[str]:
        """The heads that answer, without baselines."""
        return [head for head in (self.model or self.run).numbers.get("test", {}) if head not in BASELINES]

    @cached_property
    def units(self) -> list[str | None]:
        """The units that have test numbers: None for the samples, then image, breast, exam and patient."""
        return [None, *(unit for unit in UNITS if "test" in self.numbers.get(f"by_{unit}", {}))]

    @cached_property
    def parts(self) -> list[str]:
        """The parts that have samples."""
        return [part for part in PARTS if self.numbers["n"].get(part, {}).get("samples")]

    def of_unit(self, unit: str | None) -> dict[str, Any]:
        """Return the numbers by a unit; None for the samples."""
        return self.numbers if unit is None else dict(self.numbers[f"by_{unit}"])

    def metrics(self, part: str, unit: str | None = None) -> Metrics:
        """Return the metrics of a part by head and name; empty if there are none."""
        return values(self.of_unit(unit).get(part, {}))

    def answers(self, known: Mapping[str, str]) -> dict[str, str]:
        """Return the heads that answer, with what each is."""
        own = {"softmax": SCORE} if self.config.task.kind == "segmentation" else {}
        return {head: {**known, **own}.get(head, "a classifier of the network's features") for head in self.heads}

    @property
    def sample(self) -> str:
        """One word for a sample in these numbers."""
        return "sample" if self.run.crop["several_per_image"] or self.run.crop["caption"] else "image"


def values(plain_numbers: Mapping[str, Any]) -> Metrics:
    """Return numbers by head and name from those of `metrics.json`; counts are left out."""
    return {
        head: {name: Value(**one) for name, one in of.items() if "value" in one} for head, of in plain_numbers.items()
    }


def listed(names: Sequence[str]) -> str:
    """Return names as words, the last after an "or"."""
    shown = [plain(str(name)) for name in names]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
