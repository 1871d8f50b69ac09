"""Which of a run's doings let the answer leak: derived from its configuration, its split and its choices."""

from pathlib import Path
from typing import Any

from mammo import InputError
from mammo.predictions import read_json


def run_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The provenance and the configuration of a run.

    Raises:
        InputError: It is of a version that noted less than is needed here.
    """
    provenance = read_json(folder / "provenance.json")
    config = provenance["config"]
    if not {"threshold", "select_on"} <= set(config):
        raise InputError(
            f"{folder} is a run of an earlier version of mammo, which noted less than its report needs now; "
            f"evaluate it again: python train.py fit=false ckpt_path={folder}"
        )
    return provenance, config


def protocol(config: dict[str, Any]) -> str:
    """The protocol in words of the command line."""
    data, fold = config["data"], config["data"]["fold"]
    drawn = config["split"]["name"].startswith("paper")
    folds = "" if fold is None else f", {'draw' if drawn else 'fold'} {fold} of {data['folds']}"
    chosen = "" if config["select_on"] == "val" else f", select_on={config['select_on']}"
    return (
        f"split={config['split']['name']}{folds}, crop={config['crop']['name']}, "
        f"augment={config['augment']['mode']}{chosen}"
    )


def leaks(config: dict[str, Any], split_audit: dict[str, Any], provenance: dict[str, Any]) -> list[str]:
    """The reasons, none for an honest run.

    Args:
        config: The resolved configuration.
        split_audit: What `data.split.audit_split` found.
        provenance: Of the run; an evaluation lists there what its checkpoint had learnt.
    """
    found = []
    if copied := split_audit["films_on_two_sides"]:
        found.append(
            f"{len(copied)} films have augmented copies on two sides: they were augmented before the split (split=copy)"
        )
    if crossing := split_audit["women_on_two_sides"]:
        found.append(f"{len(crossing)} women have films on two sides of the split (split={config['split']['name']})")
    if config["crop"]["name"] == "radius":
        found.append(
            "windows are scaled by the annotated radius: nobody knows it of a new film, and it differs between classes"
        )
    if config["select_on"] == "test":
        found.append("epoch, heads, temperature and threshold were chosen on the test part (select_on=test)")
    if learnt := provenance.get("tested_on_learnt"):
        found.append(
            f"{len(learnt)} of the women or films tested were learnt by the checkpoint (ckpt_path, another split)"
        )
    return found
