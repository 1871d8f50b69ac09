"""What trains at which rate, and what the loss counts."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from mammo import InputError
from mammo.classifier import Classifier
from mammo.models import BACKBONES

RATES = {"lr_trunk": 1e-5, "lr_head": 1e-3, "weight_decay": 0.01, "warmup_epochs": 1.0}


def classifier(weights=None, trainable="last_block", classes=2, **settings):
    model = {"name": "vgg16", "weights": weights, "trainable": trainable, "pool": "avg", "image_size": 32}
    return Classifier(model=model, classes=[f"c{i}" for i in range(classes)], **RATES | settings)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg.safetensors"
    state = BACKBONES["vgg16"].build(weights=None).state_dict()
    save_file({key: value for key, value in state.items() if key.startswith("features.")}, path)
    return str(path)


def test_loaded_layers_train_slowly_new_ones_fast_and_only_matrices_decay(trunk):
    module = classifier(trunk)
    module._trainer = SimpleNamespace(estimated_stepping_batches=40, max_epochs=4)
    optimizer = module.configure_optimizers()["optimizer"]
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    trained = {name: p for name, p in module.net.named_parameters() if p.requires_grad}
    assert set(of) == {id(p) for p in trained.values()}
    for name, parameter in trained.items():
        group = of[id(parameter)]
        assert group["initial_lr"] == (1e-3 if name.startswith("head.") else 1e-5), name
        assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0), name


def test_the_rate_warms_up_and_goes_down_to_nothing(trunk):
    module = classifier(trunk)
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
    module = classifier(classes=3)
    module.weigh(np.array([6, 3, 1]))
    assert torch.allclose(module.class_weights * torch.tensor([6, 3, 1]), torch.full((3,), 10 / 3))
    plain = classifier(class_weights="none")
    plain.weigh(np.array([6, 3]))
    assert plain.class_weights.tolist() == [1, 1]


def test_the_loss_of_a_batch_is_the_mean_of_its_halves_however_classes_fall():
    module = classifier()
    module.weigh(np.array([9, 1]))
    logits, y = torch.randn(8, 2), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    halves = [module.loss(logits[part], y[part]) for part in (slice(0, 4), slice(4, 8))]
    assert torch.allclose(module.loss(logits, y), sum(halves) / 2)
    expected = cross_entropy(logits, y, reduction="none") * module.class_weights[y]
    assert torch.allclose(module.loss(logits, y), expected.mean())


def test_a_shared_label_weighs_as_its_shares_and_a_whole_one_as_ever():
    module = classifier()
    module.weigh(np.array([9, 1]))
    logits, y, other = torch.randn(4, 2), torch.tensor([0, 0, 1, 1]), torch.tensor([1, 0, 0, 1])
    batch = {"y": y, "other": other, "share": torch.full((4,), 0.25)}
    assert torch.allclose(
        module.soft_loss(logits, batch), module.loss(logits, y) * 0.25 + module.loss(logits, other) * 0.75
    )
    assert torch.allclose(module.soft_loss(logits, batch | {"share": torch.ones(4)}), module.loss(logits, y))


def test_unknown_class_weights_list_the_known():
    with pytest.raises(InputError, match="expected balanced or none"):
        classifier(class_weights="some")
