"""A laboratory's own table of films is trained on from the command line, with its own names of columns and words."""

import shlex
import sys

import cv2
import pytest

from mammo.datasets.table import Table
from mammo.testing import check_dataset

WORDS = {"normal": "gesund", "benign": "harmlos", "malignant": "bösartig"}


@pytest.fixture(scope="module")
def lab(phantom, tmp_path_factory):
    """A folder with phantom films as PNG of 16 bits and a table as a spreadsheet program in Germany saves it."""
    folder = tmp_path_factory.mktemp("lab")
    found = phantom.findings()
    (folder / "Filme").mkdir()
    for image_id in found["image_id"].unique():
        film = cv2.resize(phantom.read(image_id).pixels, (256, 256), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / "Filme" / f"{image_id}.png"), film.astype("uint16") * 257)
    table = found[["laterality", "view"]].assign(
        Datei="Filme\\" + found["image_id"] + ".png",
        Nummer=found["patient"],
        Befund=found["severity"].map(WORDS),
        x=found["x_px"] / 4,
        y=found["y_px"] / 4,
        radius=found["radius_px"] / 4,
        Abstand="0,8",
    )
    table.to_csv(folder / "Tabelle ä.csv", sep=";", index=False, encoding="cp1252", lineterminator="\r\n")
    return folder


@pytest.fixture(scope="module")
def line(lab):
    words = [f"data.values.severity.{theirs}={ours}" for ours, theirs in WORDS.items()]
    return ["data=table", f"data.table={lab / 'Tabelle ä.csv'}", "data.columns.patient=Nummer",
            "data.columns.spacing=Abstand", *words]  # fmt: skip


def test_phantom_films_in_a_labs_table_fulfil_the_contract_and_keep_their_circles(lab, phantom):
    dataset = Table(
        str(lab / "Tabelle ä.csv"),
        columns={"patient": "Nummer", "spacing": "Abstand"},
        values={"severity": {theirs: ours for ours, theirs in WORDS.items()}},
    )
    check_dataset(dataset)
    found, drawn = dataset.findings(), phantom.findings()
    for column in ("image_id", "finding_id", "patient", "severity", "laterality", "view"):
        assert found[column].tolist() == drawn[column].tolist(), column
    assert (found["x_px"] * 4).fillna(-1).tolist() == drawn["x_px"].fillna(-1).tolist()


@pytest.mark.slow
def test_a_labs_table_is_trained_on_and_the_report_says_what_was_understood(line, tmp_path, monkeypatch):
    from mammo.api import Run
    from mammo.cli.train import checked
    from mammo.runs import job
    from mammo.runs.compose import config_of

    settings = ["model=compact", "model.image_size=32", "trainer.max_epochs=1", "heads=[]", "data.workers=0",
                "data.batch_size=4", "crop=whole"]  # fmt: skip
    words = checked([*line, *settings])
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), tmp_path / "run", {}, of_sweep=True)
    run = Run(tmp_path / "run")
    assert run.metrics("test") and run.config.data.columns["patient"] == "Nummer"
    assert any("bösartig is malignant" in note for note in run.provenance["notes"])
    text = (tmp_path / "run" / "report.md").read_text()
    assert "Befund is severity" in text
    command = shlex.split(text.partition("Command: `")[2].partition("`\n")[0])
    assert command[:2] == ["mammo", "train"] and config_of(command[2:], {}).data.table == run.config.data.table
