"""Fuzz what reads bytes: each reader gives a value or one line, for whatever libFuzzer makes of the corpus.

    python -m tests.fuzz --minutes 10                # all readers in turn
    python -m tests.fuzz --minutes 1 --reader films
    python -m tests.fuzz --write                     # draw the corpus again
    python -m tests.fuzz --reader films FILE ...     # try files, such as the one that a run ended with

It needs the extra `fuzz`. The corpus, `tests/corpus/<reader>/`, is drawn and small; new inputs stay in a temporary
folder. A reader that fails writes its input to the current folder and ends with 1. `tests/test_fuzz.py` reads the
corpus.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np

CORPUS = Path(__file__).parent / "corpus"
MOST_MB, MOST_S, MOST_BYTES = 2500, 60, 20_000  # of memory, for one input, and of one input


def films(content):
    """Read a film, its header, and a mask: DICOM, PNG, JPEG, TIFF, BMP or PGM."""
    from mammo.datasets.film import read_film, read_mask
    from mammo.formats.header import read_header
    from tests.properties import REFUSED, answer, written

    header, film = read_header(content), answer(read_film, content)
    assert header.refused is None or (film is REFUSED and len(header.refused.splitlines()) == 1)
    with written(content) as path:
        answer(read_mask, path)


def tables(content):
    """Read a table of other people in each of its uses."""
    from mammo.auditing.claim_table import read_claims
    from mammo.auditing.splits import read_split
    from mammo.datasets.findings import read_findings
    from mammo.datasets.split import read_split_table
    from mammo.datasets.table import Table
    from mammo.evaluation.external import read_external
    from tests.properties import REFUSED, answer, written

    with written(content, "films.csv") as path:
        for read in (read_split, read_claims, read_findings, read_external, read_split_table):
            answer(read, path)
        path.with_name("a.pgm").write_bytes(b"P5\n3 2\n255\n012345")
        table = answer(Table, str(path))
        if table is not REFUSED:
            answer(table.findings)


def infos(content):
    """Read mini-MIAS's Info.txt, and the regions that OsiriX exports."""
    from mammo.archives.osirix import read_regions
    from mammo.datasets.mias_info import compared, decoded, parse_info, read_info
    from tests.properties import REFUSED, answer, written

    with written(content) as path:
        read, _ = answer(read_info, path), answer(read_regions, path)
    rows = REFUSED if read is REFUSED else answer(parse_info, decoded(read[1]))
    if rows is not REFUSED:
        compared(read[1], rows, {"mdb001": "0"})


def models(content):
    """Read what stands in the place of a head, a checkpoint, weights, an ONNX file or the facts of a run."""
    from mammo.inference.exported import ExportedRun
    from mammo.models.heads_io import load_head
    from mammo.processes.checkpoint_io import read
    from mammo.run_folder import RunFolder
    from tests.properties import answer, written

    kind = content[:1]  # as each of these takes long
    content = content[1:]
    if kind == b"h":
        with written(content, "svm.skops") as path:
            answer(load_head, path, {}, "")
    elif kind == b"c":
        with written(content, "best.ckpt") as path:
            answer(read, path)
    elif kind == b"w":
        with written(content, "likeness.safetensors") as path:
            answer(read, path)
            answer(lambda: RunFolder(path.parent).likeness)
    elif kind == b"o":
        with written(content, "model.onnx") as path:
            answer(lambda: ExportedRun(path).facts)
    else:
        for name in ("provenance", "finished", "metrics"):
            with written(content, f"{name}.json") as path:
                for ask in (lambda run: run.config, lambda run: run.check_whole(), lambda run: run.metrics()):
                    answer(ask, RunFolder(path.parent))


READERS = {one.__name__: one for one in (films, tables, infos, models)}


def drawn():
    """The corpus: the content of each file by reader and name. All films are of the phantom, 12 x 10 pixels."""
    import cv2

    from tests.formats import ways

    levels = cv2.resize(ways.film(8), (10, 12), interpolation=cv2.INTER_AREA)
    deep = levels.astype(np.uint16) * 16
    syntaxes = {"explicit": ways.EXPLICIT, "implicit": ways.IMPLICIT, "big": ways.BIG, "deflated": ways.DEFLATED}
    found = {f"{name}.dcm": ways.dicom(deep, 12, syntax) for name, syntax in syntaxes.items()}
    found["window.dcm"] = ways.dicom(deep, WindowCenter=[900, 800], WindowWidth=[1800, 300])
    found["lut.dcm"] = ways.dicom(levels, 8, **ways.lut("VOILUTSequence", range(256)))
    found["monochrome1.dcm"] = ways.dicom(deep, PhotometricInterpretation="MONOCHROME1", PixelSpacing=[0.1, 0.1])
    for name, syntax in {"jpeg": ways.BASELINE, "lossless": ways.SV1, "ls": ways.LS, "rle": ways.RLE}.items():
        found[f"{name}.dcm"] = ways.by_gdcm(ways.dicom(levels, 8), syntax)
    found["j2k.dcm"] = ways.by_gdcm(ways.dicom(deep), ways.J2K)
    found |= {f"film.{suffix}": ways.picture(suffix, levels) for suffix in ("png", "jpg", "bmp", "pgm", "tiff")}
    found |= {"deep.png": ways.picture("png", deep), "plain.tiff": ways.tiff(levels), "big.tiff": ways.tiff(deep, ">")}
    return {"films": found, "tables": drawn_tables(), "infos": drawn_infos(), "models": drawn_models()}


def drawn_tables():
    """Tables of every kind, in every form."""
    import pandas as pd

    films = "path,patient,side,view,label,x,y,radius,spacing,split\na.pgm,P1,L,MLO,benign,1,1,1,0.2,train\n"
    frame = pd.DataFrame({"image_id": ["a", "b"], "patient": ["P", "Q"], "split": ["train", "test"]})
    book, parquet = io.BytesIO(), io.BytesIO()
    frame.to_excel(book, index=False)
    frame.to_parquet(parquet, index=False)
    return {
        "films.csv": films.encode(),
        "semicolons.csv": films.replace(",", ";").encode("utf-16"),
        "contour.csv": b'path,patient,contour\na.pgm,"P ""1""","[[0, 0], [2, 0], [1, 1]]"\n',
        "split.csv": frame.to_csv(index=False).encode(),
        "predictions.csv": b"patient,label,p_0,p_1\nP,0,0.75,0.25\nQ,1,0.5,0.5\n",
        "claims.csv": b"authors,n,accuracy,auc\nA,225,97.77,\nB,,\"88,8 %\",0.9\n",
        "findings.csv": b"dataset,image_id,finding_id,path,patient,x_px,y_px\nd,a,1,a.pgm,P,1,1\n",
        "split.xlsx": book.getvalue(), "split.parquet": parquet.getvalue(),
    }  # fmt: skip


def drawn_infos():
    """An Info.txt, alone and in an archive, and exported regions."""
    import plistlib
    import tarfile

    text = b"mdb001 G CIRC B 535 425 197\nmdb002 F NORM\nmdb003 D CALC M *NOTE 3*\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("Info.txt")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    regions = {
        "Images": [{"ROIs": [{"Name": "Mass", "NumberOfPoints": 3, "Point_px": ["(1, 2)", "(3, 4)", "(5, 1)"]}]}]
    }
    return {"Info.txt": text, "all-mias.tar.gz": packed.getvalue(), "1.xml": plistlib.dumps(regions)}


def drawn_models():
    """A head, a checkpoint, weights, an ONNX file and facts, each after the letter of its kind."""
    import json

    import onnx_ir as ir
    import skops.io
    import torch
    from safetensors.numpy import save
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    x, y = np.eye(12)[:, :3], np.arange(12) % 2
    head = CalibratedClassifierCV(FrozenEstimator(LogisticRegression().fit(x, y))).fit(x, y)
    checkpoint = io.BytesIO()
    torch.save({"state_dict": {"net.a": torch.zeros(3)}, "epoch": 1}, checkpoint)
    pixels = ir.Value(name="pixels", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1, 2]))
    node = ir.node("Relu", [pixels])
    node.outputs[0].name = "features"
    graph = ir.Graph([pixels], node.outputs, nodes=[node], opset_imports={"": 18}, name="g")
    model = ir.Model(graph, ir_version=10, metadata_props={"mammo_run": json.dumps({"provenance": {}})})
    facts = {"config": {"seed": 1}, "classes": ["a", "b"], "crop": {}, "dataset": {}, "files": {"a": "0"},
             "test": {"svm": {"auroc": {"value": 0.5, "low": 0.4, "high": 0.6}}}}  # fmt: skip
    return {
        "head": b"h" + skops.io.dumps(head, compression=8), "checkpoint": b"c" + checkpoint.getvalue(),
        "weights": b"w" + save({"a": np.zeros((2, 2), np.float32)}), "facts": b"f" + json.dumps(facts).encode(),
        "onnx": b"o" + ir.to_proto(model).SerializeToString(),
    }  # fmt: skip


def fuzz(reader, seconds):
    """Fuzz one reader in this process, which libFuzzer ends."""
    import atheris

    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["mammo", "pydicom"]):
        import mammo.archives.osirix
        import mammo.auditing.claim_table
        import mammo.datasets.mias_info
        import mammo.datasets.table
        import mammo.evaluation.external
        import mammo.inference.exported
        import mammo.models.heads_io
        import mammo.processes.checkpoint_io  # noqa: F401
    with tempfile.TemporaryDirectory() as new:
        how = [f"-max_total_time={seconds}", f"-rss_limit_mb={MOST_MB}", f"-timeout={MOST_S}", f"-max_len={MOST_BYTES}"]
        atheris.Setup(
            [sys.argv[0], *how, "-verbosity=0", "-print_final_stats=1", new, str(CORPUS / reader)], READERS[reader]
        )
        atheris.Fuzz()


def main():
    """Do what the command line asks."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--minutes", type=float, default=10, help="of all readers together")
    words.add_argument("--reader", choices=READERS)
    words.add_argument("--write", action="store_true", help="draw the corpus again")
    words.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    words.add_argument("files", nargs="*", type=Path)
    asked = words.parse_args()
    chosen = [asked.reader] if asked.reader else list(READERS)
    seconds = max(int(60 * asked.minutes / len(chosen)), 1)
    if asked.write:
        for reader, contents in drawn().items():
            (CORPUS / reader).mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                (CORPUS / reader / name).write_bytes(content)
        return 0
    if asked.files:
        for path in asked.files:
            READERS[chosen[0]](path.read_bytes())
        return 0
    if asked.here:
        return fuzz(chosen[0], seconds)
    failed = []
    for reader in chosen:
        print(f"{reader}: {seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", "--here", "--reader", reader, "--minutes", str(seconds / 60)]
        failed += [reader] if subprocess.run(command, check=False).returncode else []
    print(f"failed: {', '.join(failed)}" if failed else "each reader gave a value or one line")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
