"""The time of a training step by operator: the bare loop under PyTorch's profiler on a CPU, set up as in a run."""

from typing import Any

from torch.profiler import ProfilerActivity, profile

from mammo.bench import bare_loop, machine
from mammo.bench.models import side
from mammo.processes import devices
from mammo.reports.markdown import markdown

KINDS = {  # by a part of the operator's name
    "convolution_backward": "convolutions, backward", "mkldnn_convolution": "forward", "batch_norm": "batch norm",
    "_pool": "pooling", "relu": "relu", "threshold": "relu",
}  # fmt: skip
COLUMNS = list(dict.fromkeys(KINDS.values()))


def measure(*, names: list[str], batch: int, steps: int) -> dict[str, Any]:
    """Measure the milliseconds per image of each kind of operator, without the operators that it calls.

    Args:
        names: Names of backbones.
        batch: Images per step.
        steps: The number of profiled steps, after as many without the profiler.
    """
    rows = []
    for name in names:
        chosen = ["data=phantom", f"model={name}", "model.weights=null", f"model.image_size={side(name)}"]
        chosen += ["model.trainable=all", f"data.batch_size={batch}", "trainer.accelerator=cpu"]
        for precision in ["bf16-mixed"] * devices.has_bfloat16("cpu") + ["32-true"]:
            config = machine.configuration([*chosen, f"trainer.precision={precision}"])
            train = bare_loop.build({"config": config.as_dict(), "prepared": True})["train"]
            train(steps)
            with profile(activities=[ProfilerActivity.CPU]) as seen:
                train(steps - 1)  # plus the first step of `timed`
            spent = dict.fromkeys([*COLUMNS, "the rest"], 0.0)
            for event in seen.key_averages():
                kind = next((kind for part, kind in KINDS.items() if part in event.key), "the rest")
                spent[kind] += event.self_cpu_time_total / 1000 / steps / batch
            rows.append({"backbone": f"{name} {side(name)}", "precision": precision, "ms": spent})
    return {"batch": batch, "rows": rows}


def tables(found: dict[str, Any]) -> list[str]:
    """Return the table as lines of Markdown."""
    rows = []
    for row in found["rows"]:
        total = sum(row["ms"].values())
        shares = [f"{ms:.1f} ({ms / total:.0%})" if ms else "" for ms in row["ms"].values()]
        rows.append([row["backbone"], row["precision"], f"{total:.1f}", *shares])
    columns = ["backbone", "precision", "ms an image", *COLUMNS, "the rest"]
    return [f"Training steps of {found['batch']} images.", "", *markdown(columns, rows)]
