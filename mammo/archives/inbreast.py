"""INbreast: 410 digital mammograms from Porto with contours, BI-RADS and density; only BI-RADS 6 rests on pathology."""

import re
from collections import Counter
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pandas as pd

from mammo.archives.archive import FEW, Archive, words
from mammo.archives.inbreast_regions import findings_of, notes_of
from mammo.wording import number_of

TABLES = ("INbreast.xlsx", "INbreast.csv", "INbreast.xls")  # the last is refused with a line that says what to do
NEEDED = ["Laterality", "View", "File Name", "ACR", "Bi-Rads"]
KEPT = {"acquisition date": "acquired", "mass": "mass", "micros": "micros", "distortion": "distortion",
        "asymmetry": "asymmetry", "lesion annotation status": "annotation"}  # fmt: skip
NAME = re.compile(r"(\d+)_([0-9a-f]{16})_MG_([LR])_(CC|MLO|ML)_ANON\.dcm", re.IGNORECASE)
SIDES = {"l": "left", "r": "right"}
VIEWS = {"cc": "CC", "mlo": "MLO", "ml": "MLO"}
DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D", "'": None}
BIRADS = {one: one for one in ("1", "2", "3", "4", "4a", "4b", "4c", "5", "6")}
SEVERITY = {"1": "normal", "2": "benign", "5": "malignant", "6": "malignant"}


class INbreast(Archive):
    """INbreast 1.0, as its authors gave it out.

    - 410 films of 115 cases, 90 with four films and 25, after a mastectomy, with two. A woman may have several cases:
      a patient is the 16 hexadecimal digits in the name of a file. `ML` in a name is MLO.
    - Truth: BI-RADS of the film: 1 normal, 2 benign, 5 and 6 malignant, 3 and 4 unknown. BI-RADS 6 alone rests on
      pathology; results of other biopsies are in reports, which are not read. Each finding has the label of its film.
      A film of BI-RADS 1 on which something is marked, or may be, is unknown.
    - Places: contours (XML) as box and smallest enclosing circle; a region of one or two points is a point.
    - A spiculated region around a mass makes the mass SPIC, and a calcification in a cluster is a part of it: neither
      is a finding of its own. `regions` has the names as they were typed.
    - Density: ACR 1 to 4 as A to D. No official split.
    - Oddities: cells padded with blanks, ACR `'`, two rows below the table of Excel, misspelt names of regions, points
      off the film, wrong numbers of points.

    Sources: Moreira et al. 2012, and the description that comes with the films.
    """

    name = "inbreast"
    licence = "by a signed agreement with its authors, not to be shared"
    citation = "Moreira et al. 2012, INbreast, Academic Radiology 19(2), doi 10.1016/j.acra.2011.09.014"
    source = f"Its authors (INESC Porto) gave it out {licence}; they no longer do, so check your right to a copy."
    table = "INbreast.csv"
    published: ClassVar = {"images": 410}

    def prepare(self) -> None:
        """Find the table; see `Archive.prepare`."""
        self._where()

    def _where(self) -> str:
        """Return the name of the table that is there."""
        for name in TABLES:
            with suppress(FileNotFoundError):
                return self.find(name).name
        return self.find(self.table).name

    def rows(self) -> pd.DataFrame:
        """Return the rows of the findings table: one for each finding, or for a film without one."""
        films, counts = self._films(), Counter[str]()
        numbers, headers = films.pop("number"), self.headers(films["path"])
        films["spacing_mm"] = headers.map(lambda header: getattr(header, "spacing_mm", None) or pd.NA)
        try:
            regions = {one.stem: one for one in self.find("AllXML").iterdir() if one.suffix.lower() == ".xml"}
        except FileNotFoundError:
            regions = {}
            self.notes.append("there is no folder AllXML, so no finding has a place")
        rows: list[dict[Hashable, object]] = []
        records = films.astype(object).where(films.notna(), None).to_dict("records")
        for number, header, film in zip(numbers, headers, records, strict=True):
            found = findings_of(regions.get(number), header, counts)
            severity = SEVERITY.get(film["birads"]) if film["birads"] != "1" or found == [] else None
            film["severity"] = severity
            film["severity_source"] = severity and ("pathology" if film["birads"] == "6" else "birads")
            nothing = [{"finding": "NORM" if severity == "normal" else None}]
            start = 0 if severity == "normal" else 1
            rows += [film | one | {"finding_id": at} for at, one in enumerate(found or nothing, start)]
        self.notes += notes_of(counts)
        table = pd.DataFrame(rows)
        self._say_labels(table)
        return table

    def _films(self) -> pd.DataFrame:
        """Return one row per film that is on disk, with its `number`."""
        where, folder = self._where(), self.find("AllDICOMs")
        sheet = self.sheet(where, NEEDED).drop_duplicates()
        sheet["number"] = sheet["File Name"].str.extract(r"^(\d+)(?:\.0*)?$")[0]
        if footer := int(sheet["number"].isna().sum()):
            self.notes.append(f"{number_of(footer, 'row')} of {where} left out: no number of a film, say a footer")
        sheet = sheet.dropna(subset="number")
        found = [match for one in sorted(folder.iterdir()) if (match := NAME.fullmatch(one.name))]
        files = {match[1]: match for match in reversed(found)}
        lost = sheet.loc[~sheet["number"].isin(list(files)), "number"]
        if len(lost) == len(sheet):
            raise FileNotFoundError(
                f"inbreast: {folder} has no film of {where}; expected names such as "
                "12345678_0123456789abcdef_MG_R_CC_ANON.dcm; name the folder of the archive by data.root"
            )
        if len(lost):
            first = ", ".join(lost[:FEW])
            self.notes.append(f"**{len(lost)} of {len(sheet)} images are not on disk and are left out: {first}, ...**")
        if more := len(set(files) - set(sheet["number"])):
            self.notes.append(f"{number_of(more, 'film')} left out: not listed in {where}")
        sheet = sheet.drop(lost.index)
        for one in ("ACR", "Bi-Rads"):
            sheet[one] = sheet[one].str.replace(r"\.0$", "", regex=True)
        return self._facts(sheet, sheet["number"].map(files.get), where, folder)

    def _facts(self, sheet: pd.DataFrame, names: pd.Series, where: str, folder: Path) -> pd.DataFrame:
        """Return what the rows of the sheet and the names of the files tell of films.

        Args:
            sheet: One row per film, with its `number`.
            names: The match of `NAME` in the name of each film's file.
            where: The name of the sheet, for errors.
            folder: The folder of the films.
        """
        table = pd.DataFrame(
            {"image_id": "inbreast-" + sheet["number"], "dataset": self.name, "number": sheet["number"]}
        )
        table["patient"] = names.map(lambda name: f"inbreast-{name[2].lower()}")
        table["path"] = names.map(lambda name: str(folder / name[0]))
        for ours, theirs, meaning in (
            ("laterality", "Laterality", SIDES), ("view", "View", VIEWS), ("density", "ACR", DENSITY),
            ("birads", "Bi-Rads", BIRADS),
        ):  # fmt: skip
            table[ours] = words(sheet, theirs, meaning, where)
        for ours, group, meaning in (("laterality", 3, SIDES), ("view", 4, VIEWS)):
            told = names.map(lambda name, group=group, meaning=meaning: meaning[name[group].lower()])
            self.compare(table, ours, told, "the file's name")
            table[ours] = table[ours].fillna(told)
        for theirs in sheet:
            if ours := KEPT.get(theirs.casefold(), ""):
                table[ours] = sheet[theirs]
        if "acquired" in table:
            table["exam"] = table["patient"].str.removeprefix("inbreast-") + "-" + table["acquired"]
        return table

    def _say_labels(self, table: pd.DataFrame) -> None:
        """Note the images without a severity, and the findings that have the label of their film."""
        images = table.drop_duplicates("image_id")
        unknown = images["severity"].isna()
        marked = unknown & (images["birads"] == "1")
        for which, why in (
            (unknown & ~marked, "BI-RADS 3 and 4 are neither benign nor malignant without a biopsy, or there is none"),
            (marked, "BI-RADS 1, but something is marked, or its file of regions cannot be read"),
        ):
            if which.any():
                self.notes.append(f"{number_of(int(which.sum()), 'image')} without severity: {why}")
        of_film = (table["finding_id"] > 1) & (table["severity"] == "malignant").fillna(False)
        if shared := table.loc[of_film, "image_id"].nunique():
            self.notes.append(
                f"{number_of(shared, 'image')} of BI-RADS 5 or 6 with several findings, which all "
                "have the label of the film: for which of them it was given is not told"
            )
