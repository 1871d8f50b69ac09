"""Load weights of torchvision, of a safetensors file with the same keys, or of a run; each key and shape is checked."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from mammo.errors import InputError

log = logging.getLogger(__name__)

State = dict[str, Tensor]
IMAGE_FILTERS = 4  # dimensions of the weights of a convolution
WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
OF_RUN = ("net.frozen.", "net.body.")  # prefixes of a backbone's keys in a checkpoint; they name the same stages
# Prefixes of layers that depend on model.pool: the fully connected ones of fc, and the norm of some backbones of avg.
OF_POOL = ("fc.", "pool.")


@dataclass(frozen=True)
class RunWeights:
    """The weights that a run has trained.

    Attributes:
        state: The tensors of its checkpoint, by key.
        digest: The SHA-256 of its checkpoint.
        path: The run folder, for errors.
    """

    state: State
    digest: str
    path: Path


def load_weights(
    model: nn.Module,
    weights: str,
    *,
    name: str,
    source: WeightsEnum | None,
    absent: Callable[[str], bool],
    adapt: Callable[[State], State] = lambda state: state,
) -> tuple[set[str], str]:
    """Fill one of torchvision's models with weights.

    Args:
        model: The model to fill.
        weights: `imagenet`, or the path of a safetensors file.
        name: The name of the model, for errors.
        source: torchvision's own weights of the model; None if there are none.
        absent: Tells whether a key belongs to the classifier; a file may lack all of these keys, but not some.
        adapt: Turns the state dict of a file into one with the model's keys and shapes.

    Keys that all begin with the prefix of a wrapper, `module.` of DataParallel for example, lose it, with a note.

    Returns:
        The keys that were filled, and the SHA-256 of the file, or the address of torchvision's weights.

    Raises:
        InputError: There is no such file, the download fails, or the weights do not fit.
    """
    if weights != "imagenet":
        state, digest = _from_file(Path(weights).expanduser())
        state = _unwrapped(state, weights)
    elif source is not None:
        state, digest = _from_torchvision(source)
    else:
        raise InputError(
            f"model.weights=imagenet, but torchvision has no weights for {name}; "
            "use model.weights=null to train from scratch, or model.weights=<path.safetensors>"
        )
    state, own = adapt(state), model.state_dict()
    with_or_without = f"torchvision's {name}, with or without its classifier"
    _compare(weights, state, own, absent, "the classifier's", with_or_without)
    # Not strict: the keys were compared above.
    model.load_state_dict({key: tensor.to(own[key].dtype) for key, tensor in state.items()}, strict=False)
    return set(state), digest


def load_stages(
    stages: Iterable[tuple[str, nn.Module]], donor: RunWeights, *, name: str, left_out: Sequence[str]
) -> set[str]:
    """Fill the stages of a network with those of a run, which may have frozen others. Its head is not taken.

    Args:
        stages: The stages by name.
        donor: The weights of the run.
        name: The name of the backbone, for errors.
        left_out: The names of stages that the network does not have and the run may have.

    Returns:
        The keys that were filled, `<stage>.<key>`.

    Raises:
        InputError: The weights do not fit.
    """
    layers = dict(stages)
    own = {f"{stage}.{key}": tensor for stage, layer in layers.items() for key, tensor in layer.state_dict().items()}
    state = {
        key.removeprefix(part): tensor for key, tensor in donor.state.items() for part in OF_RUN if key.startswith(part)
    }
    others = [prefix for prefix in OF_POOL if not any(key.startswith(prefix) for key in own)]
    others += [f"{stage}." for stage in left_out]
    state = {key: tensor for key, tensor in state.items() if not key.startswith(tuple(others))}
    said = f"{name} as the other settings of the model build it"
    layers_of = "the fully connected layers'" if any(key.startswith("fc.") for key in own) else "the pooling's"
    _compare(str(donor.path), state, own, lambda key: key.startswith(OF_POOL), layers_of, said)
    for stage, layer in layers.items():
        mine = {key.removeprefix(f"{stage}."): state[key] for key in state if key.startswith(f"{stage}.")}
        layer.load_state_dict(mine, strict=False)  # the keys were compared above
    return set(state)


def _compare(weights: str, state: State, own: State, absent: Callable[[str], bool], layers: str, expected: str) -> None:
    """Compare every key and shape of weights with a model's; the keys that `absent` names may all be missing."""
    counters = {key for key in own if key.endswith(".num_batches_tracked")}  # older files lack them, nothing uses them
    if not set(state) & set(own):
        first = f"its {len(state)} keys have other names, {min(state, default='none')} for example"
        raise InputError(
            f"model.weights={weights}: {first}; expected those of {expected}, such as {min(own)}; a file of another "
            "library, or of a larger model around this one, needs its keys renamed"
        )
    missing, surplus = set(own) - set(state) - counters, set(state) - set(own)
    may_lack = {key for key in own if absent(key)} - counters
    faults = {
        "has unexpected keys": surplus,
        "lacks keys": missing - may_lack,
        f"lacks some of {layers} keys": missing if missing != may_lack else set(),
    }
    for fault, keys in faults.items():
        if keys:
            raise InputError(
                f"model.weights={weights}: {fault}, {min(keys)} and {len(keys) - 1} more; expected {expected}"
            )
    for key, tensor in state.items():
        if tensor.shape != own[key].shape:
            raise InputError(
                f"model.weights={weights}: {key} has shape {tuple(tensor.shape)}; expected {tuple(own[key].shape)}"
            )
        if fault := _fault(key, tensor, own[key]):
            raise InputError(f"model.weights={weights}: {key} {fault}; take other weights")


def _fault(key: str, tensor: Tensor, own: Tensor) -> str:
    """Return what is wrong with the values of a tensor of the right shape; empty if nothing is."""
    if own.is_floating_point() and not tensor.is_floating_point():
        return "has whole numbers, as quantised weights have, which mean nothing without their scales"
    if tensor.is_floating_point() and not tensor.isfinite().all():
        return "has values that are not finite; their training diverged, or the file is damaged"
    if key.endswith(".running_var") and (tensor < 0).any():
        return "has variances below 0, so the file is damaged"
    if tensor.ndim == IMAGE_FILTERS and not tensor.any() and own.any():  # some layers begin at zero
        return "has zeros alone, so the file is damaged"
    return ""


def _unwrapped(state: State, weights: str) -> State:
    """Return the weights without the prefixes that torch's wrappers put before all keys."""
    for prefix in WRAPPERS * 2:  # one may be inside the other
        if state and all(key.startswith(prefix) for key in state):
            log.info("note   model.weights=%s: all keys begin with %s, which is left out", weights, prefix)
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _from_torchvision(source: WeightsEnum) -> tuple[dict[str, Tensor], str]:
    try:
        # The file is a pickle, but torchvision's own: checked against the hash in its name, and read as tensors alone.
        return source.get_state_dict(progress=True, check_hash=True, weights_only=True), source.url
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"model.weights=imagenet: the download of {source.url} failed ({error}); "
            "use model.weights=<path.safetensors>, or model.weights=null to train from scratch"
        ) from error


def _from_file(path: Path) -> tuple[dict[str, Tensor], str]:
    if path.suffix != ".safetensors" or not path.is_file():
        raise InputError(
            f"model.weights={path}: expected imagenet, null, a .safetensors file that exists, or a run folder"
            + (", found a file of another kind; save it with safetensors.torch.save_file" if path.is_file() else "")
        )
    content = path.read_bytes()
    try:
        return load(content), hashlib.sha256(content).hexdigest()
    except SafetensorError as error:
        raise InputError(f"model.weights={path} is not a readable safetensors file ({error}); save it again") from error
