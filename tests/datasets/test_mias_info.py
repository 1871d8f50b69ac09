"""Copies of mini-MIAS: where their films lie, and what their Info.txt says differently from the original."""

import os
import re
import tarfile

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.config import DataConfig
from mammo.datasets.base import choose_images
from mammo.datasets.film import pixel_digest, write_pgm
from mammo.datasets.mias import MIAS
from mammo.datasets.mias_info import compared, fingerprint, parse_info, rows_of
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError

INFO = """\
mdb001 G CIRC B 535 425 197
mdb002 D NORM
mdb003 F CALC B 10 20 30
mdb003 F CALC M 40 1023 6
mdb004 F ARCH M *NOTE 3*
"""
PINNED = {name: fingerprint(said) for name, said in rows_of(parse_info(INFO)).items()}


def repacked(text, normal=()):
    """Return Info.txt as it goes round: a header, no notes, blanks at the ends, and some films made normal."""
    lines = ["REFNUM BG CLASS SEVERITY X Y RADIUS"]
    for line in re.findall(r"^mdb\d+.*$", text, re.MULTILINE):
        words = line.replace("*NOTE 3*", "").split()
        words = [*words[:2], "NORM"] if words[0] in normal else words
        lines.append(" ".join(words) + " " * 2 * (len(words) < 7))
    return "\n".join(lines) + "\n"


class Copy(MIAS):
    """A copy of four films whose original is known."""

    @property
    def manifest_path(self):
        return self.root / "manifest.csv"


@pytest.fixture
def copy(tmp_path):
    lines = ["image_id,sha256,rows"]
    (tmp_path / "all-mias").mkdir()
    for number, (name, rows) in enumerate(PINNED.items(), start=1):
        pixels = np.full((1024, 1024), number, np.uint8)
        pixels[0] = 9
        write_pgm(tmp_path / "all-mias" / f"{name}.pgm", pixels)
        lines.append(f"{name},{pixel_digest(pixels)},{rows}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    (tmp_path / "all-mias" / "Info.txt").write_text(repacked(INFO, normal=["mdb001"]))
    return Copy(root=str(tmp_path))


def said(text):
    return compared(text.encode(), parse_info(text), PINNED)


# --- what is said of an Info.txt


def test_another_layout_of_the_same_rows_is_said_to_have_the_same_rows():
    for text in (repacked(INFO), INFO.replace("\n", "\r\n"), "some header\n" + INFO):
        (note,) = said(text)
        assert "another edition" in note and "same rows" in note


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (repacked(INFO, normal=["mdb001"]), "mdb001 is NORM here"),
        (repacked(INFO, normal=["mdb001", "mdb004"]), "mdb001 and mdb004 are NORM here"),
        (INFO.replace("425", "599"), "mdb001 is `G CIRC B 535 599 197` here"),  # y counted from the top
        (INFO.replace("mdb003 F CALC M 40 1023 6\n", ""), "mdb003 is `F CALC B 10 20 30` here"),  # a second row dropped
        (INFO.replace("mdb002 D", "mdb002 F"), "mdb002 is `F NORM` here"),  # normal in both
        (INFO.replace("mdb002 D NORM\n", ""), "it has no row of mdb002"),
        (INFO + "mdb005 F NORM\n", "it adds mdb005"),
    ],
)
def test_a_film_whose_rows_differ_is_named_with_what_stands_there(text, what):
    (note,) = said(text)
    assert note.startswith("**Info.txt differs from the original: ") and what in note


def test_of_many_films_a_few_are_described_and_the_others_counted():
    text = "".join(f"mdb{number:03d} G CIRC B 500 {number} 9\n" for number in range(1, 101))
    pinned = {f"mdb{number:03d}": "other" for number in range(1, 101)}
    (note,) = compared(text.encode(), parse_info(text), pinned)
    assert "mdb004 is `G CIRC B 500 4 9` here" in note and "the rows of 96 more films differ" in note
    assert len(note) < 400


def test_nothing_is_said_where_no_original_is_known(phantom):
    phantom.findings()
    assert phantom.notes == []
    assert compared(b"other", parse_info(INFO), {}) == []


def test_a_repacked_phantom_is_read_with_the_same_rows(phantom, tmp_path):
    for path in phantom.root.glob("*.*"):
        os.link(path, tmp_path / path.name) if path.name != "Info.txt" else None
    text = (phantom.root / "Info.txt").read_text()
    (tmp_path / "Info.txt").write_text(f"{phantom.drawn}\n" + repacked(text, normal=["mdb002"]))
    copied = Phantom(root=str(tmp_path), patients=16)
    found, original = copied.findings(), phantom.findings()
    changed = original["image_id"] == "mdb002"
    assert changed.sum() > 0 and set(original.loc[changed, "finding"]) != {"NORM"}
    assert found.loc[found["image_id"] == "mdb002", "severity"].tolist() == ["normal"]
    columns = [name for name in found if name not in ("path", "mask_path")]
    kept = found.loc[found["image_id"] != "mdb002", columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, original.loc[~changed, columns].reset_index(drop=True))


# --- where the films lie


def test_films_in_a_folder_below_the_root_are_read_and_the_notes_reach_a_run(copy):
    copy.prepare()
    chosen = choose_images(copy, DataConfig())
    assert chosen.findings["severity"].tolist() == ["normal", "normal", "benign", "malignant", "malignant"]
    assert "mdb001 is NORM here" in chosen.notes[0] and len(chosen.notes) == 1
    assert copy.read("mdb003").pixels[5, 5] == 3
    assert choose_images(copy, DataConfig()).notes == chosen.notes, "said once"


def test_info_txt_may_lie_above_the_films(copy):
    (copy.root / "all-mias" / "Info.txt").rename(copy.root / "Info.txt")
    assert len(copy.findings()) == 5 and copy.read("mdb004").pixels[5, 5] == 4


def test_the_folder_itself_may_be_named(copy):
    (copy.root / "manifest.csv").rename(copy.root / "all-mias" / "manifest.csv")
    assert len(Copy(root=str(copy.root / "all-mias")).findings()) == 5


def test_verify_says_what_differs(copy):
    done = CliRunner().invoke(app, ["data", "verify", f"{__name__}.Copy", "--root", str(copy.root)])
    assert "4 films" in done.output and "mdb001 is NORM here" in done.output


def test_a_tar_of_a_copy_is_unpacked(copy, tmp_path):
    with tarfile.open(tmp_path / "all-mias.tar", "w") as tar:
        tar.add(copy.root / "all-mias", "all-mias")
    made = MIAS(root=str(tmp_path / "films"), archive=str(tmp_path / "all-mias.tar"))
    made.prepare()
    assert sorted(path.name for path in made.films.iterdir())[-2:] == ["mdb003.pgm", "mdb004.pgm"]


def test_a_folder_with_the_tar_alone_is_told_to_name_it(tmp_path):
    (tmp_path / "all-mias.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"data\.archive=.*all-mias\.tar"):
        MIAS(root=str(tmp_path)).prepare()


# --- the real archive


@pytest.fixture
def films(mias, tmp_path):
    """The real films without their Info.txt, in a folder as a copy has it."""
    (tmp_path / "all-mias").mkdir()
    for path in mias.root.glob("*.pgm"):
        os.link(path, tmp_path / "all-mias" / path.name)
    return tmp_path


@pytest.mark.realdata
def test_the_original_is_recognised(mias):
    mias.findings()
    assert mias.notes == []


@pytest.mark.realdata
def test_the_widespread_copy_is_read_and_its_two_changed_films_are_named(mias, films):
    text = (mias.root / "Info.txt").read_text()
    (films / "all-mias" / "Info.txt").write_text(repacked(text, normal=["mdb212", "mdb214"]))
    copied = MIAS(root=str(films))
    found, original = copied.findings(), mias.findings()
    assert re.sub(r"\(SHA.*", "", copied.notes[0]) == (
        "**Info.txt differs from the original: mdb212 and mdb214 are NORM here** "
    )
    columns = [name for name in found if name not in ("path", "mask_path")]
    differ = ~(found[columns].astype(object).fillna(-1) == original[columns].astype(object).fillna(-1)).all(axis=1)
    assert found.loc[differ, "image_id"].tolist() == ["mdb212", "mdb214"]
    assert set(original.loc[differ, "severity"]) == {"benign"}
    assert copied.read("mdb212").pixels.shape == (1024, 1024)


@pytest.mark.realdata
def test_the_same_rows_in_another_layout_are_recognised(mias, films):
    text = (mias.root / "Info.txt").read_text()
    (films / "all-mias" / "Info.txt").write_text(repacked(text))
    copied = MIAS(root=str(films))
    assert copied.findings().drop(columns="path").equals(mias.findings().drop(columns="path"))
    assert len(copied.notes) == 1 and "with the same rows" in copied.notes[0]
