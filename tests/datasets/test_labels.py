"""Tasks: each is named, and a data set that lacks one says which it can give."""

import pandas as pd
import pytest

from mammo.config import TaskConfig
from mammo.datasets.labels import Labels, check_task, find_task, known_tasks, shown_in, task_of, worst_findings
from mammo.errors import InputError

EVERY = {
    "abnormality",
    "severity",
    "malignancy",
    "density",
    "acr_density",
    "finding",
    "distortion",
}  # a task stands here, or fails


def table(**columns):
    rows = {"image_id": ["a", "b", "c"], "severity": ["normal", "benign", "malignant"], "density": None}
    return pd.DataFrame(rows | {"finding": ["NORM", "CIRC", "ARCH"]} | columns)


def test_every_task_is_named_here():
    assert set(known_tasks()) == EVERY


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_task_is_known_by_its_classes_and_each_of_its_values_leads_to_one(name):
    task = find_task(name)
    assert task_of(task.classes) is task
    assert set(task.of.values()) == set(task.classes)
    assert task_of(task.classes[::-1]) is None


def test_density_is_of_images_and_all_else_of_lesions():
    assert {name for name in EVERY if not find_task(name).of_lesions} == {"density", "acr_density"}
    assert {name for name in EVERY if not find_task(name).ordered} == {"finding"}


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("density", {}, "F, G, D .*give: abnormality, distortion, malignancy, severity$"),
        ("finding", {"density": ["F", "G", "D"]}, "CALC, SPIC, MISC, ASYM .*density, distortion, malignancy"),
        ("malignancy", {"severity": ["normal", "benign", "benign"]}, "class malignant .*give: abnormality, dist"),
        ("severity", {"severity": "normal", "finding": None}, "class benign, malignant .*give: none$"),
    ],
)
def test_a_data_set_without_a_class_of_the_task_says_in_one_line_which_tasks_it_can_give(name, columns, message):
    with pytest.raises(InputError, match=message) as error:
        check_task(find_task(name), table(**columns))
    assert "\n" not in str(error.value)


def test_a_data_set_without_normal_films_is_told_of_the_detector_that_needs_none():
    with pytest.raises(InputError, match=r"class normal .*give: malignant_lesions$"):
        check_task(known_tasks("detection")["detection"], table(severity=["benign", "malignant", None]), "detection")


def test_a_square_shows_the_worst_finding_whose_centre_lies_in_it_and_else_a_normal_image():
    circles = {"x_px": [10.0, 12.0, 90.0, None], "y_px": [10.0, 12.0, 10.0, None], "radius_px": [5.0, 6.0, 40.0, None]}
    facts = {"finding_id": [1, 2, 3, 4], "finding": ["CALC", "SPIC", "CIRC", "ARCH"]}
    rows = {"image_id": ["a", "a", "a", "b"], "severity": ["benign", "malignant", "benign", "malignant"]}
    unknown = {"x0_px": None, "y0_px": None, "x1_px": None, "y1_px": None, "mask_path": None}
    places = {"x_px": [10.0, 60.0, 90.0, 10.0], "y_px": 10.0, "size_px": [20, 20, 2, 20]}
    squares = pd.DataFrame({"image_id": ["a", "a", "a", "b"]} | places)
    unknown["shape"] = ["round", "oval", "round", "oval"]  # a user's own column of lesions
    shown = shown_in(squares, pd.DataFrame(rows | facts | circles | unknown), "shape")
    assert shown["shape"].fillna("-").tolist() == ["oval", "-", "round", "-"]
    assert shown["finding"].tolist() == ["SPIC", "NORM", "CIRC", "NORM"]  # 60: the third's circle reaches it, no more
    assert shown["severity"].tolist() == ["malignant", "normal", "benign", "normal"]
    assert shown["finding_id"].tolist() == [2, 0, 3, 0]
    assert shown["radius_px"].isna().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("severities", "worst"),
    [(["benign", None], None), (["malignant", None], "malignant"), (["benign", "malignant"], "malignant"),
     (["normal", "benign"], "benign"), ([None, "benign"], None), (["benign"], "benign")],
)  # fmt: skip
def test_an_image_with_a_finding_of_unknown_severity_is_malignant_for_sure_or_unknown(severities, worst):
    rows = pd.DataFrame({"image_id": "a", "severity": pd.array(severities, "string")})
    found = worst_findings(rows)["severity"].iloc[0]
    assert pd.isna(found) if worst is None else found == worst


def test_a_label_may_rest_on_a_users_own_column_of_numbers_and_is_missing_where_the_value_is():
    task = Labels.from_config(TaskConfig(column="birads", classes={"low": [1, 2], "high": [4, 5]}))
    labels = task.label(pd.DataFrame({"birads": pd.array([1, 5, 3, None], "Int64")}))
    assert labels.fillna("-").tolist() == ["low", "high", "-", "-"]
    with pytest.raises(InputError, match="of class low, high"):
        check_task(task, table())


def test_a_column_of_ones_own_that_may_hold_the_severity_is_named():
    rows = table(severity=None, label=["gut", "?", "b"], note=["x", "x", "x"])
    with pytest.raises(InputError, match=r"data\.columns\.severity=label names .*column=label .*\(label\)"):
        check_task(find_task("malignancy"), rows)
    with pytest.raises(InputError) as told:
        check_task(find_task("malignancy"), rows.assign(severity=["benign"] * 3))
    assert "data.columns" not in str(told.value)
