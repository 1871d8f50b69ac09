"""Several data sets as one: their findings joined, each image read by the part that it comes from."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mammo.config import Config
from mammo.datasets.base import Dataset
from mammo.datasets.film import Film
from mammo.datasets.findings import findings_table
from mammo.datasets.registry import CONTRACT, DATASETS, GENERAL, open_dataset
from mammo.datasets.understood import Understood
from mammo.errors import InputError
from mammo.paths import conf
from mammo.tables.patients import alike
from mammo.targets import settings_of
from mammo.wording import number_of

# The letters of density in mini-MIAS. The D of BI-RADS is another one, and there is no published map between the two.
TISSUE = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}


class Union:
    """Several data sets as one.

    The findings have the rows of all parts; their column `dataset` tells the part. Parts in which an image has the same
    name as in another one give all their images the part's name in front. A patient of the same name in two parts is
    taken as one, so that a split by patient keeps all films of this name together; exams of the same name stay apart.

    Args:
        parts: The data sets: names such as `mias`, settings such as `{"name": "table", "table": "films.csv"}`, or
            opened data sets.

    Attributes:
        members: The opened data sets by name. Two parts of the same name get numbers, `films-1` and `films-2`.

    Raises:
        InputError: There are fewer than two parts, a part occurs twice or is itself a union, or cannot be opened.
    """

    def __init__(self, parts: Sequence[Any] | None = None) -> None:
        if not isinstance(parts, list | tuple) or len(parts) < 2:
            raise InputError(f"data.parts={parts}: expected a list of two data sets or more, say [mias,cmmd]")
        self._given = list(parts)
        opened = [_opened(part, number) for number, part in enumerate(parts, start=1)]
        known = [_facts(one) for one in opened]
        if twice := [number for number, one in enumerate(known) if one in known[:number]]:
            first, second = known.index(known[twice[0]]) + 1, twice[0] + 1
            raise InputError(
                f"data.parts: parts {first} and {second} are the same data set, {opened[twice[0]].name}; name it once"
            )
        self.members: dict[str, Dataset] = dict(zip(_names(opened), opened, strict=True))
        self.name = "+".join(self.members)
        self._column: str | None = None
        self._said: list[str] = []
        self._made: pd.DataFrame | None = None
        self._of: dict[str, tuple[str, str]] = {}  # the part of an image, and its name there
        self._lock = threading.Lock()  # several threads may ask for the first film

    @property
    def parts(self) -> list[Any]:
        """The settings that open the parts again, as plain data."""
        return [
            part if isinstance(part, str | Mapping) else settings_of(part, DATASETS, "films") for part in self._given
        ]

    @property
    def licence(self) -> str:
        """The terms of use of each part."""
        return "; ".join(f"{name}: {part.licence}" for name, part in self.members.items())

    @property
    def citation(self) -> str:
        """The publications to cite, of each part."""
        return "; ".join(f"{name}: {part.citation}" for name, part in self.members.items() if part.citation)

    @property
    def notes(self) -> list[str]:
        """The notes of the parts, each with its part in front, and those of the union."""
        of_parts = [
            f"{name}: {note}" for name, part in self.members.items() for note in getattr(part, "notes", None) or ()
        ]
        return [*of_parts, *self._said]

    @property
    def understood(self) -> Understood:
        """The meaning that was given to tables among the parts, with the names that images have in the union."""
        own, found = {where: image_id for image_id, where in self._of.items()}, Understood({})
        for name, part in self.members.items():
            one = getattr(part, "understood", None)
            if one is None:
                continue
            found.missing += one.missing
            found.headers |= one.headers
            found.listed_twice += [
                tuple(own.get((name, image), image) for image in group) for group in one.listed_twice
            ]
            for column, images in one.disagreements.items():
                found.disagreements.setdefault(column, []).extend(own.get((name, image), image) for image in images)
            found.mixed += [f"{name}: {line}" for line in one.mixed]
            found.spacings += [f"{name}: {line}" for line in one.spacings]
        found.alike = [] if self._made is None else alike(self._made["patient"].unique())
        return found

    def check_root(self) -> None:
        """Refuse a part whose folder has other films, before anything is downloaded or drawn for it."""
        for part in self.members.values():
            if hasattr(part, "check_root") and getattr(part, "archive", None) is None:
                part.check_root()

    def prepare(self) -> None:
        """Put the films of all parts on disk; do nothing if they are there."""
        for part in self.members.values():
            part.prepare()

    def carry(self, column: str) -> None:
        """Tell the parts, and the joining of density, which column the task takes."""
        for part in self.members.values():
            if carry := getattr(part, "carry", None):
                carry(column)
        with self._lock:
            self._column, self._made = column, None

    def findings(self) -> pd.DataFrame:
        """Return the joined findings table.

        Raises:
            InputError: A table of a part cannot be used, or the task is density and the parts have two scales of it.
        """
        with self._lock:
            if self._made is None:
                self._made = self._joined()
            return self._made.copy()

    def read(self, image_id: str) -> Film:
        """Return a film, as its part reads it."""
        name, own = self._where(image_id)
        return self.members[name].read(own)

    def digest(self, image_id: str) -> str | None:
        """Return the digest that the part gives the film's pixels."""
        name, own = self._where(image_id)
        return self.members[name].digest(own)

    def _where(self, image_id: str) -> tuple[str, str]:
        if not self._of:
            self.findings()
        return self._of[image_id]

    def _joined(self) -> pd.DataFrame:
        tables = {
            name: findings_table(part.findings()).assign(dataset=name).astype({"dataset": "string"})
            for name, part in self.members.items()
        }
        self._said = [
            f"{name} is part {number} of data.parts"
            for number, (name, part) in enumerate(self.members.items(), start=1)
            if name != part.name
        ]
        names = {name: list(table["image_id"].unique()) for name, table in tables.items()}
        count = Counter(image_id for images in names.values() for image_id in images)
        clashing = [name for name, images in names.items() if any(count[image_id] > 1 for image_id in images)]
        for name in clashing:
            tables[name]["image_id"] = f"{name}-" + tables[name]["image_id"]
        if clashing:
            said = f"images of {' and '.join(clashing)} begin with the name of their data set"
            self._said.append(f"{said}, as some have the same name")
        self._of = {
            f"{name}-{image}" if name in clashing else image: (name, image)
            for name, images in names.items()
            for image in images
        }
        self._spell_density(tables)
        self._meet_patients(tables)
        return pd.concat(tables.values(), ignore_index=True)

    def _spell_density(self, tables: dict[str, pd.DataFrame]) -> None:
        """Write out the letters F, G and D where another part has A to D, so that two scales never share a letter."""
        letters = {name: set(table["density"].dropna()) for name, table in tables.items()}
        tissue = [name for name, found in letters.items() if found <= set(TISSUE) and found & {"F", "G"}]
        grades = [name for name, found in letters.items() if name not in tissue and found & {*"ABCD"}]
        if not (tissue and grades):
            return
        if self._column == "density":
            raise InputError(
                f"task.column=density: the density of {', '.join(tissue)} is F, G or D and that of {', '.join(grades)} "
                "A to D, two scales without a map between them; take the parts of one scale"
            )
        for name in tissue:
            tables[name]["density"] = tables[name]["density"].map(TISSUE).astype("string")
        said = ", ".join(f"{letter} is {word}" for letter, word in TISSUE.items())
        self._said.append(f"density of {', '.join(tissue)}: {said}, as A to D of {', '.join(grades)} is another scale")

    def _meet_patients(self, tables: dict[str, pd.DataFrame]) -> None:
        """Count the patients whose name is in two parts, and keep the exams of their parts apart."""
        people = pd.concat([table[["patient", "dataset"]].drop_duplicates() for table in tables.values()])
        of = people.drop_duplicates("patient").set_index("patient")["dataset"]
        if near := [group for group in alike(of.index) if of[list(group)].nunique() > 1]:
            self._said.append(
                f"{number_of(len(near), 'name of a patient is', 'names of patients are')} almost the same in two data "
                "sets (case, zeros in front, one letter) and taken as different; `mammo data check` names them"
            )
        people = people[people["patient"].duplicated(keep=False)]
        if people.empty:
            return
        for parts, count in people.groupby("patient")["dataset"].agg(" and ".join).value_counts(sort=False).items():
            self._said.append(
                f"**{number_of(count, 'patient has', 'patients have')} the same name in {parts}: "
                "each is taken as one patient and stays in one part "
                "of a split by patient**"
            )
        for name, table in tables.items():
            exams = table["exam"].groupby(table["patient"])
            only = exams.transform("first").mask(exams.transform("nunique") > 1)
            own = (f"{name}-" + table["exam"].fillna(only)).mask(exams.transform("count") == 0, name)
            met = table["patient"].isin(people["patient"])
            if taken := table.loc[met & table["exam"].isna() & only.notna(), "image_id"].nunique():
                lack = number_of(taken, f"image of {name} has", f"images of {name} have")
                self._said.append(f"{lack} no exam; the only exam of the patient is taken")
            table["exam"] = table["exam"].mask(met, own).astype("string")


def _opened(part: Any, number: int) -> Dataset:
    """Return the data set of a part: a name, settings, or an opened data set."""
    if not isinstance(part, str | Mapping | Union) and all(hasattr(part, name) for name in CONTRACT):
        return part
    given = {"name": "union" if isinstance(part, Union) else part} if isinstance(part, str | Union) else part
    if not isinstance(given, Mapping) or not {"name", "_target_"} & set(given):
        raise InputError(
            f"data.parts: part {number} is {part}; expected a name, say mias, or settings, say "
            "{name: table, table: films.csv}"
        )
    name = str(given.get("name") or given["_target_"])
    if name == "union":
        raise InputError(f"data.parts: part {number} is itself a union; name its parts instead")
    if general := sorted(set(given) & set(GENERAL)):
        key = general[0]
        raise InputError(f"data.parts: {name} has {key}={given[key]}, which holds for all parts; set data.{key}")
    try:
        return open_dataset(Config.of({"data": _defaults(name) | dict(given)}).data)
    except InputError as error:
        raise InputError(f"data.parts, {name}: {error}") from None


def _defaults(name: str) -> dict[str, Any]:
    """Return the settings of `conf/data/<name>.yaml`. The general ones among them open nothing: the union's count."""
    path = conf() / "data" / f"{name}.yaml"
    if name not in DATASETS or not path.is_file():
        return {}
    loaded = yaml.safe_load(path.read_text())
    return dict(loaded.get("data", loaded))  # a file for all groups has the section data


def _facts(dataset: Dataset) -> dict[str, Any]:
    """Return the settings that open a data set again; for one that does not keep them, what tells it from others."""
    try:
        found = settings_of(dataset, DATASETS, "films")
    except InputError:
        return {"object": id(dataset)}
    return found | {key: str(Path(found[key]).expanduser().resolve()) for key in ("root", "table") if key in found}


def _names(opened: Sequence[Dataset]) -> list[str]:
    """Return a name for each part; those of the same name get numbers."""
    of = Counter(one.name for one in opened)
    taken, found = {name for name, count in of.items() if count == 1}, list[str]()
    for one in opened:
        number, name = 0, one.name
        while name in taken or (of[one.name] > 1 and not number):
            number += 1
            name = f"{one.name}-{number}"
        found.append(name if of[one.name] > 1 else one.name)
        taken |= {found[-1]}
    return found
