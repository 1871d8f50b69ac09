"""Files of a run folder, of models and of films: any damage to their bytes gives a value or one line."""

import io
import json

import cv2
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save
from sklearn.svm import SVC

from mammo.datasets.film import read_film, write_pgm
from mammo.files import read_arrays, read_json, write_json
from mammo.formats.header import read_header
from mammo.formats.tags import is_dicom
from mammo.models.heads_io import load_head
from mammo.models.weights import _from_file
from mammo.processes.checkpoint_io import read as read_checkpoint
from mammo.run_folder import FINISHED, RunFolder
from tests.formats import ways
from tests.properties import REFUSED, answer, damaged, holds, texts, written

pytestmark = pytest.mark.slow

KEY = b"image_id,finding_id,patch,copy,patient,split,fold,seed,head,label,score,p_a,p_b\n"
ROWS = KEY + b"a,0,0,0,P,test,,0,svm,a,0.5,0.25,0.75\nb,1,0,0,NA,train,0,0,svm,b,,0,1\n"
TABLES = {
    "split": "split",
    "samples": "samples",
    "candidates": "candidates",
    "lesions": "lesions",
    "windows": "windows",
    "explained": "explained",
    "segments": "segments",
    "films": "films",
    "learnt": "learnt_before",
}


@holds(
    20,
    also=[{"name": "samples", "content": ROWS.replace(b"a,0", b"a,x")}, {"name": "split", "content": ROWS[:-30]}],
    name=st.sampled_from(list(TABLES)),
    content=damaged(ROWS),
)
def test_any_bytes_of_a_table_of_a_run_are_a_table_or_a_line(name, content):
    with written(content, f"{name}.csv") as path:
        run = RunFolder(path.parent)
        found = answer(lambda: getattr(run, TABLES[name]))
        path.rename(path.with_name("predictions.csv"))
        predicted = answer(run.predictions)
    assert found is REFUSED or isinstance(found, pd.DataFrame)
    assert predicted is REFUSED or set(predicted[0]["label"]) <= set(predicted[1])


VALUE = {"value": 0.5, "low": 0.4, "high": 0.6}
FACTS = {
    "provenance.json": {"config": {"seed": 1}, "classes": ["a", "b"], "crop": {"leak": None}, "dataset": {}},
    "metrics.json": {"test": {"svm": {"auroc": VALUE}}, "leaks": [{"kind": "x", "n": 1, "text": "t"}]},
    "selection.json": {"epoch": 3, "heads": {}},
    "split_audit.json": {"patients": {}},
    "job.json": {"settings": {"seed": 1}},
    "recalibration.json": {"films": {}},
    FINISHED: {"files": {"a": None}},
}
READERS = [
    lambda run: run.config,
    lambda run: run.crop,
    lambda run: run.numbers,
    lambda run: run.metrics(),
    lambda run: run.leaks,
    lambda run: run.selection,
    lambda run: run.split_audit,
    lambda run: run.job,
    lambda run: run.from_python,
    lambda run: run.recalibration,
    lambda run: run.check_whole(),
    lambda run: run.external,
]


@holds(25, name=st.sampled_from(list(FACTS)), data=st.data())
def test_any_bytes_of_the_facts_of_a_run_are_data_or_a_line(name, data):
    content = data.draw(
        st.one_of(damaged(json.dumps(FACTS[name]).encode()), st.sampled_from([b"[" * 9000, b"[]", b"7"]))
    )
    with written(content, name) as path:
        for read in READERS if name != "provenance.json" else READERS[:2]:
            answer(read, RunFolder(path.parent))


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@holds(content=plain)
def test_facts_are_read_as_they_were_written(content):
    with written(b"", "facts.json") as path:
        write_json(content, path)
        assert read_json(path) == content


CHECKPOINT = io.BytesIO()
torch.save({"state_dict": {"net.a": torch.zeros(3)}, "epoch": 1}, CHECKPOINT)
ARRAYS = save({"features": np.zeros((2, 3), np.float32)})
NAMED = b'%b{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}\0'
ODD = [NAMED % (60).to_bytes(8, "little"), (1 << 62).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"{}", ARRAYS]


@holds(
    8,
    also=[{"content": b"", "head": skops.io.dumps(SVC())[1:], "checkpoint": b""}],
    content=damaged(*ODD),
    head=damaged(skops.io.dumps(SVC())),
    checkpoint=damaged(CHECKPOINT.getvalue()),
)
def test_any_bytes_of_weights_arrays_heads_and_checkpoints_are_values_or_a_line(content, head, checkpoint):
    with written(content, "weights.safetensors") as path:
        found = answer(read_arrays, path)
        assert found is REFUSED or all(isinstance(one, np.ndarray) for one in found.values())
        state = answer(_from_file, path)
        assert state is REFUSED or all(isinstance(one, torch.Tensor) for one in state[0].values())
        answer(read_checkpoint, path)
    with written(head, "svm.skops") as path:
        assert answer(load_head, path, {}, "") is REFUSED  # it is not calibrated
    with written(checkpoint, "best.ckpt") as path:
        found = answer(read_checkpoint, path)
        assert found is REFUSED or isinstance(found, dict)


SMALL = np.arange(12 * 9, dtype=np.uint8).reshape(12, 9)
FILMS = [ways.dicom(SMALL, 8, syntax) for syntax in (ways.EXPLICIT, ways.IMPLICIT, ways.BIG, ways.DEFLATED)]
FILMS += [ways.picture(suffix, SMALL) for suffix in ("png", "pgm", "jpg", "bmp", "tiff")] + [ways.tiff(SMALL)]


@holds(80, content=damaged(*FILMS))
def test_any_bytes_are_a_film_with_the_size_of_its_header_or_a_line(content):
    film, header = answer(read_film, content), read_header(content)
    assert header.refused is None or len(header.refused.splitlines()) == 1
    if film is not REFUSED:
        assert header.refused is None and film.pixels.dtype in (np.uint8, np.uint16) and film.pixels.ndim == 2
        assert film.pixels.min() < film.pixels.max() <= film.max_level
        if not is_dicom(io.BytesIO(content)):
            assert sorted(film.pixels.shape) == sorted((header.height, header.width))  # EXIF may turn it


pixels = arrays.arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(*[st.integers(1, 9)] * 2))


@holds(30, levels=pixels, way=st.sampled_from(["pgm", "png", "tiff", "dicom"]))
def test_a_film_is_read_as_it_was_written(levels, way):
    if way == "dicom":
        content = ways.dicom(levels, 8 * levels.itemsize)
    elif way == "pgm" and levels.dtype == np.uint8:
        with written(b"") as path:
            write_pgm(path, levels)
            content = path.read_bytes()
    else:
        content = cv2.imencode(f".{way}", levels)[1].tobytes()
    film = answer(read_film, content)
    assert (film is REFUSED) == (levels.min() == levels.max())  # nothing can be seen on it
    assert film is REFUSED or np.array_equal(film.pixels, levels)
