"""The network that is built from a row of the table of backbones, and its three verbs on pixels.

`forward(pixels)` returns logits, `maps(pixels)` the last map, `features(pixels)` the penultimate features. Pixels are
grey, (squares, 1, side, side) uint8 or uint16. A sample is one square, or several side by side in the batch: the
windows of `crop.windows_mm`, and for each flip (`model.flips`) all windows. A network has three parts in sequence:
`frozen` (its outputs can be cached, see `training.frozen`), `body` (trained, up to the penultimate features) and `head`
(dropout and one linear layer).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mammo.config import ModelConfig
from mammo.errors import InputError
from mammo.models.backbones import Backbone, Stages, find_backbone
from mammo.models.layers import EachWindow, Float32, Grey
from mammo.models.taps import POOL, Join, Pooled, Taps, parts_of, steps
from mammo.models.weights import RunWeights, load_stages, load_weights

AUX_MIN_SIDE = 299  # the auxiliary head's pooling and 5 x 5 convolution need a map of 17 x 17 from Mixed_6e
AUX_WEIGHT = 0.4  # as in torchvision's reference training; Szegedy et al. 2016 give no value


class Network(nn.Module):
    """A backbone in three parts: frozen, body and head.

    Args:
        frozen: The frozen stages in sequence, the input stage first.
        body: The other stages up to the penultimate features; the pooling is the last stage of both together.
        head: The layers from features to logits.
        as_map: Turns the output of the last stage before the pooling into (B, C, h, w).
        aux: An auxiliary head that is trained beside the head; None if there is none.
        aux_after: The stage whose output the auxiliary head takes.
        windows: Number of windows that a sample shows.
    """

    def __init__(
        self,
        frozen: nn.Sequential,
        body: nn.Sequential,
        head: nn.Module,
        *,
        as_map: Callable[[Tensor], Tensor],
        aux: nn.Module | None,
        aux_after: str | None,
        windows: int = 1,
    ) -> None:
        super().__init__()
        self.frozen, self.body = frozen, body
        self.head, self.as_map, self.aux, self.aux_after = head, as_map, aux, aux_after
        self.windows = windows
        self.frozen.requires_grad_(False).eval()
        self.loaded: frozenset[str] = frozenset()  # names of parameters loaded from a weights file or a run
        self.weights_digest: str | None = None  # SHA-256 of that file, or of the run's checkpoint
        self.compiled = False

    @property
    def trains_features(self) -> bool:
        """True if the features are trained on labels; False if the linear layer alone is."""
        return any(True for _ in self.body.parameters())

    def train(self, mode: bool = True) -> "Network":
        """Set the mode. The frozen part stays in eval mode, so its batch norm and dropout do not change."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (B, classes) float32."""
        return self.head(self.features(pixels))

    def features(self, pixels: Tensor, rows: int | None = None) -> Tensor:
        """Return penultimate features (B, D) float32 of B samples; see `features_of`."""
        return self.features_of(self.frozen(pixels), rows)

    def maps(self, pixels: Tensor) -> Tensor:
        """Return the last map (B, C, h, w)."""
        for name, stage in [*self.frozen.named_children(), *self.body.named_children()]:
            if name == POOL:
                break
            pixels = stage(pixels)
        return self.as_map(pixels)

    def features_of(self, outputs: Tensor, rows: int | None = None) -> Tensor:
        """Return penultimate features (B, D) float32 from the outputs of the frozen part.

        Args:
            outputs: The outputs for the squares of B samples.
            rows: B, if a sample shows flips, over which its features are averaged; None if it shows none.
        """
        return self._joined(self.body(outputs).float(), rows)

    def _joined(self, x: Tensor, rows: int | None = None) -> Tensor:
        """Return the features of all windows side by side, each the mean over the flips, from those of the squares."""
        squares = x.shape[0]  # not len(x), which an export would keep as a number
        rows = squares // self.windows if rows is None else rows
        return x if squares == rows else x.unflatten(0, (rows, -1, self.windows)).mean(dim=1).flatten(1)

    def weighted_logits(self, outputs: Tensor) -> Iterator[tuple[float, Tensor]]:
        """Yield the logits that a training step learns from, each after its weight in the loss.

        Args:
            outputs: The outputs of the frozen part; the pixels themselves if nothing is frozen.
        """
        x = outputs
        for name, x in steps(self.body, outputs):
            if self.aux is not None and name == self.aux_after:
                yield AUX_WEIGHT, self.aux(x).float().unflatten(0, (-1, self.windows)).mean(dim=1)
        yield 1.0, self.head(self._joined(x))

    def compile_stages(self) -> None:
        """Compile each stage in place, at its first batch; the names and values of parameters do not change."""
        self.compiled = True
        stages = [*self.frozen, *self.body]
        limit = torch._dynamo.config.recompile_limit  # per function, and stages share nn.Sequential's
        torch._dynamo.config.recompile_limit = max(limit, 4 * len(stages))
        for stage in stages:
            stage.compile()

    def layer(self, path: str) -> nn.Module:
        """Return a stage, or the layer `<stage>.<path>` inside one."""
        stage, _, inner = path.partition(".")
        part = self.frozen if stage in self.frozen._modules else self.body
        return part.get_submodule(stage).get_submodule(inner)

    def frozen_digest(self) -> str:
        """Return the SHA-256 of the frozen layers and their weights."""
        digest = hashlib.sha256(str(self.frozen).encode())
        for name, tensor in self.frozen.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def build_network(
    config: ModelConfig,
    head: Callable[[int], nn.Module],
    *,
    classes: int,
    frozen_stages: int | None = None,
    donor: RunWeights | None = None,
    windows: int = 1,
    join: str = "scores",
) -> Network:
    """Build the network of a backbone.

    Args:
        config: The settings of the model.
        head: Returns the layers from features to logits, given the number of features.
        classes: Number of logits of an auxiliary head.
        frozen_stages: Number of frozen stages in the checkpoint that will fill the network; no weights file is read
            then. None follows the settings.
        donor: The weights of the run that `config.weights` names; None if it names none.
        windows: Number of windows that a sample shows.
        join: `scores` averages the logits of the windows; `features` gives the head all their features.

    Raises:
        InputError: A name or setting is unknown, the input is too small, or the weights do not fit.
    """
    backbone = find_backbone(config.name)
    side = config.image_size
    if config.pool == "fc" and backbone.fc is None:
        raise InputError(f"model.pool=fc, but {config.name} has no fully connected layers; use model.pool=avg")
    taps = taps_of(config, backbone)
    if side < backbone.min_side or side % backbone.step:
        multiple = f", a multiple of {backbone.step}" if backbone.step > 1 else ""
        raise InputError(
            f"model.image_size={side} does not fit {config.name}; expected at least {backbone.min_side}{multiple}"
        )
    model = backbone.build(side)
    loaded, digest = set[int](), None
    if config.weights is not None and frozen_stages is None and donor is None:
        loaded, digest = _load_file(model, config.weights, config, backbone)
    stages, left_out, width = staged(config, backbone, model, taps)
    if donor is not None and frozen_stages is None:
        keys, digest = load_stages(stages, donor, name=config.name, left_out=left_out), donor.digest
        loaded = {id(p) for stage, layer in stages for key, p in layer.named_parameters() if f"{stage}.{key}" in keys}
    if frozen_stages is None:
        frozen_stages = _frozen_of(config, backbone, stages, loaded)
    if taps is None:
        frozen, body = (nn.Sequential(OrderedDict(of)) for of in (stages[:frozen_stages], stages[frozen_stages:]))
    else:
        frozen, body, width = parts_of(stages, frozen_stages, taps, side)
    top = _of_windows(head, width, windows, join)
    aux: Any = None
    heard = backbone.aux_after is not None and backbone.aux_after not in left_out
    if heard and config.trainable == "all" and side >= AUX_MIN_SIDE:
        aux = model.AuxLogits
        aux.fc = nn.Linear(768, classes)  # the width of torchvision's InceptionAux
    network = Network(frozen, body, top, as_map=backbone.as_map, aux=aux, aux_after=backbone.aux_after, windows=windows)
    network.weights_digest = digest
    network.loaded = frozenset(key for key, parameter in network.named_parameters() if id(parameter) in loaded)
    if config.compile:
        network.compile_stages()
    return network.to(memory_format=torch.channels_last) if config.channels_last else network


def _load_file(model: nn.Module, weights: str, config: ModelConfig, backbone: Backbone) -> tuple[set[int], str]:
    """Fill a model from a weights file; return the `id` of each parameter that was filled, and the file's digest."""
    keys, digest = load_weights(
        model,
        weights,
        name=config.name,
        source=backbone.weights,
        absent=backbone.absent,
        adapt=lambda state: backbone.adapt(state, config.image_size),
    )
    return {id(parameter) for key, parameter in model.named_parameters() if key in keys}, digest


def _of_windows(head: Callable[[int], nn.Module], width: int, windows: int, join: str) -> nn.Module:
    """Return the head of samples that show several windows, each with `width` features."""
    if join == "features":
        return head(width * windows)
    return EachWindow(head(width), windows) if windows > 1 else head(width)


def staged(
    config: ModelConfig, backbone: Backbone, model: nn.Module, taps: Taps | None
) -> tuple[Stages, list[str], int]:
    """Return the stages from the input to the penultimate features, the stages left out, and the number of features.

    Stages beyond the last map that gives features are left out. The number is that of the last map, if `taps` is None.

    Raises:
        InputError: The block that should train is left out.
    """
    stages: Stages = [("input", Grey(*backbone.normalise, channels_last=config.channels_last))]
    stages += backbone.stages(model)
    width = backbone.width * (1 + (config.pool == "mean_std"))
    if taps is not None:
        last = max(number for number, (name, _) in enumerate(stages) if name in taps.layers)
        stages, left_out = stages[: last + 1], [name for name, _ in stages[last + 1 :]]
        if config.trainable == "last_block" and backbone.last_block in left_out:
            raise InputError(
                f"model.trainable=last_block trains {config.name} from {backbone.last_block}, but "
                f"model.features={config.features} ends before it; name a later stage, or use model.trainable=all"
            )
        return [*stages, (POOL, Join())], left_out, width
    if config.pool == "avg":
        stages.append((POOL, Float32(backbone.pool(model))))
    elif config.pool != "fc" or backbone.fc is None:
        stages.append((POOL, Float32(Pooled(config.pool, backbone.as_map))))
    else:
        layers, width = backbone.fc
        stages.append((POOL, nn.Sequential(nn.AdaptiveAvgPool2d(backbone.fc_side), nn.Flatten())))
        stages.append(("fc", Float32(layers(model))))
    return stages, [], width


def _frozen_of(config: ModelConfig, backbone: Backbone, stages: Stages, loaded: set[int]) -> int:
    """Return the number of frozen stages: those before the first that trains or lacks weights, 0 if none has any."""
    last_block = next((at for at, (name, _) in enumerate(stages) if name == backbone.last_block), 0)
    count = {"head": len(stages), "last_block": last_block, "all": 0}[config.trainable]
    lacking = [i for i, (_, stage) in enumerate(stages) if any(id(p) not in loaded for p in stage.parameters())]
    count = min([count, *lacking])
    if not any(list(stage.parameters()) for _, stage in stages[:count]):
        return 0  # nothing but the input stage would be frozen
    return count


def taps_of(config: ModelConfig, backbone: Backbone) -> Taps | None:
    """Return the maps that `config.features` names; None if the last map alone gives the features.

    Raises:
        InputError: A name is unknown or there twice, or the pooling has no map.
    """
    if config.features is None:
        return None
    known = ", ".join(backbone.taps) or "none"
    if not config.features or len(set(config.features)) < len(config.features):
        raise InputError(f"model.features={config.features}: expected null, or some of {known}, each once")
    for name in config.features:
        if name not in backbone.taps:
            raise InputError(f"model.features: {config.name} has no map {name}; expected some of {known}")
    if config.pool == "fc":
        raise InputError("model.pool=fc takes the last map; use model.features=null, or another pooling")
    layers = {stage: inner for stage, _, inner in (backbone.taps[name].partition(".") for name in config.features)}
    return Taps(layers, config.pool, backbone.as_map)


def linear_head(width: int, classes: int, dropout: float) -> nn.Module:
    """Return dropout and one linear layer, which runs in float32."""
    return nn.Sequential(nn.Dropout(dropout), Float32(nn.Linear(width, classes)))
