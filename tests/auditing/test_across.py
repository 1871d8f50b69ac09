"""The audit before training names images that are one under two names, and says which of them the split parts."""

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from mammo.auditing import duplicates, hashes
from mammo.auditing.across import audit_across
from mammo.auditing.duplicates import correlation
from mammo.auditing.hashes import read_grey
from mammo.auditing.sources import Films
from mammo.datasets.example import write_dicom
from mammo.datasets.findings import STRING

UIDS = {"StudyInstanceUID": "1.2.3.4", "SOPInstanceUID": "1.2.3.4.5"}


@pytest.fixture
def audited(tmp_path, phantom):
    """Audit films: a file each, its data set, part and patient; a number stands for that film of the phantom."""

    def paths(files):
        for place, file in enumerate(files):
            yield str(phantom.root / f"mdb{file:03d}.pgm" if isinstance(file, int) else tmp_path / file), place

    def start(files, datasets, parts, patients=None, *, within=False):
        rows = [
            {"name": f"i{place}", "image_id": f"i{place}", "path": path, "split": part, "patient": patient}
            for (path, place), part, patient in zip(
                paths(files), parts, patients or [f"p{place}" for place in range(len(files))], strict=True
            )
        ]
        films = Films(pd.DataFrame(rows, dtype=STRING), [], tmp_path)
        return audit_across(films, pd.Series(datasets, dtype=STRING), pd.Series(within, range(len(datasets))))

    return start


def mirrored(phantom, number, path):
    cv2.imwrite(str(path), np.ascontiguousarray(read_grey(phantom.root / f"mdb{number:03d}.pgm")[:, ::-1]))


@pytest.mark.slow
def test_a_copy_in_another_data_set_is_named_and_leaks_in_another_part(audited, phantom, tmp_path):
    mirrored(phantom, 1, tmp_path / "x.png")
    mirrored(phantom, 2, tmp_path / "y.png")
    found = audited([1, 2, 3, "x.png", "y.png"], [*"aaabb"], ["train", "train", "test", "test", "train"])
    assert (found.pixels, found.exams) == ([("i0", "i3")], [])
    first, second = found.notes
    assert first == "audit across a and b: 5 images, 6 pairs"
    assert second.startswith("**2 pairs of images are the same by their pixels or headers, 1 of them in two parts")
    assert "i0 (a, train) and i3 (b, test): correlation 1.000, mirrored" in second
    assert "i1 (a, train) and i4 (b, train)" in second and not any("p0" in note for note in found.notes)


def test_copies_within_a_data_set_count_only_where_the_split_came_with_it(audited, phantom, tmp_path):
    mirrored(phantom, 1, tmp_path / "x.png")
    given = [1, 2, "x.png"], [*"aaa"], ["train", "train", "test"]
    assert audited(*given).pixels == []
    found = audited(*given, within=True)
    assert (
        found.pixels == [("i0", "i2")]
        and found.notes[0] == "audit across the parts of the split of a: 3 images, 2 pairs"
    )


def test_one_acquisition_and_one_exam_are_known_by_their_uids(audited, tmp_path):
    rng = np.random.default_rng(0)
    for name, tags in {"a": UIDS, "b": UIDS, "c": UIDS | {"SOPInstanceUID": "1.2.3.4.6"}, "d": {}}.items():
        pixels = rng.integers(0, 4096, (64, 48)).astype(np.uint16)  # the pixels of one acquisition were changed
        write_dicom(tmp_path / name, pixels, ExplicitVRLittleEndian, **tags)
    found = audited([*"abcd"], [*"xyyy"], ["train", "test", "val", "test"], ["p", "p", "q", "r"])
    assert (found.pixels, found.exams) == ([("i0", "i1")], [("i0", "i2")])
    assert "i0 (x, train) and i1 (y, test): one SOPInstanceUID" in found.notes[1]
    assert found.notes[2].startswith("**1 pairs of images are of one exam by their headers, but of two patients")


def test_what_cannot_be_seen_is_counted_and_what_is_distinct_is_said(audited, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no film")
    found = audited(["bad.png", 1, 2], [*"aab"], ["train"] * 3)
    assert found.pixels == [] and found.notes == [
        "audit across a and b: 2 images, 1 pair; none has the same pixels or the same acquisition",
        "the audit could not see the pixels of 1 image, i0 for example; the same picture may be in two parts",
    ]
    said = audited(["bad.png", "gone.png"], [*"ab"], ["train", "test"]).notes
    assert said[0] == "audit across a and b: 0 images, 0 pairs" and said[1].startswith("the audit could not see")


def test_the_copies_of_an_image_that_lie_in_two_parts_make_its_pair_a_leak(audited, phantom, tmp_path):
    mirrored(phantom, 1, tmp_path / "x.png")
    assert audited([1, "x.png"], [*"ab"], ["test+train", "test"]).pixels == [("i0", "i1")]
    assert audited([1, "x.png"], [*"ab"], ["test", "test"]).pixels == []


def test_films_are_read_once_and_kept_by_the_source_of_each(phantom, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(hashes, "read_grey", lambda path: seen.append(path.stem) or read_grey(path))
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    paths = [phantom.root / f"mdb{number:03d}.pgm" for number in (1, 2, 3)]
    sources = [tmp_path / "a", tmp_path / "b", tmp_path / "a"]
    for part in ([0, 1], [2]):  # those that are not asked for are kept
        hashes.records_of([paths[at] for at in part], [sources[at] for at in part])
    found, reasons = hashes.records_of(paths, sources)
    assert sorted(seen) == ["mdb001", "mdb002", "mdb003"] and not reasons
    assert len(np.unique(found["key"])) == 3
    again, _ = hashes.records_of(paths[::-1], sources[::-1])
    assert all(np.array_equal(again[name], found[name][::-1]) for name in ("key", "hashes", "thumb"))


def test_placeholders_in_headers_are_no_leak_and_a_note_counts_them(audited, tmp_path):
    """A program may write the same UIDs into all its files."""
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(0, 4096, (64, 48)).astype(np.uint16)
        write_dicom(tmp_path / f"{number}", pixels, ExplicitVRLittleEndian, **UIDS)
    found = audited([f"{number}" for number in range(20)], [*"ab"] * 10, ["train"] * 10 + ["test"] * 10)
    assert (found.pixels, found.exams) == ([], [])
    said = "is not used; i0 for example"
    assert found.notes[1:] == [
        f"the SOPInstanceUID of 20 images is that of several images of one data set, and {said}",
        f"the StudyInstanceUID of 20 images is that of more than 3 patients, and {said}",
    ]


def test_the_number_of_a_leak_counts_pairs_of_images(audited, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = rng.integers(0, 4096, (64, 48)).astype(np.uint16)
        tags = UIDS | {"SOPInstanceUID": f"1.2.{number}"}
        write_dicom(tmp_path / f"{number}", pixels, ExplicitVRLittleEndian, **tags)
    found = audited([*"01234"], [*"aaabb"], ["train"] * 3 + ["test"] * 2, ["p", "p", "p", "q", "q"])
    assert len(found.exams) == 6 and found.notes[1].startswith("**6 pairs of images are of one exam")


def test_films_are_compared_once_and_a_damaged_file_of_pairs_is_made_again(audited, phantom, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    mirrored(phantom, 1, tmp_path / "x.png")
    compared = []
    monkeypatch.setattr(duplicates, "correlation", lambda *of: compared.append(of) or correlation(*of))
    given = [1, 2, "x.png"], [*"aab"], ["train", "train", "test"]
    first = audited(*given)
    assert audited(*given) == first and first.pixels == [("i0", "i2")] and len(compared) == 1
    (kept,) = (tmp_path / "home" / "hashes").glob("pairs-*.npz")
    kept.write_bytes(b"nonsense")
    assert audited(*given) == first and len(compared) == 2
    assert len(audited(given[0], [*"abb"], given[2]).pixels) == 1 and len(compared) == 2  # other groups, known pixels
