"""The numbers of a detector over seeds are those of the films of all folds together."""

import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.cli.reports import detectors
from mammo.errors import InputError
from mammo.evaluation.lesion_windows import HEAT, areas
from mammo.reports import detector_differences
from mammo.reports.detector_results import (
    CANDIDATES,
    LESIONS,
    PREDICTIONS,
    SEEDS,
    WINDOWS,
    area,
    collect,
    table,
    windows_table,
)
from mammo.reports.experiments import read_experiments
from tests.evaluation.marks import detecting
from tests.evaluation.tables import predictions, run_folder
from tests.evaluation.test_lesion_windows import windows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty films of twenty patients in two seeds; the first mark of an abnormal film is on its lesion or beside it."""
    folder, rng = tmp_path_factory.mktemp("detector"), np.random.default_rng(0)
    rows, marks, lesions = [], [], []
    for seed in (0, 3):
        for film in range(40):
            ill = film % 3 == 0
            for head in ("detector", "detector_partner"):
                score = rng.normal(ill)
                rows.append([f"f{film}", f"p{film // 2}", seed, head, ill, score])
            beside = 0 if film % 2 else 300
            marks.append([f"f{film}", seed, "detector", 100 + beside * (not ill or seed == 3), 100, float(ill)])
            if ill and not seed:
                lesions.append(
                    [f"f{film}", 1, f"p{film // 2}", 100, 100, 20, *[None] * 4, 0.2, "CIRC", "benign", "F", "d"]
                )
    columns = ["image_id", "finding_id", "patient", "x_px", "y_px", "radius_px", "x0_px", "y0_px", "x1_px", "y1_px"]
    columns += ["spacing_mm", "finding", "severity", "density", "dataset"]
    pd.DataFrame(rows, columns=["image_id", "patient", "seed", "head", "positive", "score"]).to_csv(
        folder / PREDICTIONS
    )
    pd.DataFrame(marks, columns=["image_id", "seed", "head", "x_px", "y_px", "score"]).to_csv(folder / CANDIDATES)
    pd.DataFrame(lesions, columns=columns).to_csv(folder / LESIONS)
    return folder


def test_an_area_is_that_of_all_films_of_a_seed_and_a_mean_over_seeds(folder):
    predictions = pd.read_csv(folder / PREDICTIONS)
    one = predictions[predictions["head"] == "detector"].rename(columns={"positive": "y"})
    areas = [roc_auc_score(rows["y"], rows["score"]) for _, rows in one.groupby("seed")]
    assert np.isclose(area(predictions, [0, 3], "detector", "image_id").value, np.mean(areas))
    patients = one[one["seed"] == 0].groupby("patient")[["y", "score"]].max()
    expected = roc_auc_score(patients["y"].astype(bool), patients["score"].astype(float))
    assert np.isclose(area(predictions, [0], "detector", "patient").value, expected)


@pytest.fixture
def chosen(folder, tmp_path):
    """The same folder, with the seed on which the recipe was chosen."""
    shutil.copytree(folder, tmp_path / "chosen")
    (tmp_path / "chosen" / SEEDS).write_text('{"chosen_on": [0]}')
    return tmp_path / "chosen"


def test_without_seeds_of_choice_there_is_one_column(folder):
    assert table(folder)[0] == "|  | seed 0, 3 |"


def test_seeds_of_choice_and_others_stand_apart_and_marks_are_judged_in_each(chosen):
    lines = table(chosen)
    assert lines[0] == "|  | seed 0 | seed 3 |"
    first = next(line for line in lines if "first mark hits" in line)
    assert [cell.split()[0] for cell in first.split("|")[2:4]] == ["1.000", "0.500"]


def test_lesion_windows_have_rows_if_the_folder_has_them(chosen):
    assert not any("lesion window" in line for line in table(chosen))
    found = windows(seeds=(0, 3))
    found.to_csv(chosen / WINDOWS, index=False)
    lines = [line for line in table(chosen) if "lesion window" in line or "minus brightness" in line]
    assert [line.split("|")[1].strip() for line in lines] == [
        "AUROC, lesion window as drawn: heat of the detector",
        "AUROC, lesion window as drawn: brightness",
        "heat minus brightness",
        "AUROC, lesion window re-centred: heat of the detector",
        "AUROC, lesion window re-centred: brightness",
        "heat minus brightness",
    ]
    values = [areas(found[found["seed"] == seed])["recentred"][HEAT] for seed in (0, 3)]
    assert [cell.strip() for cell in lines[3].split("|")[2:4]] == [str(value) for value in values]


@pytest.fixture
def sweep(tmp_path):
    """A finished run of each of two folds and seeds."""
    for seed in (0, 3):
        for fold in (0, 1):
            found = predictions(12, fold=fold, seed=seed, heads=("detector", "detector_partner"))
            folder = detecting(run_folder(tmp_path / "sweep" / f"{seed}-{fold}", found), found, heads=("detector",))
            (folder / "finished.json").write_text("{}")
            heat = windows(seeds=(seed,)).drop(columns="positive").assign(x_px=1.0, y_px=2.0)
            tested = found.loc[found["split"] == "test", "image_id"]
            heat[heat["image_id"].isin(tested)].to_csv(folder / "windows.csv", index=False)
    return tmp_path / "sweep"


@pytest.mark.slow
def test_windows_of_all_folds_are_collected_and_can_be_compared_with_a_classifiers(sweep, tmp_path):
    collect(sweep, tmp_path / "to", [3])
    assert table(tmp_path / "to")[0] == "|  | seed 3 | seed 0 |"
    (one,) = read_experiments([tmp_path / "to" / WINDOWS])
    assert (one.seeds, one.tested(f"{HEAT}_recentred").classes) == (2, ("normal", "abnormal"))
    whole = pd.read_csv(tmp_path / "to" / WINDOWS)
    assert (whole["positive"] == (whole["label"] == "abnormal")).all() and len(whole) == 2 * 4 * 24


def test_a_fold_without_windows_leaves_them_out_and_other_seeds_of_choice_are_forgotten(sweep, tmp_path):
    collect(sweep, tmp_path / "to", [3])
    (sweep / "0-1" / "windows.csv").unlink()
    collect(sweep, tmp_path / "to")
    assert {one.name for one in (tmp_path / "to").iterdir()} == {PREDICTIONS, CANDIDATES, LESIONS}


def test_a_seed_of_choice_that_did_not_run_is_refused(sweep, tmp_path):
    with pytest.raises(InputError, match="chosen on seed 5: expected some of 0, 3"):
        collect(sweep, tmp_path / "to", [0, 5])


def test_seeds_of_choice_are_numbers_and_need_a_folder_that_keeps_them(folder, tmp_path):
    for to, words in ((None, "0"), (tmp_path, "0-2")):
        with pytest.raises(InputError, match=f"--chosen-on {words}: expected seeds such as 0,1,2"):
            detectors(folder, to, words)


def test_a_film_that_is_tested_twice_in_a_seed_is_refused(folder):
    predictions = pd.read_csv(folder / PREDICTIONS)
    with pytest.raises(InputError, match="seed 0: expected each film once, but one has two rows"):
        area(pd.concat([predictions, predictions[:1]]), [0], "detector", "image_id")


def test_a_folder_without_detectors_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a sweep folder with finished runs of task=detection, found none"):
        collect(tmp_path, tmp_path / "to")


@pytest.mark.parametrize("name", [PREDICTIONS, CANDIDATES, LESIONS])
def test_a_table_that_is_missing_empty_or_without_a_column_is_named(folder, name, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    path = broken / name
    pd.read_csv(path).drop(columns="image_id").to_csv(path, index=False)
    with pytest.raises(InputError, match=rf"{name}: expected the columns .*; missing image_id"):
        table(broken)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=f"{name}: expected a table"):
        table(broken)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: expected a table"):
        table(broken)


def first(table, column, value):
    """The table with another value in the first row of a column."""
    return table.astype({column: object}).assign(**{column: lambda of: of[column].where(of.index > 0, value)})


WRONG = {
    "no score": (PREDICTIONS, lambda of: first(of, "score", None), "row 2: score of f0 is missing"),
    "an infinite score": (PREDICTIONS, lambda of: first(of, "score", np.inf), "row 2: score of f0 is inf"),
    "a decimal comma": (PREDICTIONS, lambda of: first(of, "score", "0,5"), "row 2: score of f0 is 0,5"),
    "words of the class": (
        PREDICTIONS,
        lambda of: of.assign(positive="malignant"),
        "row 2: positive of f0 is malignant",
    ),
    "a film of one seed": (PREDICTIONS, lambda of: of[2:], "detector of seed 0 lacks 1 film .* f0 for"),
    "a film of one head": (PREDICTIONS, lambda of: of.drop(index=1), "detector_partner of seed 0 lacks 1 film .* f0"),
    "no detector": (PREDICTIONS, lambda of: of[of["head"] != "detector"], "no row has head=detector"),
    "a mark beside its film": (CANDIDATES, lambda of: first(of, "x_px", -300), "row 2: x_px of f0 is -300"),
    "a mark far away": (CANDIDATES, lambda of: first(of, "y_px", 1e5), "row 2: y_px of f0 is 100000"),
    "no class in a row": (PREDICTIONS, lambda of: first(of, "positive", None), "row 2: positive of f0 is missing"),
    "two classes": (PREDICTIONS, lambda of: first(of, "positive", False), "row 3: positive of f0 is True"),
    "a mark without a score": (CANDIDATES, lambda of: first(of, "score", None), "row 2: score of f0 is missing"),
    "a mark twice": (CANDIDATES, lambda of: pd.concat([of, of[:1]]), "row 82: the mark of f0"),
    "marks of another seed": (CANDIDATES, lambda of: of.assign(seed=1), "detector has no mark of seed 0"),
    "marks of one seed": (CANDIDATES, lambda of: of[of["seed"] == 0], "detector has no mark of seed 3"),
    "a lesion twice": (LESIONS, lambda of: pd.concat([of, of[:1]]), "row 16: the lesion of f0"),
    "a lesion of no number": (LESIONS, lambda of: first(of, "x_px", "12,5"), "row 2: x_px of f0 is 12,5"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_would_give_wrong_numbers_is_refused_by_file_and_row(folder, kind, tmp_path):
    name, change, said = WRONG[kind]
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    change(pd.read_csv(wrong / name)).to_csv(wrong / name)
    with pytest.raises(InputError, match=f"{name}: {said}"):
        table(wrong)


def test_windows_without_a_score_are_refused_by_their_row(chosen):
    first(windows(seeds=(0, 3)), "score", None).to_csv(chosen / WINDOWS, index=False)
    with pytest.raises(InputError, match=f"{WINDOWS}: row 2: score of .* is missing"):
        windows_table(chosen)


@pytest.mark.parametrize("lacking", ["head == 'brightness_as_drawn'", "seed == 3"])
def test_windows_of_a_head_or_seed_that_lack_films_are_refused(chosen, lacking):
    found = windows(seeds=(0, 3)).astype({"image_id": str})
    film = found.loc[found["positive"], "image_id"].iloc[0]
    found.drop(index=found.query(f"{lacking} and image_id == @film").index).to_csv(chosen / WINDOWS, index=False)
    for made in (table, windows_table):
        with pytest.raises(InputError, match=rf"{WINDOWS}: .* lacks 1 film .* {film} for example"):
            made(chosen)


def test_two_detectors_are_compared_on_the_same_patients_and_one_with_itself_does_not_differ(folder, tmp_path):
    better = tmp_path / "better"
    shutil.copytree(folder, better)
    scores = pd.read_csv(better / PREDICTIONS)
    scores.loc[scores["positive"] & (scores["head"] == "detector"), "score"] += 5
    scores.to_csv(better / PREDICTIONS)
    marks = pd.read_csv(better / CANDIDATES)
    pd.concat([marks, marks.assign(head="detector_partner", x_px=100)]).to_csv(better / CANDIDATES)
    lines = [line.split("|") for line in detector_differences.table([better, folder])[2:]]
    rows = {line[1].strip(): [cell.split()[0] for cell in line[2:5]] for line in lines}
    alone = float(rows["AUROC, film alone"][0]) - float(rows["AUROC, film alone"][1])
    assert alone > 0.2 and np.isclose(float(rows["AUROC, film alone"][2]), alone, atol=2e-3)
    assert rows["AUROC, film with that of the other breast"][2] == rows["detector: CPM"][2] == "+0.000"
    first = rows["detector_partner, beside detector: abnormal films whose first mark hits"]
    assert first[0] == "1.000" and np.isclose(float(first[2]), 1 - float(first[1]), atol=2e-3)
    pd.read_csv(better / CANDIDATES).query("head == 'detector_partner'").to_csv(better / CANDIDATES)
    assert not any("false mark" in line for line in detector_differences.table([folder, better]))  # it has none such


def test_other_seeds_or_patients_are_not_compared(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    scores = pd.read_csv(tmp_path / "other" / PREDICTIONS)
    scores[scores["seed"] == 0].to_csv(tmp_path / "other" / PREDICTIONS)
    with pytest.raises(InputError, match="no seed 3"):
        detector_differences.table([folder, tmp_path / "other"])
    scores[scores["patient"] != "p0"].to_csv(tmp_path / "other" / PREDICTIONS)
    with pytest.raises(InputError, match="same patients"):
        detector_differences.table([folder, tmp_path / "other"])
    scores.assign(positive=~scores["positive"]).to_csv(tmp_path / "other" / PREDICTIONS)
    with pytest.raises(InputError, match="same labels, the first that differs is f0"):
        detector_differences.table([folder, tmp_path / "other"])


def test_detectors_without_a_partner_are_compared_by_what_both_have(folder, tmp_path):
    alone = shutil.copytree(folder, tmp_path / "alone")
    pd.read_csv(alone / PREDICTIONS).query("head == 'detector'").to_csv(alone / PREDICTIONS)
    for paths in ([alone, alone], [folder, alone], [alone, folder]):
        lines = detector_differences.table(paths)
        assert any("AUROC, patient" in line for line in lines) and not any("other breast" in line for line in lines)


UNFINISHED = {
    "a fold that has not finished": lambda sweep: (sweep / "3-1" / "finished.json").unlink(),
    "a fold that is gone": lambda sweep: shutil.rmtree(sweep / "3-1"),
    "a fold without marks yet": lambda sweep: [
        (sweep / "3-1" / name).unlink() for name in ("finished.json", "candidates.csv")
    ],
}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("kind", UNFINISHED)
def test_a_sweep_that_has_not_ended_is_refused(sweep, tmp_path, kind, listed):
    if not listed and kind == "a fold that is gone":
        (sweep / "multirun.yaml").touch()
    if listed:
        (sweep / "jobs.json").write_text('["0-0", "0-1", "3-0", "3-1"]')
    UNFINISHED[kind](sweep)
    with pytest.raises(InputError, match=r"is a sweep that has not ended.*; go on with python train.py resume="):
        collect(sweep, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_seed_that_lacks_a_fold_of_another_one_is_refused(sweep, tmp_path):
    (sweep / "jobs.json").write_text('["0-0", "0-1", "3-0"]')
    with pytest.raises(InputError, match=r"detector of seed 3 lacks 12 films that other rows have, mdb00. for example"):
        collect(sweep, tmp_path / "to")
    assert not (tmp_path / "to").exists()
