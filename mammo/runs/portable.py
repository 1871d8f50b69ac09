"""A portable folder: a run folder with what predicting needs and nothing else, without a path, a patient or an image.

Weights are safetensors, heads are skops files, all else is JSON. It is opened as a run, and answers like one.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammo.errors import InputError
from mammo.files import sha256_of, write_json
from mammo.inference import self_test
from mammo.inference.portable import card_of, facts_of
from mammo.inference.self_test import SelfTest
from mammo.processes import checkpoint_io
from mammo.processes.resume import FINISHED
from mammo.reports.card import NAMES as CARD
from mammo.reports.card import model_card
from mammo.run_folder import WEIGHTS, RunFolder
from mammo.runs.write import keep_self_test

NAMES = {"provenance": "provenance.json", "selection": "selection.json", "numbers": "metrics.json"}


def write_portable(
    run: RunFolder, folder: Path, heads: Sequence[str], recalibration: dict[str, Any] | None = None
) -> RunFolder:
    """Write the portable folder of a run, and return it.

    Args:
        run: A finished run.
        folder: The folder, which does not exist.
        heads: The heads that go along.
        recalibration: The content of `recalibration.json`, if other films have chosen; None keeps that of the run.
    """
    (folder / "heads").mkdir(parents=True)
    checkpoint_io.write_weights(checkpoint_io.read(run.checkpoint)["state_dict"], folder / WEIGHTS)
    facts = facts_of(run, heads)
    for key, name in NAMES.items():
        write_json(facts[key], folder / name)
    if (told := recalibration or facts["recalibration"]) is not None:
        write_json(told, folder / "recalibration.json")
    for name in facts["selection"]["heads"]:
        shutil.copyfile(run.file(f"heads/{name}.skops"), folder / "heads" / f"{name}.skops")
    made = RunFolder(folder)
    made.write_likeness(run.likeness)
    write_json(card_of(made, heads), folder / "model.json")
    if run.portable:
        for name in filter(lambda one: (run.path / one).is_file(), CARD.values()):
            shutil.copyfile(run.path / name, folder / name)
    else:
        model_card(run, model=made).save(folder)
    cards = set(CARD.values())  # which may be written anew
    names = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file() and one.name not in cards)
    write_json({"digest": "portable", "metrics": {}, "files": sha256_of(folder, names)}, folder / FINISHED)
    return made


def tested(made: RunFolder, run: RunFolder) -> SelfTest | None:
    """Repeat the self-test of a run with its portable folder, which keeps it.

    Returns:
        The self-test. None: the run has none, or other heads, so the folder keeps one of its own.

    Raises:
        InputError: A stage differs.
    """
    if not run.self_test.is_dir() or made.selection["heads"] != run.selection["heads"]:
        keep_self_test(made)
        return None
    shutil.copytree(run.self_test, made.self_test)
    found = self_test.check(made)
    if found.first is not None:
        raise InputError(f"{run.path}: a portable folder does not answer as the run does: {'; '.join(found.lines())}")
    return found
