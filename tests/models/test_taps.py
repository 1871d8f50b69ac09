"""Features of several stages are the pooled maps of these stages, whatever is frozen, cached or given on."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mammo.config import ModelConfig
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES
from mammo.models.network import build_network, linear_head
from mammo.models.taps import POOLS
from mammo.models.weights import RunWeights

LATE = ["block3", "block4", "block5"]
X = torch.randint(0, 256, (3, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(features=None, trainable="head", given=None, **settings):
    """The smallest network, with the weights of another one or without any."""
    config = ModelConfig("compact", given and "a run", 64, trainable, features, **settings)
    state = given and {f"net.{key}": tensor for key, tensor in given.state_dict().items()}
    donor = given and RunWeights(state, "0" * 64, Path("run"))
    return build_network(config, lambda width: linear_head(width, 2, 0.5), classes=2, donor=donor).eval()


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    net = network(trainable="all")
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return net


def pooled(net, names, pool):
    """The pooled outputs of these layers, which are kept while the network runs as ever."""
    seen = []
    hooks = [
        net.layer(BACKBONES["compact"].taps[name]).register_forward_hook(lambda *given: seen.append(given[2].clone()))
        for name in names
    ]
    net(X)
    for hook in hooks:
        hook.remove()
    means = [maps.mean(dim=(2, 3)) for maps in seen]
    spread = [maps.var(dim=(2, 3), correction=0).sqrt() for maps in seen]
    joined = {"avg": [[one] for one in means], "max": [[one.flatten(2).max(2).values] for one in seen]}
    joined["mean_std"] = list(zip(means, spread, strict=True))
    return torch.cat([one for of_map in joined[pool] for one in of_map], dim=1)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("names", [LATE, ["block2"], ["block5", "block1"]])
def test_features_are_the_pooled_maps_of_the_named_stages_whatever_is_frozen(plain, names, pool):
    with torch.inference_mode():
        expected = pooled(plain, sorted(names), pool)
        for trainable in ("head", "last_block", "all") if "block5" in names else ("head", "all"):
            net = network(names, trainable, plain, pool=pool)
            outputs = net.frozen(X)
            assert torch.allclose(net.features_of(outputs), expected, rtol=1e-4, atol=1e-5)
            assert net(X).shape == (3, 2)
            if trainable == "head":
                assert outputs.shape == expected.shape and not len(net.body)  # what is cached is the features


@pytest.mark.parametrize("pool", POOLS)
def test_what_should_train_has_gradients_and_nothing_else(plain, pool):
    for trainable, blocks in (("head", set()), ("last_block", {"block5"}), ("all", {f"block{i}" for i in range(1, 6)})):
        net = network(LATE, trainable, plain, pool=pool).train()
        *_, (_, logits) = net.weighted_logits(net.frozen(X))
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1])).backward()
        with_slope = {name.split(".")[1] for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
        assert with_slope - {"1"} == blocks  # the head's layer is the other one
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_a_constant_map_has_a_spread_of_nought_and_a_finite_slope():
    maps = torch.full((2, 3, 4, 4), 0.5, requires_grad=True)
    found = POOLS["mean_std"](maps)
    found.sum().backward()
    assert found.shape == (2, 6) and not found[:, 3:].any() and torch.isfinite(maps.grad).all()


@pytest.mark.parametrize("pool", ["mean_std", "max"])
def test_the_last_map_alone_can_be_pooled_in_other_ways(plain, pool):
    with torch.inference_mode():
        net = network(None, "head", plain, pool=pool)
        assert torch.allclose(net.features(X), POOLS[pool](plain.maps(X)), atol=1e-5)


def test_the_map_for_grad_cam_is_there_and_stages_beyond_the_last_map_are_not(plain):
    with torch.inference_mode():
        assert torch.allclose(network(LATE, "last_block", plain).maps(X), plain.maps(X), rtol=1e-4, atol=1e-5)
    net = network(["block2"], "all", plain)
    assert [name for name, _ in net.body.named_children()] == ["input", "block1", "block2", "pool"]
    again = network(["block2"], "head", net)  # from a run that ended there too
    assert torch.allclose(again.features(X), net.features(X), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="lacks keys"):
        network(None, "head", net)
    with pytest.raises(InputError, match=r"model\.trainable=last_block .* block5, but model\.features=\['block2'\]"):
        network(["block2"], "last_block", plain)


def test_the_digest_of_the_frozen_part_names_the_maps_and_the_pooling(plain):
    nets = [network(None, "head", plain), network(LATE, "head", plain), network(LATE[1:], "head", plain)]
    nets += [network(LATE, "head", plain, pool="max"), network(None, "head", plain, pool="max")]
    assert len({net.frozen_digest() for net in nets}) == len(nets)


@pytest.mark.parametrize(
    ("features", "pool", "said"),
    [(["block9"], "avg", "no map block9; .*block1, block2"), ([], "avg", "expected null"), (LATE, "fc", "last map")],
)
def test_names_that_are_no_maps_are_refused(features, pool, said):
    with pytest.raises(InputError, match=said):
        build_network(ModelConfig("vgg16", None, 64, features=features, pool=pool), nn.Identity, classes=2)


def test_windows_stand_side_by_side_and_flips_are_averaged(plain):
    config = ModelConfig("compact", None, 64, "all")
    how = {"classes": 2, "windows": 2}
    head = lambda width: linear_head(width, 2, 0.0)  # noqa: E731
    each, joined = (build_network(config, head, **how, join=join).eval() for join in ("scores", "features"))
    x = torch.cat([X, X.flip(3), X.flip(2), X.rot90(2, (2, 3))])  # 12 squares
    with torch.inference_mode():
        single = each.body(x)
        assert torch.equal(each.features(x), single.reshape(6, 256))  # 6 samples of two windows
        found = each.features(x, 3)  # 3 samples of two windows, each in two flips
        assert torch.allclose(found, single.reshape(3, 2, 2, 128).mean(1).reshape(3, 256))
        logits = each.head.head(found.reshape(6, 128)).reshape(3, 2, 2)
        assert torch.allclose(each.head(found), logits.mean(1), atol=1e-6)
        assert joined.head[1].layer.in_features == 256 and joined.head(found).shape == (3, 2)
    ((_, logits),) = each.train().weighted_logits(x)
    assert logits.shape == (6, 2)
