"""RSNA's screening mammography challenge of 2022: digital films, labelled by breast, proven by biopsy and follow-up."""

import os
import re
from pathlib import Path
from typing import ClassVar

import pandas as pd

from mammo.archives.archive import FEW, Archive, words
from mammo.errors import InputError
from mammo.tables.numbers import named_rows
from mammo.wording import number_of

NEEDED = ["patient_id", "image_id", "laterality", "view", "cancer", "biopsy", "BIRADS"]
KEPT = ["site_id", "age", "implant", "machine_id", "difficult_negative_case"]  # as they are, if they are there
SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg")  # a film that lies in several forms is read in the first of them
FILM = re.compile(r"(\d+_\d+)(\.(?:dcm|png|jpe?g))", re.IGNORECASE)


class RSNA(Archive):
    """The training part of the RSNA Screening Mammography Breast Cancer Detection challenge (Kaggle, 2022).

    Counts (of public copies of the table): 54,706 films of 11,913 women, 1,158 of them of a breast with cancer; two
    sites, ten machines. A breast may have several films of one view, and rare views are AT, ML, LM and LMO.

    Labels: `cancer`, `biopsy` and `BIRADS` describe a breast and stand on each of its films; no film says where. Cancer
    is malignant, and a biopsy without cancer is benign (pathology). Without both, BI-RADS 1 and 2 are normal
    (follow-up); BI-RADS 0, a recall, and a missing one are unknown, unless `unproven` says that they are normal.

    Split: none. `test.csv` is the stub of a hidden test part, so it is not read.

    Oddities: ids are whole numbers and kept as text. A path does not name the site. Films are JPEG 2000 or lossless
    JPEG, some MONOCHROME1, some with fewer bits than the header states, with several windows, or all zero. Women with
    implants come from one site. Re-packs as PNG are recognised; they lack spacing, and may be windowed and mirrored.

    Args:
        root: The folder with `train.csv` and `train_images/<patient_id>/<image_id>.dcm`, or one above it.
        voi: The window of DICOM films, as `read_film` takes it.
        unproven: The severity of a breast without cancer, biopsy and BI-RADS 1 or 2: `unknown` or `normal`.
    """

    name = "rsna"
    licence = "rules of the Kaggle competition: non-commercial use, and the films must not be passed on"
    citation = "Carr et al., RSNA Screening Mammography Breast Cancer Detection, Kaggle 2022"
    source = (
        "The archive comes from https://www.kaggle.com/competitions/rsna-breast-cancer-detection, after you accept "
        "the rules: non-commercial use, no redistribution."
    )
    table = "train.csv"
    published: ClassVar = {"images": 54_706, "patients": 11_913}

    def __init__(self, *, root: str | None = None, voi: str = "first", unproven: str = "unknown") -> None:
        super().__init__(root=root, voi=voi)
        self.unproven = unproven

    def rows(self) -> pd.DataFrame:
        """Return a row for each film of the table."""
        table = self.sheet(self.table, NEEDED)
        for column in set(table) & {*NEEDED, *KEPT, "invasive"}:
            table[column] = table[column].str.replace(r"\.0+$", "", regex=True)  # 1.0, as pandas writes gaps
        for column in ("patient_id", "image_id"):
            if (wrong := ~table[column].str.fullmatch(r"\d+").fillna(False)).any():
                where = named_rows(list(table.index[wrong]))
                raise InputError(f"{self.table}, {where}: {column} is no whole number; use the original table")
        name = table["patient_id"] + "_" + table["image_id"]
        cancer, biopsy = (words(table, one, {"0": "0", "1": "1"}, self.table) for one in ("cancer", "biopsy"))
        birads = words(table, "BIRADS", {"0": "0", "1": "1", "2": "2"}, self.table)
        kept = {one: table[one] for one in KEPT if one in table}
        if "invasive" in table:
            kept["invasive"] = table["invasive"].where((cancer == "1").fillna(False))  # it is said of cancers only
        rows = pd.DataFrame({
            "dataset": self.name, "image_id": "rsna-" + name.str.replace("_", "-"), "path": self._paths(name),
            "patient": "rsna-" + table["patient_id"], "view": table["view"].str.upper(), "finding_id": 0,
            "laterality": words(table, "laterality", {"l": "left", "r": "right"}, self.table),
            "density": words(table, "density", {one.lower(): one for one in "ABCD"}, self.table),
            "cancer": cancer, "biopsy": biopsy, "birads": birads, **kept,
        })  # fmt: skip
        rows = self._with_severity(rows)
        headers = self.headers(rows["path"])
        told = pd.Series([one and one.laterality for one in headers], rows.index, "string")
        self.compare(rows, "laterality", told, "their headers")
        return rows.assign(spacing_mm=[one and one.spacing_mm for one in headers])

    def _with_severity(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the severity of their breasts, and what it rests on."""
        cancer, biopsy = ((rows[one] == "1").fillna(False).astype(bool) for one in ("cancer", "biopsy"))
        severity = pd.Series("normal", rows.index, "string").mask(biopsy, "benign").mask(cancer, "malignant")
        source = pd.Series("follow_up", rows.index, "string").mask(biopsy | cancer, "pathology")
        breast = rows["patient"] + "|" + rows["laterality"]
        told = (rows["cancer"] + rows["biopsy"]).groupby(breast)
        several = (told.transform("nunique") > 1).fillna(False).astype(bool)
        blank = rows["cancer"].isna() | rows["biopsy"].isna()
        unproven = ~(cancer | biopsy | blank | several | rows["birads"].isin(["1", "2"]))
        self.notes.append("a label describes a breast and stands on each of its films; none says where a finding is")
        if unproven.any():
            of = f"{number_of(int(unproven.sum()), 'image')} of {number_of(breast[unproven].nunique(), 'breast')}"
            without = "with neither cancer nor biopsy, and BI-RADS 0 or none"
            if self.unproven == "normal":
                self.notes.append(f"**{of} {without}: data.unproven=normal takes them as normal by follow-up**")
            else:
                severity = severity.mask(unproven)
                self.notes.append(
                    f"**{of} {without}: the severity is unknown; data.unproven=normal takes them as normal**"
                )
        for wrong, why in ((several, "in breasts whose films differ in cancer or biopsy"),
                           (blank & ~several, "without a word for cancer or biopsy")):  # fmt: skip
            severity = severity.mask(wrong)
            if wrong.any():
                first = rows.loc[wrong, "image_id"].iloc[0]
                self.notes.append(
                    f"**{number_of(int(wrong.sum()), 'image')} {why}, {first} for example: the severity is unknown**"
                )
        found = severity.isin(["benign", "malignant"]).astype(int)
        return rows.assign(severity=severity, severity_source=source.where(severity.notna()), finding_id=found)

    def _paths(self, names: pd.Series) -> pd.Series:
        """Return the path of each film `<patient>_<image>`, as the archive has it for those that are not on disk."""
        folder, known = self.find(self.table).parent, set(names)
        if (folder / "test.csv").is_file():
            self.notes.append("test.csv is the stub of a hidden test part; it is not read")
        inner = [Path(one) for at in dict.fromkeys([folder, self.root]) for one in os.scandir(at) if one.is_dir()]
        original = folder / "train_images"
        places = (original, *sorted(inner), folder, self.root)
        films = (_films(at) for at in dict.fromkeys(places) if at.is_dir())
        found: dict[str, str] = next((one for one in films if not known.isdisjoint(one)), {})
        if more := set(found) - known:
            shown = ", ".join(sorted(more)[:FEW])
            self.notes.append(f"**films on disk without a row in {self.table} are left out: {len(more)}, {shown}**")
        pictures = sum(not path.lower().endswith(SUFFIXES[0]) for path in found.values())
        if pictures:
            self.notes.append(
                f"**{number_of(pictures, 'film is', 'films are')} pictures of a re-pack, not the "
                "archive's DICOM files: they may be windowed, cropped and mirrored, and their spacing is unknown**"
            )
        return names.map(lambda name: found.get(name) or f"{original}/{name.replace('_', '/')}{SUFFIXES[0]}")


def _films(folder: Path) -> dict[str, str]:
    """Return the path of each film in a folder by `<patient>_<image>`: `<patient>/<image>.dcm`, or `<name>.png`."""
    found = []
    for entry in os.scandir(folder):
        nested = os.scandir(entry) if entry.name.isdigit() and entry.is_dir() else ()
        for name, path in [(f"{entry.name}_{one.name}", one.path) for one in nested] or [(entry.name, entry.path)]:
            if match := FILM.fullmatch(name):
                found.append((SUFFIXES.index(match[2].lower()), match[1], path))
    return {stem: path for _, stem, path in sorted(found, reverse=True)}
