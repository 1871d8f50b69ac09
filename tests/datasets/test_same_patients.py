"""Patients are the same by name between built-in data sets, and in a user's table only under the same name."""

import pandas as pd
import pytest

from mammo.archives.mias_full import FullMIAS
from mammo.datasets.mias import MIAS
from mammo.datasets.mias_info import parse_info
from mammo.datasets.phantom import Phantom
from mammo.datasets.registry import BUILT_IN
from mammo.datasets.same_patients import almost_same_patients, note_of_names, notes_of_almost, same_patients
from mammo.datasets.scanners import SCANNERS
from tests.archives.fake_mias_full import write


def people(dataset, *names):
    return pd.DataFrame({"dataset": [dataset] * len(names), "patient": names}, dtype="string")


def counts(tested, learnt):
    return [int(one.sum()) for one in same_patients(tested, learnt)]


@pytest.mark.slow
@pytest.mark.parametrize("numbered", ["", "-2"])
def test_both_editions_of_mias_have_the_same_women(tmp_path, numbered):
    folder = write(tmp_path)
    full = FullMIAS(root=str(folder)).findings().drop_duplicates("patient")
    mini = pd.DataFrame(parse_info((folder / "Info.txt").read_text(), "Info.txt", MIAS.name)).assign(dataset="mias")
    mini["dataset"] += numbered  # as in a union of two copies
    assert counts(full, mini) == [len(full), 0] and len(full) > 20
    own = mini.drop_duplicates("patient")
    assert counts(own, full) == [own["patient"].isin(full["patient"]).sum(), 0]


@pytest.mark.slow
@pytest.mark.parametrize("scanner", ["film", *SCANNERS])
def test_phantoms_of_two_seeds_have_other_patients_and_of_one_seed_the_same(blank, tmp_path, scanner):
    made = [
        Phantom(root=str(tmp_path / name), patients=2, film_seed=seed, scanner=scanner).findings()
        for name, seed in (("a", 0), ("b", 1), ("c", 1), ("d", 2))
    ]
    name = made[0]["dataset"].iloc[0]
    assert name in BUILT_IN
    assert set(made[0]["patient"]) == {f"{name}-001", f"{name}-002"}
    assert set(made[1]["patient"]) == {f"{name}_s1-001", f"{name}_s1-002"}
    for at, one in enumerate(made):
        for other_at, other in enumerate(made):
            same = at == other_at or {at, other_at} == {1, 2}
            assert counts(one, other) == [len(one) * same, 0], (at, other_at)


def test_a_name_of_a_users_table_tells_a_patient_only_under_the_same_name_of_the_table():
    lab = people("lab", "P001", "P002")
    assert counts(lab, people("lab", "P001")) == [1, 0]
    assert counts(lab, people("clinic", "P001")) == [0, 1]
    assert counts(people("lab", "mias-001"), people("mias", "mias-001")) == [0, 1]
    assert counts(people("mias", "mias-001"), people("lab", "mias-001")) == [0, 1]
    assert counts(lab, people("clinic", "P003")) == [0, 0]


def test_a_patient_who_was_learnt_in_no_named_data_set_may_be_of_any():
    assert counts(people("lab", "P001", "P002"), people(pd.NA, "P001")) == [1, 0]
    assert counts(people("mias", "mias-001"), people(pd.NA, "mias-001")) == [1, 0]


def test_the_note_counts_patients_and_names_none():
    (note,) = note_of_names(pd.Series(["P001", "P001", "P002"]))
    assert note.startswith("2 tested patients") and "P00" not in note
    assert note_of_names(pd.Series([], dtype="string")) == []


def test_a_patient_with_almost_the_name_of_one_learnt_is_neither_the_same_nor_surely_another():
    def almost(tested, learnt):
        return [int(one.sum()) for one in almost_same_patients(tested, learnt)]

    lab = people("lab", "001", "P-2", "3")
    assert almost(people("lab", "1", "p2", "3", "4"), lab) == [2, 0]
    assert almost(people("clinic", "1", "p2", "3", "4"), lab) == [0, 2]
    assert almost(people("lab", "1", "2"), people(pd.NA, "01")) == [1, 0]
    assert almost(people("lab", "001"), people("lab", "001", "1")) == [0, 0]  # it is the same
    assert almost(people("lab", "4"), lab) == [0, 0]
    images = people("lab", "1", "1", "p2").assign(image_id=["a", "b", "c"])
    within, beyond = notes_of_almost(images, images["patient"])
    assert "2 tested patients" in within and " a for example" in within and "another data set" in beyond
    assert notes_of_almost(images[:0], images["patient"][:0]) == []
