"""The phantom of other machines: DICOM films of other patients, which the reading chain and the breast finder take."""

import shutil

import numpy as np
import pydicom
import pytest

from mammo.config import DataConfig
from mammo.datasets.film import read_mask
from mammo.datasets.phantom import Phantom
from mammo.datasets.registry import open_dataset
from mammo.datasets.scanners import SCANNERS, expose, machine_masks, stream
from mammo.drawing.lesions import Finding
from mammo.errors import InputError
from mammo.preprocessing.breast import find_breast
from mammo.testing import check_dataset
from tests.datasets.test_phantom import mask_is_best


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Two patients of each machine: one without a finding, one with two."""
    folder = tmp_path_factory.mktemp("machines")
    made = {name: Phantom(root=str(folder / name), patients=2, scanner=name) for name in SCANNERS}
    for one in made.values():
        one.prepare()
    return made


@pytest.fixture(params=SCANNERS)
def machine(request, machines):
    return machines[request.param]


def test_the_default_is_film_as_ever(tmp_path):
    made = open_dataset(DataConfig(name="phantom"))
    assert (made.name, made.root.name) == ("phantom", "phantom-60-0-v1")
    assert made.drawn == "Phantom v1 of 60 women, film_seed 0"


@pytest.mark.slow
def test_a_machine_fulfils_the_contract(machine):
    check_dataset(machine)
    assert open_dataset(DataConfig(name="phantom", scanner=machine.scanner)).name == machine.name


@pytest.mark.parametrize(
    ("name", "bits", "kind", "spacing_mm"), [("cr", 10, "MONOCHROME1", 0.175), ("dr", 12, "MONOCHROME2", 0.14)]
)
def test_files_differ_in_depth_polarity_and_spacing_and_say_so(machines, name, bits, kind, spacing_mm):
    machine = machines[name]
    header = pydicom.dcmread(machine.path(f"phantom_{name}-001-R"))
    assert (header.BitsStored, header.PhotometricInterpretation) == (bits, kind)
    assert header.PatientID == f"phantom_{name}-001" and header.Rows <= 1500
    other = pydicom.dcmread(machine.path(f"phantom_{name}-001-L"))
    assert header.StudyInstanceUID == other.StudyInstanceUID and header.SOPInstanceUID != other.SOPInstanceUID
    film = machine.read(f"phantom_{name}-001-R")
    assert (film.spacing_mm, film.laterality, film.view) == (spacing_mm, "right", "MLO")
    assert film.max_level == 2**bits - 1 and set(machine.findings()["spacing_mm"]) == {spacing_mm}


def test_masks_have_the_size_of_their_films_and_lie_in_their_circles(machine):
    located = machine.findings().dropna(subset="radius_px")
    for row in located.itertuples():
        rows, columns = read_mask(row.mask_path).nonzero()
        far = np.hypot(columns - row.x_px, rows - row.y_px)
        assert read_mask(row.mask_path).shape == machine.read(row.image_id).pixels.shape
        assert 0 < far.max() <= 1.09 * row.radius_px + 4, row.image_id
    assert len(located) and len(list(machine.masks.iterdir())) == len(located)


def test_the_breast_is_found_at_its_side_and_nothing_is_odd_about_it(machine):
    for image_id in machine.findings()["image_id"].unique():
        film = machine.read(image_id)
        breast = find_breast(film, None)
        assert breast.notes == () and breast.mirrored == (film.laterality == "right"), image_id


def test_air_is_black_on_the_detector_and_grey_and_grainy_on_the_plate(machines):
    air = {name: one.read(f"phantom_{name}-001-L").grey()[-100:, -100:] for name, one in machines.items()}
    assert air["dr"].max() == 0
    assert 0.05 < air["cr"].mean() < 0.2 and 0.005 < air["cr"].std() < 0.05


def test_machines_and_film_share_neither_patients_nor_images(machines, tmp_path):
    film = Phantom(root=str(tmp_path / "film"), patients=2)
    tables = [one.findings() for one in (film, *machines.values())]
    for column in ("patient", "image_id"):
        names = [name for table in tables for name in table[column].unique()]
        assert len(names) == len(set(names))
    assert {name for table in tables for name in table["dataset"]} == {"phantom", "phantom_cr", "phantom_dr"}
    assert len({0, *(stream(0, name) for name in SCANNERS), *(stream(1, name) for name in SCANNERS)}) == 5


def test_the_seed_alone_decides_the_film():
    films = [expose(SCANNERS["cr"], seed, 1, 1, "G", [])[0] for seed in (3, 3, 4)]
    assert np.array_equal(films[0], films[1]) and films[0].shape == films[2].shape
    assert not np.array_equal(films[0], films[2])


@pytest.mark.parametrize(("name", "side"), [("cr", 1), ("dr", 2)])
def test_a_lesion_lies_in_its_circle_and_nowhere_else(name, side):
    film, (row,) = expose(SCANNERS[name], 0, 5, side, "G", [Finding("CIRC", "M")])
    change = (film.astype(float) - expose(SCANNERS[name], 0, 5, side, "G", [])[0]) ** 2
    y, x = np.mgrid[: film.shape[0], : film.shape[1]]
    inside = np.hypot(x - row["x_px"], y - row["y_px"]) <= row["radius_px"] + 3
    assert row["severity"] == "malignant" and change[inside].sum() > 0.9 * change.sum() > 0
    (mask,) = machine_masks(SCANNERS[name], 0, 5, side, "G", [Finding("CIRC", "M")])
    near = np.hypot(x - row["x_px"], y - row["y_px"]) <= 1.5 * row["radius_px"]
    assert mask_is_best(np.sqrt(change), near, mask, int(row["radius_px"] / 3))


def test_a_finding_without_a_circle_has_none():
    _, rows = expose(SCANNERS["cr"], 0, 5, 1, "F", [Finding("CALC", "M", "*"), Finding("CIRC", "B", "-")])
    assert [set(row) for row in rows] == [{"finding_id", "finding", "severity"}] * 2


def test_an_unknown_machine_and_the_folder_of_another_one_are_refused(machines):
    with pytest.raises(InputError, match=r"data\.scanner=tomo is unknown; expected one of film, cr, dr"):
        Phantom(scanner="tomo")
    with pytest.raises(InputError, match=r"is not Phantom v1 of 2 women, film_seed 0, scanner dr"):
        Phantom(root=str(machines["cr"].root), patients=2, scanner="dr").prepare()


def test_an_altered_or_missing_film_is_refused_by_name(machines, tmp_path):
    shutil.copytree(machines["cr"].root, tmp_path / "films")
    copy = Phantom(root=str(tmp_path / "films"), patients=2, scanner="cr")
    path = copy.path("phantom_cr-002-L")
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(InputError, match=r"phantom_cr-002-L\.dcm: pixels differ"):
        copy.read("phantom_cr-002-L")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"phantom_cr-002-L\.dcm"):
        copy.findings()


@pytest.mark.slow
def test_a_run_on_a_machine_is_told_to_be_of_synthetic_films(job, tmp_path):
    folder, _ = job("data.scanner=cr", f"data.root={tmp_path / 'films'}", "trainer.max_epochs=1", "heads=[]")
    first = (folder / "report.md").read_text()[:400]
    assert "on phantom_cr" in first and "Synthetic films" in first
