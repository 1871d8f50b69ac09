"""The table of backbones. A row says how one of torchvision's models, or one of ours, is taken apart.

To add one, write a row here and a file in `conf/model/`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torchvision.models as tv
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from mammo.errors import InputError
from mammo.models.layers import ClassToken, Embed, Mean, Shallow, alexnet_modified, compact

Stages = list[tuple[str, nn.Module]]
State = dict[str, Tensor]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)  # the result of torchvision's transform_input on ImageNet's normalisation
GREY = ((0.5,), (0.25,))  # one channel, for networks without weights from photographs


@dataclass(frozen=True)
class Backbone:
    """A row of the table.

    Attributes:
        build: Returns the model for a side of the input in pixels.
        weights: torchvision's ImageNet weights; None if there are none.
        stages: Returns the layers of a model in order, up to the last map.
        last_block: The first stage that trains with `trainable=last_block`.
        cam: The layer whose output Grad-CAM weighs: a stage, or `<stage>.<path in it>`.
        classifier: Prefixes of the keys that a weights file without the classifier lacks.
        width: Channels of the last map.
        min_side: Smallest side of an input, in pixels, that leaves a map.
        step: The side must be a multiple of this number of pixels.
        normalise: Means and standard deviations of the input's channels, for grey levels in [0, 1].
        pool: Returns the layer that turns the last map of a model into (B, width).
        as_map: Turns the output of `cam` into (B, C, rows, columns).
        adapt: Turns a state dict, for a side of the input, into one with the model's keys and shapes.
        fc: A function that returns the fully connected layers up to the penultimate one, and their width; or None.
        fc_side: Side of the map that these layers take.
        aux_after: The stage whose output an auxiliary head takes in training; None if there is none.
        taps: The maps that `model.features` may name: a stage, and the layer whose output is its map, which is the
            stage itself or `<stage>.<layer in it>`. `as_map` makes them (B, C, rows, columns).
        dense: The taps that a detector sees; none stands for the last three.
        moved_px: Pixels of the input by which layers without padding move what a tap sees down and to the right.
        whole_px: A multiple and a rest, in pixels: no layer up to the last of `dense` leaves a row over of an input
            whose height is the rest more than a multiple. The map of its vertical flip then lies on the flip of its
            own map. None if that is not known, so a detector cannot show flips to it.
    """

    build: Callable[[int], nn.Module]
    weights: tv.WeightsEnum | None
    stages: Callable[[Any], Stages]
    last_block: str
    cam: str
    classifier: tuple[str, ...]
    width: int
    min_side: int = 32
    step: int = 1
    normalise: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    pool: Callable[[Any], nn.Module] = lambda model: Mean()
    as_map: Callable[[Tensor], Tensor] = lambda x: x
    adapt: Callable[[State, int], State] = lambda state, side: state
    fc: tuple[Callable[[Any], nn.Module], int] | None = None
    fc_side: int = 7
    aux_after: str | None = None
    taps: dict[str, str] = field(default_factory=dict)
    dense: tuple[str, ...] = ()
    moved_px: int = 0
    whole_px: tuple[int, int] | None = None

    def absent(self, key: str) -> bool:
        """Tell whether a key of the state dict belongs to the classifier, which a weights file may lack."""
        return key.startswith(self.classifier)


def _blocks(model: Any) -> Stages:
    """Return the layers of `features` in blocks, each of which ends with a pooling."""
    stages: Stages = []
    block: list[nn.Module] = []
    for layer in model.features:
        block.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append((f"block{len(stages) + 1}", nn.Sequential(*block)))
            block = []
    return stages


def _children(*left_out: str) -> Callable[[Any], Stages]:
    return lambda model: [(name, layer) for name, layer in model.named_children() if name not in left_out]


def _features(model: Any) -> Stages:
    return [(f"features_{name}", layer) for name, layer in model.features.named_children()]


def _old_densenet_keys(state: State, side: int) -> State:
    """Remove dots from the names of layers: torchvision's files are older than its modules, which have none."""
    dotted = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    return {dotted.sub(r"\1\2", key): value for key, value in state.items()}


def _places(state: State, side: int) -> State:
    """Interpolate the position embedding of a vision transformer to another side of the input."""
    return interpolate_embeddings(side, 16, dict(state)) if "encoder.pos_embedding" in state else state


def _convnext_pool(model: Any) -> nn.Module:
    source = model.classifier[0]
    norm = nn.LayerNorm(source.normalized_shape, eps=source.eps)
    norm.weight, norm.bias = source.weight, source.bias
    return nn.Sequential(Mean(), norm)


def _first(count: int) -> Callable[[Any], nn.Module]:
    return lambda model: nn.Sequential(*list(model.classifier.children())[:count])


def _blocks_end(*last: int) -> dict[str, str]:
    """Return the taps of blocks: the layer before the pooling, by its number in each block."""
    return {f"block{i}": f"block{i}.{layer}" for i, layer in enumerate(last, 1)}


def _stages(*names: str) -> dict[str, str]:
    """Return taps that are the outputs of whole stages."""
    return {name: name for name in names}


VGG: dict[str, Any] = {
    "stages": _blocks, "last_block": "block5", "classifier": ("classifier.",), "width": 512, "fc": (_first(5), 4096),
    "whole_px": (16, 0),
}  # fmt: skip
RESNET: dict[str, Any] = {
    "stages": _children("avgpool", "fc"), "last_block": "layer4", "cam": "layer4", "classifier": ("fc.",),
    "taps": _stages("layer1", "layer2", "layer3", "layer4"),
}  # fmt: skip

BACKBONES = {
    "vgg16": Backbone(
        lambda side: tv.vgg16(), tv.VGG16_Weights.IMAGENET1K_V1, cam="block5.5", taps=_blocks_end(3, 3, 5, 5, 5), **VGG
    ),
    "vgg19": Backbone(
        lambda side: tv.vgg19(), tv.VGG19_Weights.IMAGENET1K_V1, cam="block5.7", taps=_blocks_end(3, 3, 7, 7, 7), **VGG
    ),
    "inception": Backbone(
        lambda side: tv.inception_v3(init_weights=False),  # its own first weights take seconds to draw
        tv.Inception_V3_Weights.IMAGENET1K_V1,
        stages=_children("AuxLogits", "avgpool", "dropout", "fc"),
        last_block="Mixed_7a",
        cam="Mixed_7c",
        classifier=("fc.", "AuxLogits."),
        width=2048,
        min_side=75,
        normalise=HALF,
        aux_after="Mixed_6e",
        dense=("Mixed_5d", "Mixed_6e"),
        moved_px=10,
        whole_px=(16, 11),
        taps=_stages("Mixed_5b", "Mixed_5d", "Mixed_6a", "Mixed_6c", "Mixed_6e", "Mixed_7a", "Mixed_7c"),
    ),
    "resnet18": Backbone(lambda side: tv.resnet18(), tv.ResNet18_Weights.IMAGENET1K_V1, width=512, **RESNET),
    "resnet50": Backbone(lambda side: tv.resnet50(), tv.ResNet50_Weights.IMAGENET1K_V1, width=2048, **RESNET),
    "densenet201": Backbone(
        lambda side: tv.densenet201(),
        tv.DenseNet201_Weights.IMAGENET1K_V1,
        stages=lambda model: [*model.features.named_children(), ("relu5", nn.ReLU())],
        last_block="denseblock4",
        cam="relu5",
        classifier=("classifier.",),
        width=1920,
        adapt=_old_densenet_keys,
        taps=_stages("denseblock1", "denseblock2", "denseblock3", "relu5"),
    ),
    "alexnet": Backbone(
        lambda side: tv.alexnet(),
        tv.AlexNet_Weights.IMAGENET1K_V1,
        stages=_blocks,
        last_block="block3",
        cam="block3.5",
        classifier=("classifier.",),
        width=256,
        min_side=63,
        fc=(_first(6), 4096),
        fc_side=6,
        taps=_blocks_end(1, 1, 5),
    ),
    "alexnet_modified": Backbone(
        alexnet_modified,
        None,
        stages=_children(),
        last_block="block3",
        cam="block3.8",
        classifier=(),
        width=256,
        min_side=63,
        normalise=GREY,
        taps=_blocks_end(2, 2, 8),
    ),
    "compact": Backbone(
        compact,
        None,
        stages=_children(),
        last_block="block5",
        cam="block5.2",
        classifier=(),
        width=128,
        normalise=GREY,
        whole_px=(16, 0),
        taps=_blocks_end(2, 2, 2, 2, 2),
    ),
    "shallow_deep": Backbone(
        lambda side: tv.resnet50(),
        tv.ResNet50_Weights.IMAGENET1K_V1,
        width=2048,
        **RESNET | {"stages": lambda model: [("shallow", Shallow()), *RESNET["stages"](model)]},
    ),
    "efficientnet_b0": Backbone(
        lambda side: tv.efficientnet_b0(),
        tv.EfficientNet_B0_Weights.IMAGENET1K_V1,
        stages=_features,
        last_block="features_7",
        cam="features_8",
        classifier=("classifier.",),
        width=1280,
        taps=_stages(*(f"features_{number}" for number in range(9))),
    ),
    "convnext_tiny": Backbone(
        lambda side: tv.convnext_tiny(),
        tv.ConvNeXt_Tiny_Weights.IMAGENET1K_V1,
        stages=_features,
        last_block="features_6",
        cam="features_7",
        classifier=("classifier.2.",),
        width=768,
        pool=_convnext_pool,
        taps=_stages("features_1", "features_3", "features_5", "features_7"),
    ),
    "vit_b_16": Backbone(
        lambda side: tv.vit_b_16(image_size=side),
        tv.ViT_B_16_Weights.IMAGENET1K_V1,
        stages=lambda model: [
            ("embed", Embed(model)),
            *model.encoder.layers.named_children(),
            ("norm", model.encoder.ln),
        ],
        last_block="encoder_layer_11",
        cam="encoder_layer_11.ln_1",  # after it only the class token reaches the logits
        classifier=("heads.",),
        width=768,
        step=16,
        pool=lambda model: ClassToken(),
        as_map=lambda x: x[:, 1:].transpose(1, 2).unflatten(2, (int((x.shape[1] - 1) ** 0.5), -1)),
        adapt=_places,
        taps=_stages(*(f"encoder_layer_{number}" for number in range(12))),
    ),
    "swin_t": Backbone(
        lambda side: tv.swin_t(),
        tv.Swin_T_Weights.IMAGENET1K_V1,
        stages=lambda model: [*_features(model), ("norm", model.norm)],
        last_block="features_6",
        cam="norm",
        classifier=("head.",),
        width=768,
        pool=lambda model: Mean((1, 2)),
        as_map=lambda x: x.permute(0, 3, 1, 2),
        taps=_stages("features_1", "features_3", "features_5", "norm"),
    ),
}


def find_backbone(name: str) -> Backbone:
    """Return the backbone of that name; the error for an unknown one lists the known ones."""
    if name not in BACKBONES:
        raise InputError(f"model.name={name} is unknown; expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name]
