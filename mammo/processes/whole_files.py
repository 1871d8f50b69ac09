"""The files of Lightning's checkpoints: written completely or not at all, and read without pickle."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mammo.errors import InputError
from mammo.files import whole
from mammo.processes.checkpoint_io import read


class WholeFiles(TorchCheckpointIO):
    """Write checkpoints completely or not at all, beside the file that they replace, and read them without pickle."""

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; the arguments `map_location` and `weights_only` are ignored."""
        return read(Path(path))

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            InputError: The checkpoint cannot be written; the previous one is kept.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole(Path(path)) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch raises a RuntimeError for a full disk
            cause = error if isinstance(error, OSError) else error.__context__ or error
            raise InputError(
                f"{path}: the checkpoint cannot be written ({getattr(cause, 'strerror', None) or cause}); "
                "free space, then continue with ckpt_path=last or resume=<folder>"
            ) from error
