"""A signature that was planted is found, and where nothing tells the label but tissue, none is found."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.auditing.signatures import find_signatures
from mammo.cli.main import app
from mammo.datasets.dicom_file import write_dicom
from mammo.errors import InputError


@pytest.fixture
def drawn(tmp_path):
    """Return a function that draws 80 films of 40 patients, whose positive ones are changed."""

    def draw(change=lambda film: film):
        rng, rows = np.random.default_rng(0), []
        for number in range(80):
            film = np.zeros((120, 100), np.uint8)
            cv2.circle(film, (0, 60), 45, 120, -1)
            film = cv2.add(film, rng.integers(0, 30, film.shape).astype(np.uint8))
            positive = (number // 2) % 2
            path = tmp_path / f"{number}.png"
            cv2.imwrite(str(path), change(film) if positive else film)
            rows.append((str(path), f"P{number // 2}", "malignant" if positive else "benign"))
        return pd.DataFrame(rows, columns=["path", "patient", "label"])

    return draw


def larger(film):
    return cv2.copyMakeBorder(film, 0, 4, 0, 0, cv2.BORDER_REPLICATE)


def framed(film):
    return cv2.rectangle(film, (0, 0), (99, 119), 255, 2)


def labelled(film):
    return cv2.putText(film, "CAD", (60, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 250, 2)


@pytest.mark.parametrize(
    ("change", "told"), [(larger, "image size"), (framed, "border"), (labelled, "burnt-in text"), (None, "")]
)
def test_a_signature_is_found_where_it_was_planted(drawn, change, told):
    found = find_signatures(drawn(change) if change else drawn(), "malignant")
    assert found.found == bool(told)
    if told:
        assert found.scores[told].low > 0.8 and list(found.lines())[-1].startswith("signature: the label can be told")
    else:
        assert all(value.low <= 0.5 for value in found.scores.values())


@pytest.mark.parametrize("tags", [{"Manufacturer": "B"}, {"ManufacturerModelName": "Two"}, {"KVP": "31"}])
def test_another_scanner_is_found_by_the_header_alone(drawn, tmp_path, tags):
    table, usual = drawn(), {"Manufacturer": "A", "ManufacturerModelName": "One", "KVP": "29"}
    for row, label in enumerate(table["label"]):
        pixels = cv2.imread(table["path"][row], cv2.IMREAD_GRAYSCALE)
        table.loc[row, "path"] = path = str(tmp_path / f"{row}.dcm")
        write_dicom(path, pixels, "1.2.840.10008.1.2.1", **usual | (tags if label == "malignant" else {}))
    found = find_signatures(table, "malignant")
    assert found.scores["header"].low > 0.8 and found.scores["image size"].low <= 0.5
    assert "scanner, PhotometricInterpretation and KVP" in next(found.lines())


def test_few_patients_are_refused_and_a_film_that_cannot_be_read_is_listed(drawn):
    table = drawn(framed)
    with pytest.raises(InputError, match="10 patients or more of class malignant, found 4"):
        find_signatures(table.iloc[:16], "malignant")
    Path(table["path"][0]).write_bytes(b"")
    assert len(find_signatures(table, "malignant").unreadable) == 1


def test_the_labels_of_a_table_are_those_of_a_task(drawn, tmp_path):
    table = drawn(framed).rename(columns={"label": "severity"})
    table.to_csv(tmp_path / "films.csv", index=False)
    told = CliRunner().invoke(app, ["audit", "signatures", str(tmp_path / "films.csv"), "task=malignancy"])
    assert told.exit_code == 1 and "compared: 80 images of 40 patients, 40 of them malignant" in told.stdout, (
        told.output
    )
