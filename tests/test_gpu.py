"""A GPU computes what the CPU does, repeats itself, goes on after a stop, and gives its memory back.

    python -m pytest -m gpu -n 0 -s tests/test_gpu.py

`MAMMO_TEST_DEVICE=cpu` before it runs the same tests on the CPU, against which they then compare a CPU: it shows that
they run, and no more. Without `-m gpu`, networks compute on tensors without numbers that say they are on a GPU, where
a tensor that was made on the CPU is an error.
"""

import copy
import gc
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mammo.config import ModelConfig
from mammo.datasets.labels import Labels
from mammo.models.backbones import BACKBONES
from mammo.models.network import build_network, linear_head
from mammo.processes.devices import has_bfloat16
from mammo.run_folder import RunFolder
from mammo.tasks.base import Task
from mammo.tasks.build import build_task
from tests import ranks
from tests.conftest import resolved

DEVICE = os.environ.get("MAMMO_TEST_DEVICE", "cuda")
# The largest difference from float32 on the CPU, in length and by the length of what is expected: of logits, and of all
# gradients. bfloat16 may differ twice as much as the CPU's own, which in a random network may be as much as there is.
FLOAT32 = (1e-3, 1e-2)
TWICE, SLACK = 2.0, 1e-2
LEVEL_BYTES = 1 << 20  # a job may leave less than this
MIXED = ["trainer.max_epochs=3", "data.batch_size=4", "heads=[knn]"]


@pytest.fixture(scope="module")
def device():
    """The device that is compared with the CPU."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU; MAMMO_TEST_DEVICE=cpu tries these tests on the CPU")
    return torch.device(DEVICE)


def side_of(name):
    return 299 if BACKBONES[name].aux_after else max(64, BACKBONES[name].min_side)


def apart(found, expected):
    """The length of the difference, by that of what is expected."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).norm() / expected.norm())


def computed(net, x, y, precision):
    """The logits of a network in eval mode, and the gradients of its loss."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        logits = net(x)
    F.cross_entropy(logits.float(), y).backward()
    return logits, torch.cat([one.grad.flatten() for one in net.parameters() if one.grad is not None])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", BACKBONES)
def test_the_prediction_and_the_gradient_of_each_backbone_are_those_of_the_cpu(name, precision, device):
    """Float32 without TF32, which a run's convolutions use on a GPU, as torch does."""
    if precision == "bf16-mixed" and not has_bfloat16(device.type):
        pytest.skip("bfloat16 is emulated here")
    torch.manual_seed(0)
    config = ModelConfig(name=name, weights=None, image_size=side_of(name), trainable="all", dropout=0.0)
    net = build_network(config, lambda width: linear_head(width, 2, 0.0), classes=2)
    x = torch.randint(0, 256, (4, 1, config.image_size, config.image_size), dtype=torch.uint8)
    y = torch.tensor([0, 1, 1, 0])
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = 1.0  # the statistics of this batch, without which random layers leave nothing
    with torch.no_grad():
        net(x)
    net.eval()
    there = copy.deepcopy(net).to(device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True):
        found = computed(there, x.to(device), y.to(device), precision)
    expected, most = computed(net, x, y, "32-true"), FLOAT32
    if precision == "bf16-mixed":
        net.zero_grad()
        own = computed(net, x, y, precision)
        most = [TWICE * apart(*both) + SLACK for both in zip(own, expected, strict=True)]
    found = [apart(*both) for both in zip(found, expected, strict=True)]
    print(f"{name} {precision}: logits {found[0]:.1e} of {most[0]:.1e}, gradients {found[1]:.1e} of {most[1]:.1e}")
    assert found[0] <= most[0] and found[1] <= most[1]


@pytest.mark.gpu
def test_one_seed_gives_the_same_run_twice(job, device, tmp_path, unreported):
    runs = [
        job(*MIXED, f"trainer.accelerator={device.type}", "trainer.deterministic=true", folder=tmp_path / name)[0]
        for name in ("one", "two")
    ]
    assert (runs[0] / "predictions.csv").read_bytes() == (runs[1] / "predictions.csv").read_bytes()
    features = [RunFolder(run).features()[0] for run in runs]
    assert np.array_equal(*features)


@pytest.mark.gpu
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(job, device, tmp_path, unreported, monkeypatch):
    lines = [*MIXED, f"trainer.accelerator={device.type}", "trainer.deterministic=true", "ckpt_path=last"]
    whole, _ = job(*lines, folder=tmp_path / "whole")
    steps, plain = [], Task.training_step

    def stopped(self, batch, batch_idx):
        steps.append(batch_idx)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", stopped)
        with pytest.raises(SystemExit):
            job(*lines, folder=tmp_path / "cut")
    again, _ = job(*lines, folder=tmp_path / "cut")
    assert len(steps) == 3 and (again / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()


@pytest.mark.gpu
def test_a_frozen_part_gives_the_features_of_the_cpu(job, device, tmp_path, unreported, resnet_trunk, monkeypatch):
    """The outputs are kept by kind of device, so that neither takes those of the other."""
    features = []
    for kind in ("cpu", device.type):
        lines = ["model=resnet18", f"model.weights={resnet_trunk}", "trainer.precision=32-true", "heads=[knn]"]
        run, _ = job(*lines, f"trainer.accelerator={kind}", folder=tmp_path / f"{kind}-{len(features)}")
        features.append(RunFolder(run).features()[0])
    print(f"features: {apart(*map(torch.from_numpy, features[::-1])):.1e}")
    assert apart(*map(torch.from_numpy, features[::-1])) < 5e-3  # convolutions use TF32


@pytest.mark.gpu
def test_two_processes_on_one_device_share_a_step(device, tmp_path):
    """By gloo: NCCL wants a GPU for each. Their mean gradient is that of the whole batch."""
    torch.multiprocessing.spawn(ranks.shared_step, (tmp_path, str(device), 2), nprocs=2)
    whole, *shared = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", 0, 1))
    assert torch.equal(*shared) and apart(shared[0], whole) < 1e-4


def held():
    """The bytes of the tensors of this process that are on the GPU; without one, of all of its tensors."""
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    known = (one for one in gc.get_objects() if isinstance(one, torch.Tensor) and not one.is_meta)
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in known}.values())


@pytest.mark.gpu
def test_memory_is_level_after_ten_jobs(job, device, tmp_path, unreported):
    after = []
    for number in range(10):
        job(f"trainer.accelerator={device.type}", "trainer.max_epochs=1", "heads=[knn]", folder=tmp_path / str(number))
        after.append(held())
    print(f"memory after each job in MB: {', '.join(f'{one / 1e6:.1f}' for one in after)}")
    assert after[-1] <= after[1] + LEVEL_BYTES


class Step(nn.Module):
    """The outputs of a task for a batch: its loss, and the outputs that are written."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def forward(self, batch):
        net = self.task.net
        if hasattr(net, "decoder"):
            return net(batch["x"])[0].mean(), self.task.rows(batch["x"])  # its loss asks which regions are empty
        losses = [weight * self.task.loss(logits, batch) for weight, logits in net.weighted_logits(batch["x"])]
        return sum(losses[1:], losses[0]), self.task.rows(net.features_of(batch["x"], len(batch["row"])))


WAYS = {name: [f"model={name}"] for name in BACKBONES}
WAYS |= {"focal": ["model=compact", "loss=focal"], "confusion": ["model=compact", "loss=confusion"]}
WAYS |= {"maps": ["model=resnet18", "model.features=[layer3,layer4]", "model.pool=mean_std"]}
WAYS |= {"segmentation": ["model=resnet18", "task=segmentation"]}
QUICK = ("compact", "segmentation")


@pytest.mark.slow
@pytest.mark.parametrize("way", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in WAYS])
def test_a_step_makes_no_tensor_on_the_cpu_if_all_else_is_on_a_gpu(way):
    name = WAYS[way][0].partition("=")[2]
    side = 64 if way == "segmentation" else side_of(name)
    config = resolved(
        "data=phantom", *WAYS[way], "model.weights=null", f"model.image_size={side}", "model.trainable=all"
    )
    task = build_task(config, Labels.from_config(config.task), np.array([3, 3]))
    with FakeTensorMode() as mode:
        own = {**dict(task.named_parameters()), **dict(task.named_buffers())}
        state = {f"task.{key}": mode.from_tensor(one).to("cuda") for key, one in own.items()}
        batch = {"x": torch.zeros(2, 1, side, side, dtype=torch.uint8, device="cuda")}
        batch |= {key: torch.zeros(2, dtype=torch.long, device="cuda") for key in ("y", "other", "row")}
        batch |= {"share": torch.ones(2, device="cuda")}
        loss, rows = functional_call(Step(task), state, (batch,))
        assert {one.device.type for one in (loss, *rows.values())} == {"cuda"}


def test_a_tensor_that_is_made_on_the_cpu_would_be_seen():
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, device="cuda") + torch.ones(2)
