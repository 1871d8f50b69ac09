"""Rates of what trains, and what the loss counts."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mammo.config import Config, LossConfig, ModelConfig, TaskConfig
from mammo.datasets.labels import Labels
from mammo.tasks.build import build_task


def task(weights=None, trainable="last_block", counts=None, classes=2, **loss):
    model = ModelConfig("resnet18" if weights else "compact", weights=weights, trainable=trainable, image_size=32)
    names = [f"c{i}" for i in range(classes)]
    labels = Labels.from_config(TaskConfig(classes={name: [name] for name in names}))
    return build_task(Config(model=model, loss=LossConfig(**loss)), labels, counts)


def batch(y, other=None, share=1.0):
    return {"y": y, "other": y if other is None else other, "share": torch.as_tensor(share)}


def test_loaded_layers_train_slowly_new_ones_fast_and_only_matrices_decay(resnet_trunk):
    module = task(str(resnet_trunk))
    module._trainer = SimpleNamespace(estimated_stepping_batches=40, max_epochs=4)
    optimizer = module.configure_optimizers()["optimizer"]
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    trained = {name: p for name, p in module.net.named_parameters() if p.requires_grad}
    assert set(of) == {id(p) for p in trained.values()}
    for name, parameter in trained.items():
        group = of[id(parameter)]
        assert group["initial_lr"] == (1e-3 if name.startswith("head.") else 1e-5), name
        assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0), name


def test_the_rate_warms_up_and_goes_down_to_nothing(resnet_trunk):
    module = task(str(resnet_trunk))
    module._trainer = SimpleNamespace(estimated_stepping_batches=40, max_epochs=4)
    made = module.configure_optimizers()
    rates = []
    for _ in range(40):
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
        rates.append(max(made["lr_scheduler"]["scheduler"].get_last_lr()))
    assert rates[0] < rates[8] and max(rates) == pytest.approx(1e-3, rel=0.05)
    assert 8 <= int(np.argmax(rates)) <= 11 and rates[-1] < 1e-5


def test_balanced_classes_weigh_alike_in_the_loss():
    weights = task(classes=3, counts=np.array([6, 3, 1])).criterion.weights
    assert torch.allclose(weights * torch.tensor([6, 3, 1]), torch.full((3,), 10 / 3))
    assert task(class_weights="none", counts=np.array([6, 3])).criterion.weights.tolist() == [1, 1]


def test_the_loss_of_a_batch_is_the_mean_of_its_halves_however_classes_fall():
    module = task(counts=np.array([9, 1]))
    logits, y = torch.randn(8, 2), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    halves = [module.loss(logits[part], batch(y[part])) for part in (slice(0, 4), slice(4, 8))]
    assert torch.allclose(module.loss(logits, batch(y)), sum(halves) / 2)
    expected = cross_entropy(logits, y, reduction="none") * module.criterion.weights[y]
    assert torch.allclose(module.loss(logits, batch(y)), expected.mean())


def test_a_mixed_sample_learns_from_both_classes_by_their_shares():
    module = task(classes=3)
    logits, y, other = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    share = torch.tensor([0.25, 1.0, 0.5, 0.0])
    mixed = share[:, None] * torch.eye(3)[y] + (1 - share)[:, None] * torch.eye(3)[other]
    assert torch.allclose(module.loss(logits, batch(y, other, share)), cross_entropy(logits, mixed))


def test_what_a_loss_learns_gets_there_in_the_steps_of_a_default_run_and_is_kept_in_the_checkpoint():
    """Where four tenths of the labels of a class are wrong, a network that knows the truth is told within 360 steps."""
    module = task(name="confusion", trace=0.01)
    module._trainer = SimpleNamespace(estimated_stepping_batches=360, max_epochs=30)
    made = module.configure_optimizers()
    rng = torch.Generator().manual_seed(0)
    for _ in range(360):
        truth = torch.randint(2, (16,), generator=rng)
        labels = torch.where((truth == 1) & (torch.rand(16, generator=rng) < 0.4), 0, truth)
        made["optimizer"].zero_grad()
        module.loss(20.0 * torch.eye(2)[truth], batch(labels)).backward()
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert module.criterion.matrix[0, 0] > 0.95 and 0.5 < module.criterion.matrix[1, 1] < 0.7
    assert "criterion.matrix_logits" in module.state_dict()
