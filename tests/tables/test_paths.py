"""Paths of a table are found the quick way, if nothing is odd about a word, exactly as the slow way finds them."""

import random
import re

import pandas as pd
import pytest

from mammo.tables import paths
from mammo.tables.paths import modes_of, names_of, paths_of

PIECES = [
    "a",
    "x.y",
    ".h",
    "s",
    "t",
    "link",
    "..",
    ".",
    "",
    "1",
    "1.dcm",
    "1.DCM",
    "2.dcm",
    "2.Dcm",
    ".4",
    "end.",
    "~",
    "Ä",
]


@pytest.fixture
def folder(tmp_path):
    for name in ("a/1.dcm", "a/2.DCM", "a/.4", "x.y/1", "s/t/end.", "1.DCM", ".h/1.dcm", "Ä/1.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "s" / "t")
    return tmp_path


@pytest.mark.parametrize("inner", ["", "link/..", "a/.."])
def test_the_quick_way_finds_what_the_slow_way_finds(folder, inner, monkeypatch):
    draw = random.Random(0)
    words = ["/".join(draw.choice(PIECES) for _ in range(draw.randint(1, 3))) for _ in range(1500)]
    words += [f"{folder}/{word}" for word in words[:300]]
    quick = paths_of(pd.Series([*words, None], dtype="string"), folder / inner)
    monkeypatch.setattr(paths, "PLAIN", re.compile("(?!)"))
    slow = paths_of(pd.Series([*words, None], dtype="string"), folder / inner)
    assert quick.tolist() == slow.tolist() and quick.isna().sum() == 1


def test_a_path_comes_with_the_mode_of_its_file(folder):
    found = modes_of(pd.Series(["a/1.dcm", "a/2.dcm", "a/3.dcm", "a"], dtype="string"), folder)
    assert [path for path, _ in found.values()] == [f"{folder}/a/{name}" for name in ("1.dcm", "2.DCM", "3.dcm")] + [
        f"{folder}/a"
    ]
    assert [mode >> 12 for _, mode in found.values()] == [8, 8, 0, 4]  # files, nothing, a folder


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["1.dcm", "1.png", "2.png"], ["1.dcm", "1.png", "2.png"]),
        (["left.dcm", "left.tif"], ["left.dcm", "left.tif"]),
        (["1.dcm", "a/1.dcm"], ["1", "a_1"]),
        (["1.dcm", "/a/1.dcm"], ["1", "_a_1"]),
        (["/1.dcm", "/1.png"], ["1.dcm", "1.png"]),
        (["a/x/1.dcm", "a/y/1.dcm"], ["x_1", "y_1"]),
        (["ab/1.dcm", "ac/1.dcm"], ["ab_1", "ac_1"]),
        (["ä.dcm", "ä.tif", "链/影像.png"], ["ä.dcm", "ä.tif", "链_影像.png"]),
        (["left.dcm"], ["left"]),
        (["d/A.dcm", "d/a.dcm"], ["d/A.dcm", "d/a.dcm"]),
        (["/d/a_b.dcm", "/d/a/b.dcm", "/d/a/b.tif"], ["a_b.dcm", "a/b.dcm", "a/b.tif"]),
    ],
)
def test_names_of_bare_names_and_of_any_folder_are_whole_and_differ(given, expected):
    found = names_of(pd.Series(given, dtype="string")).tolist()
    assert len(set(found)) == len(given) and found == expected


def test_names_are_the_shortest_that_differ():
    def names(*given):
        return names_of(pd.Series([f"/d/{one}" for one in given], dtype="string")).tolist()

    assert names("a/1.dcm", "a/2.dcm", "a/.3") == ["1", "2", ".3"]
    assert names("a/1.dcm", "b/1.dcm") == ["a_1", "b_1"]
    assert names("a/1.dcm", "a/1.png") == ["1.dcm", "1.png"]
    assert names("a/b_1.dcm", "a_b/1.dcm", "a/b/1.dcm") == ["a/b_1.dcm", "a_b/1.dcm", "a/b/1.dcm"]
