"""Pretrained weights: torchvision's, or a safetensors file with its keys; checked key by key and shape by shape."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from mammo.errors import InputError

State = dict[str, Tensor]


def load_weights(
    model: nn.Module,
    weights: str,
    *,
    name: str,
    source: WeightsEnum | None,
    absent: Callable[[str], bool],
    adapt: Callable[[State], State] = lambda state: state,
) -> tuple[set[str], str]:
    """Fills one of torchvision's models.

    Args:
        model: The model.
        weights: `imagenet`, or a safetensors file.
        name: Of the model, for errors.
        source: torchvision's own weights of it; None where there are none.
        absent: Which keys a file that holds the trunk alone lacks, all of them or none.
        adapt: From a state dict of the file's to one with the model's keys and shapes.

    Returns:
        The keys that were filled, and the SHA-256 of the file or, of torchvision's, their address.

    Raises:
        InputError: No such file, no download, or weights that do not fit.
    """
    if weights != "imagenet":
        state, digest = _from_file(Path(weights).expanduser())
    elif source is not None:
        state, digest = _from_torchvision(source)
    else:
        raise InputError(
            f"model.weights=imagenet: torchvision has none for {name}; "
            "train from nothing, model.weights=null, or name a file, model.weights=<path.safetensors>"
        )
    state, own = adapt(state), model.state_dict()
    counters = {key for key in own if key.endswith(".num_batches_tracked")}  # older files lack them, nothing reads them
    missing, surplus = set(own) - set(state) - counters, set(state) - set(own)
    trunk_only = {key for key in own if absent(key)} - counters
    faults = {
        "has unexpected keys": surplus,
        "lacks keys": missing - trunk_only,
        "lacks some of the head's keys": missing if missing != trunk_only else set(),
    }
    for fault, keys in faults.items():
        if keys:
            raise InputError(
                f"model.weights={weights}: {fault}, {min(keys)} and {len(keys) - 1} more; "
                f"expected torchvision's {name}, whole or without its classifier"
            )
    for key, tensor in state.items():
        if tensor.shape != own[key].shape:
            raise InputError(
                f"model.weights={weights}: {key} has shape {tuple(tensor.shape)}; expected {tuple(own[key].shape)}"
            )
    # Not strict: the keys were compared above.
    model.load_state_dict({key: tensor.to(own[key].dtype) for key, tensor in state.items()}, strict=False)
    return set(state), digest


def _from_torchvision(source: WeightsEnum) -> tuple[dict[str, Tensor], str]:
    try:
        # A pickle, but torchvision's own, checked against the hash in its name and read as tensors alone.
        return source.get_state_dict(progress=True, check_hash=True, weights_only=True), source.url
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"model.weights=imagenet: no download of {source.url} ({error}); "
            "name a file, model.weights=<path.safetensors>, or train from nothing, model.weights=null"
        ) from error


def _from_file(path: Path) -> tuple[dict[str, Tensor], str]:
    if path.suffix != ".safetensors" or not path.is_file():
        raise InputError(
            f"model.weights={path}: expected imagenet, null, or a .safetensors file that exists"
            + (", found one of another kind; save it with safetensors.torch.save_file" if path.is_file() else "")
        )
    content = path.read_bytes()
    try:
        return load(content), hashlib.sha256(content).hexdigest()
    except SafetensorError as error:
        raise InputError(f"model.weights={path}: not a readable safetensors file ({error})") from error
