"""A findings table as CSV comes back as it was written, and what is wrong with one is told in one line."""

import pandas as pd
import pytest

from mammo.datasets.findings import COLUMNS, read_findings
from mammo.errors import InputError
from tests.data.test_crop import archive


def test_a_table_comes_back_as_it_was_written(tmp_path):
    table = archive().drop(columns="split")
    table.to_csv(tmp_path / "table.csv", index=False)
    pd.testing.assert_frame_equal(read_findings(tmp_path / "table.csv"), table)


def test_columns_that_are_not_there_are_missing_values_and_whole_numbers_may_have_a_point(tmp_path):
    (tmp_path / "t.csv").write_text(
        "image_id,dataset,finding_id,path,patient,severity,x_px\na,d,1.0,a.png,p,benign,3\nb,d,0,b.png,p,normal,\n"
    )
    table = read_findings(tmp_path / "t.csv")
    assert dict(table.dtypes.astype(str)) == COLUMNS
    assert table["finding_id"].tolist() == [1, 0] and table["x_px"].isna().tolist() == [False, True]
    assert table["density"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_px": "far"}, "far"),
        ({"patient": None}, "no patient for mdb001; every row needs one"),
        ({"severity": "worse"}, "mdb001 has severity 'worse'; expected one of"),
        ({"colour": "grey"}, r"unknown columns \['colour'\]"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path, change, message):
    archive().drop(columns="split").astype(object).assign(**change).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match=rf"table\.csv: expected a findings table .*{message}") as error:
        read_findings(tmp_path / "table.csv")
    assert "\n" not in str(error.value)
