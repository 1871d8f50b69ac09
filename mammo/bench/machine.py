"""The machine and package versions of a measurement, the commands that it runs, and the files that it writes."""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mammo import __version__
from mammo.bench.protocol import peak_of
from mammo.config import Config, register
from mammo.errors import InputError
from mammo.files import write_json
from mammo.paths import home
from mammo.runs.provenance import versions

PACKAGES = ["torch", "torchvision", "lightning", "albumentations", "opencv-python-headless", "scikit-learn", "pandas"]


def describe(command: list[str]) -> dict[str, Any]:
    """Return the processor, memory, system and package versions, and the bench's command."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", info, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    extensions = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag}" in info]
    return {
        "processor": f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores",
        "extensions": extensions,
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.platform(),
        "versions": {"mammo": __version__, "python": platform.python_version()} | versions(PACKAGES),
        "command": " ".join(["python -m mammo", *command]),
    }


def configuration(overrides: list[str]) -> Config:
    """Return a run's configuration with these overrides, from the checkout of this package.

    Raises:
        InputError: The package is not in a checkout, or an override is invalid.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    from mammo.runs.settings import resolve

    register()
    try:
        with initialize_config_dir(str(checkout() / "conf"), version_base="1.3"):
            return resolve(compose("config", overrides=overrides), overrides)
    except HydraException as error:
        raise InputError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from None


def sizes_of(text: str, option: str) -> list[int]:
    """Return the numbers of a comma-separated list, which an option gives.

    Raises:
        InputError: One of them is no whole number above zero.
    """
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise InputError(f"{option} {text}: expected numbers separated by commas, say 10000,1000000")
    return list(map(int, text.split(",")))


def checkout() -> Path:
    """Return the folder with `train.py` and `conf/`.

    Raises:
        InputError: The package is not in a checkout.
    """
    folder = Path(__file__).parents[2]
    if not (folder / "train.py").is_file():
        raise InputError(f"bench needs train.py, and {folder} has none; clone the repository and run pip install -e .")
    return folder


def own_home(folder: Path) -> dict[str, str]:
    """Return the environment of a run that has its own caches below `folder` and shares the films of `MAMMO_HOME`."""
    (own := folder / "home").mkdir()
    for films in home().glob("*"):
        if (films / "Info.txt").is_file():  # films are not fetched again
            (own / films.name).symlink_to(films.resolve())
    return os.environ | {"MAMMO_HOME": str(own)}


def ran(arguments: list[str], env: dict[str, str] | None = None, *, watch: bool = False) -> tuple[float, int, str]:
    """Run Python in the checkout; return seconds, the largest proportional set size in bytes, and the output.

    Args:
        arguments: The arguments of Python.
        env: The environment; None means that of this process.
        watch: True measures the memory of the process and its children, which slows it by a few per cent; without it
            the size is 0.

    Raises:
        InputError: The command failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, *arguments], cwd=checkout(), env=env, stdout=output, stderr=output)
        with peak_of(process.pid) if watch else nullcontext([0]) as peaks:
            status = process.wait()
            seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read()
    if status:
        last = text.strip().rpartition("\n")[2][-300:] or f"it ended with {status} and said nothing"
        raise InputError(f"bench: {' '.join(arguments)} failed: {last}")
    return seconds, peaks[-1], text


def write(name: str, lines: list[str], found: dict[str, Any], to: Path) -> None:
    """Write `<name>.md` and `<name>.json` into the folder `to`, with the machine and the command."""
    to.mkdir(parents=True, exist_ok=True)
    machine = found["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    on = f"{machine['processor']} ({', '.join(machine['extensions'])}), {machine['memory_gb']} GB; {versions}"
    (to / f"{name}.md").write_text("\n".join([f"`{machine['command']}`", "", on, "", *lines]) + "\n")
    write_json(found, to / f"{name}.json")
