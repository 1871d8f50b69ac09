"""The graph of a network and one head in ONNX: grey pixels in, features, score and probabilities out."""

from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from mammo.inference.classifier import ClassifierPredictor

EXAMPLES = 3  # samples that the export is traced with; another number may be given to the graph
MOVES = {  # operators whose output has no value that their input lacks
    *("Relu", "MaxPool", "Reshape", "Transpose", "Slice", "Concat", "Squeeze", "Unsqueeze", "Gather", "Expand"),
    *("Identity", "Split", "Flatten", "Pad", "Where", "Constant", "ConstantOfShape"),
}


class Graph(nn.Module):
    """A predictor's flips, normalisation, network and head in one module."""

    def __init__(self, ask: ClassifierPredictor, *, low: bool) -> None:
        super().__init__()
        self.net, self.flips, self.low = ask.network, ask.flips, low
        for module in self.net.modules():
            module._compiled_call_impl = None
        self.own = ask.head == "softmax"
        self.answer = ask.layers
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return features (N, D), the score (N,) if there are two classes, and probabilities (N, classes).

        Args:
            pixels: (N, windows, side, side) uint8 or uint16.
        """
        squares = torch.stack([self._flipped(pixels, number) for number in range(self.flips)], dim=1)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            features = self.net.features(squares.flatten(0, 2).unsqueeze(1), pixels.shape[0])
            taken = self.net.head(features) if self.own else features
        score, probabilities = self.answer(taken.float())
        return (features, probabilities) if score is None else (features, score, probabilities)

    @staticmethod
    def _flipped(pixels: Tensor, number: int) -> Tensor:
        """Return a flip; see `preprocessing.flips`."""
        mirrored = pixels.flip(-1) if number % 2 else pixels
        return torch.rot90(mirrored, number // 2, (-2, -1))


def graph_of(ask: ClassifierPredictor, *, low: bool) -> ir.Model:
    """Return the graph of a predictor, in float32.

    Args:
        ask: The predictor.
        low: True rounds to bfloat16 wherever the network does that computes in bfloat16, so that it gives the same.

    Raises:
        InputError: The head cannot be exported.
    """
    graph = Graph(ask, low=low)
    kind = torch.uint8 if ask.config.crop.bits == 8 else torch.uint16
    pixels = torch.zeros(EXAMPLES, ask.windows, ask.shown, ask.shown, dtype=kind)
    names = ["features", *(["score"] if len(ask.classes) == 2 else []), "probabilities"]
    with torch.no_grad():
        made: Any = torch.onnx.export(
            graph,
            (pixels,),
            input_names=["pixels"],
            output_names=names,
            dynamic_shapes=({0: torch.export.Dim("samples")},),
            dynamo=True,
            verbose=False,
        )
    _round(made.model)
    return made.model


def _round(model: ir.Model) -> None:
    """Replace all bfloat16 of a graph by float32 that is rounded to bfloat16, as few programs compute in bfloat16."""
    graph: Any = model.graph
    for one in list(graph.initializers.values()):
        if one.dtype == ir.DataType.BFLOAT16:
            one.const_value = ir.tensor(one.const_value.numpy().astype("float32"), name=one.name)
            one.dtype = ir.DataType.FLOAT
    for node in list(graph):
        low = [one for one in node.outputs if one.dtype == ir.DataType.BFLOAT16]
        to = node.attributes.get("to")
        if to is not None and to.value == ir.DataType.BFLOAT16:
            node.attributes["to"] = ir.AttrInt64("to", ir.DataType.FLOAT)
        value = node.attributes.get("value")
        if low and value is not None:
            constant = value.value.numpy().astype("float32")
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(constant))
        for one in low:
            one.dtype = ir.DataType.FLOAT
            if node.op_type not in MOVES:
                down = ir.node("Cast", [one], {"to": ir.DataType.BFLOAT16})
                up = ir.node("Cast", [down.outputs[0]], {"to": ir.DataType.FLOAT})
                up.outputs[0].dtype, up.outputs[0].shape = ir.DataType.FLOAT, one.shape
                ir.convenience.replace_all_uses_with(one, up.outputs[0], replace_graph_outputs=True)
                down.replace_input_with(0, one)
                graph.insert_after(node, [down, up])
