"""The network of a run, by the kind of its task; without Lightning, which predicting need not import."""

from collections.abc import Callable
from typing import Any

from torch import nn

from mammo.config import Config
from mammo.detector_config import blocks_of, trained_map
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES, find_backbone
from mammo.models.decoder import Segmenter
from mammo.models.detector import Detector
from mammo.models.last_block import LastBlock
from mammo.models.maps import MODEL_SIDE, FrozenMaps, weights_file
from mammo.models.network import build_network, linear_head
from mammo.models.weights import RunWeights, load_weights


def network_of(
    config: Config,
    classes: int,
    frozen_stages: int | None = None,
    donor: RunWeights | None = None,
    head: Callable[[int], nn.Module] | None = None,
) -> nn.Module:
    """Return the network of a configuration: a backbone with a head, one with a decoder, or a detector.

    Args:
        config: The configuration of the run.
        classes: The number of classes.
        frozen_stages: Number of frozen stages in the checkpoint that will fill the network; None reads the weights.
        donor: The weights of the run that `model.weights` names; None if it names none.
        head: Returns the layers from features to logits, given the number of features; None: dropout and one linear
            layer.
    """
    if config.task.kind == "detection":
        return _detector(config, empty=frozen_stages is not None)
    network = build_network(
        config.model,
        head or (lambda width: linear_head(width, classes, config.model.dropout)),
        classes=classes,
        frozen_stages=frozen_stages,
        donor=donor,
        windows=config.crop.windows,
        join=config.crop.join,
    )
    return _segmenter(config, network) if config.task.kind == "segmentation" else network


def _detector(config: Config, *, empty: bool) -> Detector:
    """Return the detector, its frozen maps filled with the weights of their backbones unless they stay empty."""
    blocks, detector = blocks_of(config.model.maps, config.detector), config.detector
    digests: dict[str, str] = {}

    def filled(name: str) -> FrozenMaps:
        weights, row = config.model.weights, find_backbone(name)
        if config.model.flips != "none" and row.whole_px is None:
            able = ", ".join(one for one, of in BACKBONES.items() if of.whole_px)
            raise InputError(
                f"model.flips={config.model.flips}: it is not known where maps of {name} lie on a flip; use maps "
                f"of {able}, or model.flips=none"
            )
        if weights is None or empty:
            return FrozenMaps(name)

        def fill(model: nn.Module) -> None:
            found = weights_file(weights, name)
            how: Any = {
                "name": name,
                "source": row.weights,
                "absent": row.absent,
                "adapt": lambda state: row.adapt(state, MODEL_SIDE),
            }
            _, digests[name] = load_weights(model, found, **how)

        return FrozenMaps(name, fill)

    frozen = {name: filled(name) for name in dict.fromkeys(of.backbone for of, _ in blocks)}
    of = trained_map(config.model.trainable, config.model.maps, detector)
    windows = {number: window for number, (own, window) in enumerate(blocks) if own == of}
    net = Detector(
        frozen,
        len(blocks),
        detector.axes,
        detector.hottest,
        None if of is None else LastBlock(frozen[of.backbone], of, windows),
        restarts=detector.restarts,
        members=detector.members,
        hidden=detector.hidden,
        drop_inputs=detector.drop_inputs,
        dropout=detector.dropout,
    )
    net.weights_digest = " ".join(digests.values()) or None
    if config.model.weights is not None:
        maps = ("frozen.", "block.")
        net.loaded = frozenset(name for name, _ in net.named_parameters() if name.startswith(maps))
    return net


def _segmenter(config: Config, network: Any) -> Segmenter:
    """Return a backbone with a decoder on the maps of its stages."""
    backbone, side = find_backbone(config.model.name), config.model.image_size
    window = config.segmentation.window_of(side)
    if window is not None and (window < backbone.min_side or backbone.step > 1):
        expected = f"model.image_size={side}" if backbone.step > 1 else f"{backbone.min_side} or more"
        raise InputError(f"segmentation.window_px={window} does not fit {config.model.name}; expected {expected}")
    return Segmenter(network, width=config.segmentation.width, side=config.model.image_size)
