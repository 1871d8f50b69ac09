"""Damaged inputs of every kind get a row with a reason each, from the command line and the service."""

import pytest

from mammo.formats.header import read_headers
from mammo.processes.resume import FINISHED
from tests.formats.ways import X, dicom
from tests.inference.damage import main, nested


def test_a_header_of_sequences_in_each_other_is_refused_and_the_others_go_on(tmp_path):
    for name, content in {"a": b"", "b": nested(3000), "c": dicom(X), "d": nested(40, sized=True)}.items():
        (tmp_path / name).write_bytes(content)
    found = read_headers(sorted(tmp_path.iterdir()), remember=False)
    assert [one.refused is None for one in found] == [False, False, True, True]


@pytest.mark.slow
def test_damaged_inputs_have_a_reason_each_in_both_programs(shared_job):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    main(folder, 300)
