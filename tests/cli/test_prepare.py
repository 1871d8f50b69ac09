"""The films of a large archive are cut before a run, in shards; the run then reads none."""

import re

import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.cli.prepare import shard_of
from mammo.datasets.mias import MIAS
from mammo.errors import InputError, UnreadableFilm
from mammo.preprocessing import cutting
from mammo.processes import workers
from tests.conftest import SHARES

LINE = ["data=phantom", "data.patients=16", "data.batch_size=8", "model=compact", "model.image_size=32", SHARES]


class Killed(BaseException):
    """Stands for a signal that ends the process: nothing may catch it."""


def content(home):
    """Return all arrays of the cache by name, as bytes; an array that is there twice is an error."""
    found = {}
    for path in (home / "crops").rglob("*.safetensors"):
        arrays = load_file(path)
        assert not found.keys() & arrays.keys()
        found |= {name: array.tobytes() for name, array in arrays.items()}
    return found


class Films:
    """Notes which films are read; those in `torn` cannot be, and the process dies at that of number `dies_after`."""

    def __init__(self):
        self.read, self.torn, self.dies_after = [], set(), None

    def taken(self):
        """Return the films that were read since this was last asked."""
        read, self.read = self.read, []
        return read


@pytest.fixture
def films(monkeypatch, tmp_path):
    """Reads in this process, beginning with an empty cache."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    monkeypatch.setattr(workers, "_cores", lambda **_: 1)
    films, honest = Films(), MIAS.read

    def noted(self, image_id):
        films.read.append(image_id)
        if len(films.read) == films.dies_after:
            films.dies_after = None
            raise Killed
        if image_id in films.torn:
            raise UnreadableFilm(f"{image_id}.pgm is torn")
        return honest(self, image_id)

    monkeypatch.setattr(MIAS, "read", noted)
    return films


@pytest.fixture
def prepare(phantom):
    """Runs the command; returns its status and its lines."""

    def run(*words):
        done = CliRunner().invoke(app, ["data", "prepare", *LINE, f"data.root={phantom.root}", *words])
        return done.exit_code, done.output.splitlines()

    return run


@pytest.mark.slow
def test_a_shard_that_is_killed_loses_nothing_and_the_plain_command_does_what_is_missing(
    films, prepare, tmp_path, monkeypatch
):
    """The cache is byte for byte what one process makes."""
    assert prepare()[0] == 0
    alone = content(tmp_path)
    assert len(films.taken()) == 32
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "shared"))
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 0)  # each film is written at once
    assert prepare("--shard", "3/3")[0] == 0 and len(films.taken()) == 10
    films.dies_after = 4
    with pytest.raises(Killed):
        prepare("--shard", "1/3")
    assert len(films.taken()) == 4
    status, lines = prepare()
    assert status == 0 and lines[0].startswith("32 of 32 images: 19 cut") and len(films.taken()) == 32 - 10 - 3
    assert content(tmp_path / "shared") == alone


@pytest.mark.slow
def test_shards_are_cut_once_and_a_training_reads_no_film(films, prepare, job, unreported):
    found, read = [], []
    for number in (2, 1, 3):
        found.append(prepare("--shard", f"{number}/3"))
        read += films.taken()
    assert len(read) == len(set(read)) == 32
    assert [status for status, _ in found] == [0, 0, 0]
    said = r"shard 2 of 3: 11 of 32 images: 11 cut \(.* a second\), 0 were there, 0 unreadable"
    assert re.match(said, found[0][1][0])
    assert found[0][1][1] == "21 images of other shards are not there yet; this one is done"
    assert found[2][1][1].startswith("all squares are in the cache")
    status, lines = prepare("--shard", "1/3")
    assert status == 0 and lines[0] == "shard 1 of 3: 11 of 32 images: 0 cut, 11 were there, 0 unreadable"
    job("trainer.max_epochs=1", "heads=[]")
    assert films.taken() == []
    prepare("--shard", "1/3", "crop.bits=16")  # other squares
    assert len(films.taken()) == 11


@pytest.mark.slow
def test_a_crop_that_asks_in_rounds_says_so_and_is_run_again(films, prepare, job):
    words = ["crop=lesion", "seed=1"]
    first = [prepare(*words, "--shard", f"{number}/2") for number in (1, 2)]
    assert [status for status, _ in first] == [0, 0]
    assert "crop=lesion" in first[0][1][1] and first[0][1][1].endswith("run this again when all shards have ended")
    second = [prepare(*words, "--shard", f"{number}/2") for number in (1, 2)]
    assert second[1][1][1].startswith("all squares are in the cache")
    read = films.taken()
    assert len(read) == len(set(read))  # lesions in the first round, backgrounds in the second
    job(*words, "trainer.max_epochs=1", "heads=[]")
    assert films.taken() == []


@pytest.mark.slow
def test_all_is_cut_without_a_shard(films, prepare, job):
    status, lines = prepare("crop=lesion")
    assert status == 0 and lines[1].startswith("all squares are in the cache")
    films.taken()
    assert "0 cut" in prepare("crop=lesion", "--shard", "1/1")[1][0]
    job("crop=lesion", "trainer.max_epochs=1", "heads=[]")
    assert films.taken() == []


@pytest.mark.slow
def test_unreadable_films_are_listed_at_the_end_and_stop_nothing(films, prepare):
    films.torn |= {"mdb001", "mdb004"}  # both of the first shard
    status, lines = prepare("--shard", "1/3")
    assert status == 1 and len(films.taken()) == 11
    assert lines[0].startswith("shard 1 of 3: 11 of 32 images: 9 cut") and lines[0].endswith("2 unreadable")
    assert lines[1:3] == [f"unreadable: {name}.pgm is torn" for name in ("mdb001", "mdb004")]
    assert "data.max_unreadable=0.05 allows 0 of them" in lines[-1]
    assert prepare("--shard", "1/3", "data.max_unreadable=0.2")[0] == 0
    assert films.taken() == ["mdb001", "mdb004"]  # tried again, as it may have been the disk
    assert [prepare("--shard", f"{number}/3")[0] for number in (2, 3)] == [0, 0]  # the torn ones are not theirs
    status, lines = prepare("--shard", "3/3")
    assert status == 0 and lines[1].startswith("all squares are in the cache")


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_a_shard_out_of_range_is_one_line(shard):
    with pytest.raises(InputError, match=rf"^--shard {shard}: .*1 to the") as told:
        shard_of(shard)
    assert "\n" not in str(told.value)


def test_shards_are_counted_from_one():
    assert shard_of(None) is None and shard_of("3/64") == (2, 64) and shard_of("64/64") == (63, 64)


@pytest.mark.parametrize("words", [["data.cache=false"], ["--shard", "9/3"], ["model.nome=3"], ["data.batch_size=999"]])
def test_wrong_words_are_told_before_a_film_is_read(films, prepare, words):
    status, _ = prepare(*words)
    assert status == 2 and films.taken() == []
