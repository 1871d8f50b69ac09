"""A findings table as CSV comes back as it was written, and what is wrong with one is told in one line."""

import numpy as np
import pandas as pd
import pytest

from mammo.datasets.findings import COLUMNS, findings_table, read_findings
from mammo.errors import InputError
from tests.preprocessing.test_crops import archive


def test_a_table_comes_back_as_it_was_written(tmp_path):
    table = archive().drop(columns="split")
    table.to_csv(tmp_path / "table.csv", index=False)
    pd.testing.assert_frame_equal(read_findings(tmp_path / "table.csv"), table)


@pytest.mark.parametrize("kind", [str, "string", "category", object])
def test_whole_numbers_may_be_words(kind):
    table = archive().drop(columns="split")
    pd.testing.assert_frame_equal(
        findings_table(table.assign(finding_id=table["finding_id"].astype(str).astype(kind))), table
    )


def test_columns_that_are_not_there_are_missing_values_and_whole_numbers_may_have_a_point(tmp_path):
    (tmp_path / "t.csv").write_text(
        "image_id,dataset,finding_id,path,patient,severity,x_px,y_px\na,d,1.0,a.png,p,benign,3,4\nb,d,0,b.png,p,normal,,\n"
    )
    table = read_findings(tmp_path / "t.csv")
    assert dict(table.dtypes.astype(str)) == COLUMNS
    assert table["finding_id"].tolist() == [1, 0] and table["x_px"].isna().tolist() == [False, True]
    assert table["density"].isna().all()


def test_columns_of_the_users_own_are_kept(tmp_path):
    archive().assign(scanner=range(11)).to_csv(tmp_path / "table.csv", index=False)
    table = read_findings(tmp_path / "table.csv")
    assert table["scanner"].tolist() == list(range(11))
    assert table["split"].tolist() == archive()["split"].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_px": "far"}, "far"),
        ({"patient": None}, "mdb001 .*patient"),
        ({"severity": "worse"}, "mdb001 .*severity 'worse'; expected one of"),
        ({"laterality": "L"}, "mdb001 .*laterality 'L'; expected one of"),
        ({"x0_px": 3.0}, "mdb001 .*x0_px.*y1_px"),
        ({"x0_px": 3.0, "y0_px": 3.0, "x1_px": 9.0, "y1_px": 3.0}, "mdb001 .*y1_px"),
        ({"spacing_mm": 0.0}, "mdb001 .*spacing_mm"),
        ({"finding_id": 1}, "mdb001 .*finding_id 1"),
        ({"finding_id": list(range(-1, 10))}, "mdb001 .*finding_id -1"),
        ({"finding_id": list(np.arange(11) + 0.5)}, "finding_id has other values than whole numbers"),
        ({"x_px": 3.0, "y_px": np.inf, "radius_px": 4.0}, "mdb001 .*not finite"),
        ({"x_px": 3.0, "y_px": 3.0, "radius_px": -4.0}, "mdb001 .*radius_px -4"),
        ({"x_px": 3.0, "y_px": 3.0, "radius_px": 0.0}, "mdb001 .*radius_px 0"),
        ({"density": list("FGFFFFFFFFF")}, "mdb001 .*density"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path, change, message):
    archive().drop(columns="split").astype(object).assign(**change).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match=rf"table\.csv: .*{message}") as error:
        read_findings(tmp_path / "table.csv")
    assert "\n" not in str(error.value)


def test_what_is_no_table_is_told_by_its_kind():
    with pytest.raises(InputError, match="found NoneType; expected a DataFrame"):
        findings_table(None)


@pytest.mark.parametrize("spacing", [0.0, -0.2, 70.0, 0.001])
def test_a_spacing_in_another_unit_is_refused(spacing):
    row = {"dataset": "d", "image_id": "a", "finding_id": 0, "path": "a.png", "patient": "p", "spacing_mm": spacing}
    with pytest.raises(InputError, match="spacing_mm"):
        findings_table([row])


def test_words_for_nothing_are_missing_and_a_column_is_numbers_only_if_all_its_words_are(tmp_path):
    """Each different word is looked at once, so the row of a word must not matter."""
    names = {"dataset": "d", "finding_id": 0, "path": "f", "patient": "p"}
    rows = [names | {"image_id": f"NA{number}"} for number in range(300)]
    table = pd.DataFrame(rows).assign(
        age=["61", "NaN", "none"] * 100, whole=["61", "n/a", "7"] * 100, real=["61", "", "7.5"] * 100,
        empty=["NA", "null", ""] * 100, late=[*map(str, range(299)), "x"], severity=["benign", "None", "NULL"] * 100,
    )  # fmt: skip
    table.to_csv(tmp_path / "films.csv", index=False)
    found = read_findings(tmp_path / "films.csv")
    assert found["image_id"].tolist() == table["image_id"].tolist()
    assert found["whole"].dtype == "Int64" and found["whole"].tolist()[::3] == [61] * 100
    assert found["real"].dtype == "Float64" and found["real"].sum() == 6850 and found["real"].isna().sum() == 100
    assert found["empty"].isna().all() and found["late"].tolist() == [*map(str, range(299)), "x"]
    assert found["age"].tolist()[:3:2] == ["61", "none"] and found["age"].isna().sum() == 100
    assert found["severity"].isna().sum() == 200
