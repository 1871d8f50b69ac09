"""The network that is built from a row of the table of backbones.

A network is three parts in a row: `trunk` (frozen, its outputs can be cached), `body` (trained, up to the
penultimate features) and `head` (dropout and one linear layer). Input is grey, (B, 1, side, side) uint8.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mammo.errors import InputError
from mammo.models.backbones import Stages, find_backbone
from mammo.models.weights import load_weights

AUX_MIN_SIDE = 299  # the auxiliary head's pooling and 5 x 5 convolution need Mixed_6e's map of 17 x 17
AUX_WEIGHT = 0.4  # Szegedy et al. 2016 give none; torchvision's reference training takes 0.4


class Grey(nn.Module):
    """Grey (B, 1, H, W) uint8 to normalised (B, C, H, W) float32: the one place where grey becomes three channels."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, channels_last: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        """Normalised (B, C, H, W), with as many channels as there are means."""
        x = (x.float() / 255 - self.mean) / self.std  # type: ignore[operator]
        return x.contiguous(memory_format=self.memory_format)

    def extra_repr(self) -> str:
        """The numbers, which are no parameters: they belong to the trunk's digest."""
        return f"{self.mean.flatten().tolist()}, {self.std.flatten().tolist()}, {self.memory_format}"  # type: ignore[operator]


class Float32(nn.Module):
    """Runs a layer in float32 outside autocast: in bfloat16 few distinct scores would be left."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """What the layer makes of `x` in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class Network(nn.Module):
    """Trunk, body and head of a backbone; see the module."""

    def __init__(
        self, *, trunk: Stages, body: Stages, head: nn.Module, aux: nn.Module | None, aux_after: str | None
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential()
        self.body = nn.Sequential()
        for part, stages in ((self.trunk, trunk), (self.body, body)):
            for name, stage in stages:
                part.add_module(name, stage)
        self.head, self.aux, self.aux_after = head, aux, aux_after
        self.trunk.requires_grad_(False).eval()
        self.loaded: frozenset[str] = frozenset()  # parameters that came from a file
        self.weights_digest: str | None = None  # of that file
        self.compiled = False

    @property
    def frozen(self) -> bool:
        """Whether a part is frozen; the network then takes what `trunk` makes of the pixels."""
        return len(self.trunk) > 0

    @property
    def trained_features(self) -> bool:
        """Whether the features have been trained on labels, and not the linear layer alone."""
        return any(True for _ in self.body.parameters())

    def train(self, mode: bool = True) -> "Network":
        """As ever, but the frozen trunk stays in eval mode, its batch norms and dropouts included."""
        super().train(mode)
        self.trunk.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features (B, D) float32 of what `trunk` returns."""
        return self.body(x).float()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) float32 of what `trunk` returns."""
        return self.head(self.features(x))

    def weighted_logits(self, x: Tensor) -> Iterator[tuple[float, Tensor]]:
        """All logits that a training step learns from, each with its weight in the loss."""
        for name, stage in self.body.named_children():
            x = stage(x)
            if self.aux is not None and name == self.aux_after:
                yield AUX_WEIGHT, self.aux(x).float()
        yield 1.0, self.head(x)

    def compile_stages(self) -> None:
        """Compiles each stage in place, at its first batch: names and numbers of parameters stay as they are."""
        self.compiled = True
        stages = [*self.trunk, *self.body]
        limit = torch._dynamo.config.recompile_limit  # of one function: that of nn.Sequential is many stages'
        torch._dynamo.config.recompile_limit = max(limit, 4 * len(stages))
        for stage in stages:
            stage.compile()

    def layer(self, path: str) -> nn.Module:
        """A stage of trunk or body, or `<stage>.<path>` inside one."""
        stage, _, inner = path.partition(".")
        part = self.trunk if stage in self.trunk._modules else self.body
        return part.get_submodule(stage).get_submodule(inner)

    def trunk_digest(self) -> str:
        """SHA-256 of the frozen trunk's layers and weights."""
        digest = hashlib.sha256(str(self.trunk).encode())
        for name, tensor in self.trunk.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def build_network(
    *,
    name: str,
    weights: str | None,
    trainable: str,
    pool: str,
    classes: int,
    image_size: int,
    dropout: float = 0.5,
    channels_last: bool = True,
    compile: bool = False,
    frozen_stages: int | None = None,
) -> Network:
    """The network of a backbone.

    Args:
        name: A key of `backbones.BACKBONES`.
        weights: `imagenet` (torchvision's, downloaded once), a safetensors file, or null.
        trainable: `head` (all that the weights lack, and the linear layer), `last_block`, or `all`.
        pool: `avg` (the features are the last map's mean) or `fc` (the backbone's own fully connected layers).
        classes: Number of classes.
        image_size: Side in pixels of the input.
        dropout: Before the linear layer.
        channels_last: Memory format of the maps.
        compile: Whether `torch.compile` makes one kernel of many, stage by stage; the outputs differ by rounding.
        frozen_stages: How many stages are frozen in the checkpoint that will fill the network; no weights are read.

    Raises:
        InputError: An unknown name or setting, an input too small, or weights that do not fit.
    """
    backbone = find_backbone(name)
    for key, value, known in (("trainable", trainable, ("head", "last_block", "all")), ("pool", pool, ("avg", "fc"))):
        if value not in known:
            raise InputError(f"model.{key}={value} is unknown; expected one of {', '.join(known)}")
    if pool == "fc" and backbone.fc is None:
        raise InputError(f"model.pool=fc: {name} has no fully connected layers; use model.pool=avg")
    if image_size < backbone.min_side or image_size % backbone.step:
        multiple = f", a multiple of {backbone.step}" if backbone.step > 1 else ""
        raise InputError(
            f"model.image_size={image_size} does not fit {name}; expected at least {backbone.min_side}{multiple}"
        )
    aux = backbone.aux_after is not None and trainable == "all" and image_size >= AUX_MIN_SIDE
    model = backbone.build(image_size)
    keys: set[str] = set()
    digest = None
    if weights is not None and frozen_stages is None:
        keys, digest = load_weights(
            model,
            weights,
            name=name,
            source=backbone.weights,
            absent=backbone.absent,
            adapt=lambda state: backbone.adapt(state, image_size),
        )
    loaded = {id(parameter) for key, parameter in model.named_parameters() if key in keys}

    stages: Stages = [("input", Grey(*backbone.normalise, channels_last=channels_last)), *backbone.stages(model)]
    last_block = [stage for stage, _ in stages].index(backbone.last_block)
    if pool == "avg" or backbone.fc is None:
        stages.append(("pool", Float32(backbone.pool(model))))
        width = backbone.width
    else:
        layers, width = backbone.fc
        stages.append(("pool", nn.Sequential(nn.AdaptiveAvgPool2d(backbone.fc_side), nn.Flatten())))
        stages.append(("fc", Float32(layers(model))))
    if frozen_stages is None:
        frozen_stages = {"head": len(stages), "last_block": last_block, "all": 0}[trainable]
        lacking = [i for i, (_, stage) in enumerate(stages) if any(id(p) not in loaded for p in stage.parameters())]
        frozen_stages = min([frozen_stages, *lacking])
        if not any(list(stage.parameters()) for _, stage in stages[:frozen_stages]):
            frozen_stages = 0  # nothing but the input stage would be frozen
    head = nn.Sequential(nn.Dropout(dropout), Float32(nn.Linear(width, classes)))
    aux_head: Any = None
    if aux:
        aux_head = model.AuxLogits
        aux_head.fc = nn.Linear(768, classes)  # the width of torchvision's InceptionAux
    network = Network(
        trunk=stages[:frozen_stages], body=stages[frozen_stages:], head=head, aux=aux_head, aux_after=backbone.aux_after
    )
    network.weights_digest = digest
    network.loaded = frozenset(key for key, parameter in network.named_parameters() if id(parameter) in loaded)
    if compile:
        network.compile_stages()
    return network.to(memory_format=torch.channels_last) if channels_last else network
