"""Long work says how far it has come, short work says nothing."""

import logging

import pytest
from rich.console import Console

from mammo.processes import peers, progress
from mammo.processes.peers import Peers
from mammo.processes.progress import span, watched


@pytest.fixture
def work(monkeypatch):
    """So many films, each of so many seconds; returns what the log says."""

    def done(caplog, films, seconds):
        now = [0.0]
        monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

        def results():
            for number in range(films):
                now[0] += seconds
                yield number

        caplog.clear()
        with caplog.at_level(logging.INFO):
            assert list(watched(results(), films, "Cutting films")) == list(range(films))
        return [record.getMessage() for record in caplog.records]

    return done


def test_a_line_comes_after_a_tenth_of_the_films_with_the_speed_and_the_time_to_go(work, caplog):
    lines = work(caplog, 1000, 1.0)
    assert len(lines) == 9
    assert lines[0].startswith("Cutting films: 100 of 1000, 1.0 a second, 15 min 00 s to go")


def test_at_most_one_line_a_minute_and_at_least_one_in_ten(work, caplog):
    assert len(work(caplog, 1000, 0.2)) == 3  # 200 s
    assert 10 <= len(work(caplog, 1000, 20)) <= 34  # five hours and a half


@pytest.mark.parametrize(("films", "seconds"), [(1000, 0.05), (99, 10)])
def test_short_work_and_few_films_say_nothing(work, caplog, films, seconds):
    assert work(caplog, films, seconds) == []


def test_only_the_first_process_of_a_job_says_something(work, caplog, monkeypatch):
    for rank, lines in ((1, 0), (0, 9)):
        monkeypatch.setattr(peers, "peers", lambda rank=rank: Peers("srun", rank, 2, 1))
        assert len(work(caplog, 1000, 1.0)) == lines


def test_a_terminal_gets_a_bar_with_the_speed_and_the_time_to_go(monkeypatch, capsys):
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True, width=100, no_color=True)
    )
    assert list(watched(iter(range(100)), 100, "Cutting films")) == list(range(100))
    shown = capsys.readouterr().err
    assert "Cutting films" in shown and "/100" in shown and "to go" in shown


def test_a_span_of_time_is_told_in_two_units():
    assert [span(one) for one in (5, 65, 3600, 7500)] == ["5 s", "1 min 05 s", "1 h 00 min", "2 h 05 min"]
