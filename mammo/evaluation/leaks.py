"""Which of a run's doings let the answer leak: derived from its configuration, its split and its choices."""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating, choose
from mammo.evaluation.predictions import of_part
from mammo.tables import read_json


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
    mode, method = config["augment"]["mode"], config["augment"].get("method", "geometric")
    drawn_by = "" if mode == "none" or method == "geometric" else f", augment.method={method}"
    chosen = "" if config["select_on"] == "val" else f", select_on={config['select_on']}"
    return f"split={config['split']['name']}{folds}, crop={config['crop']['name']}, augment={mode}{drawn_by}{chosen}"


def leaks(
    split_audit: dict[str, Any],
    provenance: dict[str, Any],
    predictions: pd.DataFrame,
    operating: dict[str, Operating],
) -> list[str]:
    """The reasons, none for an honest run.

    Args:
        split_audit: What `data.split.audit_split` found.
        provenance: Of the run, with its resolved configuration; an evaluation lists what its checkpoint had learnt.
        predictions: The run's table.
        operating: The thresholds and temperatures that are used on it.
    """
    config, found = provenance["config"], []
    if copied := split_audit["films_on_two_sides"]:
        found.append(
            f"{len(copied)} films have augmented copies on two sides: they were augmented before the split (split=copy)"
        )
    if crossing := split_audit["women_on_two_sides"]:
        found.append(f"{len(crossing)} women have films on two sides of the split (split={config['split']['name']})")
    if config["crop"]["name"] == "scaled_lesion":
        found.append(
            "windows are scaled by the annotated radius: nobody knows it of a new film, and it differs between classes"
        )
    if config["select_on"] == "test":
        found.append("epoch, heads, temperature and threshold were chosen on the test part (select_on=test)")
    if learnt := provenance.get("tested_on_learnt"):
        found.append(
            f"{len(learnt)} of the women or films tested were learnt by the checkpoint (ckpt_path, another split)"
        )
    if heads := chosen_elsewhere(operating, predictions, provenance):
        found.append(
            f"threshold or temperature of {', '.join(heads)} is not what the {config['select_on']} part chooses"
        )
    return found


def chosen_elsewhere(
    operating: dict[str, Operating], predictions: pd.DataFrame, provenance: dict[str, Any]
) -> list[str]:
    """Heads whose threshold or temperature does not come out when it is chosen again from the rows that may choose."""
    config = provenance["config"]
    rule = config["threshold"]
    may_choose = of_part(predictions, provenance["classes"], config["select_on"])
    again = {head: choose(a.labels, a.probabilities, a.score, rule) for head, a in may_choose.items()}
    return [head for head, one in operating.items() if one != again.get(head, Operating(str(rule)))]


def check_labels(predictions: pd.DataFrame, samples: pd.DataFrame) -> None:
    """Each row is labelled as the sample it was cut from.

    Raises:
        InputError: One is not.
    """
    cut = predictions["sample_id"].str.replace(r"\.c\d+$", "", regex=True)
    true = cut.map(samples.set_index("sample_id")["label"])
    if (wrong := (true != predictions["label"]).to_numpy().nonzero()[0]).size:
        row = predictions.iloc[wrong[0]]
        raise InputError(
            f"predictions.csv: {len(wrong)} labels are not those of samples.csv: {row['sample_id']} is "
            f"{true.iloc[wrong[0]]}, found {row['label']}; train.py writes both tables, and nobody else changes one"
        )
