"""A fake of MIAS at full resolution: true names, invented rows, films of an eighth of the true size.

`python -m tests.archives.fake_mias_full FOLDER` writes it by hand. Numbers begin at 901, where MIAS has no films.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from mammo.datasets.film import write_pgm
from tests.archives.films import film, write_text

SCALE = 1 / 8
SIZES = {"s": (1600, 4320), "m": (2048, 4320), "l": (2600, 4320), "x": (4000, 5200)}
# number and letters of a film, and its rows: tissue, class, severity, circle in mini-MIAS's way (y from the bottom)
AWKWARD = {
    "901lm": ["G CIRC B 535 425 97"],
    "902rl": ["G NORM"],
    "903lx": ["D CALC M *NOTE 3*"],
    "904rs": ["F CIRC B 477 333 30", "F CIRC B 500 468 26"],  # two findings
    "905ll": ["F MISC B 420 500 40", "F MISC M 610 610 31"],  # benign and malignant
    "906rx": ["F SPIC M 300 700 60"],
    "907lm": ["F NORM"],  # its film is not on disk
    "908rm": ["F CIRC B"],  # without a circle
    "910RS": ["D NORM"],  # in capitals; 909ls has a film and no row
    "911lm": ["D ARCH B 500 500 50"],  # its film is cut: another shape than m, left out
    "912rm": ["D NORM"],  # its film was turned upright by somebody
    "913ls": ["G ASYM M 40 500 50"],  # the circle lies in mini-MIAS's black margin, beside the narrow film
    "914rs": ["G NORM"],
}
ORDINARY = range(921, 969)  # a film of each woman in two is abnormal


def rows() -> dict[str, list[str]]:
    """Return the rows of all films by number and letters."""
    found = dict(AWKWARD)
    for number in ORDINARY:
        letters = ("l" if number % 2 else "r") + "sml"[number // 2 % 3]
        severity = "BM"[number // 4 % 2]
        kind = "FGD"[number // 2 % 3]
        abnormal = number % 4 == 1  # the right breast of each second woman
        found[f"{number}{letters}"] = [
            f"{kind} MISC {severity} 512 {460 + number % 90} 40" if abnormal else f"{kind} NORM"
        ]
    return found


def write(folder: Path, scale: float = SCALE) -> Path:
    """Write the fake archive; return its folder MIASDBv1.21."""
    folder = folder / "MIASDBv1.21"
    folder.mkdir(parents=True)
    (folder / "00README.pdf").write_bytes(b"%PDF-1.4 not a table\n mdb901lm  G  CIRC  B  2300 1500 790\n")
    (folder / "._mdb901lm.pgm").write_bytes(b"\0\5\x16\7")
    lines = [f"mdb{name[:3]} {row} " for name, of in rows().items() for row in of]
    write_text(
        folder / "Info.txt", "\r\n".join(["an invented table in the manner of mini-MIAS", "", *lines, "====", ""])
    )
    drawn = {side: film(1, side, bits=8, height=540, width=256)[0] for side in ("left", "right")}
    for name in [*rows(), "909ls"]:
        number = int(name[:3])
        if number == 907:
            continue
        side = "right" if number % 2 else "left"
        width, height = (round(side * scale) for side in SIZES[name[-1].lower()])
        rng = np.random.default_rng(number)
        upright = cv2.resize(drawn[side], (width, height)) * rng.uniform(0.7, 1) + rng.normal(0, 2, (height, width))
        for row in rows().get(name, []):
            if len(place := row.split()) == 6:  # a bright disc where the row says
                x, y, radius = int(place[3]), 1023 - int(place[4]), int(place[5])
                at = [round(4 * scale * (one - 511.5) + (length - 1) / 2) for one, length in ((x, width), (y, height))]
                cv2.circle(upright, at, max(round(2 * scale * radius), 1), 230, -1)
        turn = cv2.ROTATE_90_CLOCKWISE if number % 2 else cv2.ROTATE_90_COUNTERCLOCKWISE
        lying = upright if number == 912 else cv2.rotate(upright, turn)
        lying = lying[: height // 4] if number == 911 else lying
        path = folder / f"mdb{name}.pgm"
        write_pgm(path.with_name(path.name.upper()) if name[3:].isupper() else path, lying.clip(0, 255))
    return folder


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
