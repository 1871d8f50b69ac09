"""Checkpoints and weights on disk, read without pickle. Lightning writes them by `whole_files`."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from mammo.errors import InputError
from mammo.files import whole


def read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint, or a safetensors file of weights, onto the CPU; no pickle in it is run.

    Raises:
        InputError: The file is incomplete, or holds anything but tensors and plain values.
    """
    path.open("rb").close()  # a missing or unreadable file is an error of its own
    try:
        if path.suffix == ".safetensors":
            return {"state_dict": load_file(path)}
        return dict(torch.load(path, map_location="cpu", mmap=mmap, weights_only=True))
    except Exception as error:  # torch raises many kinds for half a file or a pickle
        raise InputError(
            f"{path}: expected tensors and plain values, as a run writes them; the file is incomplete or another one; "
            "copy the run's folder again, or train anew"
        ) from error


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as a safetensors file."""
    with whole(path) as temporary:
        temporary.write_bytes(_as_safetensors(state))


def weights_digest(path: Path) -> str:
    """Return the SHA-256 of the weights of a checkpoint or safetensors file, in the form of `write_weights`."""
    return sha256(_as_safetensors(read(path)["state_dict"])).hexdigest()


def _as_safetensors(state: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
