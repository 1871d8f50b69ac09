"""Synthetic crops: a small generative adversarial network (GAN) per class, trained on its training crops alone.

It follows Dhivya et al. 2020, "GAN based data augmentation for enhanced tumor classification". The network is a grey
DCGAN (Radford et al. 2016) of 64 x 64 pixels. It resizes before each convolution, which avoids checkerboards (Odena et
al. 2016). Its discriminator sees all crops shifted, so that it does not learn a few by heart (Zhao et al. 2020). The
running mean of the generator's weights is kept. With some hundred crops and steps, the synthetic crops are blurred.

A synthetic crop depends on all training crops of its class, so inside the training part it is independent of no
patient. When a head is tuned by folds, a fold withholds the patient that the crop is named for, but not the influence
of that patient on the crop: the folds flatter. The validation and test parts are not affected.
"""

import copy
import hashlib
import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mammo.errors import InputError
from mammo.paths import home
from mammo.preprocessing.augment import draw_seed
from mammo.preprocessing.cache import Store, digest

log = logging.getLogger(__name__)

SIDE = 64
LATENT = 64
WIDTH = 16  # channels of the largest maps; they double each time the maps halve
BATCH = 16
RATE, BETAS = 1e-3, (0.5, 0.99)
SHIFT = 8  # pixels
KEPT = 0.99  # part of the running mean of the generator's weights that each step keeps
MOST = 500  # largest number of training crops of a class whose pairs are compared
Draw = tuple[str, int]  # name of a sample, draw; draw 0 is the original


def synthesise(crops: np.ndarray, draws: list[Draw], *, steps: int, seed: int) -> dict[Draw, np.ndarray]:
    """Return synthetic crops (SIDE, SIDE) uint8 of one class, one for each draw; from the cache if it has them.

    Args:
        crops: The class's training crops (n, SIDE, SIDE) uint8.
        draws: The draws that are wanted; each depends on its name, the crops, `steps` and `seed`, not on the others.
        steps: Number of training steps.
        seed: Seed of the training and of the draws.

    Raises:
        InputError: The crops have 16 bits.
    """
    if crops.dtype != np.uint8:
        raise InputError("crop.bits is 16, but augment.method=gan makes crops of 8 bits; use crop.bits=8")
    facts = {
        "crops": hashlib.sha256(np.ascontiguousarray(crops).tobytes()).hexdigest(),
        "network": [SIDE, LATENT, WIDTH, BATCH, RATE, BETAS, SHIFT, KEPT],
        "steps": steps,
        "seed": seed,
        "torch": torch.__version__,
    }
    cache = Store(home() / "gans" / digest(facts))
    keys = {f"{name}.c{draw}": (name, draw) for name, draw in draws}
    with cache.building():
        made = cache.load(keys)
        if missing := {key: draw for key, draw in keys.items() if key not in made}:
            log.info("gan: %d steps on %d training crops of a class; the synthetic crops are cached", steps, len(crops))
            generate = _single_threaded(lambda: _generate(crops, missing, steps, seed))
            cache.store(generate)
            made |= generate
    return {draw: made[key].numpy() for key, draw in keys.items()}


def _single_threaded(work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Run on one thread, so that the result is the same for any number of devices and cores.

    Several threads would split sums. The global random state, from which layers draw their first weights, is restored.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            return work()
    finally:
        torch.set_num_threads(threads)


def _generate(crops: np.ndarray, draws: dict[str, Draw], steps: int, seed: int) -> dict[str, Tensor]:
    low, high = np.percentile(crops, (1, 99))
    middle, half = (low + high) / 2, max((high - low) / 2, 1.0) * 1.1  # stretches a window's few grey levels
    real = ((torch.from_numpy(crops).float()[:, None] - middle) / half).clamp(-1, 1)  # (n, 1, SIDE, SIDE)
    generator = _train(real, steps, torch.Generator().manual_seed(seed))
    made = {}
    with torch.inference_mode():
        for key, (name, draw) in draws.items():  # one by one: no crop depends on its neighbours
            noise = torch.Generator().manual_seed(draw_seed(seed, draw, name))
            square = generator(torch.randn(1, LATENT, 1, 1, generator=noise))[0, 0]
            made[key] = (square * half + middle).round().clamp(0, 255).to(torch.uint8)
    return made


def _train(real: Tensor, steps: int, rng: torch.Generator) -> nn.Module:
    """Return the generator in eval mode, after `steps` steps of both networks with the non-saturating loss."""
    generator, discriminator = _initialised(_generator(), rng), _initialised(_discriminator(), rng)
    mean = copy.deepcopy(generator).eval()
    of_generator, of_discriminator = (
        torch.optim.Adam(net.parameters(), RATE, BETAS) for net in (generator, discriminator)
    )
    for step in range(steps):
        crops = real[torch.randint(len(real), (BATCH,), generator=rng)]
        made = _shifted(generator(torch.randn(BATCH, LATENT, 1, 1, generator=rng)), rng)
        judged = discriminator(_shifted(crops, rng)), discriminator(made.detach())
        of_discriminator.zero_grad()
        (F.softplus(-judged[0]).mean() + F.softplus(judged[1]).mean()).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        F.softplus(-discriminator(made)).mean().backward()
        of_generator.step()
        kept = min(KEPT, step / (step + 20))  # forget the random first weights soon
        for running, now in zip(mean.state_dict().values(), generator.state_dict().values(), strict=True):
            running.copy_(running * kept + now * (1 - kept) if now.is_floating_point() else now)
    return mean


def _generator() -> nn.Sequential:
    """Return the network from (B, LATENT, 1, 1) to (B, 1, SIDE, SIDE) in [-1, 1]."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, 8 * WIDTH, 4, bias=False)]  # (B, 8 WIDTH, 4, 4)
    for channels in (8 * WIDTH, 4 * WIDTH, 2 * WIDTH):
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Upsample(scale_factor=2)]
        layers += [nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, 1, 3, padding=1)]
    return nn.Sequential(*layers, nn.Tanh())


def _discriminator() -> nn.Sequential:
    """Return the network from (B, 1, SIDE, SIDE) to logits (B, 1) of being real."""
    layers: list[nn.Module] = [nn.Conv2d(1, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)]
    for channels in (WIDTH, 2 * WIDTH, 4 * WIDTH):
        layers += [nn.Conv2d(channels, 2 * channels, 4, 2, 1), nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * WIDTH * (SIDE // 16) ** 2, 1))


def _initialised(net: nn.Module, rng: torch.Generator) -> nn.Module:
    """Draw the first weights as torch does, but from our own random generator; biases are 0."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


def _shifted(x: Tensor, rng: torch.Generator) -> Tensor:
    """Shift each crop of (B, 1, SIDE, SIDE) by up to SHIFT pixels; its border is reflected."""
    padded = F.pad(x, (SHIFT,) * 4, mode="reflect")
    corners = torch.randint(2 * SHIFT + 1, (len(x), 2), generator=rng).tolist()
    return torch.stack([one[:, y : y + SIDE, x_ : x_ + SIDE] for one, (y, x_) in zip(padded, corners, strict=True)])


def compare(made: dict[Draw, np.ndarray], crops: np.ndarray, ids: list[str]) -> pd.DataFrame:
    """Measure the distances from synthetic to training crops of a class; a distance near 0 means a copy.

    Distances are root mean squares of grey levels in [0, 1].

    Args:
        made: The synthetic crops of one class, by draw.
        crops: The class's training crops (n, SIDE, SIDE) uint8, two or more.
        ids: The names of the training crops.

    Returns:
        A table with `name, draw, nearest, distance` of each synthetic crop. As a yardstick, `between_p5` and
        `between_median` are percentiles of the distances between training crops (the first MOST).
    """
    flat = crops.reshape(len(crops), -1).astype(np.float32) / 255

    def distances(square: np.ndarray) -> np.ndarray:
        return np.sqrt(((flat - square.reshape(-1)) ** 2).mean(axis=1))

    rows = []
    for (name, draw), square in made.items():
        far = distances(square.astype(np.float32) / 255)
        rows.append((name, draw, ids[far.argmin()], float(far.min())))
    between = np.concatenate([distances(flat[i])[:i] for i in range(1, len(flat[:MOST]))])
    p5, median = np.percentile(between, (5, 50))
    table = pd.DataFrame(rows, columns=["name", "draw", "nearest", "distance"])
    return table.assign(between_p5=p5, between_median=median)


def summary(compared: pd.DataFrame) -> str:
    """Summarise the tables of `compare` of all classes in one line."""
    near, far, between = compared["distance"].min(), compared["distance"].max(), compared["between_p5"].min()
    return (
        f"gan: {len(compared)} synthetic crops; their distances to the nearest training crop are {near:.3f} to "
        f"{far:.3f} (root mean square of grey levels); 5 % of pairs of training crops are closer than {between:.3f}"
    )
