"""Damaged inputs of every kind get a row with a reason each, from the command line and the service."""

import pytest

from mammo.formats.header import read_headers
from mammo.processes.resume import FINISHED
from tests.inference.damage import _nested, contents, main


def test_a_header_of_sequences_in_each_other_is_refused_and_the_others_go_on(tmp_path):
    for name, content in contents(3):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "nested").write_bytes(_nested(3000))
    found = read_headers(sorted(tmp_path.iterdir()), remember=False)
    assert len(found) == 4 and all(one.refused for one in found)


@pytest.mark.slow
def test_damaged_inputs_have_a_reason_each_in_both_programs(shared_job):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    main(folder, 300)
