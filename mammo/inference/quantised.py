"""An ONNX graph whose convolutions and matrix products are computed in int8; the head stays in float32."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

KINDS = ["Conv", "Gemm", "MatMul"]


class Pixels(CalibrationDataReader):
    """Gives the graph the squares of one film after the other."""

    def __init__(self, films: Iterable[np.ndarray]) -> None:
        self.films = iter(films)

    def get_next(self) -> dict[str, Any] | None:
        """Return the input of the graph; None after the last film."""
        pixels = next(self.films, None)
        return None if pixels is None else {"pixels": pixels}


def quantise(path: Path, films: Iterable[np.ndarray]) -> None:
    """Replace the graph of a file by one in int8.

    Args:
        path: The file.
        films: The squares of films, (samples, windows, side, side), that tell the ranges of all numbers.
    """
    model = ir.load(path)
    nodes = list(model.graph)
    features = next(at for at, node in enumerate(nodes) if any(one.name == "features" for one in node.outputs))
    log = logging.getLogger()
    before = log.level
    log.setLevel(logging.ERROR)  # it advises to prepare the graph, which torch has done
    try:
        quantize_static(
            path,
            path,
            Pixels(films),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=KINDS,
            nodes_to_exclude=[str(node.name) for node in nodes[features + 1 :]],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        log.setLevel(before)
