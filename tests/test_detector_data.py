"""A detector on every kind of data set: it learns from the places that there are, in pixels of each film."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from mammo.datasets.example import write_dicom
from mammo.datasets.registry import open_dataset
from mammo.errors import InputError
from mammo.preprocessing import cutting
from mammo.preprocessing.view import BLOB_MM
from mammo.run_folder import RunFolder
from mammo.runs.train import train
from tests.archives import fake_cbis_ddsm, fake_cmmd, fake_inbreast, fake_rsna, fake_vindr
from tests.archives.films import mask
from tests.archives.sketches import HEIGHT, WIDTH, sketch
from tests.conftest import prepared_of, resolved

pytestmark = pytest.mark.slow

TINY = [
    *("task=detection", "model=compact", "model.maps=[compact@1]", "model.weights=null", "model.image_size=32"),
    *("detector.axes=16", "detector.steps=16", "detector.restarts=1", "detector.members=1", "detector.spacing_mm=0.35"),
    *("augment=none", "data.workers=0", "data.max_unreadable=0.2", "split.shares=[0.5,0.2,0.3]", "data.audit=false"),
]


def settings(*words):
    return resolved(*{word.partition("=")[0]: word for word in [*TINY, *words]}.values())


def vindr(folder):
    """Boxes."""
    root = fake_vindr.write(folder, 9)
    true = {
        f"vindr-{fake_vindr.image(number)}": sketch(number, "left")[1]
        for number, *_, rows in fake_vindr.ordinary(9)
        if rows != [fake_vindr.NOTHING]
    }
    return ["data=vindr", f"data.root={root}"], true


def inbreast(folder):
    """Contours; one film states no spacing."""
    root = fake_inbreast.write(folder, 12)
    true = {
        f"inbreast-{number}": sketch(number, "left" if side == "L" else "right")[1]
        for number, _, side, *_, marks in fake_inbreast.ordinary(12)
        if marks is not None
    }
    return ["data=inbreast", f"data.root={root}", "data.spacing_mm=0.7"], true


def cbis_ddsm(folder):
    """Masks; no film is normal, so malignant lesions are told from benign ones, and none states its spacing."""
    films = fake_cbis_ddsm._ordinary()
    root = fake_cbis_ddsm.write(folder, "jpeg", films)
    true = {
        f"cbis-{film.woman}_{film.side}_{film.view}": film.rows[0].place
        for film in films
        if film.rows[0].pathology == fake_cbis_ddsm.M
    }
    return ["data=cbis_ddsm", "task=malignant_lesions", f"data.root={root}", "data.spacing_mm=0.7"], true


def table(folder):
    """A lab's own DICOM films of two spacings, which their headers state, with boxes, masks and contours in turns."""
    folder.mkdir()
    rows, true = [], {}
    for number in range(20):
        patient, side = number // 2, ("left", "right")[number % 2]
        ill = patient % 2 == 1 and number % 2 == patient // 2 % 2
        pixels, (x, y, radius) = sketch(number, side, bright=ill)
        factor = 1 + patient % 3 // 2
        pixels = np.repeat(np.repeat(pixels, factor, 0), factor, 1)
        write_dicom(
            folder / f"{number}.dcm", pixels, ExplicitVRLittleEndian, ImagerPixelSpacing=[0.7 / factor] * 2,
            ImageLaterality=side[0].upper(), PatientID=f"P{patient}",
        )  # fmt: skip
        row = {"path": f"{number}.dcm", "patient": f"P{patient}", "severity": "malignant" if ill else "normal"}
        if ill:
            x, y, radius = ((one + 0.5) * factor - 0.5 for one in (x, y, radius))
            true[str(number)] = x, y, radius
            if patient % 5 < 2:
                row |= {"xmin": x - radius, "ymin": y - radius, "xmax": x + radius, "ymax": y + radius}
            elif patient % 5 == 2:
                row["contour"] = str([[float(a), float(b)] for a, b in fake_inbreast.contour(x, y, radius)])
            else:
                shown = mask((x, y, radius), height=HEIGHT * factor, width=WIDTH * factor)
                cv2.imwrite(str(folder / f"{number}.mask.png"), shown)
                row["mask"] = f"{number}.mask.png"
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "films.csv", index=False)
    return ["data=table", f"data.table={folder / 'films.csv'}"], true


def damaged(folder):
    """The same, with an empty mask and one that is inverted."""
    words, _ = table(folder)
    empty, inverted = sorted(folder.glob("*.mask.png"))[:2]
    cv2.imwrite(str(empty), np.zeros_like(cv2.imread(str(empty), cv2.IMREAD_UNCHANGED)))
    cv2.imwrite(str(inverted), 255 - cv2.imread(str(inverted), cv2.IMREAD_UNCHANGED))
    return words, empty.name.partition(".")[0], inverted.name


def test_an_empty_mask_makes_a_film_a_weak_positive_and_an_inverted_one_is_told(tmp_path, unreported):
    words, empty, inverted = damaged(tmp_path / "films")
    train(settings(*words), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert empty not in set(run.lesions["image_id"]) and empty in set(run.candidates["image_id"])
    notes = run.provenance["notes"]
    assert any(note.startswith(f"1 mask gives no place: image {empty}: ") for note in notes)
    assert any("1 mask seems to be inverted" in note and f"{inverted}: the mask covers 9" in note for note in notes)


def test_an_inverted_mask_is_told_before_regions_are_learnt_from_it(tmp_path):
    words, empty, inverted = damaged(tmp_path / "films")
    small = ["task=segmentation", "model=compact", "model.weights=null", "model.image_size=64", "data.batch_size=2"]
    prepared = prepared_of(resolved(*small, "augment=none", "split.shares=[0.5,0.2,0.3]", "data.audit=false", *words))
    assert any("1 mask seems to be inverted" in note and f"{inverted}: the mask" in note for note in prepared.notes)
    assert empty not in prepared.regions


def union(folder):
    """Boxes of one archive and contours of another one, each in pixels of its own films."""
    parts, true = [], {}
    for source in (vindr, inbreast):
        words, own = source(folder / source.__name__)
        parts.append({"name": source.__name__, "root": words[1].partition("=")[2]})
        true |= own
    said = json.dumps(parts).replace('"', "")
    sources = "data.severity_source=[pathology,birads]"
    return ["data=union", f"data.parts={said}", "data.spacing_mm=0.7", sources], true


OTHERS = [pytest.param(one, marks=pytest.mark.slow) for one in (cbis_ddsm, vindr, inbreast, union)]


@pytest.mark.parametrize("source", [table, *OTHERS])
def test_a_detector_trains_on_the_places_of_a_data_set_and_is_judged_by_them(source, tmp_path, unreported):
    words, true = source(tmp_path / "films")
    train(settings(*words), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    lesions, films = run.lesions.set_index("image_id"), pd.read_csv(run.path / "films.csv", dtype={"image_id": str})
    lesions = lesions.loc[lesions.index.intersection(list(true))]
    assert len(lesions) == len(true) >= 4
    expected = np.array([true[image] for image in lesions.index], float)
    assert np.abs(lesions[["x_px", "y_px"]].to_numpy(float) - expected[:, :2]).max() <= 1
    marks = run.candidates.merge(films, on="image_id")
    assert set(marks["image_id"]) == set(run.samples["image_id"])
    assert (marks["x_px"].between(0, marks["width"]) & marks["y_px"].between(0, marks["height"])).all()
    # A mark of brightness has the level of the film where it lies, so it was brought back to the film's own pixels.
    dataset, alike = open_dataset(run.config.data), []
    for image, own in marks[marks["head"] == "brightest_blob"].groupby("image_id"):
        if image in true:
            grey = dataset.read(image).grey()
            sigma = BLOB_MM / float(own["spacing_mm"].iloc[0])
            levels, breast = (cv2.GaussianBlur(one, (0, 0), sigma) for one in (grey, np.float32(grey > 0.1)))
            levels /= np.maximum(breast, 1e-3)
            at = own[["y_px", "x_px"]].to_numpy().round().astype(int).T
            alike.append(np.corrcoef(own["score"], levels[tuple(at)])[0, 1])
    assert len(alike) == len(true) and np.mean(alike) > 0.9


def rsna(folder):
    return "detection", fake_rsna.write(folder)


def cmmd(folder):
    folder.mkdir()
    return "malignant_lesions", fake_cmmd.write(folder)


@pytest.mark.parametrize(("source", "of"), [(rsna, fake_rsna), (cmmd, fake_cmmd)])
def test_an_archive_without_places_is_refused_before_a_film_is_cut(source, of, tmp_path, monkeypatch):
    monkeypatch.setattr(of, "EACH", 4)
    task, root = source(tmp_path / "films")
    monkeypatch.setattr(cutting, "find_breast", None)
    with pytest.raises(
        InputError, match=r"^no film has a finding of class \w+ with a place.*task=abnormality"
    ) as error:
        prepared_of(settings(f"task={task}", f"data={source.__name__}", f"data.root={root}"))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_odd_films_and_findings_are_used_or_left_out_and_no_run_is_lost(tmp_path, unreported):
    """A lab's words, patients of one breast, four views, and a film or finding of each kind that is easy to trip on."""
    rows = []
    for patient in range(10):
        for number, (side, view) in enumerate([("left", "MLO"), ("right", "MLO"), ("left", "CC"), ("right", "CC")]):
            ill = patient % 2 == 1 and side == "left"
            if (number and patient in (0, 3)) or (number > 1 and patient > 3):
                continue  # of some there is one breast, of others one view
            pixels, (x, y, radius) = sketch(10 * patient + number, side, bright=ill)
            name = f"{patient}{side[0]}{view}"
            cv2.imwrite(str(tmp_path / f"{name}.png"), pixels * 16)
            row = {"path": f"{name}.png", "patient": f"P{patient}", "laterality": side, "view": view,
                   "spacing_mm": 0.7, "Befund": "krank" if ill else "gesund"}  # fmt: skip
            rows.append(row | ({"x": x, "y": y, "radius": radius} if ill else {}))
    of = {row["path"][:-4]: row for row in rows}

    def resized(name, width, height):
        film = cv2.imread(str(tmp_path / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.resize(film, (width, height)))

    cv2.imwrite(str(tmp_path / "2rCC.png"), np.zeros((HEIGHT, WIDTH), np.uint8))  # no breast
    resized("0lMLO", 13, 16)  # smaller than a window
    resized("4rMLO", 1280, 1600)  # finer than the others
    of["4rMLO"]["spacing_mm"] = 0.07
    of["5lMLO"]["radius"] = None  # a point
    of["7lMLO"]["radius"] = 60  # reaches out of the film
    of["2lMLO"] |= {"Befund": None, "x": 40, "y": 80, "radius": 9}  # nobody knows what it is
    rows += [of["1lMLO"] | {"radius": of["1lMLO"]["radius"] + 1}]  # the same lesion by another reader
    table = pd.DataFrame(rows)
    small = table.index[table["path"] == "9lMLO.png"]
    edges = dict(zip(("xmin", "ymin", "xmax", "ymax"), table.loc[small[0], ["x", "y", "x", "y"]], strict=True))
    table.loc[small, ["x", "y", "radius"]] = np.nan
    table.loc[small, list(edges)] = [edges["xmin"], edges["ymin"], edges["xmax"] + 1, edges["ymax"] + 1]  # one pixel
    table.to_csv(tmp_path / "films.csv", index=False)
    words = ["task.classes=null", "task.column=Befund", "task.positive=[krank]", "data.name=table"]
    train(settings(*words, f"data.table={tmp_path / 'films.csv'}", "split.shares=[0.4,0.3,0.3]"), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert pd.read_csv(run.path / "unreadable.csv")["image_id"].tolist() == ["2rCC"]
    assert set(run.samples["image_id"]) == set(of) - {"2rCC", "2lMLO"}
    assert set(run.candidates["image_id"]) == set(run.samples["image_id"])
    assert run.lesions["image_id"].value_counts().to_dict() == {
        "1lMLO": 2, "1lCC": 1, "3lMLO": 1, "5lMLO": 1, "7lMLO": 1, "9lMLO": 1,
    }  # fmt: skip
    predictions = pd.read_csv(run.path / "predictions.csv", dtype={"image_id": str})
    assert np.isfinite(predictions["score"]).all() and set(predictions["label"]) == {"gesund", "krank"}
