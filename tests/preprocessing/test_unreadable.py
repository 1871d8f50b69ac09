"""Films that cannot be used are left out up to a bound, named with their reason, and end nothing that is known."""

from dataclasses import replace

import pandas as pd
import pytest

from mammo.config import Config
from mammo.datasets.base import load_findings
from mammo.datasets.film import Film, file_digest
from mammo.datasets.labels import find_task
from mammo.datasets.mias import MIAS
from mammo.errors import InputError, UnreadableFilm
from mammo.preprocessing import crop_table
from mammo.preprocessing.crops import build_crop
from mammo.preprocessing.cutting import Cutter
from mammo.processes import workers
from mammo.training import prepare
from mammo.wording import count_notes
from tests.conftest import resolved
from tests.preprocessing.test_crops import archive, read

TORN = ("mdb001", "mdb004")  # one with two lesions, one normal


def cut(read, most, cache=None, name="lesion", digest=str):
    crop = build_crop(Config.of({"crop": {"name": name}}).crop)
    cutter = Cutter(read, shown=32, margin=1.0, digest_of=digest, home=cache)
    return crop_table.cut_samples(crop, archive(), cutter, find_task("abnormality"), seed=0, max_unreadable=most)


def torn(image_id):
    if image_id in TORN:
        raise UnreadableFilm(f"{image_id}.pgm: the film is truncated")
    return read(image_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cached", "cores"),
    [
        ("whole", False, 2),
        ("lesion", True, 1),
        pytest.param("whole", True, 1, marks=pytest.mark.slow),
        pytest.param("lesion", False, 1, marks=pytest.mark.slow),
    ],
)
def test_the_rest_is_as_if_the_unreadable_were_not_in_the_table(tmp_path, cached, name, cores, monkeypatch):
    monkeypatch.setattr(workers, "FEW", 8)
    monkeypatch.setattr(workers, "_cores", lambda **_: cores)
    found = cut(torn, 0.2, tmp_path if cached else None, name)
    rest = archive().loc[lambda table: ~table["image_id"].isin(TORN)]
    monkeypatch.setattr("tests.preprocessing.test_unreadable.archive", lambda: rest)
    honest = cut(read, 0, name=name)
    pd.testing.assert_frame_equal(found.table, honest.table)
    assert all((a == b).all() for a, b in zip(found.pixels, honest.pixels, strict=True))
    assert list(found.unreadable["image_id"]) == list(TORN) and found.unreadable["reason"].str.contains("trunc").all()
    assert any("2 unreadable images" in note and "mdb001" in note for note in found.notes)
    assert not set(TORN) & set(found.films["image_id"])


@pytest.mark.parametrize("name", ["whole", "grid"])
def test_images_that_are_made_in_turns_are_as_if_made_at_once(tmp_path, monkeypatch, name):
    at_once = cut(torn, 0.2, tmp_path, name)
    monkeypatch.setattr(crop_table, "AT_ONCE", 4)
    turns = cut(torn, 0.2, tmp_path, name)
    pd.testing.assert_frame_equal(turns.table, at_once.table)
    pd.testing.assert_frame_equal(turns.films, at_once.films)
    pd.testing.assert_frame_equal(turns.unreadable, at_once.unreadable)
    assert all((a == b).all() for a, b in zip(turns.pixels, at_once.pixels, strict=True))
    assert turns.notes == at_once.notes


def test_more_than_the_bound_is_one_error_and_what_was_cut_is_kept(tmp_path):
    with pytest.raises(InputError, match=r"2 of 10 .*data\.max_unreadable=0\.1 allows 1.*mdb001 .*mdb004"):
        cut(torn, 0.1, tmp_path, "whole")
    films = []
    cut(lambda image_id: films.append(image_id) or torn(image_id), 0.2, tmp_path, "whole")
    assert films and set(films) == set(TORN)  # in this process, because they are few


def test_a_film_that_cannot_be_named_or_shows_no_breast_is_unreadable(tmp_path):
    def named(image_id):
        return file_digest(tmp_path / "missing.dcm") if image_id == "mdb002" else image_id

    def black(image_id):
        film = read(image_id)
        return replace(film, pixels=film.pixels * 0) if image_id == "mdb006" else film

    found = cut(black, 0.2, tmp_path, "whole", named).unreadable
    assert dict(zip(found["image_id"], found["reason"].str.extract("(missing.dcm|no breast)")[0], strict=True)) == {
        "mdb002": "missing.dcm", "mdb006": "no breast",
    }  # fmt: skip


@pytest.mark.parametrize("cached", [False, True])
def test_notes_of_films_are_counted_and_remembered_with_their_squares(tmp_path, cached):
    def noted(image_id):
        return replace(read(image_id), notes=(f"white is level {255 + int(image_id[3:])}",))

    for _ in range(2 if cached else 1):
        found = cut(noted, 0, tmp_path if cached else None, "whole")
        assert [note for note in found.notes if "white" in note] == [
            "10 images (mdb001, mdb002, mdb003, ...): white is level 256 (numbers of the first; the others differ)"
        ]
        facts = ["image_id", "height", "width", "max_level", "spacing_mm", "notes"]
        assert list(found.films[facts].iloc[3]) == ["mdb004", 1024, 1024, 255, 0.2, "white is level 259"]


def test_a_note_is_counted_once_a_kind():
    assert count_notes({"a": ["inverted"], "b": ["inverted", "odd"], "c": []}) == [
        "2 images (a, b): inverted",
        "1 image (b): odd",
    ]


def test_a_damaged_film_of_mini_mias_stops_the_run(phantom, tmp_path):
    """The archive is known, so a film that differs from it is no film to pass over."""
    root = tmp_path / "films"
    root.mkdir()
    for file in phantom.root.iterdir():
        (root / file.name).symlink_to(file)
    (root / "mdb007.pgm").unlink()
    (root / "mdb007.pgm").write_bytes((phantom.root / "mdb007.pgm").read_bytes()[:-9])
    lines = ["data=phantom", f"data.root={root}", "data.patients=16", "data.max_unreadable=0.9", "data.cache=false"]
    config = resolved(*lines, "data.batch_size=4")
    dataset = type(phantom)(root=str(root), patients=16)
    findings = load_findings(dataset)
    with pytest.raises(InputError, match="mdb007"):
        prepare.prepare(dataset, findings, prepare.split_of(findings, config), config)
    with pytest.raises(InputError) as caught:
        MIAS.read(dataset, "mdb007")
    assert not isinstance(caught.value, UnreadableFilm)


class Torn:
    """The phantom, two of whose films are unreadable."""

    name, licence, citation = "torn", "none", "none"

    def __init__(self, whole):
        self.whole = whole

    def findings(self):
        return self.whole.findings()

    def read(self, image_id) -> Film:
        if image_id in TORN:
            raise UnreadableFilm(f"{image_id}: torn")
        return self.whole.read(image_id)

    def digest(self, image_id):
        return f"torn {image_id}" if image_id in TORN else self.whole.digest(image_id)

    def prepare(self):
        """The films are there."""


@pytest.mark.slow
def test_a_run_lists_what_it_left_out(job, phantom, monkeypatch, caplog):
    from mammo.runs import train

    monkeypatch.setattr(train, "open_dataset", lambda _: Torn(phantom))
    with caplog.at_level("INFO"):
        folder, _ = job("trainer.max_epochs=1", "data.max_unreadable=0.07", "heads=[]")
    listed = pd.read_csv(folder / "unreadable.csv")
    assert list(listed["image_id"]) == list(TORN) and (listed["reason"] == [f"{one}: torn" for one in TORN]).all()
    assert len(pd.read_csv(folder / "films.csv")) == 30
    assert "2 unreadable images" in (folder / "report.md").read_text()
    assert "unreadable.csv" in caplog.messages[-1] and "2 unreadable" in caplog.messages[-1]
