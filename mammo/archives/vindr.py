"""VinDr-Mammo: digital mammograms of 5,000 exams in Viet Nam, with boxes, BI-RADS and density; no pathology."""

import os
from pathlib import Path
from typing import ClassVar

import pandas as pd

from mammo.archives import boxes
from mammo.archives.archive import Archive, words
from mammo.archives.vindr_findings import BIRADS, FINDINGS, NEEDED, read_findings
from mammo.datasets.labels import worst_findings
from mammo.errors import InputError
from mammo.wording import number_of

BREASTS, METADATA = "breast-level_annotations.csv", "metadata.csv"
OF_IMAGE = ["study_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads", "breast_density"]
FOLDERS, SUFFIXES = ("images", "images_png"), (".dicom", ".dcm", ".png")
SIDES = {"l": "left", "r": "right"}
SPLITS = {"training": "train", "test": "test"}
DENSITY = {f"density {letter}": letter.upper() for letter in "abcd"}
OF_BREAST = {"1": "normal", "2": "benign"}  # on both its films; BI-RADS 5 may be seen on one of them alone
OF_FINDING = {"2": "benign", "5": "malignant"}
ABOUT = {"Patient's Age": "age", "Manufacturer": "manufacturer", "Manufacturer's Model Name": "manufacturer_model"}


class VinDr(Archive):
    """VinDr-Mammo 1.0.0, as PhysioNet publishes it.

    - 20,000 films of 5,000 exams, one exam a patient: CC and MLO of both breasts, except for one breast.
    - Truth: BI-RADS of the breast, which both its films carry, and of the finding; no biopsy. Only findings of BI-RADS
      3 to 5, and signs of skin, nipple and lymph nodes (without BI-RADS), have a box, on the film that shows them.
    - Severity: a box of BI-RADS 5 is malignant, of 3 or 4 unknown; one without BI-RADS is benign in a breast of
      BI-RADS 2, else unknown. A film without a box is normal in a breast of BI-RADS 1, benign in one of 2, else
      unknown, because the finding may be seen on the other film alone.
    - One row for a box. `finding` is its first category that has a word here; `finding_categories` lists all.
    - Official split: training and test, 4,000 and 1,000 exams; no patient is in both.
    - Oddities: boxes beyond the film, a made-up SOP class in the files, MONOCHROME1, raw films (FOR PROCESSING).

    Sources: Nguyen et al. 2023, and the code of its authors, vinbigdata-medical/vindr-mammo.
    """

    name = "vindr"
    licence = "PhysioNet Restricted Health Data License 1.5.0: by a data use agreement, not to be shared"
    citation = "Nguyen et al. 2023, VinDr-Mammo, Scientific Data 10, doi 10.1038/s41597-023-02100-7"
    source = f"It is vindr-mammo 1.0.0 of physionet.org (doi 10.13026/br2v-7517). {licence}."
    table = BREASTS
    published: ClassVar = {"images": 20_000, "patients": 5_000}

    def rows(self) -> pd.DataFrame:
        """Return the rows of the findings table: one for each box, or for an image without one."""
        images = self._films()
        found, silent = read_findings(self.sheet(FINDINGS, NEEDED), images["image_id"], self.notes)
        table = images.merge(found, on="image_id", how="left").reset_index(drop=True)
        boxed, own = table["finding_categories"].notna(), table["finding_birads"]
        of_box = own.map(OF_FINDING).mask(own.isna() & (table["birads"] == "2"), "benign")
        table["severity"] = table["birads"].map(OF_BREAST).mask(boxed, of_box)
        table["severity_source"] = pd.Series("birads", table.index).where(table["severity"].notna())
        normal = (~boxed & (table["severity"] == "normal")).fillna(False).astype(bool)
        table["finding"] = table["finding"].mask(normal & table["image_id"].isin(silent), "NORM")
        table["finding_id"] = (table.groupby("image_id").cumcount() + 1).mask(normal, 0)
        self._say_unknown(table)
        return boxes.on_film(table, ~table["resized"], self.notes).drop(columns=["height", "width", "resized"])

    def _films(self) -> pd.DataFrame:
        """Return one row per image: the words of its breast, its path, and what its header and tags tell."""
        sheet = self.sheet(BREASTS, [*OF_IMAGE, "split"]).drop_duplicates()
        table = pd.DataFrame({"image_id": "vindr-" + sheet["image_id"], "patient": "vindr-" + sheet["study_id"]})
        table = table.assign(dataset=self.name, exam=sheet["study_id"], path=self._paths(sheet))
        table["view"] = sheet["view_position"].str.upper()
        for ours, theirs, meaning in (
            ("laterality", "laterality", SIDES), ("density", "breast_density", DENSITY),
            ("birads", "breast_birads", BIRADS), ("official_split", "split", SPLITS),
        ):  # fmt: skip
            table[ours] = words(sheet, theirs, meaning, BREASTS)
        for side in ("height", "width"):
            table[side] = pd.to_numeric(sheet[side], errors="coerce").astype("Float64")
        of_breast = table.fillna({"view": ""}).sort_values("view").groupby(["patient", "laterality"])
        views = of_breast["view"].agg(",".join)
        if len(odd := views.index[views != "CC,MLO"]):
            self.notes.append(
                f"{number_of(len(odd), 'breast')} without one CC and one MLO film, {' '.join(odd[0])} for example"
            )
        return self._with_metadata(self._with_headers(table))

    def _paths(self, sheet: pd.DataFrame) -> list[str]:
        """Return the path of each film, as it should be if it is not there."""
        beside = self.find(BREASTS).parent
        folder = next((beside / one for one in FOLDERS if (beside / one).is_dir()), None) or self.find(*FOLDERS)
        studies = [one for one in os.scandir(folder) if one.is_dir()]
        files = [Path(one.path) for study in studies for one in os.scandir(study)]
        known = sorted((one for one in files if one.suffix.lower() in SUFFIXES), reverse=True)  # .png before .dicom
        at = {(one.parent.name, one.stem): one for one in known}
        keys = zip(sheet["study_id"], sheet["image_id"], strict=True)
        return [str(at.get((study, image), folder / study / f"{image}{SUFFIXES[0]}")) for study, image in keys]

    def _with_headers(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the images with their spacing, and `resized`: the film has another size than the table says."""
        headers = self.headers(table["path"])
        told = {
            one: headers.map(lambda header, of=one: getattr(header, of, None) or pd.NA)
            for one in ("laterality", "view", "spacing_mm")
        }
        for one in ("laterality", "view"):
            self.compare(table, one, told[one], "the header")
        resized = boxes.resized(table, headers, f"vindr's {BREASTS}", self.notes)
        return table.assign(spacing_mm=told["spacing_mm"], resized=resized)

    def _say_unknown(self, table: pd.DataFrame) -> None:
        """Note how many images have no severity, and why."""
        worst = worst_findings(table)
        of = worst.loc[worst["severity"].isna(), "birads"].fillna("")
        for which, why in (
            (of.isin(["3", "4"]), "BI-RADS 3 or 4 is neither benign nor malignant without a biopsy"),
            (of == "5", "their breast is of BI-RADS 5, but no box of BI-RADS 5 is on the film"),
            (of.isin(["1", "2", ""]), "no BI-RADS of the breast, or a box that contradicts it"),
        ):
            if which.any():
                self.notes.append(f"{number_of(int(which.sum()), 'image')} without severity: {why}")

    def _with_metadata(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the images with age and machine, if the table of DICOM tags is there."""
        try:
            sheet = self.sheet(METADATA, ["SOP Instance UID"])
        except (FileNotFoundError, InputError) as error:
            why = "it is not there" if isinstance(error, FileNotFoundError) else error
            self.notes.append(f"age and machine are not known from {METADATA}: {why}")
            return table
        sheet = sheet.rename(columns=lambda name: ABOUT.get(name.replace("\u2019", "'"), name))
        about = sheet.set_index("vindr-" + sheet["SOP Instance UID"])
        about = about[~about.index.duplicated()]
        for ours in ABOUT.values():
            if ours in about:
                table[ours] = table["image_id"].map(about[ours])
        if "age" in table:
            table["age"] = table["age"].str.extract(r"^0*([1-9]\d*)Y$")[0].astype("Int64")
        return table
