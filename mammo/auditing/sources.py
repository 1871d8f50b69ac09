"""The films of a table, a folder or a data set, with their patients and splits, and a count of what is none."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from mammo.auditing import people
from mammo.auditing.doubts import parts_of_columns, telling
from mammo.auditing.lists import DICOM, PICTURES, beside
from mammo.auditing.mias_films import mias_film, mias_patients
from mammo.auditing.sides import REPEAT, folded, folds_of_folders, part_of, part_of_path, parts_of_path
from mammo.auditing.words import some
from mammo.datasets.base import Chosen, Dataset, load_findings
from mammo.datasets.findings import REQUIRED, STRING, read_findings
from mammo.datasets.folder import walk
from mammo.datasets.table import Table
from mammo.errors import InputError
from mammo.formats.header import Header, begins_as_film, read_headers
from mammo.formats.pictures import FIRST
from mammo.paths import home
from mammo.tables.patients import somebody
from mammo.tables.spellings import is_spelling
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of

FILMS = ["name", "image_id", "path", "patient", "split"]
PACKED = {  # files that may hold films, and are not looked into
    ".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar", ".npy", ".npz", ".h5", ".hdf5", ".tfrecord",
    ".lmdb", ".mdb", ".mat", ".nii", ".nrrd", ".mha", ".mhd", ".raw", ".webp", ".gif", ".jp2", ".j2k", ".jpx", ".jxl",
    ".heic", ".avif", ".ppm", ".ljpeg", ".pickle", ".pkl", ".pt", ".zst", ".cbz",
}  # fmt: skip
BEGINNINGS = (  # and what such files begin with, whatever their names
    b"PK\3\4", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x89HDF", b"PAR1",
    b"SQLite format 3", b"version https://git-lfs",
)  # fmt: skip


@dataclass
class Films:
    """The films of a folder, a table or a data set.

    Attributes:
        table: One row per film: `name, image_id, path, patient, split`, the last two missing if unknown; and
            `patient_too`, if another column of a table could be the patient as well.
        notes: What a user must know of them, one line each.
        leaks: The leaks that the folders alone tell, one line each.
        unreadable: What could not be looked into, one line each.
        left_out: The number of files that are passed over, by the reason in a few words.
        empty: The folders of a split without a film, one line each.
        doubts: What was not read though it may tell of a leak, in a few words each.
        headers: The header of each film; empty until `with_headers`.
        source: The file or folder that the films come from.
        sources: That of each film, if they come from several.
    """

    table: pd.DataFrame
    notes: list[str]
    source: Path
    leaks: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)

    def source_of_each(self) -> list[Path]:
        """Return the file or folder that each film comes from."""
        return self.sources or [self.source] * len(self.table)

    def with_headers(self) -> "Films":
        """Return the films with their headers, the patients that these tell, and a count of further pages."""
        headers = read_headers(list(self.table["path"]))
        known, nobody = somebody(self.table["patient"])
        table, notes = people.by_headers(self.table.assign(patient=known), headers)
        notes += nobody
        left_out = dict(self.left_out)
        if several := [
            name
            for name, header in zip(table["name"], headers, strict=True)
            if any(note.startswith(FIRST) for note in header.notes)
        ]:
            notes.append(f"the first page alone of {number_of(len(several), 'file')} is looked at: {some(several)}")
            left_out["with further pages"] = len(several)
        return replace(self, table=table, notes=[*self.notes, *notes], left_out=left_out, headers=headers)


def find_films(source: Path, sides: Mapping[str, str | None] | None = None, sheet: Path | None = None) -> Films:
    """Return the films of a table or of a folder.

    In a folder, all films below it count, whatever their names: the content decides. A sub-folder named train,
    training, val, dev, test or alike (see `sides`) is a part of a split, and mini-MIAS's Info.txt gives the patients of
    its films.

    Args:
        source: The table or folder.
        sides: The parts of folders that the user names, from `sides.read_sides`.
        sheet: The picture that an audit writes, which is no film if it lies in the folder.

    Raises:
        InputError: The table or folder does not exist, or has no film.
    """
    if source.is_dir():
        return _of_folder(source, sides or {}, sheet)
    if sides:
        raise InputError(f"--sides names folders, but {source} is none; give a split by --split")
    if not source.is_file():
        raise InputError(f"{source}: expected a table of films, a folder of films or a data set, found nothing")
    found = read_spreadsheet(source, "a findings table or a table of films")
    doubts = [f"{source}: {found.others}"] * bool(found.others)
    if not set(REQUIRED) <= set(found.rows):
        own = Table(str(source))
        own.strangers = True
        of = films_of(own)
        doubts += parts_of_columns(found.rows) if of.table["split"].isna().all() else []
        return replace(of, doubts=doubts)
    table = read_findings(source).drop_duplicates("image_id")
    films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], split=table["official_split"])
    if films.empty:
        raise InputError(f"{source}: expected a row for each film, found no film; name another table")
    films["path"] = [str(source.parent / path) for path in films["path"]]
    return Films(films[FILMS].astype(STRING).reset_index(drop=True), [], source, doubts=doubts)


def films_of(dataset: Dataset, chosen: Chosen | None = None) -> Films:
    """Return the films of a data set whose findings name their files.

    Args:
        dataset: The data set.
        chosen: The images to look at and the notes of their choice; None takes all.

    Raises:
        InputError: The findings name no files.
    """
    dataset.prepare()
    table = (load_findings(dataset) if chosen is None else chosen.findings).drop_duplicates("image_id")
    if table["path"].isna().any():
        raise InputError(f"data set {dataset.name}: its findings have no path for each image; name the folder of films")
    members = getattr(dataset, "members", {})  # of a union
    owners = [members.get(name, dataset) for name in table["dataset"]]
    films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], split=table["official_split"])
    films["path"] = [_placed(path, owner) for path, owner in zip(films["path"], owners, strict=True)]
    too = next((one for one in table if one not in FILMS and is_spelling("patient", str(one))), None)
    columns = [*FILMS, *(["patient_too"] if too is not None else [])]
    films = films if too is None else films.assign(patient_too=f"{too} " + telling(table[too].astype(STRING)))
    notes = list(getattr(dataset, "notes", ())) if chosen is None else list(chosen.notes)
    each = [_source_of(one) for one in owners] if members else []
    return Films(films[columns].astype(STRING).reset_index(drop=True), notes, _source_of(dataset), sources=each)


def _placed(path: str, dataset: Dataset) -> str:
    """Return the path of a film, from the data set's folder if it lies there."""
    inner = Path(getattr(dataset, "root", None) or ".") / path
    return str(inner if inner.is_file() else path)


def _source_of(dataset: Dataset) -> Path:
    """Return the table or the folder by which what is known of a data set's films is kept."""
    if isinstance(dataset, Table):  # an archive's `table` is the name of a file below its root
        return Path(dataset.table).expanduser()
    return Path(getattr(dataset, "root", None) or home() / dataset.name)


def _of_folder(folder: Path, sides: Mapping[str, str | None], sheet: Path | None) -> Films:
    found = walk(folder)
    here = [path for path in found.files if sheet is not None and path.name == sheet.name and sheet.exists()]
    drawn = [path for path in here if path.samefile(sheet)]  # type: ignore[arg-type]
    found.files = [path for path in found.files if path not in drawn]
    # what is no film by its name is one all the same by its content, or holds films if it is called as a part
    paths, others = _films_among([*found.files, *filter(begins_as_film, found.others)])
    packed = list(filter(_is_packed, others))
    packed += [path for path in found.others if path not in paths and part_of(path.stem) and _is_packed(path)]
    if not paths:
        what = "; name another folder"
        if packed:
            what = f", but {some(path.name for path in packed)}; unpack or convert it"
        elif found.closed:
            what = f", but could not look into {next(': '.join(one) for one in found.closed.items())}"
        raise InputError(f"{folder}: expected films ({', '.join(sorted(PICTURES | DICOM))}), found none{what}")
    inner = [path.relative_to(folder) for path in paths]
    _check_sides(folder, [path.parent for path in inner], sides)
    own, sides = sides, {**folds_of_folders(path.parent for path in inner), **sides}
    splits = [part_of_path(path.parent, sides) for path in inner]
    if not own:
        _check_repeats(folder, dict.fromkeys(path.parent for path in inner), sides)
    infos = [path for path in found.others if path.name.casefold() == "info.txt"]
    patients, notes = mias_patients([*infos, folder.resolve().parent / "Info.txt"], inner)
    table = pd.DataFrame({
        "name": [path.as_posix() for path in inner],
        "image_id": [path.stem for path in inner],
        "path": [str(path) for path in paths],
        "patient": [patients.get(mias_film(path)) for path in inner],
        "split": splits,
    }, columns=FILMS, dtype=STRING)  # fmt: skip
    films = Films(table, notes, folder, unreadable=[f"{path}: {why}" for path, why in found.closed.items()])
    notes += [f"{path} is the sheet of an earlier audit, and passed over" for path in drawn]
    films.unreadable += [f"{path}: films inside it, if any, are not read; unpack or convert it" for path in packed]
    others = [path for path in others if path not in packed]
    if found.hidden:
        notes.append(f"hidden files and folders (.name, or a file manager's) are passed over: {found.hidden}")
        films.left_out["hidden"] = found.hidden
    if found.masks:
        these = number_of(found.masks, "folder called masks is", "folders called masks are")
        notes.append(f"{these} passed over, holding no films")
        films.left_out["folders of masks"] = found.masks
    if others:
        these = number_of(len(others), "file of another format is", "files of other formats are")
        notes.append(f"{these} passed over: {some(map(str, others))}")
        films.left_out["of other formats"] = len(others)
    for path, first in found.again.items():
        one, other = (part_of_path(each.relative_to(folder), sides) for each in (path, first))
        said = f"{path.relative_to(folder)} is the same folder as {first.relative_to(folder)}"
        if one != other:
            films.leaks.append(f"one folder is in two splits: {said} ({one or 'no split'}, {other or 'no split'})")
        else:
            notes.append(f"{said}, and is looked at once")
    films.doubts += beside(found.others) if table["split"].isna().all() else []
    for inner_folder in found.folders[1:]:
        with suppress(InputError):  # of a folder without films, whose parts differ
            if (part := part_of_path(inner_folder.relative_to(folder), sides)) and part not in splits:
                films.empty.append(f"{inner_folder}: the folder has no film, so nothing is compared with it")
    return films


def _is_packed(path: Path) -> bool:
    """Tell by its endings, or its first bytes, whether a file may hold films inside it."""
    if PACKED & {ending.lower().partition("-")[0] for ending in path.suffixes}:
        return True
    with suppress(OSError), path.open("rb") as file:
        head = file.read(262)
        return head.startswith(BEGINNINGS) or head[257:] == b"ustar"
    return False


def _check_sides(folder: Path, inner: Iterable[Path], sides: Mapping[str, str | None]) -> None:
    """Refuse a part that the user gives to a folder in which there is no film."""
    known = {folded(str(one)) for path in inner for one in (path, *path.parents)}
    known |= {one.rpartition("/")[2] for one in known}
    if wrong := sorted(set(sides) - known):
        have = some(sorted(known - {".", ""})) or "no folders"
        raise InputError(f"--sides: {folder} has no folder {wrong[0]} with films; it has {have}")


def _check_repeats(folder: Path, inner: Iterable[Path], sides: Mapping[str, str | None]) -> None:
    """Refuse the parts of several splits: train and test in folders of folds, or one fold in those of repeats."""
    repeats: dict[str, dict[int, Path]] = {}
    for path in inner:
        if parts := [*parts_of_path(path, sides).items()]:
            within, part = parts[-1]
            fold = part.startswith("fold")
            if told := REPEAT.search(folded(str(within.parent if fold else path))):
                repeats.setdefault(part if fold else "", {}).setdefault(int(told[1]), path)
    if several := next((paths for paths in repeats.values() if len(paths) > 1), None):
        raise InputError(
            f"{folder}: expected the parts of one split, found those of several, {some(map(str, several.values()))}; "
            "audit the folders of each by themselves"
        )


def _films_among(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files that are films or should be, and those that are something else."""
    films, others, unnamed = list[Path](), list[Path](), list[Path]()
    for path in files:
        ending = path.suffix.lower()
        if ending in PICTURES:
            films.append(path)
        else:
            (unnamed if ending in DICOM or begins_as_film(path) else others).append(path)
    for path, header in zip(unnamed, read_headers(unnamed), strict=True):
        # A DICOM file without rows, such as a report or an index, has no picture.
        (others if header.format == "DICOM" and not header.height else films).append(path)
    return sorted(films), sorted(others)
