"""Networks compute what torchvision's do, freeze what they should, and take no weights that do not fit."""

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mammo.config import ModelConfig
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES
from mammo.models.network import build_network, linear_head
from mammo.models.weights import RunWeights, load_weights
from mammo.runs import checks
from tests.conftest import CONF

# The smallest side that each is built at, and where torchvision's model has the penultimate features: what goes into
# a layer, or the mean of the map that comes out of one.
REFERENCE = {
    "vgg16": (64, "out", "features"),
    "vgg19": (64, "out", "features"),
    "inception": (96, "in", "fc"),
    "resnet18": (64, "in", "fc"),
    "resnet50": (64, "in", "fc"),
    "densenet201": (64, "in", "classifier"),
    "alexnet": (64, "out", "features"),
    "alexnet_modified": (64, "out", ""),
    "compact": (64, "out", ""),
    "shallow_deep": (64, "in", "fc"),
    "efficientnet_b0": (64, "in", "classifier.1"),
    "convnext_tiny": (64, "in", "classifier.2"),
    "vit_b_16": (64, "in", "heads.head"),
    "swin_t": (64, "in", "head"),
}
pytestmark = pytest.mark.usefixtures("quick_init")
FEW = ("vgg16", "vit_b_16", "compact")  # a plain one, a transformer, and the quickest; all of them with `-m slow`
TRUNKS = ("resnet18",)  # whose files are tried in every way; all of them with `-m slow`


def network(name, weights=None, trainable="head", *, classes=2, side=None, **settings):
    side = side or REFERENCE[name][0]
    config = ModelConfig(name=name, weights=weights, trainable=trainable, image_size=side, **settings)
    return build_network(config, lambda width: linear_head(width, classes, 0.5), classes=classes)


def with_all(names):
    """These, and the other backbones where slow tests are asked for."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]


@pytest.fixture(scope="module", params=with_all(TRUNKS))
def trunk(request, quick_init, tmp_path_factory):
    """A backbone's name, torchvision's model of it with batch norms that have seen data, and its trunk in a file."""
    torch.manual_seed(0)
    row = BACKBONES[request.param]
    model = row.build(REFERENCE[request.param][0]).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if not row.absent(k)}, path)
    yield request.param, model, path
    path.unlink()  # together they are a gigabyte


def pixels(name, batch=2):
    side = REFERENCE[name][0]
    return torch.randint(0, 256, (batch, 1, side, side), dtype=torch.uint8)


def test_every_backbone_has_a_file():
    assert {path.stem for path in (CONF / "model").glob("*.yaml")} == set(BACKBONES)


@pytest.mark.parametrize("name", with_all(FEW))
def test_every_backbone_takes_a_step_at_its_smallest_input(name):
    row = BACKBONES[name]
    side = row.min_side + -row.min_side % row.step
    net, x = network(name, classes=3, side=side), torch.randint(0, 256, (2, 1, side, side), dtype=torch.uint8)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    logits = list(net.train().weighted_logits(x))[-1][1]
    assert logits.shape == (2, 3) and logits.dtype == torch.float32
    nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    assert all(torch.isfinite(p).all() for p in net.parameters())
    assert sum(not torch.equal(p, before[n]) for n, p in net.named_parameters()) > 0.5 * len(before)
    assert net.eval().features(x).shape == (2, row.width)


@pytest.mark.parametrize("name", with_all(["resnet18", "vit_b_16"]))
def test_the_layer_for_grad_cam_is_a_map_that_the_logits_depend_on_everywhere(name):
    row, seen, net = BACKBONES[name], {}, network(name).eval()

    def keep(module, args, output):
        output.retain_grad()
        seen["map"] = output

    def tell(tap, module, args, output):
        seen[tap] = row.as_map(output).ndim

    net.layer(row.cam).register_forward_hook(keep)
    for tap, path in row.taps.items():
        net.layer(path).register_forward_hook(partial(tell, tap))
        stage, _, inner = path.partition(".")
        assert not inner or inner in dict(net.layer(stage).named_children())  # a stage is run layer by layer
    net(pixels(name))[:, 1].sum().backward()
    assert len(row.taps) >= 3 and all(seen[tap] == 4 for tap in row.taps)
    maps, slopes = row.as_map(seen["map"]), row.as_map(seen["map"].grad)
    assert maps.ndim == 4 and maps.shape[0] == 2 and maps.shape[2] == maps.shape[3]
    assert (slopes.abs().amax(dim=1) > 0).all()


def test_features_are_the_penultimate_ones_of_torchvisions_model(trunk):
    name, model, path = trunk
    _, way, layer = REFERENCE[name]
    net, x = network(name, str(path)).eval(), pixels(name)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in BACKBONES[name].normalise)
    seen = {}
    with torch.inference_mode():
        hook = model.get_submodule(layer).register_forward_hook(
            lambda module, args, output: seen.update({"in": args[0], "out": output})
        )
        if name == "inception":  # its own way from ImageNet's normalisation to halves
            mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
            model.transform_input = True
        model((x.float() / 255 - mean) / std)
        hook.remove()
        ours = net.features(x)
    expected = seen["in"] if way == "in" else seen["out"].mean(dim=(2, 3))
    rounding = 1e-6 * float(expected.abs().max())  # untrained weights give features of thousands
    assert torch.allclose(ours, expected, rtol=1e-3, atol=max(1e-4, rounding))


@pytest.mark.slow
def test_a_vision_transformer_takes_another_side_by_interpolated_places(tmp_path):
    model = BACKBONES["vit_b_16"].build(64)
    save_file({k: v for k, v in model.state_dict().items() if not k.startswith("heads")}, tmp_path / "w.safetensors")
    net = network("vit_b_16", str(tmp_path / "w.safetensors"), side=96)
    assert net.layer("embed").places.shape == (1, 1 + 36, 768)
    with pytest.raises(InputError, match="at least 32, a multiple of 16"):
        network("vit_b_16", side=100)


def test_torchvisions_old_densenet_files_are_taken():
    dotted = {"features.denseblock1.denselayer1.norm.1.weight": 1, "features.norm0.weight": 2}
    assert BACKBONES["densenet201"].adapt(dotted, 224) == {
        "features.denseblock1.denselayer1.norm1.weight": 1,
        "features.norm0.weight": 2,
    }


def test_a_file_without_counters_of_batch_norms_is_taken(tmp_path):
    state = BACKBONES["resnet18"].build(64).state_dict()
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    save_file(kept, tmp_path / "w.safetensors")
    assert len(network("resnet18", str(tmp_path / "w.safetensors")).frozen) > 0


def test_where_torchvision_has_no_weights_the_line_says_what_to_do():
    with pytest.raises(InputError, match=r"model\.weights=imagenet.* compact; .*model\.weights=null"):
        network("compact", "imagenet")


def test_a_shallow_network_begins_as_the_film_itself_and_learns_through_the_deep_one():
    net = network("shallow_deep").train()
    x = net.layer("input")(pixels("shallow_deep"))
    shallow = net.layer("shallow")
    assert torch.equal(shallow(x), x)
    net(pixels("shallow_deep")).sum().backward()
    assert shallow.layers[-1].weight.grad.abs().sum() > 0


def test_the_same_trunk_frozen_or_trained_gives_the_same_features(trunk):
    name, _, path = trunk
    x = pixels(name)
    with torch.inference_mode():
        nets = [network(name, str(path), trainable).eval() for trainable in ("head", "last_block", "all")]
        frozen, *trained = (net.features(x) for net in nets)
    assert all(torch.allclose(frozen, other, rtol=1e-4, atol=1e-6) for other in trained)


def test_what_trains_is_what_was_asked_for(trunk):
    name, _, path = trunk
    head, block, everything = (network(name, str(path), trainable) for trainable in ("head", "last_block", "all"))
    trained = [{n for n, p in net.named_parameters() if p.requires_grad} for net in (head, block, everything)]
    if name == "shallow_deep":  # its shallow part is in no file, so all that comes after it trains
        assert trained[0] == trained[2] and not len(head.frozen)
        return
    assert trained[0] == {"head.1.layer.weight", "head.1.layer.bias"}
    assert any(f".{BACKBONES[name].last_block}." in n for n in trained[1])
    assert not any(n.startswith("frozen.") for n in trained[1])
    assert trained[2] == {n for n, _ in everything.named_parameters()}
    assert len(head.frozen) and len(block.frozen) and not len(everything.frozen)
    assert not head.trains_features and block.trains_features


def test_a_frozen_trunk_stays_in_eval_mode_and_keeps_its_statistics(trunk):
    name, _, path = trunk
    net = network(name, str(path), "last_block")
    before = {k: v.clone() for k, v in net.frozen.state_dict().items()}
    net.train()
    assert net.body.training and (not net.frozen.training or not len(net.frozen))
    net(pixels(name))
    assert all(torch.equal(v, before[k]) for k, v in net.frozen.state_dict().items())


def test_without_weights_nothing_is_frozen():
    for trainable in ("head", "last_block", "all"):
        assert not len(network("resnet18", None, trainable).frozen)


@pytest.mark.slow
def test_fc_is_trained_where_the_file_lacks_it_and_frozen_where_it_does_not(tmp_path):
    row = BACKBONES["alexnet"]  # as VGG16, with a third of its weights
    state = row.build(64).state_dict()
    save_file({k: v for k, v in state.items() if not row.absent(k)}, tmp_path / "partial.safetensors")
    partial = network("alexnet", str(tmp_path / "partial.safetensors"), pool="fc")
    assert partial.trains_features and [n for n, _ in partial.body.named_children()] == ["fc"]
    assert partial.features(pixels("alexnet")).shape == (2, 4096)
    save_file(state, tmp_path / "whole.safetensors")
    net = network("alexnet", str(tmp_path / "whole.safetensors"), pool="fc")
    assert len(net.frozen) and not net.trains_features
    half = {k: v[:1].clone() for k, v in state.items() if k != "classifier.6.bias"}  # told before any shape
    save_file(half, tmp_path / "half.safetensors")
    with pytest.raises(InputError, match=r"lacks some of .*classifier\.6\.bias"):
        network("alexnet", str(tmp_path / "half.safetensors"))
    with pytest.raises(InputError, match=r"model\.pool=fc"):
        network("resnet18", pool="fc")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compact", "vgg16"])
def test_a_compiled_network_computes_the_same_and_keeps_its_names(name):
    torch.manual_seed(0)
    plain = network(name, trainable="all").eval()
    side = REFERENCE[name][0]
    compiled = network(name, trainable="all", side=side, compile=True).eval()
    assert list(compiled.state_dict()) == list(plain.state_dict())
    compiled.load_state_dict(plain.state_dict())
    for batch in (2, 3):
        x = pixels(name, batch)
        assert torch.allclose(compiled(x), plain(x), rtol=1e-3, atol=1e-4)
    loss = sum(weight * logits.square().mean() for weight, logits in compiled.train().weighted_logits(pixels(name)))
    loss.backward()
    assert all(parameter.grad is not None for parameter in compiled.parameters())


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
    if kind == "not finite":
        return state | {first: state[first] * float("nan")}
    if kind in ("zeros", "whole"):
        return state | {first: torch.zeros_like(state[first], dtype=torch.int8 if kind == "whole" else None)}
    return state | {first: state[first][:1]}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lacks", "lacks keys"),
        ("unexpected", "unexpected keys"),
        ("shape", "has shape"),
        ("not finite", "has values that are not finite"),
        ("zeros", "has zeros alone"),
        ("whole", "has whole numbers, as quantised weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused(trunk, tmp_path, kind, message):
    name, model, _ = trunk
    state = {k: v.contiguous() for k, v in model.state_dict().items() if not BACKBONES[name].absent(k)}
    save_file({k: v.clone() for k, v in damaged(state, kind).items()}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=message):
        network(name, str(tmp_path / "w.safetensors"))


def filled(prefix, path):
    """A layer of two weights that is filled from a file whose keys begin with a prefix."""
    save_file({f"{prefix}{key}": torch.ones(shape) for key, shape in (("weight", (1, 1)), ("bias", (1,)))}, path)
    layer = nn.Linear(1, 1)
    load_weights(layer, str(path), name="linear", source=None, absent=lambda _: False)
    return layer


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_the_prefix_of_a_wrapper_is_left_out_and_told(tmp_path, caplog, prefix):
    with caplog.at_level("INFO"):
        assert filled(prefix, tmp_path / "w.safetensors")(torch.ones(1)) == 2
    assert caplog.text.count("which is left out") == prefix.count(".")


@pytest.mark.parametrize("prefix", ["backbone.", "stem_"])
def test_names_of_another_library_are_told_beside_those_that_are_expected(tmp_path, prefix):
    with pytest.raises(InputError, match=rf"other names, {prefix}bias.* expected those of torchvision's linear.* bias"):
        filled(prefix, tmp_path / "w.safetensors")


def test_other_kinds_of_file_are_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"pickle")
    (tmp_path / "w.safetensors").write_bytes(b"no header")
    said = {"w.pth": "of another kind", "w.safetensors": "not a readable", "none.safetensors": "that exists"}
    for path, message in said.items():
        with pytest.raises(InputError, match=message):
            network("resnet18", str(tmp_path / path))


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"name": "vgg61"}, "vgg61.*vgg16, vgg19, inception"), ({"side": 16}, "model.image_size=16")],
)
def test_settings_that_do_not_fit_are_named(settings, named):
    with pytest.raises(InputError, match=named):
        network(**{"name": "vgg16", "side": 64} | settings)


def test_sixteen_bits_show_what_eight_do():
    net = network("compact").eval()
    x = pixels("compact")
    assert torch.allclose(net(x), net((x.to(torch.int32) * 257).to(torch.uint16)), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["compact", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "inception", "swin_t")),
             "vit_b_16"]
)  # fmt: skip
def test_features_are_the_mean_of_the_last_map_where_that_is_the_pooling(name):
    net, x = network(name).eval(), pixels(name)
    with torch.inference_mode():
        maps, features = net.maps(x), net.features(x)
    assert maps.ndim == 4 and maps.shape[2] == maps.shape[3]
    if name != "vit_b_16":  # whose features are the class token
        assert torch.allclose(maps.mean(dim=(2, 3)), features, atol=1e-4)


def test_the_digest_names_the_trunks_weights(trunk):
    name, _, path = trunk
    net = network(name, str(path))
    before = net.frozen_digest()
    assert before == network(name, str(path)).frozen_digest()
    if name == "shallow_deep":
        return  # nothing is frozen
    next(net.frozen.parameters()).data[0] += 1
    assert net.frozen_digest() != before


def given_on(name, net, **how):
    """A new network that begins with the weights of another one."""
    state = {f"net.{key}": tensor for key, tensor in net.state_dict().items()}
    config = ModelConfig(name=name, weights="a run", image_size=REFERENCE[name][0], **how)
    donor = RunWeights(state, "0" * 64, Path("run"))
    return build_network(config, lambda width: linear_head(width, 3, 0.5), classes=3, donor=donor)


@pytest.mark.parametrize("name", with_all(["compact"]))
def test_a_run_gives_its_whole_backbone_wherever_its_frozen_part_ended(name):
    torch.manual_seed(0)
    x = pixels(name)
    first = network(name, None, "all").eval()
    with torch.inference_mode():
        expected = first.features(x)
        for trainable, frozen in (("head", True), ("last_block", True), ("all", False)):
            net = given_on(name, first, trainable=trainable).eval()
            assert torch.allclose(net.features(x), expected, rtol=1e-4, atol=1e-6) and bool(len(net.frozen)) == frozen
            assert net.weights_digest == "0" * 64 and not any(one.startswith("head.") for one in net.loaded)
            assert {n for n, _ in net.named_parameters()} - net.loaded == {"head.1.layer.weight", "head.1.layer.bias"}
            again = given_on(name, net, trainable="all").eval()  # whatever was frozen before
            assert torch.allclose(again.features(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_fully_connected_layers_are_taken_if_the_run_had_them_and_new_if_not():
    whole, mean = network("alexnet", None, "all", pool="fc"), network("alexnet", None, "all")
    assert not given_on("alexnet", whole, pool="fc").trains_features
    new = given_on("alexnet", mean, pool="fc")
    assert new.trains_features and [n for n, _ in new.body.named_children()] == ["fc"]
    assert not given_on("alexnet", whole).trains_features
    del whole.body.fc.layer[4]  # a part of them is no way to begin
    with pytest.raises(InputError, match="lacks some of the fully connected layers' keys"):
        given_on("alexnet", whole, pool="fc")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lacks", "lacks keys"),
        ("unexpected", "unexpected keys"),
        ("shape", "has shape"),
        ("not finite", "has values that are not finite"),
        ("zeros", "has zeros alone"),
        ("whole", "has whole numbers, as quantised weights"),
    ],
)
def test_a_run_whose_weights_do_not_fit_is_refused(kind, message):
    net = network("compact", None, "all")
    net.state_dict = lambda whole=net.state_dict: damaged_body(whole(), kind)
    with pytest.raises(InputError, match=f"model.weights=run: .*{message}|model.weights=run: block1.* {message}"):
        given_on("compact", net)


def damaged_body(state, kind):
    body = {key: one for key, one in state.items() if key.startswith("body.")}
    if kind == "unexpected":
        return body | {"body.other.weight": next(iter(body.values()))}
    return damaged(body, kind)


@pytest.mark.parametrize("name", with_all(["compact", "alexnet", "vit_b_16"]))
def test_the_backbones_whose_shapes_depend_on_the_side_are_known(name):
    row = BACKBONES[name]
    step = 32 * row.step
    with torch.device("meta"):
        shapes = [
            {key: one.shape for key, one in row.build(side).state_dict().items() if not row.absent(key)}
            for side in (96 + step, 96 + 2 * step)
        ]
    assert (shapes[0] != shapes[1]) == (name in checks.SIZED)
