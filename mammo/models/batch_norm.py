"""Batch norm and small batches: statistics of one sample are none."""

import torch
from torch import nn

from mammo.config import Config
from mammo.errors import InputError
from mammo.models.backbones import find_backbone


def check_batch_norm(config: Config, world: int) -> None:
    """Refuse a batch of one on each device if batch norm trains, before films are read.

    Args:
        config: The configuration of a run.
        world: The number of devices that share a batch.

    Raises:
        InputError: A device would see one sample at a time, and layers of batch norm train.
    """
    if config.data.batch_size // world != 1 or not config.fit or config.task.kind != "classification":
        return
    model = config.model
    if model.trainable == "head" and model.weights is not None:  # batch norm keeps the statistics that it came with
        return
    backbone = find_backbone(model.name)
    with torch.device("meta"):  # the layers without their numbers
        stages = backbone.stages(backbone.build(model.image_size))
    first = 0
    if model.trainable == "last_block" and model.weights is not None:
        first = next((at for at, (name, _) in enumerate(stages) if name == backbone.last_block), 0)
    normed = [one for _, stage in stages[first:] for one in stage.modules() if isinstance(one, nn.BatchNorm2d)]
    if normed:
        raise InputError(
            f"data.batch_size={config.data.batch_size}: the batch norm of model={model.name} trains, and needs at "
            f"least 2 samples on each device; use data.batch_size={2 * world} or more, or model.trainable=head with "
            "weights"
        )
