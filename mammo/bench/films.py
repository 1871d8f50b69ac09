"""The work on films that `bench data` times, in a process of its own: `python -m mammo.bench.films WORK FOLDER HOME`.

It prints one line of JSON: the seconds by the clock, and those of the processors, all processes together.
"""

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import JPEG2000Lossless, RLELossless

from mammo.datasets.example import BITS, write_dicom
from mammo.datasets.film import file_digest, read_film, write_picture
from mammo.formats.header import read_headers
from mammo.preprocessing.cutting import Cutter
from mammo.preprocessing.squares import Ask

SYNTAXES = {"j2k": JPEG2000Lossless, "rle": RLELossless}
FORMATS = ("j2k", "rle", "png16", "pgm")
SHOWN_PX, MARGIN = 224, 1.25  # of a square: the side that is shown, and how much larger it is stored


def write_film(path: Path, pixels: np.ndarray, form: str) -> None:
    """Write a phantom film, (height, width) uint8, with grain: as 8 bits (`pgm`), or else as 12 bits."""
    rng = np.random.default_rng(len(path.name))
    grain = rng.normal(0, 4, pixels.shape).astype(np.float32) * (pixels > 4)  # else it would be too easy to compress
    deep = np.clip(pixels.astype(np.float32) * 16 + grain, 0, 2**BITS - 1).astype(np.uint16)
    if form in SYNTAXES:
        write_dicom(
            path, deep, SYNTAXES[form], PatientID=path.stem, ViewPosition="MLO", ImagerPixelSpacing=[0.05, 0.05]
        )
    else:
        write_picture(path, pixels if form == "pgm" else deep)


def decode(path: Path) -> int:
    """Decode a film by its decoder alone; return its number of pixels."""
    if path.suffix == ".dcm":
        return int(pydicom.dcmread(path).pixel_array.size)
    return int(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).size)  # type: ignore[union-attr]


def decode_all(paths: list[Path], _: Path) -> None:
    """Decode all films, a process on each core."""
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for _count in pool.imap_unordered(decode, paths):
            pass


def cut_all(paths: list[Path], home: Path) -> None:
    """Decode all films and cut the whole breast of each, as the first run on them does."""
    of = {path.name: path for path in paths}
    rows = pd.DataFrame({"image_id": list(of), "laterality": None, "path": list(map(str, paths)), "spacing_mm": 0.05})
    cutter = Cutter(
        lambda name: read_film(of[name]),
        shown=SHOWN_PX,
        margin=MARGIN,
        digest_of=lambda name: f"{file_digest(of[name])} {name}",  # so that a film under two names is cut twice
        home=home / "crops",
    )
    cutter(rows, [Ask("whole")] * len(rows))


def read_all_headers(paths: list[Path], _: Path) -> None:
    """Read the headers of all films; a second time they are remembered."""
    read_headers(paths)


WORK = {"headers": read_all_headers, "again": read_all_headers, "decode": decode_all, "cut": cut_all}


def main(work: str, folder: str, home: str) -> None:
    """Do the work on all films of a folder, and print its seconds."""
    cv2.setNumThreads(1)
    paths = sorted(Path(folder).iterdir())
    start, spent = time.perf_counter(), sum(os.times()[:4])
    WORK[work](paths, Path(home))
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": sum(os.times()[:4]) - spent}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
