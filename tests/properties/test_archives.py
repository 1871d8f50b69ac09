"""Tables of public archives: their rows are in our words and their boxes on their films, or the row is named."""

import pandas as pd
import pytest
from hypothesis import strategies as st

from mammo.archives import cbis_tables
from mammo.archives.archive import words as words_of_archive
from mammo.archives.boxes import on_film
from mammo.archives.vindr_findings import NEEDED, read_findings
from mammo.datasets.geometry import BOX
from mammo.tables.spellings import WORDS
from tests.properties import REFUSED, answer, cells, columns, holds, near, numbers, texts

pytestmark = pytest.mark.slow


@holds(
    12,
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.one_of(
                texts, st.sampled_from(["['Mass']", "['No Finding']", "[]", "[1]", "['x', 'Mass']", "((((" * 30])
            ),
            st.sampled_from(["BI-RADS 3", "bi-rads 9", ""]),
            *[numbers] * 4,
        ),
        max_size=3,
    ),
)
def test_boxes_of_vindr_are_on_their_film_or_a_line(rows):
    table = pd.DataFrame(rows, columns=NEEDED, index=range(2, len(rows) + 2), dtype="string").replace("", pd.NA)
    found = answer(read_findings, table, pd.Series(["vindr-a"]), [])
    if found is not REFUSED:
        boxes, silent = found
        assert set(boxes["image_id"]) | silent <= {"vindr-a"}
        sized = on_film(boxes.assign(height=800, width=600), pd.Series(True, boxes.index), [])
        some = sized.dropna(subset=BOX[0])
        assert ((some["x0_px"] >= 0) & (some["x0_px"] < some["x1_px"]) & (some["x1_px"] <= 600)).all()
        assert ((some["y0_px"] >= 0) & (some["y0_px"] < some["y1_px"]) & (some["y1_px"] <= 800)).all()


CBIS = columns(
    "patient_id=P_1; left or right breast=LEFT|right; image view=MLO|CC; image file path=a/b.dcm; "
    "breast density=1|0|; abnormality id=1; abnormality type=mass; assessment=4; "
    "pathology=BENIGN|MALIGNANT|BENIGN_WITHOUT_CALLBACK; subtlety=5; cropped image file path=c; "
    "ROI mask file path=d; mass shape=ROUND|LYMPH_NODE-X||ARCHITECTURAL_DISTORTION; "
    "mass margins=CIRCUMSCRIBED-SPICULATED|N/A|CIRCUMSCRIBED; calc type=x; calc distribution="
)


@holds(20, table=near(CBIS), name=st.sampled_from(list(cbis_tables.TABLES)))
def test_rows_of_cbis_ddsm_are_in_our_words_or_a_line(table, name):
    given = pd.DataFrame(table[1], columns=table[0], dtype="string").replace("", pd.NA)
    found = answer(cbis_tables.findings_of, given.reindex(columns=cbis_tables.columns_of(name)).astype("string"), name)
    if found is not REFUSED:
        assert set(found["laterality"]) <= {"left", "right"} and set(found["view"]) <= {"CC", "MLO"}
        assert set(found["severity"].dropna()) <= {"benign", "malignant"} and set(found["finding"]) <= {
            *WORDS["finding"]
        }


@holds(words=st.lists(cells, max_size=3))
def test_words_of_an_archive_have_an_entry_or_are_a_line(words):
    table = pd.DataFrame({"side": pd.Series(words, dtype="string")})
    found = answer(words_of_archive, table, "side", {"left": "left", "na": None}, "table.csv")
    assert found is REFUSED or set(found.dropna()) <= {"left"}
