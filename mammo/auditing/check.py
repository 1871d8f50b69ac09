"""A first look at a data set: what its table and its files say, what cannot be used and why, and a sheet of films."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.progress import track

from mammo import figures
from mammo.auditing.places import look_at_places
from mammo.datasets.base import Dataset
from mammo.datasets.film import Film, pixel_digest
from mammo.datasets.geometry import geometry, outlines
from mammo.datasets.labels import Labels
from mammo.datasets.understood import Understood
from mammo.errors import InputError, UnreadableFilm
from mammo.preprocessing.breast import Breast, find_breast
from mammo.preprocessing.off_breast import off_breast
from mammo.processes.workers import shared_out
from mammo.wording import count_notes, number_of

FILMS = 16  # on the sheet
SHOWN = 5  # names in a line
NAME = 22  # letters above a film
SIDE_PX = 480  # of a film on the sheet


@dataclass
class Look:
    """The result of reading one image: what is noted or wrong, and a small picture of it."""

    image_id: str
    format: str = ""
    size: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    fault: str | None = None
    places: int = 0
    off: tuple[str, ...] = ()  # the centres of its places that lie off the breast
    turned: bool = False  # the chest wall is on the other side than the laterality says
    picture: np.ndarray | None = None
    lines: list[tuple[np.ndarray, str]] = field(default_factory=list)


@dataclass
class Check:
    """The result of a check.

    Attributes:
        facts: What was understood, by heading.
        faults: What cannot be used, one line each.
        sheet: The films that are drawn; None if none could be read.
    """

    facts: dict[str, list[str]]
    faults: list[str]
    sheet: Figure | None

    def lines(self) -> Iterator[str]:
        """Yield the lines to print."""
        for heading, lines in self.facts.items():
            for number, line in enumerate(lines):
                yield f"{'' if number else heading + ':':11} {line}"
        yield from (f"fault: {fault}" for fault in self.faults)
        yield f"faults: {len(self.faults)}" if self.faults else "no fault found"


def check(
    dataset: Dataset, findings: pd.DataFrame, notes: list[str], most: int | None = None, labels: Labels | None = None
) -> Check:
    """Read the films of a data set and say what is in it, and what is wrong.

    Args:
        dataset: A data set whose `prepare` has been called.
        findings: Its findings table.
        notes: What was said when the table was read.
        most: The largest number of films to read, taken from all over the table; None reads all of them.
        labels: The labels of a task, whose images are counted.
    """
    known = known_faults(dataset, findings)
    images = [one for one in findings["image_id"].drop_duplicates() if one not in known]
    read = images if most is None or len(images) <= most else images[:: -(-len(images) // most)]
    suffix = findings["path"].astype("string").str.extract(r"(\.\w+)$")[0].str.lower().fillna("")
    wanted = set(
        chosen(findings[findings["image_id"].isin(read)], dict(zip(findings["image_id"], suffix, strict=True)))
    )
    of = dict(iter(findings[findings["image_id"].isin(read)].groupby("image_id", sort=False)))
    jobs = shared_out(lambda one: look_at(dataset, of[one], drawn=one in wanted), read)
    done = track(jobs, "Reading films", total=len(read), disable=len(read) < 100, transient=True)
    looks = [
        Look(image_id, fault=f"{image_id}: {one}") if isinstance(one, UnreadableFilm) else one
        for image_id, one in zip(read, done, strict=True)
    ]
    facts = {"table": notes} | {heading: [words] for heading, words in counts(findings).items()}
    if labels is not None:
        facts["classes"] = [images_of_classes(labels, findings)]
    facts |= {"files": kinds(looks), "notes": count_notes({look.image_id: look.notes for look in looks})}
    facts["breast"] = off_breast([one for look in looks for one in look.off], sum(look.places for look in looks))
    if len(read) < len(images):
        facts["read"] = [f"{len(read)} of {len(images)} films were read; --all reads every film"]
    understood = getattr(dataset, "understood", None) or Understood({})
    twice = understood.listed_twice
    wrong = [*known.values(), *(f"{_some(list(group))} are one file" for group in twice), *faults(looks, twice)]
    sides = set(understood.disagreements.get("laterality", ()))
    wrong += [
        f"{look.image_id}: the laterality of the table is neither that of the header nor that of the picture"
        for look in looks
        if look.turned and look.image_id in sides
    ]
    wrong += understood.mixed + understood.spacings
    return Check({heading: lines for heading, lines in facts.items() if lines}, wrong, sheet(findings, looks))


def known_faults(dataset: Dataset, findings: pd.DataFrame) -> dict[str, str]:
    """Return the faults that the reading of the table and of the headers found, by image; only a `Table` has any."""
    understood = getattr(dataset, "understood", None)
    if understood is None:
        return {}
    found, missing = {}, set(understood.missing)
    for image_id, path in findings.drop_duplicates("image_id")[["image_id", "path"]].itertuples(index=False):
        header = understood.headers.get(path)
        if path in missing:
            found[image_id] = f"{image_id}: {path} does not exist"
        elif header is not None and header.refused:
            found[image_id] = f"{image_id}: {path}: {header.refused}"
    return found


def look_at(dataset: Dataset, rows: pd.DataFrame, *, drawn: bool) -> Look:
    """Read one image, find its breast, and check its masks and places.

    Args:
        dataset: The data set.
        rows: The rows of the image in the findings table.
        drawn: True keeps a small picture with the lines around the breast and the findings.
    """
    first = rows.iloc[0]
    look = Look(str(first["image_id"]))
    try:
        film = dataset.read(look.image_id)
        height, width = film.pixels.shape
        look.size, look.digest = f"{width} x {height}", pixel_digest(film.pixels)
        look.format = f"{film.max_level.bit_length()} bits"
        breast = find_breast(film, None if pd.isna(first["laterality"]) else first["laterality"], look.image_id)
        look.notes, look.turned = (*film.notes, *breast.notes), breast.disagrees
        places = [place for _, row in rows.iterrows() if (place := geometry(row)) is not None]
        found = look_at_places(look.image_id, places, breast)
        look.fault, look.notes, look.off, look.places = (
            found.fault, (*look.notes, *found.notes), found.off, len(places)
        )  # fmt: skip
        if drawn and found.fits:
            look.picture, look.lines = _small(film, breast, [line for place in places for line in place.lines()])
    except InputError as error:
        look.fault = str(error)
    return look


def _small(film: Film, breast: Breast, places: list[np.ndarray]) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """Return a small picture of a film in 8 bits, as bright as its breast allows, and the lines over it."""
    height, width = film.pixels.shape
    factor = min(SIDE_PX / max(height, width), 1.0)
    small = cv2.resize(film.grey(), (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    inside = small[small > 0] if (small > 0).any() else small
    low, high = np.percentile(inside, [0.5, 99.5])
    skin = [np.array([breast.to_film(x, y) for x, y in line]) for line in outlines(breast.mask)]
    lines = [(line * factor, figures.BLUE) for line in skin] + [(line * factor, figures.RED) for line in places]
    return np.rint(255 * ((small - low) / max(high - low, 1e-6)).clip(0, 1)).astype(np.uint8), lines


def chosen(findings: pd.DataFrame, kinds: Mapping[str, str], most: int = FILMS) -> list[str]:
    """Return the images to draw: one of each kind of file, view, laterality and place, then others from all over.

    Args:
        findings: A findings table.
        kinds: The kind of file of each image, by image_id.
        most: The number of images.
    """
    table = findings.assign(
        _kind=findings["image_id"].map(kinds),
        _place=findings[["x_px", "x0_px", "mask_path"]].notna() @ [1, 2, 4],
    )
    columns = ["_kind", "_place", "severity", "laterality", "view"]
    images = table.sort_values("finding_id", ascending=False, kind="stable").drop_duplicates("image_id")
    first = images.drop_duplicates(["_kind", "_place"])["image_id"].tolist()
    first += [one for one in images.drop_duplicates(columns)["image_id"] if one not in first]
    rest = [one for one in images["image_id"] if one not in first]
    step = max(len(rest) // max(most - len(first), 1), 1)
    return sorted([*first, *rest[::step]][:most], key=list(table["image_id"]).index)


def sheet(findings: pd.DataFrame, looks: list[Look]) -> Figure | None:
    """Draw the pictures of the looks, with lines around the breast (blue) and the findings (red)."""
    drawn = [look for look in looks if look.picture is not None]
    if not drawn:
        return None
    rows = findings.drop_duplicates("image_id").set_index("image_id")
    names = []
    for look in drawn:
        row = rows.loc[look.image_id]
        facts = [row[column] for column in ("laterality", "view", "density", "severity")]
        names.append(f"{_short(look.image_id)}\n{' '.join(str(fact) for fact in facts if not pd.isna(fact))}")
    return figures.films(
        [look.picture for look in drawn if look.picture is not None], [one.lines for one in drawn], names
    )


def counts(findings: pd.DataFrame) -> dict[str, str]:
    """Return what a findings table holds, in words by heading."""
    images = findings.drop_duplicates("image_id")
    exams = images.dropna(subset="exam")[["patient", "exam"]].drop_duplicates()
    placed = {
        "circle": findings["radius_px"].notna(),
        "point": findings["x_px"].notna() & findings["radius_px"].isna(),
        "box": findings["x0_px"].notna(),
        "mask": findings["mask_path"].notna(),
    }
    of = images.groupby("patient").size()
    each = f"{of.min()} to {of.max()}" if of.min() < of.max() else of.max()
    found = {
        "images": f"{len(images)} of {number_of(len(of), 'patient')} ({each} each)"
        + (f" in {number_of(len(exams), 'exam')}" if len(exams) else ""),
        "places": ", ".join(number_of(int(one.sum()), name) for name, one in placed.items() if one.any()) or "none",
    }
    if images["dataset"].nunique() > 1:
        found["data sets"] = _counted(images["dataset"])
    for column in ("laterality", "view", "density", "severity", "finding", "official_split"):
        found[column] = _counted(images[column] if column != "finding" else findings[column])
    spacing = images["spacing_mm"]
    found["spacing_mm"] = _counted(spacing.round(4))
    return {heading: words for heading, words in found.items() if words}


def images_of_classes(labels: Labels, findings: pd.DataFrame) -> str:
    """Return how many images each class of a task has, in words."""
    rows = findings.assign(label=labels.label(findings))
    of = labels.of_images(rows)["label"].value_counts()
    without = rows["image_id"].nunique() - int(of.sum())
    words = [f"{number_of(of.get(name, 0), 'image')} of {name}" for name in labels.classes]
    return ", ".join([*words, *([f"{without} in no class"] if without else [])])


def _counted(values: pd.Series, most: int = 8) -> str:
    """Return the values with their counts, most frequent first, or nothing if all are unknown."""
    if values.isna().all():
        return ""
    counted = values.astype("string").fillna("unknown").value_counts()
    words = [f"{count} {value}" for value, count in counted.head(most).items()]
    return ", ".join(words) + (f" and {len(counted) - most} other values" if len(counted) > most else "")


def faults(looks: Iterable[Look], told: Iterable[tuple[str, ...]] = ()) -> list[str]:
    """Return a line for each image that cannot be used, and for images with the same pixels.

    Args:
        looks: The images that were read.
        told: Groups of images whose sameness is known already.
    """
    looks = list(looks)
    lines = [one.fault for one in looks if one.fault]
    of: dict[str, list[str]] = {}
    for look in looks:
        if look.digest:
            of.setdefault(look.digest, []).append(look.image_id)
    return lines + [
        f"{_some(same)} have the same pixels"
        for same in of.values()
        if len(same) > 1 and not any(set(same) <= set(group) for group in told)
    ]


def kinds(looks: Iterable[Look]) -> list[str]:
    """Return how many images have each depth, and the smallest and largest size."""
    read = [look for look in looks if look.size]
    if not read:
        return []
    sizes = Counter(look.size for look in read)
    depths = Counter(look.format for look in read)
    ordered = sorted(sizes, key=lambda size: int(np.prod([int(one) for one in size.split(" x ")])))
    span = ordered[0] if len(ordered) == 1 else f"{len(ordered)} sizes from {ordered[0]} to {ordered[-1]}"
    return [", ".join(f"{n} of {depth}" for depth, n in depths.most_common()), f"{span} pixels"]


def _short(name: str) -> str:
    """Return a name that fits above a film."""
    return name if len(name) <= NAME else "..." + name[3 - NAME :]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
