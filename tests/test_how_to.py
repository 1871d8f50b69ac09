"""The pages of how-to say what works: their blocks are run as they stand, in an empty folder."""

import os
import re
import subprocess
import sys

import cv2
import pandas as pd

from mammo.run_folder import RunFolder
from tests.clinic import Clinic
from tests.conftest import CONF

PAGE = CONF.parent / "docs" / "how-to" / "extend.md"


def blocks(page):
    """Name and text of each block whose first line is a comment with a file's name."""
    return dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", page.read_text(), flags=re.DOTALL))


def films(folder):
    """Films of 16 bits, with boxes, and a table that names them."""
    clinic = Clinic(str(folder / "clinic"))
    clinic.prepare()
    table = clinic.findings().drop(columns=["path", "mask_path", "dataset"])
    (folder / "films").mkdir()
    for number, image_id in enumerate(table["image_id"]):
        cv2.imwrite(str(folder / "films" / f"{number:03d}.png"), clinic.read(image_id).pixels)
    box = table["x0_px"].notna()
    table = table.assign(
        image_id=[f"{n:03d}" for n in range(len(table))], stain=["abc"[n % 3] for n in range(len(table))]
    )
    table = table.assign(severity=table["severity"].where(box | (table["finding"] == "NORM"), "benign"), spacing_mm=0.1)
    table.to_csv(folder / "films" / "films.csv", index=False)


def test_what_a_user_adds_is_trained_from_the_command_line_and_checked(tmp_path):
    for name, text in blocks(PAGE).items():
        assert len(text.splitlines()) < 30, name
        (tmp_path / name).write_text(text)
    films(tmp_path)
    env = os.environ | {
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "PYTHONPATH": str(CONF.parent),
    }  # noqa: PTH120
    for line in (["bash", "-e", "tasks.sh"], [sys.executable, "check.py"]):
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    one, windows, two = (RunFolder(tmp_path / name) for name in ("one", "windows", "two"))
    assert "resnet34" in (one.path / "report.md").read_text() and set(one.heads()) == {"forest"}
    assert (windows.samples["finding_id"] > 0).any() and pd.read_csv(two.path / "predictions.csv")[
        "p_dark"
    ].notna().all()
