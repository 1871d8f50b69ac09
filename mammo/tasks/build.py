"""The task of a run, by its kind."""

import numpy as np

from mammo.config import Config
from mammo.datasets.labels import Labels
from mammo.models.weights import RunWeights
from mammo.tasks.base import Task
from mammo.tasks.classification import Classification
from mammo.tasks.detection import Detection
from mammo.tasks.segmentation import Segmentation


def build_task(
    config: Config,
    labels: Labels,
    counts: np.ndarray | None = None,
    frozen_stages: int | None = None,
    donor: RunWeights | None = None,
) -> Task:
    """Build the task of a run; see `Classification`, `Detection` and `Segmentation`."""
    if config.task.kind == "detection":
        return Detection(config, labels, frozen_stages)
    if config.task.kind == "segmentation":
        return Segmentation(config, labels, frozen_stages, donor)
    return Classification(config, labels, counts, frozen_stages, donor)
