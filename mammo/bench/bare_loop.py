"""The limit: a bare PyTorch loop with the same network, its tensors already on the device."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from mammo.bench.protocol import Action, serve, timed
from mammo.models.network import build_network
from mammo.processes import devices


def build(settings: dict[str, Any]) -> dict[str, Action]:
    """Training and prediction.

    Args:
        settings: `model` (arguments of `build_network`), `batch`, `precision`, `device`, and `prepared`: whether the
            process is set up as a run's is (`Plan.prepare`), or as anybody's.
    """
    if settings["prepared"]:
        devices.plan(settings["device"], 1, settings["precision"]).prepare()
    device, side = settings["device"], settings["model"]["image_size"]
    net = build_network(**settings["model"], classes=2).to(device)
    images = torch.randint(0, 256, (settings["batch"], 1, side, side), dtype=torch.uint8, device=device)
    x = net.body.get_submodule("input")(images)  # normalised, three channels, once
    net.body.input = torch.nn.Identity()
    y = torch.randint(0, 2, (settings["batch"],), device=device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    half = settings["precision"] == "bf16-mixed"

    def train() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            losses = [weight * F.cross_entropy(logits, y) for weight, logits in net.weighted_logits(x)]
        sum(losses[1:], losses[0]).backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
            net(x)

    def action(step: Callable[[], None], training: bool) -> Action:
        def run(count: int) -> list[float]:
            net.train(training)
            return timed(step, count, torch.cuda.synchronize if device == "cuda" else None)

        return run

    return {"train": action(train, True), "predict": action(predict, False)}


if __name__ == "__main__":
    serve(build)
