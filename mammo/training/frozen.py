"""The outputs of a network's frozen part, which are computed once for each distinct square and kept on disk."""

import itertools
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn

from mammo.datasets.film import pixel_digest
from mammo.paths import home
from mammo.preprocessing.cache import Store, digest
from mammo.training.samples import Plane, Samples

log = logging.getLogger(__name__)

BLOCK = 16  # squares per forward pass; always this many, so that no result depends on the number of samples
WRITTEN, WRITTEN_BYTES = 256, 64 << 20  # outputs held before they are written, and their bytes: a kill loses these
Wanted = tuple[Samples, int, int, int]  # samples, number of one, draw of it, and number of a square of the draw


def rows_of_block(planes: int) -> int:
    """Return the number of rows that are predicted at a time, each of several squares (`planes`)."""
    return max(BLOCK // planes, 1)


def attach(trainer: Any, asked: Iterable[Samples], *, keep: bool) -> None:
    """Give samples the outputs of the frozen part of a trainer's network, if it has one.

    Args:
        trainer: Lightning's trainer with its task; None if there is none.
        asked: The samples that will be used.
        keep: True computes the outputs once and caches them; False computes them for each batch (`applied`).
    """
    if not has_frozen_part(trainer):
        return
    for samples in asked:
        samples.few = True
    if keep and any(samples.outputs is None for samples in asked):
        outputs = frozen_outputs(trainer, home() / "trunks", asked)
        for samples in asked:
            samples.outputs = outputs


def applied(trainer: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch whose pixels are replaced by the frozen part's outputs, on the same device."""
    if has_frozen_part(trainer):
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            batch["x"] = trainer.lightning_module.net.frozen(batch["x"])
    return batch


def has_frozen_part(trainer: Any) -> bool:
    """Tell whether a trainer's network has a frozen part."""
    task = trainer and trainer.lightning_module
    return task is not None and len(task.net.frozen) > 0


def frozen_outputs(trainer: Any, home: Path, asked: Iterable[Samples]) -> dict[Plane, Tensor]:
    """Return the frozen part's output of each square that will be used, memory-mapped.

    Each output is named by the digest of its square, in a folder named by the frozen part and all else that decides
    the last digits. So heads, seeds, folds and protocols share the outputs that they have in common.

    Args:
        trainer: Lightning's trainer with its task; its devices share the work.
        home: The folder of all such folders.
        asked: The samples that will be used.
    """
    net, strategy = trainer.lightning_module.net, trainer.strategy
    names: dict[Plane, str] = {}
    wanted: dict[str, Wanted] = {}  # without pixels, which are drawn again when needed
    for samples in asked:
        for sample, copy in samples.rows:
            draws = range(1, samples.augment.copies + 1) if copy is None else [copy]
            for draw, plane in itertools.product(draws, range(samples.planes)):
                if (key := (samples.names[sample], draw, plane)) not in names:
                    names[key] = pixel_digest(samples.pixels(sample, draw, plane).numpy())
                    wanted.setdefault(names[key], (samples, sample, draw, plane))
    facts = {
        "trunk": net.frozen_digest(),
        "compiled": net.compiled,
        "precision": str(trainer.precision),
        "device": strategy.root_device.type,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),  # they split sums, which changes rounding
    }
    store = Store(home / digest(facts))
    outputs = store.load(wanted)
    if strategy.broadcast(len(outputs) < len(wanted)):
        with store.building() if trainer.is_global_zero else nullcontext():
            strategy.barrier()  # all look again, after another run may have filled the store
            there = store.load(wanted)
            missing = [name for name in wanted if name not in there]
            strategy.barrier()  # no process stores outputs before all have looked
            if missing:
                log.info("frozen %d distinct samples, %d to compute once and cache", len(wanted), len(missing))
            mine = {name: wanted[name] for name in missing[trainer.global_rank :: trainer.world_size]}
            part = net.frozen.to(strategy.root_device)
            context = trainer.precision_plugin.forward_context
            compute(part, mine, store, strategy.root_device, context, progress=trainer.is_global_zero)
            strategy.barrier()
        outputs = store.load_all(wanted)
    return {key: outputs[name] for key, name in names.items()}


def compute(
    part: nn.Module,
    wanted: dict[str, Wanted],
    store: Store,
    device: torch.device,
    context: Callable[[], AbstractContextManager[Any]],
    *,
    progress: bool,
) -> None:
    """Store the frozen part's output of each wanted square.

    Args:
        part: The frozen part, on its device.
        wanted: The squares by name.
        store: The store of the outputs.
        device: The device of the frozen part.
        context: Returns the context that sets the precision.
        progress: True shows a progress bar.
    """
    names, made = list(wanted), dict[str, Tensor]()
    for start in track(range(0, len(names), BLOCK), "Frozen part", disable=not (names and progress)):
        block = names[start : start + BLOCK]
        squares = [samples.pixels(*one) for samples, *one in map(wanted.__getitem__, block)]
        filled = torch.stack(squares + squares[-1:] * (BLOCK - len(block)))
        with torch.inference_mode(), context():
            made |= zip(block, part(filled.to(device)).cpu(), strict=False)
        held = sum(output.nbytes for output in made.values())
        if len(made) >= WRITTEN or held >= WRITTEN_BYTES or start + BLOCK >= len(names):
            store.store(made)
            made = {}
