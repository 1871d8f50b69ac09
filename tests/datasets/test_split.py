"""Who is trained on, and who is tested."""

import numpy as np
import pandas as pd
import pytest

from mammo.config import Config
from mammo.datasets import split as split_module
from mammo.datasets.findings import SAMPLE, findings_table
from mammo.datasets.labels import find_task
from mammo.datasets.split import audit_split, check_split, deal, read_split, split_images, unused_rows
from mammo.errors import InputError
from mammo.evaluation.leaks import external_leaks, leaks
from mammo.preprocessing.augment import Augment
from mammo.training.required import check_parts

SHARES = [0.6, 0.2, 0.2]


def archive(none: int = 53, one: int = 101, both: int = 7) -> pd.DataFrame:
    """Women with no, one and two abnormal breasts; a third of the findings malignant."""
    rows = []
    for patient in range(none + one + both):
        for breast in range(2):
            abnormal = patient >= none + one or (patient >= none and breast == patient % 2)
            severity = ("malignant" if patient % 3 == 0 else "benign") if abnormal else "normal"
            film = f"film{2 * patient + breast:04d}"
            rows.append({"dataset": "made", "image_id": film, "finding_id": int(abnormal), "path": film,
                         "patient": f"made-{patient}", "severity": severity})  # fmt: skip
    return findings_table(rows)


def classes(split: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    abnormal = split["image_id"].map(table.drop_duplicates("image_id").set_index("image_id")["severity"]) != "normal"
    return split.assign(abnormal=abnormal).groupby(["split", "abnormal"]).size().unstack(fill_value=0)


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_finding_is_in_every_part_of_every_fold_where_patients_are_typed_by_it(seed):
    table = archive()
    table["finding"] = table["severity"].map({"normal": "NORM", "benign": "MISC", "malignant": "MISC"})
    table.loc[table.index[table["finding"] == "MISC"][::10], "finding"] = "ARCH"  # eleven films of eleven patients
    for fold in range(5):
        split = split_images(table, name="patient", seed=seed, shares=SHARES, fold=fold, stratify="finding")
        counts = split.merge(table[["image_id", "finding"]])[["split", "finding"]].value_counts()
        assert {(part, "ARCH") for part in ("train", "val", "test")} <= set(counts.index)


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_crosses_a_split_for_any_seed(seed):
    for fold in (None, 0, 4):
        split = split_images(archive(), name="patient", seed=seed, shares=SHARES, fold=fold, folds=5)
        assert split.groupby("patient")["split"].nunique().eq(1).all()
        assert audit_split(split)["patients_in_two_splits"] == []


def test_the_parts_have_their_shares_of_patients_of_every_type():
    table = archive()
    split = split_images(table, name="patient", seed=3, shares=SHARES)
    kinds = table.groupby("patient")["severity"].agg(lambda s: "+".join(sorted(s)))
    patients = split.drop_duplicates("patient").set_index("patient")["split"]
    for kind, members in kinds.groupby(kinds):
        for part, share in zip(("train", "val", "test"), SHARES, strict=True):
            assert abs((patients[members.index] == part).sum() - share * len(members)) <= 1.5, (kind, part)


def test_a_split_does_not_depend_on_how_pandas_keeps_words():
    pytest.importorskip("pyarrow")
    splits = []
    for storage in ("python", "pyarrow"):  # pandas takes pyarrow where it is installed
        with pd.option_context("mode.string_storage", storage):
            splits.append(split_images(archive(), name="patient", seed=3, shares=SHARES)["split"].tolist())
    assert splits[0] == splits[1]


def test_folds_test_every_image_once_and_keep_a_validation_part():
    table = archive()
    splits = [split_images(table, name="patient", seed=1, shares=SHARES, fold=fold, folds=5) for fold in range(5)]
    tested = pd.concat([split.loc[split["split"] == "test", "image_id"] for split in splits])
    assert sorted(tested) == sorted(table["image_id"].unique())
    assert all({"train", "val", "test"} == set(split["split"]) for split in splits)


def test_more_folds_than_patients_are_refused_whatever_the_fold():
    table = archive()
    count = table["patient"].nunique()
    for fold in (0, count):
        with pytest.raises(InputError, match=rf"data\.folds={count + 1}, but {count} patients .*{count} or fewer"):
            split_images(table, name="patient", seed=1, shares=SHARES, fold=fold, folds=count + 1)


def test_one_patient_is_no_split_and_shares_do_not_mend_it():
    config = Config.of({"data": {"name": "phantom"}})
    rows = pd.DataFrame({"image_id": ["a", "b"], "label": ["benign", "malignant"]})
    split = rows.assign(patient="p", split="train")[["image_id", "patient", "split"]]
    with pytest.raises(InputError, match="the test part has no image, as the images are of 1 patient; use more"):
        check_parts(rows, config, find_task("malignancy"), split, Augment(config.augment))


def test_the_paper_split_has_exactly_the_counts_of_table_2_for_any_seed():
    table = archive(none=53, one=101, both=7)  # 322 films, 115 of them abnormal
    for seed in range(10):
        counts = classes(split_images(table, name="paper", seed=seed), table)
        assert counts.loc["train"].tolist() == [54, 43]
        assert counts.loc["test"].tolist() == [153, 72]
        assert "val" not in counts.index


def test_splits_by_image_and_the_papers_cut_patients_in_two_and_the_audit_counts_them():
    for name in ("image", "paper"):
        split = split_images(archive(), name=name, seed=0, shares=SHARES)
        audit = check_split(split, name)
        parts = split.groupby("patient")["split"].nunique()
        assert len(audit["patients_in_two_splits"]) == (parts > 1).sum() > 20


def test_the_papers_honest_counterpart_has_its_sizes_and_cuts_no_patient():
    table = archive()
    for seed in range(10):
        split = split_images(table, name="paper_by_patient", seed=seed)
        counts = classes(split, table)
        normal, abnormal = counts.loc["train"]
        assert 52 <= normal <= 54 and 42 <= abnormal <= 43
        assert check_split(split, "paper_by_patient")["patients_in_two_splits"] == []


def test_a_fold_of_the_papers_split_is_another_draw_of_it():
    table = archive()
    draws = [split_images(table, name="paper", seed=0, fold=fold)["split"].tolist() for fold in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_copies_are_dealt_as_if_they_were_images_and_the_audit_counts_them():
    split = split_images(archive(), name="copy", seed=0, shares=SHARES, copies=5)
    assert len(split) == 6 * 322 and not split.duplicated(["image_id", "copy"]).any()
    assert split["split"].value_counts(normalize=True).to_dict() == pytest.approx(
        {"train": 0.6, "val": 0.2, "test": 0.2}, abs=0.01
    )
    audit = audit_split(split)
    assert len(audit["images_in_two_splits"]) > 300 and len(audit["patients_in_two_splits"]) > 150


def test_a_patient_in_two_splits_is_an_error_under_the_split_by_patient():
    split = split_images(archive(), name="patient", seed=0, shares=SHARES)
    split.loc[0, "split"] = "test" if split.loc[1, "split"] != "test" else "train"
    with pytest.raises(
        InputError, match=f"patient has images in two splits, image {split.loc[0, 'image_id']} is"
    ) as told:
        check_split(split, "patient")
    assert split.loc[0, "patient"] not in str(told.value)


def test_patients_with_almost_the_same_names_in_two_splits_are_found_and_are_a_doubt_of_the_run(monkeypatch):
    split = pd.DataFrame({"image_id": list("abcde"), "patient": ["001", "1", "2", "02", "3"]}, dtype="string")
    split["split"] = ["train", "test", "val", "val", "test"]
    audit = check_split(split, "patient")
    assert audit["patients_alike_in_two_splits"] == [["001", "1"]]
    monkeypatch.setattr("mammo.evaluation.leaks.choices", lambda *of: {})
    table = pd.DataFrame({"split": [], **{one: [] for one in SAMPLE}})
    (leak,) = leaks(Config.of({"data": {"name": "phantom"}}), audit, None, table, ["a", "b"], {})
    assert leak.kind == "patients_alike_in_two_splits" and leak.n == 1
    assert [one.n for one in external_leaks(None, table, [], ["1"])] == [1]
    assert "patients_alike_in_two_splits" not in audit_split(split[2:])


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    splits = [split_images(archive(), name="patient", seed=seed, shares=SHARES) for seed in (5, 5, 6)]
    first, again, other = (split["split"].tolist() for split in splits)
    assert first == again != other


def test_the_order_of_the_table_does_not_matter_to_the_patients_dealt():
    table = archive()
    ours = split_images(table, name="patient", seed=2, shares=SHARES).set_index("image_id")["split"]
    shuffled = split_images(table.iloc[::-1], name="patient", seed=2, shares=SHARES).set_index("image_id")["split"]
    assert ours.sort_index().equals(shuffled.sort_index())


def test_the_stratum_of_a_patient_is_the_sorted_words_of_all_images(monkeypatch):
    table = findings_table([
        {"dataset": "d", "image_id": f"i{number}", "finding_id": 0, "path": "f", "patient": who, "severity": severity}
        for number, (who, severity) in enumerate([
            ("b", "normal"), ("a", "malignant"), ("b", "benign"), ("a", None), ("Ä", "normal"), ("b", "benign")
        ])
    ])  # fmt: skip
    given = []
    monkeypatch.setattr(
        split_module, "deal", lambda strata, shares, rng: given.append(strata) or deal(strata, shares, rng)
    )
    found = split_images(table, name="patient", seed=0, shares=[0.4, 0.3, 0.3])
    assert given == [[("", "malignant"), ("benign", "benign", "normal"), ("normal",)]]  # of a, b and Ä
    assert found.groupby("patient")["split"].nunique().eq(1).all()


def test_dealing_is_fair_for_a_hundred_thousand_items():
    parts = deal([i % 7 for i in range(100_000)], SHARES, np.random.default_rng(0))
    assert np.bincount(parts).tolist() == [60_000, 20_000, 20_000]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "patient", "shares": SHARES, "fold": 5}, r"data\.fold=5"),
        ({"name": "patient", "shares": SHARES, "fold": -1}, r"data\.fold=-1"),
        ({"name": "copy", "shares": SHARES}, "augment=expand"),
        ({"name": "random"}, "patient, image, copy, paper, paper_by_patient"),
        ({"name": "image", "shares": [1.0]}, r"split\.shares"),
        ({"name": "patient", "shares": [float("nan"), 0.1, 0.1]}, r"split\.shares=.*finite"),
        ({"name": "patient", "shares": [0.5, 0.1, float("inf")]}, r"split\.shares=.*finite"),
    ],
)
def test_settings_that_make_no_split_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        split_images(archive(), seed=0, **settings)


@pytest.mark.parametrize("name", ["patient", "image", "paper", "paper_by_patient"])
def test_images_of_unknown_severity_are_dealt_and_are_no_normal_ones(name):
    table = archive()
    unknown = table["severity"].eq("normal") & (np.arange(len(table)) % 9 == 0)
    table["severity"] = table["severity"].mask(unknown)
    split = split_images(table, name=name, seed=0, shares=SHARES).set_index("image_id")["split"]
    assert len(split) == len(table) and split.notna().all()
    if name.startswith("paper"):
        assert set(split[table.loc[unknown, "image_id"]]) == {"test"} or name == "paper_by_patient"
        left = table[~unknown & table["severity"].eq("normal")]
        assert (split[left["image_id"]] == "train").sum() == pytest.approx(54 / 207 * len(left), abs=3)


def test_rows_of_a_users_split_that_name_no_image_are_noted(tmp_path):
    table = archive()
    split = split_images(table, name="patient", seed=0, shares=SHARES)
    split.to_csv(tmp_path / "split.csv", index=False)
    assert unused_rows(table, str(tmp_path / "split.csv")) == []
    (note,) = unused_rows(table.iloc[1:], str(tmp_path / "split.csv"))
    assert note.startswith("1 image is in split.table") and table["image_id"].iloc[0] in note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_id,split\na.PNG,train\nb.PNG,test\n",
            "2 images have no split, the first is a; the table has a.PNG, b.PNG",
        ),
        ("patient,split\nP1,train\n", "no column image_id; found patient, split; expected a row for each image"),
    ],
)
def test_a_users_split_of_other_names_is_told_which_it_has(text, message, tmp_path):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(pd.DataFrame({"image_id": ["a", "b"], "patient": ["1", "2"]}), str(tmp_path / "split.csv"))


@pytest.mark.parametrize("name", ["table", "official"])
def test_a_part_that_lacks_films_in_a_given_split_is_not_to_be_dealt_otherwise(name):
    config = Config.of({"data": {"name": "phantom"}, "split": {"name": name, "table": "my.csv"}})
    rows = pd.DataFrame({"image_id": list("abcd"), "label": ["benign", "malignant"] * 2})
    for parts, said in (["train"] * 4, "the test part has no image"), (["train"] * 3 + ["test"], "no sample of class"):
        with pytest.raises(InputError, match=f"{said}.*use split=patient") as told:
            check_parts(
                rows,
                config,
                find_task("malignancy"),
                rows.assign(split=parts)[["image_id", "split"]],
                Augment(config.augment),
            )
        assert "shares" not in str(told.value) and ("my.csv" in str(told.value)) == (name == "table")
