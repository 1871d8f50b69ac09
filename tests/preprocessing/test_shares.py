"""Several processes fill one store: each film is cut once, and what a killed one leaves is finished by the others."""

import fcntl
import multiprocessing
import os
import signal
import time
from collections import Counter

import numpy as np
import pytest
from safetensors.torch import load_file

from mammo.datasets.film import Film
from mammo.datasets.findings import findings_table
from mammo.errors import UnreadableFilm
from mammo.files import locked
from mammo.preprocessing import cutting
from mammo.preprocessing.cache import Store
from mammo.preprocessing.cutting import Cutter, UnreadableFilms
from mammo.preprocessing.shards import OthersMissing, ShardCutter
from mammo.preprocessing.squares import Ask
from tests.preprocessing.test_crops import row

FILMS = [f"mdb{number:03d}" for number in range(1, 19)]
ASKS = [Ask("whole"), Ask("grid", 75, stride_px=75)]
FORK = multiprocessing.get_context("fork")


def film(image_id):
    """A small breast with a texture of its own."""
    y, x = np.mgrid[:256, :256]
    breast = (x / 125) ** 2 + ((y - 125) / 120) ** 2 <= 1
    pixels = np.where(breast, 120 + 80 * np.sin(x * (0.5 + FILMS.index(image_id) / 30)), 0)
    return Film.of(pixels.astype(np.uint8))


def table(films):
    return findings_table([row(FILMS.index(one) + 1) for one in films]).assign(laterality="left")


def asked(cutter, films=FILMS):
    rows = table(films)
    return [cutter(rows, [ask] * len(rows)) for ask in ASKS]


def cutter(home, read=film, of=Cutter, **how):
    return of(read, shown=32, margin=1.25, digest_of=lambda image_id: f"pixels of {image_id}", home=home, **how)


def content(home):
    """All arrays of a store by name; an array that was stored twice is an error."""
    found = {}
    for path in home.rglob("*.safetensors"):
        arrays = load_file(path)
        assert not found.keys() & arrays.keys()
        found |= arrays
    return found


def same(home, other):
    found, expected = content(home), content(other)
    return found.keys() == expected.keys() and all(found[key].equal(expected[key]) for key in expected)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Everything that one process makes."""
    home = tmp_path_factory.mktemp("alone")
    asked(cutter(home))
    return home


class Job:
    """Processes that start at the same time, as torchrun starts them; notes who read which film."""

    def __init__(self, home):
        self.home, self.read, self.started = home, FORK.SimpleQueue(), []

    def start(self, *numbers, of=3, die_at=None, together=None, find=asked):
        together = together or FORK.Barrier(len(numbers))
        for number in numbers:
            arguments = (number, of, die_at if number == 1 else None, together, find)
            self.started.append(FORK.Process(target=self._run, args=arguments))
            self.started[-1].start()

    def _run(self, number, of, die_at, together, find):
        os.environ |= {"TORCHELASTIC_RUN_ID": "1", "RANK": str(number), "WORLD_SIZE": str(of), "GROUP_WORLD_SIZE": "1",
                       "LOCAL_WORLD_SIZE": str(of)}  # fmt: skip
        films = []

        def slow(image_id):
            films.append(image_id)
            self.read.put((number, image_id))
            if len(films) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.02)
            return film(image_id)

        together.wait(30)
        find(cutter(self.home, slow))

    def end(self):
        for process in self.started:
            process.join(60)
        found = []
        while not self.read.empty():
            found.append(self.read.get())
        return [process.exitcode for process in self.started], found


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 0)  # each film is written at once
    return Job(tmp_path / "crops")


@pytest.mark.slow
def test_three_processes_cut_each_film_once_and_give_the_bytes_of_one(job, alone):
    job.start(0, 1, 2)
    status, films = job.end()
    first = [image_id for _, image_id in films]  # the grid asks again, so each film is read twice
    assert status == [0, 0, 0] and set(Counter(first).values()) == {2} and set(first) == set(FILMS)
    assert {number: len({one for who, one in films if who == number}) for number in range(3)} == {0: 6, 1: 6, 2: 6}
    assert same(job.home, alone)


@pytest.mark.parametrize("die_at", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_the_share_of_a_killed_process_is_finished_by_the_others(job, alone, die_at):
    job.start(0, 1, 2, die_at=die_at, find=lambda cutter: asked(cutter)[0])
    status, films = job.end()
    assert sorted(status) == [-signal.SIGKILL, 0, 0]
    lost = [image_id for number, image_id in films if number == 1][-1]
    others = Counter(image_id for number, image_id in films if number != 1)
    kept = [image_id for number, image_id in films if number == 1][:-1]
    counts = Counter(image_id for _, image_id in films)
    assert counts[lost] == 3  # once in vain; again, for both asks, by the others
    assert all(counts[one] == 2 for one in FILMS if one != lost) and all(others[one] == 1 for one in kept)
    assert same(job.home, alone) and not list(job.home.rglob("*.tmp"))


@pytest.mark.slow
def test_a_process_that_never_begins_leaves_nothing_undone(job, alone):
    job.start(0, 2)
    status, films = job.end()
    assert status == [0, 0] and set(Counter(one for _, one in films).values()) == {2}
    assert same(job.home, alone)


@pytest.mark.slow
@pytest.mark.parametrize("counts", [*(pytest.param(of, marks=pytest.mark.slow) for of in ((1, 1), (2, 3))), (1, 2)])
def test_jobs_of_any_number_of_processes_cut_each_film_once(job, alone, counts):
    together = FORK.Barrier(sum(counts))
    for of in counts:
        job.start(*range(of), of=of, together=together)
    status, films = job.end()
    assert set(status) == {0} and set(Counter(one for _, one in films).values()) == {2}
    assert same(job.home, alone)


@pytest.mark.slow
def test_without_locks_the_work_is_done_and_hardly_twice(job, monkeypatch):
    def none(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    job.start(0, 1, 2)
    status, films = job.end()
    assert status == [0, 0, 0] and max(Counter(one for _, one in films).values()) <= 6


def test_shares_come_with_the_own_one_first_and_those_that_are_held_last(tmp_path):
    store = Store(tmp_path)
    with locked(store.folder / "share-2-of-4.lock"):
        shares = store.shares(1, 4, {0, 1, 2, 3})
        assert [next(shares) for _ in range(3)] == [1, 3, 0]
        shares.close()
    assert list(store.shares(2, 4, {0, 3})) == [3, 0] and list(store.shares(0, 1, {0})) == [0]


def test_a_share_is_free_again_when_its_work_ends_in_an_error(tmp_path):
    home = tmp_path / "crops"

    def full(image_id):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space") as kept:
        asked(cutter(home, full))
    assert kept.tb is not None  # as an interactive session keeps the last traceback
    asked(cutter(home))  # else this waits for ever


# One shard alone


def shard(home, number, of=3, read=film):
    return cutter(home, read, ShardCutter, shard=(number, of))


def test_a_shard_cuts_its_films_alone_and_the_last_one_finds_all(tmp_path, alone):
    rows = table(FILMS)
    both = [*[ASKS[0]] * len(rows), *[ASKS[1]] * len(rows)]
    twice = rows.loc[[*rows.index, *rows.index]]
    films, left = [], []
    for number in (2, 0):
        one = shard(tmp_path, number, read=lambda image_id: films.append(image_id) or film(image_id))
        with pytest.raises(OthersMissing) as missing:
            one(twice, both)
        left.append(missing.value.images)
        assert one.images() == FILMS[number::3] == sorted(one.cut)
    assert left == [12, 6] and sorted(films) == sorted([*FILMS[2::3], *FILMS[0::3]])
    last = shard(tmp_path, 1)
    assert len(last(twice, both)) == 2 * len(rows) and same(tmp_path, alone)
    again = shard(tmp_path, 0, read=None)  # it reads nothing
    assert len(again(twice, both)) == 2 * len(rows) and not again.cut


def test_an_unreadable_film_is_noted_for_the_other_shards_and_tried_again_by_its_own(tmp_path):
    def torn(image_id):
        if image_id in FILMS[:2]:
            raise UnreadableFilm(f"{image_id} is torn")
        return film(image_id)

    rows = table(FILMS[:6])
    asks = [ASKS[0]] * len(rows)
    for number in (0, 1):
        with pytest.raises(OthersMissing):
            shard(tmp_path, number, read=torn)(rows, asks)
    with pytest.raises(UnreadableFilms) as lost:
        shard(tmp_path, 2, read=torn)(rows, asks)
    assert lost.value.reasons == {one: f"{one} is torn" for one in FILMS[:2]}
    mended = shard(tmp_path, 0)  # what it read in vain, it reads again
    with pytest.raises(UnreadableFilms) as lost:
        mended(rows, asks)
    assert list(lost.value.reasons) == FILMS[1:2] and mended.cut == {FILMS[0]}


def test_the_share_of_a_film_does_not_change_when_others_are_left_out(tmp_path):
    one = shard(tmp_path, 1)
    for films in (FILMS[:6], [*FILMS[1:6], *FILMS[6:9]]):
        with pytest.raises(OthersMissing):
            asked(one, films)
    assert one.images() == [FILMS[1], FILMS[4], FILMS[7]]
    assert np.all([one.share(image_id) == at % 3 for at, image_id in enumerate(FILMS[:9])])
