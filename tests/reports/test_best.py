"""The table of the best recipes: each number is that of its predictions, and each difference is paired by patient."""

import json

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.errors import InputError
from mammo.reports.best import INDEX, collect, table
from tests.evaluation.tables import predictions, run_folder


def swept(folder, *, settings=None, crossing=(), **kwargs):
    """A sweep of two folds and two seeds; returns its test rows."""
    tables = [predictions(seed=seed, fold=fold, noise=10 * seed + fold, **kwargs) for seed in (3, 4) for fold in (0, 1)]
    for number, one in enumerate(tables):
        run_folder(folder / f"job{number}", one, settings, crossing=crossing)
    (folder / "jobs.json").write_text(json.dumps([f"job{number}" for number in range(len(tables))]))
    rows = pd.concat(tables)
    return rows[rows["split"] == "test"]


def indexed(folder, *row):
    """An index of one recipe; returns the cells of its line."""
    pd.DataFrame([row], columns=INDEX).to_csv(folder / "best.csv", index=False)
    return [cell.strip() for cell in table(folder / "best.csv")[-1].strip("|").split("|")]


def area(rows, head):
    of_jobs = [job[job["head"] == head] for _, job in rows.groupby(["seed", "fold"])]
    return sum(roc_auc_score(job["label"] == "abnormal", job["score"]) for job in of_jobs) / len(of_jobs)


@pytest.mark.slow
def test_a_line_has_the_means_over_folds_and_seeds_and_their_differences(tmp_path):
    ours, theirs = swept(tmp_path / "ours", strength=2.0), swept(tmp_path / "theirs", strength=0.2)
    collect(tmp_path / "ours", tmp_path / "ours.csv.xz", "svm")
    collect(tmp_path / "theirs", tmp_path / "theirs.csv.xz", "softmax")
    cells = indexed(
        tmp_path, "abnormality", "experiment=x", "sample", "", "auroc", "ours.csv.xz", "svm", "theirs.csv.xz", "softmax"
    )
    expected = area(ours, "svm"), area(theirs, "softmax"), area(ours, "shortcuts")
    assert cells[:4] == ["abnormality", "`experiment=x`", "sample", "AUROC"]
    assert [cells[at][:5] for at in (4, 5, 7)] == [f"{one:.3f}" for one in expected]
    assert [float(cells[at].split()[0]) for at in (6, 8)] == pytest.approx(
        [expected[0] - expected[1], expected[0] - expected[2]], abs=0.0006
    )
    assert cells[6].split("(")[1].startswith("+")  # 2 standard deviations against 0.2: the interval is above zero
    assert cells[9:] == ["", "0.500", "60 of 30 patients"]


def test_only_the_named_head_and_the_baselines_are_collected_from_test(tmp_path):
    swept(tmp_path / "sweep")
    collect(tmp_path / "sweep", tmp_path / "to" / "one.csv.xz", "svm")
    found = pd.read_csv(tmp_path / "to" / "one.csv.xz")
    assert set(found["head"]) == {"svm", "shortcuts", "majority"} and set(found["split"]) == {"test"}
    assert not found.duplicated(["image_id", "finding_id", "head", "seed"]).any()


@pytest.mark.slow
def test_of_windows_the_brightness_of_each_sample_is_a_head(tmp_path):
    rows = swept(tmp_path / "sweep")
    for job in (tmp_path / "sweep").glob("job?"):
        known = json.loads((job / "provenance.json").read_text())
        (job / "provenance.json").write_text(json.dumps(known | {"crop": known["crop"] | {"caption": "Windows"}}))
        samples = pd.read_csv(job / "predictions.csv").drop_duplicates("image_id")[::-1]
        bright = samples["image_id"].str[3:].astype(float) + samples["seed"]
        samples.assign(contrast=bright, radius_px=None, spacing_mm=None).to_csv(job / "samples.csv", index=False)
    collect(tmp_path / "sweep", tmp_path / "one.csv.xz", "svm")
    found = pd.read_csv(tmp_path / "one.csv.xz").query("head == 'brightness'")
    assert (found["score"] == found["image_id"].str[3:].astype(float) + found["seed"]).all()
    cells = indexed(tmp_path, "abnormality", "x", "sample", "", "auroc", *("one.csv.xz", "svm") * 2)
    expected = area(rows.assign(score=rows["image_id"].str[3:].astype(float)), "svm")
    assert cells[9].startswith(f"{expected:.3f} (")


def test_by_patient_the_films_of_a_patient_are_averaged(tmp_path):
    """One of each patient's two films is called wrongly, by less than the other is right."""
    rows = []
    for patient in range(12):
        label, wrong = "FGD"[patient % 3], "FGD"[(patient + 1) % 3]
        for film, chance in enumerate(({label: 0.9, wrong: 0.1}, {label: 0.4, wrong: 0.6})):
            for head in ("lda", "shortcuts", "majority"):
                said = {f"p_{one}": chance.get(one, 0.0) if head == "lda" else 1 / 3 for one in "FGD"}
                where = {"split": "test", "fold": patient % 2, "seed": 3, "head": head, "label": label, "score": None}
                ids = {"image_id": f"m{2 * patient + film}", "finding_id": 0, "patch": 0, "copy": 0}
                rows.append(ids | {"patient": f"p{patient}"} | where | said)
    pd.DataFrame(rows).to_csv(tmp_path / "one.csv.xz", index=False)
    by_film = indexed(tmp_path, "density", "x", "sample", "", "accuracy", *("one.csv.xz", "lda") * 2)
    by_patient = indexed(tmp_path, "density", "x", "patient", "mean", "accuracy", *("one.csv.xz", "lda") * 2)
    assert (by_film[4][:5], by_film[-1]) == ("0.500", "24 of 12 patients")
    assert (by_patient[4][:5], by_patient[-1]) == ("1.000", "12 of 12 patients")


def test_what_makes_no_honest_table_is_refused(tmp_path):
    swept(tmp_path / "sweep")
    swept(tmp_path / "leaky", crossing=["p001"])
    swept(tmp_path / "two")
    other = tmp_path / "two" / "job3" / "job.json"
    other.write_text(json.dumps({"settings": {"model": "vgg19"}}))
    for folder, head, message in (
        (tmp_path, "svm", r"no jobs\.json"),
        (tmp_path / "sweep", "lda", "head=lda is not in all jobs; expected one of softmax, svm"),
        (tmp_path / "leaky", "svm", "expected a sweep without leaks"),
        (tmp_path / "two", "svm", "one experiment, found 2"),
    ):
        with pytest.raises(InputError, match=message):
            collect(folder, tmp_path / "one.csv.xz", head)
    assert not (tmp_path / "one.csv.xz").exists()
    (tmp_path / "best.csv").write_text("task,recipe\n")
    with pytest.raises(InputError, match="no column unit; expected task"):
        table(tmp_path / "best.csv")
