"""The films to explain: files, folders and tables, and images of the run's own data set, whose lesions are known."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.config import DataConfig
from mammo.datasets.base import Dataset
from mammo.datasets.film import Film
from mammo.datasets.geometry import Geometry, geometry
from mammo.errors import InputError, UnreadableFilm
from mammo.explaining.explanation import Explanation, explain
from mammo.inference.films import films_of, own_films
from mammo.inference.predict import BROKEN
from mammo.inference.predictor import Point, Predictor
from mammo.run_folder import RunFolder


@dataclass(frozen=True)
class Images:
    """The images of a data set with what is known of each before it is read."""

    dataset: Dataset
    findings: pd.DataFrame

    @classmethod
    def of_run(cls, run: RunFolder) -> "Images":
        """Return the images that a run saw."""
        dataset = own_films(run)
        dataset.prepare()
        return cls(dataset, dataset.findings())

    def facts(self, image_id: str) -> dict[str, Any]:
        """Return laterality, spacing and lesions of an image, as `explain` takes them.

        Raises:
            InputError: The image is not there.
        """
        rows = self.findings[self.findings["image_id"] == image_id]
        if rows.empty:
            raise InputError(
                f"{image_id}: the run's data set no longer has this image; restore it, or name the film's file"
            )
        first = rows.iloc[0]
        known = {key: None if pd.isna(first[key]) else first[key] for key in ("laterality", "spacing_mm")}
        return known | {"name": image_id, "lesions": lesions_of(rows)}


def lesions_of(rows: pd.DataFrame) -> tuple[Geometry, ...]:
    """Return the places of lesions in rows of a findings table."""
    places = (geometry(row) for _, row in rows.iterrows())
    return tuple(place for place in places if place is not None)


def explanations(
    predictor: Predictor[Any],
    sources: Iterable[Path | str],
    at: Point | None = None,
    data: DataConfig | None = None,
    out: Path | None = None,
) -> Iterator[Explanation | UnreadableFilm]:
    """Yield the explanation of each film, or why there is none.

    Args:
        predictor: The run and the head that answer.
        sources: Films, folders and tables, as `films_of` takes them, or images of the run by their `image_id`; a
            portable folder knows no images.
        at: A point of the only film, for a run on lesion windows.
        data: See `films_of`.
        out: The folder that will have their pictures, and must have none of them yet; None if none is written.

    Raises:
        InputError: A source is neither, a point is given for several films, or a picture exists.
    """
    samples = set() if predictor.run.portable else set(predictor.run.samples["image_id"].astype(str))
    sources = list(sources)
    named = [str(one) for one in sources if str(one) in samples and not Path(one).exists()]
    others = [one for one in sources if str(one) not in named]
    files = films_of(others, data).rows if others else pd.DataFrame()
    if at is not None and len(named) + len(files) != 1:
        raise InputError(f"a point is for one film, but {len(named) + len(files)} are asked about; name one film")
    for name in [*named, *(str(one) for one in files.get("image_id", []))]:
        if out is not None and (picture := out / picture_name(name, predictor.head)).exists():
            raise InputError(f"{picture} exists and is not overwritten; name another folder with --out")
    images = Images.of_run(predictor.run) if named else None
    for image in named:
        if images is not None:
            yield _explained(predictor, image, lambda of=image: images.dataset.read(of), at, images.facts(image))
    for row in files.astype(object).where(files.notna(), None).to_dict("records"):
        path = str(row["path"])
        if row["refused"]:
            yield UnreadableFilm(f"{path}: {row['refused']}")
        else:
            facts = {"laterality": row["laterality"], "spacing_mm": row["spacing_mm"], "name": str(row["image_id"])}
            yield _explained(predictor, path, lambda of=path: predictor.read(of), at, facts)


def _explained(
    predictor: Predictor[Any], called: str, read: Any, at: Point | None, facts: dict[str, Any]
) -> Explanation | UnreadableFilm:
    try:
        film: Film = read()
        return explain(predictor, film, at=at, **facts)
    except BROKEN as error:
        said = str(error) or "it does not fit into the memory"
        return UnreadableFilm(f"{called}: {said.removeprefix(f'{called}: ')}")


def picture_path(out: Path, one: Explanation, named: Counter[str]) -> Path:
    """Return the path of a picture; `named` counts the names, as images may end alike, a/1 and b/1."""
    path = out / picture_name(one.name, one.head)
    named[path.name] += 1
    return path if (number := named[path.name]) == 1 else path.with_stem(f"{path.stem}-{number}")


def picture_name(name: str, head: str) -> str:
    """Return the name of the picture's file: of film and head, without what a file's name cannot have."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in Path(name).name)
    return f"{plain}_{head}.png"
