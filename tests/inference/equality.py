"""All films of a run through `mammo predict`, from its folder, a portable folder and an ONNX file of each head.

`python -m tests.inference.equality RUN FILMS.csv FOLDER [HEAD ...]` asks about each film of the table, writes the
models into a new folder, and prints how far the answers are from the run's `predictions.csv`. Heads of one folder share
a network, so its outputs for the same pixels are computed once.
"""

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

import mammo
from mammo.errors import InputError
from mammo.inference.build import build_predictor, open_run
from mammo.inference.classifier import ClassifierPredictor
from mammo.inference.films import films_of
from mammo.inference.predict import predict
from mammo.reports.markdown import markdown

FORMS = ("run", "portable", "onnx")
COLUMNS = ["model", "head", "films", "scores equal in all digits", "score, apart", "probability, apart", "decisions"]


def remember_outputs():
    """Compute the outputs of a network for the same samples once."""
    known, plain = {}, ClassifierPredictor.outputs

    def outputs(self, samples, block=None):
        content = sha256(b"".join(one.tobytes() for one in samples)).hexdigest()
        key = (self.run.path, content, block, self.low)
        if key not in known:
            known[key] = plain(self, samples, block)
        return known[key]

    ClassifierPredictor.outputs = outputs


def compared(model, run, head, films):
    """Return the row of a model and head: how far its answers for all films are from those in the run's tables."""
    classes = run.provenance["classes"]
    told = pd.read_csv(run.path / "predictions.csv", dtype={"image_id": str, "score": str})
    told = told[(told["head"] == head) & (told["copy"] == 0)].set_index("image_id")
    answers = predict(build_predictor(open_run(model), head), films_of([films]), units=["image"], force=True)
    rows = answers.table.set_index("image_id")
    rows = rows[rows["status"] == "predicted"]
    assert set(rows.index) == set(told.index), set(told.index) ^ set(rows.index)
    told, point = told.loc[rows.index], answers.points[head, "image"]
    calibrated = point.choices.calibrated(told[[f"p_{name}" for name in classes]].to_numpy(float))
    given = rows[[f"probability_{name}" for name in classes]].to_numpy(float)
    scores, own = rows["score"].astype(float).to_numpy(), told["score"].astype(float).to_numpy()
    called = np.where(own > point.threshold, classes[1], classes[0])
    same = int((rows["score"] == told["score"]).sum())
    apart = [f"{np.abs(one).max():.1g}" for one in (scores - own, given - calibrated)]
    return [str(len(rows)), str(same), *apart, f"{int((rows['called'] != called).sum())} changed"]


def main(path, films, to, *heads):
    """Write the models, and print a line for each model and head."""
    run = mammo.load_run(path)
    heads = heads or ("softmax", *run.selection["heads"])
    to.mkdir()
    remember_outputs()
    mammo.export(run, to / "portable", format="portable")
    found = []
    for form in FORMS:
        for head in heads:
            model = {"run": path, "portable": to / "portable"}.get(form, to / f"{head}.onnx")
            try:
                if form == "onnx":
                    mammo.export(run, model, head)
                row = compared(model, run, head, films)
            except InputError as error:
                row = [str(error).partition("written: ")[2].partition(". parity")[0], *[""] * 4]
            found.append([form, head, *row])
            print(*found[-1], sep=" | ", flush=True)
    print("\n".join(markdown(COLUMNS, found)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *sys.argv[4:])
