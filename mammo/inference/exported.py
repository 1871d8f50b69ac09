"""An exported run: an ONNX file with network, head and all that a predictor asks of a run folder. It needs no torch."""

import base64
import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.numpy import load

from mammo.errors import InputError, content_of
from mammo.inference.classifier import Answer, ClassifierPredictor, SeenWindows
from mammo.inference.portable import PREPROCESSING
from mammo.run_folder import RunFolder

RUN = "mammo_run"  # the key of the file's metadata that has what a predictor asks of a run, in JSON
DIGEST = "digest"  # the key of the SHA-256 of the file, taken while `BLANK` stands in its place
BLANK = sha256(b"the digest of this file").hexdigest()
INSTALL = "pip install 'mammo[onnx]'"
NO_STAGES = (
    "is an ONNX file, which has no stages for a self-test: mammo export compared it with the run, and its metadata has "
    "the largest differences (parity); use --self-test with the run folder"
)
ROWS = 16  # squares that are given to the graph at a time


def sealed(content: bytes, digest: str = BLANK) -> tuple[bytes, str]:
    """Return the bytes of a file with its digest in the place of another one, and the digest."""
    blank = content.replace(digest.encode(), BLANK.encode())
    found = sha256(blank).hexdigest()
    return blank.replace(BLANK.encode(), found.encode()), found


class ExportedRun(RunFolder):
    """An ONNX file that `mammo export` wrote, in the place of a run folder; what it lacks is an InputError."""

    @cached_property
    def session(self) -> Any:
        """The session of onnxruntime, on the CPU."""
        try:
            import onnxruntime
        except ImportError:
            raise InputError(f"{self.path} needs onnxruntime, which is not installed; {INSTALL}") from None
        try:
            # without a second attempt, which would be on the CPU too, and which prints lines among the answers
            return onnxruntime.InferenceSession(str(self.path), providers=["CPUExecutionProvider"], enable_fallback=0)
        except Exception as error:  # its errors share no class
            said = f"onnxruntime says: {' '.join(str(error).split())[:200]}"
            if "INVALID_PROTOBUF" in said or "No graph" in said:  # the latter of an empty file
                said = "it is no ONNX file, or a damaged one"
            raise InputError(f"{self.path}: expected a run folder or an ONNX file; {said}") from None

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata of the file, by key."""
        with content_of(self.path):  # it may be no UTF-8
            return dict(self.session.get_modelmeta().custom_metadata_map)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts of the run that a predictor needs, as `facts_of` gave them."""
        if RUN not in (found := self.metadata):
            raise InputError(
                f"{self.path}: expected an ONNX file of mammo, and its metadata has no {RUN}; write one by mammo export"
            )
        if (digest := found.get(DIGEST)) and sealed(self.path.read_bytes(), digest)[1] != digest:
            raise InputError(f"{self.path}: it has changed since mammo export wrote it; copy the file again")
        with content_of(self.path):
            return dict(json.loads(found[RUN]))

    @property
    def provenance(self) -> dict[str, Any]:
        """The origin of the run, as far as it goes with the file."""
        return dict(self.facts["provenance"])

    @property
    def selection(self) -> dict[str, Any]:
        """The choices that go with the file."""
        return dict(self.facts["selection"])

    @property
    def numbers(self) -> dict[str, Any]:
        """The choices of the head and what they reached; no other numbers."""
        return dict(self.facts["numbers"])

    @property
    def likeness(self) -> dict[str, np.ndarray] | None:
        """The arrays that tell films like those of the run from others; None if the run has none."""
        with content_of(self.path):
            found = self.facts["likeness"]
            return None if found is None else load(base64.b64decode(found))

    @property
    def recalibration(self) -> dict[str, Any] | None:
        """The choices on other films; None if there are none."""
        with content_of(self.path):
            found = self.facts["recalibration"]
            return None if found is None else dict(found)

    def check_whole(self) -> None:
        """Refuse a file that has changed since it was written."""
        _ = self.facts

    @property
    def finished(self) -> bool:
        """True, as only a finished run is exported."""
        return True

    @property
    def digest(self) -> str:
        """The SHA-256 of the file."""
        return sha256(self.path.read_bytes()).hexdigest()

    @property
    def self_test(self) -> Path:
        """There is none in a file: an InputError."""
        raise InputError(f"{self.path} {NO_STAGES}")


class OnnxPredictor(ClassifierPredictor):
    """A classifier whose network and head are the graph of an ONNX file."""

    run: ExportedRun
    fills = False

    def __init__(self, run: ExportedRun, head: str) -> None:
        super().__init__(run, head)
        made, here = run.facts["preprocessing"], PREPROCESSING
        said = f"The model was exported for preprocessing {made}, this is {here}: pixels may differ."
        self.said = (*([run.metadata["loss"]] if run.metadata.get("loss") else []), *([] if made == here else [said]))

    @property
    def network(self) -> Any:
        """The session of onnxruntime, which has no layers to look into."""
        return self.run.session

    @cached_property
    def rows(self) -> int:
        """The number of samples of a block."""
        return max(ROWS // (self.windows * self.flips), 1)

    @staticmethod
    def heads_of(run: RunFolder) -> list[str]:
        """Return the name of the only head."""
        return [cast("ExportedRun", run).facts["head"]]

    def computed(self, samples: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs of the graph: features (N, D), score (N,) of two classes, probabilities (N, classes).

        Args:
            samples: N samples, each (windows, side, side).
        """
        session = self.run.session
        names = [one.name for one in session.get_outputs()]
        return dict(zip(names, session.run(names, {"pixels": np.stack(samples)}), strict=True))

    def answered(self, samples: Sequence[np.ndarray]) -> tuple[np.ndarray, Answer]:
        """Return the features (N, D) of a block of samples, and the answer of the head."""
        found = self.computed(samples)
        return found["features"], (found.get("score"), found["probabilities"])

    def stages(self, seen: Sequence[SeenWindows]) -> list[dict[str, np.ndarray]]:
        """Refuse: a file has one head, and no numbers between the features and its answer."""
        raise InputError(f"{self.run.path} {NO_STAGES}")
