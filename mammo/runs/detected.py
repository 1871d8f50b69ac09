"""The answers of a detector, film by film, and the tables of its marks and of the lesions that they are judged by."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from mammo.config import Config
from mammo.models.platt import Platt
from mammo.run_folder import RunFolder
from mammo.training.callbacks import Outputs
from mammo.training.marks import ALONE, PARTNER, HeatMaps, candidates, lowered, taken_away, with_partners
from mammo.training.places import pairs_in_test
from mammo.training.prepare import Prepared

Answer = tuple[np.ndarray | None, np.ndarray]


def choose_curves(config: Config, prepared: Prepared, outputs: Outputs) -> dict[str, Any]:
    """Return what turns scores into answers: `absent`, which stands for a missing partner, and a curve for each head.

    The curves are fitted on the part that chooses; without one, on the training part, whose scores are higher than
    those of new films. `absent` is the mean score of the negative films of the training part.
    """
    rows, positive, score = prepared.rows(), prepared.targets() == 1, outputs.logits[:, 1]
    part = config.select_on if (rows["split"] == config.select_on).any() else "train"
    inside = (rows["split"] == part).to_numpy()
    train = (rows["split"] == "train").to_numpy() & ~positive
    absent = float(score[train].mean()) if train.any() else 0.0
    scores = scores_of(config, prepared, outputs, absent)
    curves = {head: asdict(Platt.fit(one[inside], positive[inside])) for head, one in scores.items()}
    return {"absent": absent, "fitted_on": part, "curves": curves}


def scores_of(config: Config, prepared: Prepared, outputs: Outputs, absent: float) -> dict[str, np.ndarray]:
    """Return the score (N,) of each film by each head; `detector_partner` is one if a test film has a partner."""
    heat, score = outputs.heat, outputs.logits[:, 1]
    scores = {ALONE: score}
    if config.partner and heat is not None and pairs_in_test(prepared.crops.table)[0]:
        scores[PARTNER] = with_partners(score, heat.partners, config.detector.partner_share, absent)
    return scores


def answers_of(config: Config, prepared: Prepared, outputs: Outputs, chosen: dict[str, Any]) -> dict[str, Answer]:
    """Return score and probabilities of each film by each head that has a curve, as `choose_curves` chose them."""
    scores, curves = scores_of(config, prepared, outputs, chosen["absent"]), chosen["curves"]
    return {head: (score, Platt(**curves[head])(score)) for head, score in scores.items() if head in curves}


def write_marks(
    run: RunFolder, config: Config, prepared: Prepared, outputs: Outputs, heat: HeatMaps, chosen: dict[str, Any]
) -> None:
    """Write `candidates.csv`, the marks of each head and of the baselines, and `lesions.csv`.

    Args:
        run: The run folder.
        config: The settings of the run.
        prepared: The samples.
        outputs: The outputs of the network.
        heat: The heat of the films.
        chosen: What `choose_curves` chose.
    """
    rows = prepared.rows()
    places = prepared.crops.table.set_index("image_id")["spacing_mm"]
    sides = places[rows["image_id"]].astype(float).tolist()
    images = rows[["image_id", "patient", "split"]]
    marks = candidates(images, heat.places, heat.heats, sides, config.detector.apart_mm)
    if PARTNER in answers_of(config, prepared, outputs, chosen):
        scores, absent = outputs.logits[:, 1], chosen["absent"]
        taken = taken_away(scores, heat.partners, config.detector.partner_share, absent)
        own = marks["head"] == ALONE
        both = lowered(marks[own], dict(zip(images["image_id"], taken, strict=True)))
        marks = pd.concat([marks[own], both, marks[~own]])
    run.write_rows("candidates.csv", marks)
    parts = rows.drop_duplicates("image_id").set_index("image_id")["split"]
    lesions = heat.lesions[heat.lesions["image_id"].isin(parts.index)]
    run.write_rows("lesions.csv", lesions.assign(split=lesions["image_id"].map(parts)))
