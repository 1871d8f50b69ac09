"""Run fixed configurations of a checkout and compare their numbers with those of another one, value by value.

A change of the code that should not change a number is shown by

    python tests/pinned.py run CHECKOUT OUT [name ...]
    python tests/pinned.py compare OUT_BEFORE OUT_AFTER

with one `OUT` of the commit before and one of the commit after, on one machine. CHECKOUT's own `train.py` is run.
The tables of 0.1.0 glue identities into `sample_id` and say `woman` and `film`; here both versions are read into the
same lines. `tests/pinned.json` holds the digests of 0.1.0, and on which machine they were made.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file

SHARED = Path(os.environ.get("MAMMO_SHARED", Path(__file__).resolve().parents[2] / "shared"))
ARCHIVE, VGG16 = SHARED / "data/all-mias.tar.gz", SHARED / "weights/vgg16_features_imagenet.safetensors"
INCEPTION = SHARED / "weights/inception_v3_trunk.safetensors"
SMALL = "data=phantom model=compact model.image_size=64 trainer.max_epochs=3 data.workers=0"
FROZEN = f"data=phantom model=vgg16 model.weights={VGG16} model.image_size=64 trainer.max_epochs=2 data.workers=0"
RUNS = {
    "whole": SMALL,
    "lesion": f"{SMALL} crop=lesion heads=all",
    "radius": f"{SMALL} crop=scaled_lesion",
    "patches": f"{SMALL} crop=grid task=distortion aggregate=max loss=cross_entropy",
    "frozen": f"{FROZEN} crop=lesion heads=[svm,logistic]",
    "last_block": f"{FROZEN} model.trainable=last_block crop=lesion",
    "all": f"{SMALL} model=resnet18 model.weights=null model.trainable=all",
    "expand": f"{SMALL} augment=expand",
    "crossover": f"{SMALL} augment=crossover",
    "mixup": f"{SMALL} augment=mixup",
    "gan": f"{SMALL} augment=gan augment.steps=20 crop=lesion",
    "fold": f"{SMALL} data.fold=1 data.folds=3 seed=1",
    "two_devices": f"{SMALL} crop=lesion trainer.devices=2",
    "density": f"{SMALL} task=density",
    "severity": f"{SMALL} task=severity crop=lesion loss=confusion",
    "malignancy": f"{SMALL} task=malignancy crop=lesion crop.without_circle=breast loss=focal",
    "finding": f"{SMALL} task=finding crop=lesion data.patients=161 threshold=0.9",
    "image": f"{SMALL} split=image select_on=test",
    "copy": f"{SMALL} split=copy augment=expand",
    "paper": f"{SMALL} protocol=paper",
    "paper_by_patient": f"{SMALL} split=paper_by_patient",
}
REAL = f"data=mias model.weights={VGG16} trainer.max_epochs=2"
REAL_RUNS = {
    "mias_whole": REAL,
    "mias_lesion": f"{REAL} crop=lesion heads=[svm,knn]",
    "mias_behery2023_vgg16": f"experiment=behery2023_vgg16 model.weights={VGG16} trainer.max_epochs=1",
    "mias_behery2023_inception": f"experiment=behery2023_inception model.weights={INCEPTION} trainer.max_epochs=1",
}
PINNED = json.loads(Path(__file__).with_suffix(".json").read_text())["digests"]
OF_0_1_0 = {  # words of its command line
    "data.patients=161": "data.women=161",
    "crop=scaled_lesion": "crop=radius",
    "crop=grid": "crop=patches",
    "split=image": "split=film",
    "split=paper_by_patient": "split=paper_by_woman",
}
NOW = {"women": "patients", "by_film": "by_image", "by_woman": "by_patient", "films": "images"}  # words of its metrics


def run(checkout: Path, out: Path, names: list[str]) -> None:
    """Run the configurations into `out`, and write the lines of each to `out/<name>.txt`."""
    old = (checkout / "mammo/data/index.py").is_file()
    runs = {name: line for name, line in RUNS.items() if VGG16.is_file() or str(VGG16) not in line}
    runs |= REAL_RUNS if ARCHIVE.is_file() else {}
    env = os.environ | {"MAMMO_MIAS_ARCHIVE": str(ARCHIVE), "PYTHONPATH": str(checkout)}
    for name, line in runs.items():
        if names and name not in names:
            continue
        words = [OF_0_1_0.get(word, word) if old else word for word in line.split()]
        folder = out.resolve() / name
        command = [sys.executable, "train.py", *dict.fromkeys(words), f"hydra.run.dir={folder}"]
        ended = subprocess.run(
            _last_of_each_key(command), check=False, cwd=checkout, env=env, capture_output=True, text=True
        )
        if ended.returncode:
            print(f"{name}: status {ended.returncode}\n{(ended.stdout + ended.stderr)[-2000:]}", flush=True)
            continue
        (out / f"{name}.txt").write_text("\n".join(lines(folder)) + "\n")
        found = digest(out / f"{name}.txt")
        print(f"{name}: {found}{', as 0.1.0' if found == PINNED.get(name) else ''}", flush=True)


def _last_of_each_key(command: list[str]) -> list[str]:
    said = {word.partition("=")[0]: word for word in command[2:]}
    return [*command[:2], *said.values()]


def lines(folder: Path) -> list[str]:
    """Return the numbers of a run folder, one line each, in the words of today."""
    table = pd.read_csv(folder / "predictions.csv", dtype=str, keep_default_na=False)
    if "sample_id" not in table:
        crop = json.loads((folder / "provenance.json").read_text())["config"]["crop"]["name"]
        table["sample_id"] = _glued(table, crop)
    columns = ["sample_id", "image_id", "patient", "split", "fold", "seed", "head", "label", "score"]
    columns += [column for column in table if column.startswith("p_")]
    found = [" ".join(columns), *(" ".join(row) for row in table[columns].to_numpy())]
    features = load_file(folder / "features.safetensors")["features"]
    found.append(f"features {features.shape} {hashlib.sha256(features.tobytes()).hexdigest()}")
    metrics = json.loads((folder / "metrics.json").read_text())
    return [*found, *(line for line in _flat(metrics) if not line.startswith(("task", "protocol", "leaks")))]


def _glued(table: pd.DataFrame, crop: str) -> pd.Series:
    """Return the `sample_id` that 0.1.0 would have written."""
    finding, patch, copy = (
        table[column].map(lambda one, mark=mark: f".{mark}{one}" if one != "0" else "")
        for column, mark in (("finding_id", ""), ("patch", "p"), ("copy", "c"))
    )
    return table["image_id"] + (patch if crop in ("whole", "grid") else finding) + copy


def _flat(metrics: object, path: str = "") -> list[str]:
    """Return a line for each number; in the words of today."""
    if isinstance(metrics, dict):
        kept = metrics.items() if "ece" not in path else [("value", metrics["value"])]  # 0.1.0: without an interval
        return [line for key, one in kept for line in _flat(one, f"{path}/{NOW.get(key, key)}".strip("/"))]
    return [f"{path} {json.dumps(metrics).replace('one woman', 'one patient')}"]


def digest(path: Path) -> str:
    """Return sixteen hexadecimal digits that name a file's lines, in whatever order."""
    return hashlib.sha256("\n".join(sorted(path.read_text().splitlines())).encode()).hexdigest()[:16]


def compare(before: Path, after: Path) -> int:
    """Print the configurations whose lines differ, and their first differences; return how many there are."""
    differing = 0
    for path in sorted(before.glob("*.txt")):
        ours, theirs = (folder / path.name for folder in (before, after))
        if not theirs.is_file():
            print(f"{path.stem}: not run")
            differing += 1
            continue
        old, new = (set(one.read_text().splitlines()) for one in (ours, theirs))
        if old == new:
            print(f"{path.stem}: equal, {digest(ours)}")
        elif old <= new:
            print(f"{path.stem}: equal, with {len(new - old)} lines more, such as {min(new - old)}")
        else:
            differing += 1
            print(f"{path.stem}: {len(old - new)} of {len(old)} lines differ")
            for sign, some in (("-", old - new), ("+", new - old)):
                print("\n".join(f"  {sign} {line[:160]}" for line in sorted(some)[:4]))
    return differing


if __name__ == "__main__":
    verb, first, second, *rest = sys.argv[1:]
    if verb == "run":
        Path(second).mkdir(parents=True, exist_ok=True)
        run(Path(first).resolve(), Path(second), rest)
    else:
        sys.exit(min(compare(Path(first), Path(second)), 1))
