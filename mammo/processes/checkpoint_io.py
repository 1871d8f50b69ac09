"""Checkpoints on disk: written whole or not at all, read without pickle."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mammo.errors import InputError
from mammo.files import whole


def read(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint, on the CPU; no pickle in it is run.

    Raises:
        InputError: It is not whole, or holds other things than tensors and plain values.
    """
    path.open("rb").close()  # who may not read it is told so
    try:
        return dict(torch.load(path, map_location="cpu", mmap=mmap, weights_only=True))
    except Exception as error:  # whatever torch makes of half a file, or of a pickle
        raise InputError(
            f"{path}: expected tensors and plain values, as a run writes them, found something else or a part of it; "
            "copy the run's folder again, or train anew"
        ) from error


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, beside the file that they replace, and reads them without pickle."""

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; what Lightning says of weights alone changes nothing."""
        return read(Path(path))

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            InputError: It cannot be written; the one before is still there.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole(Path(path)) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
            cause = error if isinstance(error, OSError) else error.__context__ or error
            raise InputError(
                f"{path}: the checkpoint cannot be written ({getattr(cause, 'strerror', None) or cause}); "
                "free space, then go on with ckpt_path=last or resume=<folder>"
            ) from error
