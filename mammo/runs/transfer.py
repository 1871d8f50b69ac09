"""The tests of a transfer sweep: each of its runs on the test part of every other data set."""

import logging
from itertools import permutations
from pathlib import Path

from mammo.errors import InputError, message_for_user
from mammo.files import write_json
from mammo.reports.transfer_runs import FAILED, TESTS, failures, is_of_data, recipes
from mammo.run_folder import RunFolder
from mammo.runs import external_test
from mammo.runs.external_data import loaded_as

log = logging.getLogger(__name__)


def test_all(folder: Path, since_ns: int = 0) -> list[str]:
    """Test the runs of a transfer sweep that have finished; tests that exist are not repeated.

    Args:
        folder: The folder of the sweep, with its record of jobs.
        since_ns: The time at which the sweep began; errors that were noted before are forgotten.

    Returns:
        The names of the jobs and tests that failed.

    Raises:
        InputError: No two data sets have a finished run.
    """
    for noted in folder.glob(f"*/{FAILED}"):
        if noted.stat().st_mtime_ns < since_ns:
            noted.unlink()
    for recipe in recipes(folder):
        for trained, tested in permutations(recipe.runs, 2):
            for run, other in recipe.pairs(trained, tested):
                log.info("test   trained on %s, tested on %s", trained, tested)
                _test(run, other, folder / TESTS / run.path.name / other.path.name)
    return list(failures(folder))


def _test(run: RunFolder, other: RunFolder, folder: Path) -> None:
    """Test a run on the test part of another one; an error is noted in the folder, and the sweep goes on."""
    (folder / FAILED).unlink(missing_ok=True)
    said = {key: value for key, value in other.job.items() if is_of_data(key)}
    words = [f"{key}={value}" for key, value in said.items()]
    line = ["mammo", "test", str(run.path), *words, "--images", str(other.path / "split.csv")]
    try:
        split = other.split
        if "copy" in split:
            raise InputError(
                f"split={other.config.split.name} deals copies, so no image is of the test part alone; "
                "use split=patient"
            )
        parts = split.set_index("image_id")["split"]
        other.check_code()
        data = loaded_as(run, other.config.data)
        external_test.test(run, data, folder, parts=parts, said=said, command=line)
    except Exception as error:
        known = message_for_user(error)
        log.error("error: %s: %s", folder, known or error, exc_info=None if known else error)
        folder.mkdir(parents=True, exist_ok=True)
        write_json({"error": known or f"{type(error).__name__}: {error}"}, folder / FAILED)
