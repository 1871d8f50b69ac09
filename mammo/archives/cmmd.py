"""CMMD, the Chinese Mammography Database: digital films of breasts that were biopsied, and of the other breasts."""

import os
import re
from pathlib import Path
from typing import ClassVar

import pandas as pd

from mammo.archives.archive import FEW, Archive, words
from mammo.errors import InputError
from mammo.tables.numbers import named_rows
from mammo.wording import number_of

TABLES = ("CMMD_clinicaldata_revision.xlsx", "CMMD_clinicaldata_revision.csv")
NEEDED = ["ID1", "LeftRight", "abnormality", "classification"]
KEPT = {"abnormality": "abnormality", "subtype": "subtype", "Age": "age"}  # theirs, if they are there, and ours
FINDINGS: dict[str, str | None] = {"mass": "MASS", "calcification": "CALC", "both": "MASS CALC"}
PATIENT = re.compile(r"D[12]-\d{4}", re.IGNORECASE)


class CMMD(Archive):
    """The Chinese Mammography Database, from The Cancer Imaging Archive.

    Counts: 5,202 films of 1,775 women (949 with two films, 826 with four), 2,601 breasts; the table has a row for 1,872
    breasts, 1,316 malignant and 556 benign, 97 women with both, 30 of them with one of each.

    Labels: biopsy, by breast, so `severity_source` is pathology. The 729 breasts without a row (1,458 films) are the
    other breasts, and their state is unknown: they are not normal, and there are no normal films. A mass with
    calcification ("both") makes two rows, MASS and CALC. No film says where. No BI-RADS, no density.

    Split: none.

    Oddities: the side stands in ImageLaterality and the view in ViewCodeSequence alone, so both are read from the
    headers; the order of the files does not tell them (D1-1506 is a right breast in 1-1 and 1-2). Films have 8 bits but
    for two of 16, a spacing of 0.094 mm by ImagerPixelSpacing, and a SIGMOID window.

    Args:
        root: The folder with the table and the films, `CMMD/D1-0001/...`, or one above it.
        voi: The window of the films, as `read_film` takes it.
    """

    name = "cmmd"
    licence = "CC BY 4.0"
    citation = "Cui et al., The Chinese Mammography Database, The Cancer Imaging Archive 2021, 10.7937/tcia.eqde-4b16"
    source = "The archive is public, https://doi.org/10.7937/tcia.eqde-4b16, under CC BY 4.0: name the source."
    table = TABLES[0]
    published: ClassVar = {"images": 5_202, "patients": 1_775}

    def prepare(self) -> None:
        """Find the archive on disk.

        Raises:
            FileNotFoundError: It is not there; the message says where it was looked for, and where to get it.
        """
        self.find(*TABLES)

    def rows(self) -> pd.DataFrame:
        """Return a row for each film on disk and finding of its breast."""
        path = self.find(*TABLES)
        breasts, films = self._breasts(path), self._films(path.parent)
        if films.empty and (films := self._films(self.root)).empty:
            raise FileNotFoundError(
                f"cmmd: no film of a patient D1-... or D2-... lies below {self.root}; name the folder of the archive, "
                "data.root=<folder>"
            )
        key = ["patient", "laterality"]
        rows = films.merge(breasts, on=key, how="left")
        self.notes.append("a label describes a breast and stands on each of its films; none says where a finding is")
        unnamed, without = rows["laterality"].isna(), rows["severity"].isna() & rows["laterality"].notna()
        of = f"of {number_of(len(rows[without].drop_duplicates(key)), 'breast')}"
        self._say(rows, without, f"{of} without a row in {path.name}: the severity is unknown, not normal")
        self._say(rows, unnamed, "without a side in the header: the row of the breast is not known")
        here = breasts.set_index(key)["number"].to_frame().assign(films=films.groupby(key).size()).fillna({"films": 0})
        lacking, odd = here["films"] == 0, (here["films"] != here["number"]).fillna(False)
        for wrong, why in (
            (lacking, "without a film on disk"),
            (odd & ~lacking, "with more or fewer films than it says"),
        ):
            if wrong.any():
                first = " ".join(here.index[wrong][0])
                self.notes.append(
                    f"**{number_of(int(wrong.sum()), 'breast')} of {path.name} {why}, {first} for example**"
                )
        rows = rows.assign(finding=rows["finding"].str.split(" ")).explode("finding", ignore_index=True)
        proven = rows["severity"].notna()
        return rows.drop(columns="number").assign(
            dataset=self.name, patient="cmmd-" + rows["patient"],
            severity_source=pd.Series("pathology", rows.index, "string").where(proven),
            finding_id=(rows.groupby("image_id").cumcount() + 1).where(proven, 0),
        )  # fmt: skip

    def _breasts(self, path: Path) -> pd.DataFrame:
        """Return the breasts of the table: `patient, laterality, severity, finding, number`, and the words kept."""
        table = self.sheet(path.name, NEEDED)
        breasts = pd.DataFrame({
            "patient": table["ID1"].str.upper(),
            "laterality": words(table, "LeftRight", {"l": "left", "r": "right"}, path.name),
            "severity": words(table, "classification", {one: one for one in ("benign", "malignant")}, path.name),
            "finding": words(table, "abnormality", FINDINGS, path.name),
            "number": pd.to_numeric(table["number"], errors="coerce") if "number" in table else pd.NA,
            **{ours: table[theirs] for theirs, ours in KEPT.items() if theirs in table},
        })  # fmt: skip
        if (wrong := breasts.duplicated(["patient", "laterality"], keep=False)).any():
            where = named_rows(list(table.index[wrong]))
            raise InputError(f"{path.name}: {where} describe the same breast; use the original table")
        return breasts.dropna(subset=["patient", "laterality"])

    def _films(self, top: Path) -> pd.DataFrame:
        """Return the films below a folder, with the facts of their headers; the patient is the folder, or PatientID."""
        found = []
        for folder, inner, names in os.walk(top):
            inner[:] = sorted(one for one in inner if not one.startswith("."))
            of = next((one.upper() for one in reversed(Path(folder).parts) if PATIENT.fullmatch(one)), None)
            dicom = sorted(one for one in names if one.lower().endswith(".dcm") and not one.startswith("."))
            found += [(f"{folder}/{name}", name[:-4], of) for name in dicom]
        films = pd.DataFrame(found, columns=["path", "name", "patient"]).astype("string")
        headers = list(self.headers(films["path"]))
        for column in ("laterality", "view", "spacing_mm"):
            films[column] = [getattr(one, column) for one in headers]
        told = pd.Series([one.patient for one in headers], films.index, "string").str.upper()
        told = told.where(told.str.fullmatch(PATIENT.pattern).fillna(False).astype(bool))
        films["patient"] = films["patient"].fillna(told)
        films["image_id"] = "cmmd-" + films["patient"] + "-" + films.pop("name")
        other = (told != films["patient"]).fillna(False).astype(bool)
        self._say(films, other, "in the folder of another patient than the PatientID; the folder counts")
        twice = films["image_id"].notna() & films.duplicated("image_id")
        self._say(films, twice, "there twice; the first of each counts")
        if count := int(films["patient"].isna().sum()):
            self.notes.append(f"DICOM files below {top} that name no patient of CMMD and are left out: {count}")
        return films[films["patient"].notna() & ~twice].astype({"laterality": "string", "view": "string"})

    def _say(self, films: pd.DataFrame, wrong: pd.Series, why: str) -> None:
        if wrong.any():
            self.notes.append(
                f"**{number_of(int(wrong.sum()), 'image')} {why}; {', '.join(films.loc[wrong, 'image_id'][:FEW])}**"
            )
