"""A file of weights that `model.weights` names: what it is, by its first bytes and without torch."""

from pathlib import Path

from mammo.errors import InputError

KINDS = {  # what a file may be instead, by its first bytes
    b"PK": "a zip, as torch.save writes it",
    b"\x80": "a pickle, as older versions of torch.save wrote it",
    b"\x89HDF": "an HDF5 file, as Keras writes it, whose layers are another library's",
    b"<": "a web page or XML: the file has moved, or asks for a login",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
}


def check_weights_file(path: Path) -> None:
    """Refuse a file that is not there, or does not begin as safetensors do: 8 bytes of a length, then JSON.

    Raises:
        InputError: The line says what the file is, and which file or folder is expected.
    """
    said = f"model.weights={path}: expected imagenet, null, a .safetensors file that exists, or a run folder"
    if not path.is_file():
        raise InputError(f"{said}; no such file")
    run = path.absolute().parent.parent
    if path.parent.name == "checkpoints" and (run / "provenance.json").is_file():
        raise InputError(f"model.weights={path}: it is the checkpoint of a run; name the run's folder, {run}")
    with path.open("rb") as file:
        head = file.read(32)
    if head[8:9] != b"{":
        begin = head.lstrip()
        kind = next((kind for start, kind in KINDS.items() if begin.startswith(start)), "of another kind")
        found = f"{said}; found a file that is {kind if head else 'empty'}"
        if not head or begin.startswith((b"<", b"version ")):  # no tensors are in it
            raise InputError(f"{found}; fetch it again")
        raise InputError(
            f"{found}; read its tensors by the library that wrote it, and write them with safetensors.torch.save_file"
        )
    if path.suffix != ".safetensors":
        raise InputError(f"{said}; it may be one under another name: let it end in .safetensors")
