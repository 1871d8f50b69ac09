"""Load pretrained weights, torchvision's or a safetensors file with the same keys; every key and shape is checked."""

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
    """Fill one of torchvision's models with weights.

    Args:
        model: The model to fill.
        weights: `imagenet`, or the path of a safetensors file.
        name: The name of the model, for errors.
        source: torchvision's own weights of the model; None if there are none.
        absent: Tells whether a key belongs to the classifier; a file may lack all of these keys, but not some.
        adapt: Turns the state dict of a file into one with the model's keys and shapes.

    Returns:
        The keys that were filled, and the SHA-256 of the file, or the address of torchvision's weights.

    Raises:
        InputError: There is no such file, the download fails, or the weights do not fit.
    """
    if weights != "imagenet":
        state, digest = _from_file(Path(weights).expanduser())
    elif source is not None:
        state, digest = _from_torchvision(source)
    else:
        raise InputError(
            f"model.weights=imagenet, but torchvision has no weights for {name}; "
            "use model.weights=null to train from scratch, or model.weights=<path.safetensors>"
        )
    state, own = adapt(state), model.state_dict()
    counters = {key for key in own if key.endswith(".num_batches_tracked")}  # older files lack them, nothing uses them
    missing, surplus = set(own) - set(state) - counters, set(state) - set(own)
    classifier = {key for key in own if absent(key)} - counters
    faults = {
        "has unexpected keys": surplus,
        "lacks keys": missing - classifier,
        "lacks some of the classifier's keys": missing if missing != classifier else set(),
    }
    for fault, keys in faults.items():
        if keys:
            raise InputError(
                f"model.weights={weights}: {fault}, {min(keys)} and {len(keys) - 1} more; "
                f"expected torchvision's {name}, with or without its classifier"
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
            f"model.weights={path}: expected imagenet, null, or a .safetensors file that exists"
            + (", found a file of another kind; save it with safetensors.torch.save_file" if path.is_file() else "")
        )
    content = path.read_bytes()
    try:
        return load(content), hashlib.sha256(content).hexdigest()
    except SafetensorError as error:
        raise InputError(f"model.weights={path} is not a readable safetensors file ({error}); save it again") from error
