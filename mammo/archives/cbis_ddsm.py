"""CBIS-DDSM: scanned films of masses and calcifications, with masks and pathology."""

import os
from typing import ClassVar

import pandas as pd

from mammo.archives.archive import FEW, Archive
from mammo.archives.cbis_files import Lesion, Series, find_masks, same_pixels
from mammo.archives.cbis_tables import PATHS, TABLES, columns_of, findings_of
from mammo.errors import InputError
from mammo.wording import number_of, some


class CBISDDSM(Archive):
    """CBIS-DDSM as it lies on disk: TCIA's DICOM in both layouts of its downloader, or the JPEG re-pack of Kaggle.

    Films: 3,103 files of 3,032 films (71 are there for a mass and again for a calcification) of 1,566 patients, scanned
    from film, CC and MLO. The files state neither spacing nor window. There is no normal film.

    Findings: 3,568 with a mask each; 1,457 malignant (by pathology), 1,429 benign (called back: most by pathology),
    682 benign without callback (read as benign, no biopsy: `severity_source` is reading). The columns `pathology`,
    `assessment` (BI-RADS), `subtlety` and `abnormality_type` keep the words of the tables.

    Finding words: calcifications are CALC. For a mass, in this order, by mammo's choice: SPIC if its margins are
    spiculated, CIRC if they are circumscribed and nothing else, ARCH or ASYM by its shape, MISC, or MASS if the margins
    are not stated.

    Place: the box of the mask and the smallest circle around it. The tables do not tell the mask from the crop, nor
    do numbers and descriptions of files: the pixels do. A mask of another size is scaled if its shape is the film's;
    else the finding has no place.

    Split: train and test by the tables; 31 patients and 29 films are in both. `in_both` moves them to train.

    Sources: the tables, which give all counts; Lee et al. (2017); the headers of eight films.

    Args:
        root: The folder of the archive, or one above it.
        voi: The window of DICOM films, as `read_film` takes it.
        in_both: `keep` leaves patients of both parts in both, so that `split=official` is refused; `train` moves them.
    """

    name = "cbis_ddsm"
    licence = "CC BY 3.0"
    citation = (
        "Lee et al., A curated mammography data set, Scientific Data 4:170177, 2017; doi 10.7937/K9/TCIA.2016.7O02S9CY"
    )
    source = (
        "Get films and tables from the Cancer Imaging Archive, collection CBIS-DDSM (CC BY 3.0, 164 GB), or its JPEG "
        "re-pack of Kaggle (6 GB), and put the four tables of cases beside the films."
    )
    table = "mass_case_description_train_set.csv"
    published: ClassVar = {"rows": 3568, "films": 3103, "patients": 1566, "MALIGNANT": 1457, "BENIGN": 1429}

    def __init__(self, *, root: str | None = None, voi: str = "first", in_both: str = "keep") -> None:
        if in_both not in ("keep", "train"):
            raise InputError(f"data.in_both={in_both} is unknown; expected keep or train")
        super().__init__(root=root, voi=voi)
        self.in_both = in_both

    def prepare(self) -> None:
        """Find one of the four tables on disk.

        Raises:
            FileNotFoundError: None is there; the message says where to get them.
        """
        self.find(*TABLES)

    def counted(self, table: pd.DataFrame) -> dict[str, int]:
        """Return the numbers that are compared with the published ones, from the findings table of all films."""
        found = {"rows": len(table), "films": table["film"].nunique(), "patients": table["patient"].nunique()}
        return found | {word: int((table["pathology"] == word).sum()) for word in ("MALIGNANT", "BENIGN")}

    def rows(self) -> pd.DataFrame:
        """Return a row for each finding of the tables that are there."""
        tables = []
        for name in TABLES:
            try:
                tables.append(findings_of(self.sheet(name, columns_of(name)), name))
            except FileNotFoundError:
                self.notes.append(f"**no {name}: its findings are not known, and its films are not used**")
        rows = pd.concat(tables, ignore_index=True)
        series = Series(self.root)
        files = {path: series.files(path) for path in pd.unique(rows[PATHS].to_numpy().ravel())}
        rows["path"] = [next(iter(files[path]), str(self.root / path)) for path in rows[PATHS[0]]]
        self._move(rows)
        self._name(rows)
        rows = rows.sort_values("image_id", key=lambda ids: pd.factorize(ids)[0], kind="stable", ignore_index=True)
        rows["finding_id"] = rows.groupby("image_id").cumcount() + 1
        density = rows.groupby("image_id")["density"]
        if odd := list(rows.loc[density.transform("nunique") > 1, "image_id"].unique()):
            self.notes.append(f"images whose rows disagree on the density, which is unknown there: {_some(odd)}")
        rows["density"] = density.transform("first").mask(rows["image_id"].isin(odd))
        self._place(rows, files)
        return rows.drop(columns=PATHS)

    def _move(self, rows: pd.DataFrame) -> None:
        """Count the patients of both parts, and move them to train if `in_both` says so."""
        both = rows.groupby("patient")["official_split"].transform("nunique") > 1
        rows.loc[both & (self.in_both == "train"), "official_split"] = "train"
        if patients := rows.loc[both, "patient"].nunique():
            moved = "are moved to train" if self.in_both == "train" else "stay there; data.in_both=train moves them"
            self.notes.append(
                f"**{number_of(patients, 'patient is', 'patients are')} in training and test of the "
                f"tables and {moved}**"
            )

    def _name(self, rows: pd.DataFrame) -> None:
        """Name the images: two films of one view are one image if their parts and pixels are the same."""
        rows["image_id"] = rows["patient"] + "_" + rows["laterality"].str.upper() + "_" + rows["view"]
        films = rows.drop_duplicates("film")
        twice = [group for _, group in films.groupby("image_id", sort=False) if len(group) > 1]
        there = [one for one in twice if one["official_split"].nunique() == 1 and all(map(os.path.isfile, one["path"]))]
        same = [
            one for one, alike in zip(there, same_pixels([list(one["path"]) for one in there]), strict=True) if alike
        ]
        for group in same:
            rows.loc[rows["film"].isin(group["film"]), "path"] = group["path"].iloc[0]
        joined = {film for group in same for film in group["film"]}
        apart = films[films["image_id"].duplicated(keep=False) & ~films["film"].isin(joined)]
        named = apart["image_id"] + "-" + apart["film"].str.split("-").str[0].str.lower()
        ids = dict(zip(apart["film"], named, strict=True))
        rows["image_id"] = [ids.get(film, name) for film, name in zip(rows["film"], rows["image_id"], strict=True)]
        if twice:
            self.notes.append(
                f"films that are listed for a mass and again for a calcification: {len(twice)}; joined to one image: "
                f"{len(same)}; kept as two, because their parts or pixels differ, or one is not on disk: "
                f"{len(twice) - len(same)}"
            )

    def _place(self, rows: pd.DataFrame, files: dict[str, list[str]]) -> None:
        """Set the place of each finding whose film is there, and name those that have none."""
        there = rows[rows["path"].map(os.path.isfile)]
        lesions = [
            Lesion(path, list(dict.fromkeys(files[crop] + files[mask])), {})
            for path, crop, mask in there[["path", *PATHS[1:]]].itertuples(index=False)
        ]
        find_masks(lesions)
        places = pd.DataFrame([one.place for one in lesions], there.index)
        rows[places.columns] = places
        lacks = pd.Series([one.lacks for one in lesions], there.index, dtype=str)
        named = there["image_id"] + " finding " + there["finding_id"].astype(str)
        said = [f"{why}: {_some(list(group))}" for why, group in named[lacks != ""].groupby(lacks)]
        if said:
            self.notes.append(
                f"**findings that have no place, {(lacks != '').sum()} of {len(lacks)}: {'; '.join(said)}**"
            )


def _some(names: list[str]) -> str:
    return f"{len(names)}, {some(names, FEW)}"
