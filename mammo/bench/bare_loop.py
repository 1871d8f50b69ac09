"""The limit of speed: a bare PyTorch loop with the same network, whose tensors are already on the device."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mammo.bench.protocol import Action, serve, timed
from mammo.config import Config
from mammo.models.network import build_network, linear_head
from mammo.processes import devices

PRODUCT = {"cpu": 2048, "cuda": 8192}  # sides of the matrices whose product stands for what a device can do at most


def build(settings: dict[str, Any]) -> dict[str, Action]:
    """Return the actions: training, prediction, and the least time that the device could train in.

    Args:
        settings: `config`, the configuration of a run, and `prepared`: True sets the process up for speed, as a run
            does.
    """
    config = Config.of(settings["config"])
    plan, batch, side = devices.plan_of(config.trainer), config.data.batch_size, config.model.image_size
    if settings["prepared"]:
        plan.prepare()
    device = plan.accelerator
    net = build_network(config.model, lambda width: linear_head(width, 2, config.model.dropout), classes=2).to(device)
    images = torch.randint(0, 256, (batch, 1, side, side), dtype=torch.uint8, device=device)
    x = net.body.get_submodule("input")(images)  # normalise and make three channels once, before the steps
    net.body.input = torch.nn.Identity()
    y = torch.randint(0, 2, (batch,), device=device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    half = plan.precision == "bf16-mixed"

    def train() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            losses = [weight * F.cross_entropy(logits, y) for weight, logits in net.weighted_logits(x)]
        sum(losses[1:], losses[0]).backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
            net(x)

    def limit(count: int) -> list[float]:
        """Return the seconds of a training step whose operations are as fast as those of one large product."""
        net.train()
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counted:
            train()
        side = PRODUCT[device]
        one = torch.randn(side, side, dtype=torch.bfloat16 if half else torch.float32, device=device)
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True  # as convolutions do by default
        try:
            seconds = timed(lambda: one @ one, count, torch.cuda.synchronize if device == "cuda" else None)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
        return [each * counted.get_total_flops() / (2 * side**3) for each in seconds]

    def action(step: Callable[[], None], training: bool) -> Action:
        def run(count: int) -> list[float]:
            net.train(training)
            return timed(step, count, torch.cuda.synchronize if device == "cuda" else None)

        return run

    return {"train": action(train, True), "predict": action(predict, False), "limit": limit}


if __name__ == "__main__":
    serve(build)
