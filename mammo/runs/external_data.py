"""The settings of an external test: the run that is tested, the data, and which of its images. No torch is needed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.config import DataConfig
from mammo.datasets.split import read_split_table
from mammo.errors import InputError
from mammo.run_folder import RunFolder
from mammo.runs import compose

LOADING = ("batch_size", "workers", "cache")  # settings of the data that the run gives, unless they are said


def check_run(run: RunFolder) -> None:
    """Refuse a folder that is no finished run."""
    if not run.path.exists():
        raise InputError(f"{run.path} does not exist; expected the folder of a finished run")
    if run.path.is_file():
        raise InputError(
            f"{run.path} is a file, and of models in one file (ONNX) only mammo predict and mammo serve answer; name "
            "the folder of the run"
        )
    if not (run.path / "provenance.json").is_file():
        raise InputError(
            f"{run.path}: expected the folder of a run, and it has no provenance.json; name a run's folder"
        )
    if run.external is not None:
        raise InputError(f"{run.path} is an external test of the run {run.tested_run.path}; name that run")
    run.check_whole()
    if not run.finished:
        raise InputError(
            f"{run.path}: the run has not finished; go on with mammo train resume={run.path}, then test it"
        )


def said_in(words: Sequence[str]) -> dict[str, str]:
    """Return the settings that words of the command line give, by key, as they are written."""
    return {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}


def data_of(run: RunFolder, words: Sequence[str], chosen: Mapping[str, Any] | None = None) -> DataConfig:
    """Return the settings of the data of a test.

    Args:
        run: The run that is tested; it says how the films are loaded.
        words: Words of the command line, `data=inbreast` and `data.<key>=<value>`.
        chosen: Settings of the data that override these words, such as those of an object.

    Raises:
        InputError: A word is no setting of the data, or none says which data set.
    """
    if isinstance(words, str):
        raise InputError(f"settings={words!r} is one text; expected a list of such words")
    if odd := [word for word in words if "=" not in word]:
        raise InputError(f"{odd[0]}: expected settings of the data, say data=inbreast; a test takes one run")
    said = said_in(words)
    for key in said:
        if not f"{key}.".startswith("data.") or key in ("data.fold", "data.folds"):
            raise InputError(
                f"{key}={said[key]}: a test takes all but the data from the run; give data=<name>, data.<key>=<value>"
            )
    if not chosen and not {"data", "data.name", "data._target_"} & set(said):
        raise InputError("no data to test on; name a data set, say data=inbreast, or data=table data.table=films.csv")
    found = compose.config_of(list(words), {"data": dict(chosen)} if chosen else {}).data
    return loaded_as(run, found, said)


def loaded_as(run: RunFolder, data: DataConfig, said: Mapping[str, Any] | None = None) -> DataConfig:
    """Return the settings of some data, loaded as in a run, except for what was said."""
    own, given = run.config.data, said or {}
    loading = {key: getattr(own, key) for key in LOADING if f"data.{key}" not in given}
    return replace(data, fold=own.fold, folds=own.folds, **loading)


def parts_of(images: "pd.DataFrame | Path | str | None") -> pd.Series | None:
    """Return the part of each image, by `image_id`, from a split or the path of one; None for None."""
    if images is None or isinstance(images, pd.DataFrame):
        if images is not None and (lacking := {"image_id", "split"} - set(images.columns)):
            raise InputError(f"images: expected a table with image_id and split; lacking {', '.join(sorted(lacking))}")
        return None if images is None else images.astype(str).drop_duplicates("image_id").set_index("image_id")["split"]
    try:
        return read_split_table(str(images))
    except InputError as error:
        raise InputError(str(error).replace("split.table=", "--images ")) from None
