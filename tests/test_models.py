"""Networks compute what torchvision's do, freeze what they should, and take no weights that do not fit."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mammo import InputError
from mammo.models import BACKBONES, build_network

SIDE = {"vgg16": 64, "inception": 96}


def network(name, weights=None, trainable="head", *, pool="avg", classes=2, side=None):
    return build_network(
        name=name, weights=weights, trainable=trainable, pool=pool, classes=classes, image_size=side or SIDE[name]
    )


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def trunk(request, tmp_path_factory):
    """A backbone's name, torchvision's model of it with batch norms that have seen data, and its trunk in a file."""
    torch.manual_seed(0)
    row = BACKBONES[request.param]
    model = row.build(weights=None).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if not row.absent(k)}, path)
    return request.param, model, path


def pixels(name, batch=2):
    return torch.randint(0, 256, (batch, 1, SIDE[name], SIDE[name]), dtype=torch.uint8)


def test_features_are_the_mean_of_torchvisions_last_map(trunk):
    name, model, path = trunk
    net, x = network(name, str(path)).eval(), pixels(name)
    rgb = x.float().expand(-1, 3, -1, -1) / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = {}
    last = model.features if name == "vgg16" else model.Mixed_7c
    with torch.inference_mode():
        hook = last.register_forward_hook(lambda module, args, output: seen.update(map=output))
        if name == "inception":
            model.transform_input = True
        model((rgb - mean) / std)
        hook.remove()
        ours = net.features(net.trunk(x))
    assert torch.allclose(ours, seen["map"].mean(dim=(2, 3)), rtol=1e-3, atol=1e-5)


def test_the_same_trunk_frozen_or_trained_gives_the_same_features(trunk):
    name, _, path = trunk
    x = pixels(name)
    with torch.inference_mode():
        nets = [network(name, str(path), trainable).eval() for trainable in ("head", "last_block", "all")]
        frozen, *trained = (net.features(net.trunk(x)) for net in nets)
    assert all(torch.allclose(frozen, other, rtol=1e-4, atol=1e-6) for other in trained)


def test_what_trains_is_what_was_asked_for(trunk):
    name, _, path = trunk
    head, block, everything = (network(name, str(path), trainable) for trainable in ("head", "last_block", "all"))
    trained = [{n for n, p in net.named_parameters() if p.requires_grad} for net in (head, block, everything)]
    assert trained[0] == {"head.1.layer.weight", "head.1.layer.bias"}
    assert any("block5" in n or "Mixed_7c" in n for n in trained[1])
    assert not any(n.startswith("trunk.") for n in trained[1])
    assert trained[2] == {n for n, _ in everything.named_parameters()}
    assert head.frozen and block.frozen and not everything.frozen
    assert not head.trained_features and block.trained_features


def test_a_frozen_trunk_stays_in_eval_mode_and_keeps_its_statistics(trunk):
    name, _, path = trunk
    net = network(name, str(path), "last_block")
    before = {k: v.clone() for k, v in net.trunk.state_dict().items()}
    net.train()
    assert net.body.training and not net.trunk.training
    net(net.trunk(pixels(name)))
    assert all(torch.equal(v, before[k]) for k, v in net.trunk.state_dict().items())


def test_without_weights_nothing_is_frozen():
    for trainable in ("head", "last_block", "all"):
        assert not network("vgg16", None, trainable).frozen


def test_fc_is_trained_where_the_file_lacks_it_and_frozen_where_it_does_not(trunk, tmp_path):
    name, model, path = trunk
    if name != "vgg16":
        with pytest.raises(InputError, match="no fully connected layers"):
            network(name, str(path), pool="fc")
        return
    partial = network(name, str(path), pool="fc")
    assert partial.trained_features and [n for n, _ in partial.body.named_children()] == ["fc"]
    assert partial.features(partial.trunk(pixels(name))).shape == (2, 4096)
    whole = tmp_path / "whole.safetensors"
    save_file(model.state_dict(), whole)
    net = network(name, str(whole), pool="fc")
    assert net.frozen and not net.trained_features


def test_an_auxiliary_head_is_there_only_where_the_trunk_trains_as_far():
    assert network("inception", trainable="all", side=96).aux is None
    net = network("inception", trainable="all", side=299, classes=3)
    logits = list(net.weighted_logits(torch.zeros(2, 1, 299, 299, dtype=torch.uint8)))
    assert [(weight, tuple(made.shape)) for weight, made in logits] == [(0.4, (2, 3)), (1.0, (2, 3))]


def damaged(state, kind):
    first = next(k for k in state if k.endswith("weight"))
    if kind == "lacks":
        return {k: v for k, v in state.items() if k != first}
    if kind == "unexpected":
        return state | {"other.weight": state[first]}
    return state | {first: state[first][:1]}


@pytest.mark.parametrize(
    ("kind", "message"), [("lacks", "lacks keys"), ("unexpected", "unexpected keys"), ("shape", "has shape")]
)
def test_weights_that_do_not_fit_are_refused(trunk, tmp_path, kind, message):
    name, model, _ = trunk
    state = {k: v.contiguous() for k, v in model.state_dict().items() if not BACKBONES[name].absent(k)}
    save_file({k: v.clone() for k, v in damaged(state, kind).items()}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=message):
        network(name, str(tmp_path / "w.safetensors"))


def test_a_file_with_half_a_classifier_is_refused(tmp_path):
    model = BACKBONES["vgg16"].build(weights=None)
    save_file({k: v for k, v in model.state_dict().items() if k != "classifier.6.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"lacks some of the head's keys.*classifier\.6\.bias"):
        network("vgg16", str(tmp_path / "w.safetensors"))


def test_other_kinds_of_file_are_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"pickle")
    (tmp_path / "w.safetensors").write_bytes(b"no header")
    said = {"w.pth": "of another kind", "w.safetensors": "not a readable", "none.safetensors": "that exists"}
    for path, message in said.items():
        with pytest.raises(InputError, match=message):
            network("vgg16", str(tmp_path / path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "vgg61"}, "expected one of vgg16, inception"),
        ({"trainable": "some"}, "head, last_block, all"),
        ({"pool": "max"}, "avg, fc"),
        ({"image_size": 16}, "at least 32"),
    ],
)
def test_unknown_settings_list_the_known(settings, message):
    defaults = {"name": "vgg16", "weights": None, "trainable": "head", "pool": "avg", "classes": 2, "image_size": 64}
    with pytest.raises(InputError, match=message):
        build_network(**defaults | settings)


def test_the_digest_names_the_trunks_weights(trunk):
    name, _, path = trunk
    net = network(name, str(path))
    before = net.trunk_digest()
    assert before == network(name, str(path)).trunk_digest()
    next(net.trunk.parameters()).data[0] += 1
    assert net.trunk_digest() != before
