"""Outputs of a frozen trunk on disk, each named by the digest of its input, in a folder named by the trunk's.

So nothing can go stale, and seeds, folds and protocols share what they have in common. Each computed block is one
safetensors file, written under a temporary name and renamed: a killed run loses one block, two runs at once do some
work twice and nothing wrong.
"""

import hashlib
import json
import uuid
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save


def digest(facts: dict[str, object]) -> str:
    """Twenty hexadecimal digits that name `facts`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


class OutputCache:
    """The outputs of one trunk at one precision, by the digest of the input's pixels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, keys: Collection[str]) -> dict[str, torch.Tensor]:
        """Those of `keys` that are there. A file that cannot be read is removed, and its outputs computed again."""
        found: dict[str, torch.Tensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as block:
                    found |= {key: block.get_tensor(key) for key in block.keys() if key in keys}  # noqa: SIM118
            except (SafetensorError, OSError):
                path.unlink(missing_ok=True)
        return found

    def store(self, outputs: dict[str, torch.Tensor]) -> None:
        """Adds outputs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{uuid.uuid4().hex}.tmp"
        try:
            temporary.write_bytes(save({key: tensor.clone().contiguous() for key, tensor in outputs.items()}))
            temporary.replace(temporary.with_suffix(".safetensors"))
        finally:
            temporary.unlink(missing_ok=True)
