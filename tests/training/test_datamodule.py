"""Batches: the same for any number of workers and devices, each film once, bad settings refused before any work."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mammo import errors
from mammo.config import AugmentConfig
from mammo.errors import InputError
from mammo.preprocessing.augment import METHODS, Augment
from mammo.preprocessing.stored import StoredSquares
from mammo.training import prepare
from mammo.training.datamodule import MammogramDataModule
from mammo.training.samples import MIXED, EpochSampler, OnceSampler, Samples, epoch_order
from tests.conftest import SHARES, prepared_of, resolved


@pytest.fixture
def module(phantom):
    def build(*overrides):
        own = ["data=phantom", f"data.root={phantom.root}", "data.patients=16", SHARES, "model.image_size=48"]
        lines = {line.partition("=")[0]: line for line in [*own, "data.batch_size=4", "data.workers=0", *overrides]}
        config = resolved(*lines.values())
        return MammogramDataModule(prepared_of(config), config.data, config.seed)

    return build


@pytest.fixture
def prepared(module):
    return lambda *overrides: module(*overrides).prepared


def epochs(data, count=2):
    loader = data.train_dataloader()
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        yield [(batch["row"].tolist(), batch["y"].tolist(), batch["x"]) for batch in loader]


@pytest.mark.parametrize("method", [pytest.param("geometric", marks=pytest.mark.slow), "mixup"])
def test_workers_change_nothing(module, method):
    lines = [f"augment.method={method}"]
    loaders = [module(*lines, f"data.workers={workers}").train_dataloader() for workers in (0, 2)]
    for _ in range(2):
        for ours, theirs in zip(*loaders, strict=True):
            assert set(ours) == {"x", "y", "other", "share", "row"}
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_sample_that_is_not_mixed_makes_no_generator(prepared, monkeypatch):
    train = prepared("augment=none").train
    monkeypatch.setattr(np.random, "default_rng", None)  # it took half the time of loading
    assert train[0, 0]["x"].shape == (1, 48, 48)


@pytest.mark.slow
def test_blocks_give_the_same_batches_with_any_number_of_workers_and_devices(module):
    """The samples and pixels of each step are the same with 0, 1 and 3 workers, on 1 and 2 devices."""

    def batches(workers, world, rank=0):
        data = module("data.shuffle_block=2", f"data.workers={workers}")
        cpu = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world, strategy=cpu)
        return [(rows, xs) for epoch in epochs(data) for rows, _, xs in epoch]

    alone = batches(0, 1)
    for workers in (1, 3):
        for (rows, xs), (own_rows, own_xs) in zip(alone, batches(workers, 1), strict=True):
            assert rows == own_rows and torch.equal(xs, own_xs)
    for workers in ((0, 3), (3, 1)):
        ranks = [batches(of, 2, rank) for rank, of in enumerate(workers)]
        for (rows, xs), *shares in zip(alone, *ranks, strict=True):
            assert rows == sum((share for share, _ in shares), [])
            assert torch.equal(xs, torch.cat([share for _, share in shares]))


def test_rows_are_shuffled_by_blocks_of_neighbours_of_which_few_are_read_at_a_time():
    first, second = (epoch_order(1000, seed=3, epoch=epoch, block=10) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(1000)) and not np.array_equal(first, second)
    for start in range(0, 1000, 10 * MIXED):
        some = first[start : start + 10 * MIXED]
        assert len(set(some // 10)) <= MIXED < np.ptp(some // 10) and (np.abs(np.diff(some // 10)) > 1).mean() > 0.5
    assert sorted(epoch_order(7, seed=0, epoch=0, block=3)) == list(range(7))
    honest = np.random.default_rng([3, 0x0DE5, 1]).permutation(50)
    assert np.array_equal(epoch_order(50, seed=3, epoch=1), honest)  # as it was before there were blocks


def test_the_squares_of_a_block_are_read_ahead_once(module, monkeypatch):
    asked = []
    monkeypatch.setattr(StoredSquares, "read_ahead", lambda _, samples: asked.append(samples.tolist()))
    data = module("data.shuffle_block=5")
    for _ in epochs(data, 1):
        pass
    samples = [sample for sample, _ in data.prepared.train.rows]
    assert sorted(sum(asked, [])) == samples and max(map(len, asked)) == 5


def test_without_shared_memory_workers_are_refused_before_they_start(module, monkeypatch):
    monkeypatch.setattr(errors, "_shared_is_full", lambda: True)
    with pytest.raises(InputError, match=r"data\.workers=0"):
        module("data.workers=2").train_dataloader()
    assert module("data.workers=0").train_dataloader().num_workers == 0


def test_on_a_cpu_one_worker_loads_and_nothing_is_pinned(module):
    data = module("data.workers=null")
    loader = data.train_dataloader()
    assert (loader.num_workers, loader.persistent_workers, loader.pin_memory) == (1, True, False)
    assert loader.dataset[0, 0]["x"].dtype == torch.uint8  # grey, until the device
    data.prepared.train.outputs = {}
    assert data.train_dataloader().num_workers == 0  # nothing is left to compute


@pytest.mark.slow
@pytest.mark.parametrize("few", [True, False])
def test_draws_that_are_made_once_are_the_same_for_every_seed_and_others_are_not(prepared, few):
    draws = []
    for seed in (0, 7):
        data = prepared(f"seed={seed}")
        data.train.few = few
        draws.append([data.train.pixels(sample, draw) for sample in range(4) for draw in (1, 2)])
    same = [torch.equal(*pair) for pair in zip(*draws, strict=True)]
    assert all(same) if few else not any(same)
    expanded = [prepared(f"seed={seed}", "augment=expand").train for seed in (0, 7)]
    assert torch.equal(*(samples.pixels(0, 3) for samples in expanded))


def test_each_epoch_has_its_own_order_and_its_own_draws(module):
    first, second = epochs(module())
    assert [b[0] for b in first] != [b[0] for b in second]
    seen = [{row: x for rows, _, xs in epoch for row, x in zip(rows, xs, strict=True)} for epoch in (first, second)]
    both = set(seen[0]) & set(seen[1])
    assert both and not any(torch.equal(seen[0][row], seen[1][row]) for row in both)


def test_a_label_follows_its_film(module):
    module = module("augment=none")
    data = module.prepared
    table = data.dataset.findings().drop_duplicates("image_id").set_index("image_id")["severity"]
    for rows, labels, _ in next(epochs(module, 1)):
        films = [data.train.names[data.train.rows[row][0]] for row in rows]
        assert [int(table[film] != "normal") for film in films] == labels


def test_a_draw_depends_on_seed_draw_and_sample_alone_by_every_method(prepared):
    data = prepared("augment.method=gan", "augment.steps=2")
    for method in METHODS:

        def samples(seed, method=method):
            synthetic = data.synthetic if method == "gan" else None
            augment = Augment(AugmentConfig(method=method))
            return Samples(data.crops, data.classes, data.train.rows, augment, seed, data.pool, synthetic)

        one, two, other = samples(0), samples(0), samples(1)
        asked = [(sample, draw) for sample in data.pool[:4] for draw in range(6)]
        seen = {key: one.pixels(*key) for key in asked}
        assert all(torch.equal(two.pixels(*key), seen[key]) for key in reversed(asked))
        assert not any(torch.equal(other.pixels(sample, draw), seen[sample, draw]) for sample, draw in asked if draw)
        for sample in data.pool[:4]:
            assert np.array_equal(seen[sample, 0][0], data.crops.centre(sample))
        assert len({square.numpy().tobytes() for square in seen.values()}) == len(asked)


@pytest.mark.parametrize("method", ["crossover", "mixup", "cutmix"])
def test_a_partner_is_another_sample_of_the_training_part_and_its_class_is_told(prepared, method):
    data = prepared(f"augment.method={method}")
    train = set(np.flatnonzero(data.crops.table["split"] == "train"))
    assert set(data.pool) == train
    met = set()
    for row in range(len(data.train)):
        for epoch in range(12):
            item, sample = data.train[row, epoch], data.train.rows[row][0]
            partner, weights = data.train.partner(sample, 1 + epoch)
            met.add(partner)
            assert partner in train and partner != sample
            assert item["y"] == data.classes[sample] and item["other"] == data.classes[partner]
            if method == "crossover":
                assert item["share"] == 1 and item["other"] == item["y"]
            else:
                assert item["share"] == pytest.approx(weights.mean())
            assert item["share"].dtype == torch.float32
    assert met == train  # so, where classes may differ, both are met


def test_a_child_holds_its_parents_pixels_and_nothing_else(prepared):
    lines = ["augment.method=crossover", "augment.mode=expand", "augment.copies=3"]
    data, plain = prepared(*lines), prepared(*lines, "augment.rate=0.0")
    for sample, draw in data.train.rows:
        if draw:
            partner, weights = data.train.partner(sample, draw)
            first, second = (plain.train.pixels(s, draw)[0].numpy() for s in (sample, partner))
            expected = np.where(np.broadcast_to(weights, first.shape) == 1, first, second)
            assert np.array_equal(data.train.pixels(sample, draw)[0].numpy(), expected)


def test_labels_are_shared_by_the_draw_that_is_shown_where_outputs_are_cached(prepared):
    data = prepared("augment.method=cutmix")
    made = {(name, draw, 0): torch.tensor(float(draw)) for name in data.train.names for draw in range(5)}
    data.train.outputs, data.train.few = made, True
    for epoch in range(8):
        item = data.train[3, epoch]
        partner, weights = data.train.partner(data.train.rows[3][0], int(item["x"]))
        assert item["share"] == pytest.approx(weights.mean()) and item["other"] == data.classes[partner]


@pytest.mark.slow
def test_no_network_that_makes_crops_sees_one_beyond_the_training_part(prepared, monkeypatch, no_trunks):
    def synthetic(*changed):
        def spoiled(*given, **how):
            crops = honest(*given, **how)
            pixels = list(crops.pixels)
            for sample in np.flatnonzero(crops.table["split"].isin(changed)):
                pixels[sample][::2] = 99
            return replace(crops, pixels=pixels)

        monkeypatch.setattr(prepare, "cut_samples", spoiled)
        no_trunks("".join(changed) or "none")  # and no network's crops
        data = prepared("augment=gan", "augment.steps=2", "augment.copies=2")
        assert set(data.synthetic) == {(data.train.names[sample], copy) for sample in data.pool for copy in (1, 2)}
        return np.stack(list(data.synthetic.values()))

    honest = prepare.cut_samples
    as_it_is = synthetic()
    assert np.array_equal(synthetic("test", "val"), as_it_is)
    assert not np.array_equal(synthetic("train"), as_it_is)


def test_a_class_too_small_for_a_method_is_told_before_a_film_is_read(module):
    few = ["split.shares=[0.07,0.43,0.5]", "data.batch_size=1"]
    module(*few, "augment.method=mixup")
    with pytest.raises(InputError, match=r"augment\.method=crossover needs 2 .* 1; use"):
        module(*few, "augment.method=crossover")


def test_the_devices_batches_together_are_one_devices():
    alone = list(EpochSampler(50, batch_size=8, rank=0, world=1, seed=3))
    ranks = [list(EpochSampler(50, batch_size=8, rank=rank, world=2, seed=3)) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == len(EpochSampler(50, batch_size=8, rank=0, world=2, seed=3)) == 24
    for batch in range(6):
        shared = sum((rank[4 * batch : 4 * batch + 4] for rank in ranks), [])
        assert shared == alone[8 * batch : 8 * batch + 8]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_an_evaluation_has_each_row_once_over_all_devices(world):
    shares = [list(OnceSampler(10, rank=rank, world=world)) for rank in range(world)]
    assert sorted(sum(shares, [])) == [(row, 0) for row in range(10)]
    filled = [list(OnceSampler(10, rank=rank, world=world, block=4)) for rank in range(world)]
    assert all(len(share) % 4 == 0 for share in filled) and [set(one) for one in filled] == [set(one) for one in shares]


def test_predictions_are_computed_in_blocks_of_one_size_whatever_the_batch(module):
    for words, size in (([], 16), (["model.flips=eight"], 2)):
        batches = list(module("data.batch_size=4", *words).predict_dataloader())
        rows = [row for batch in batches for row in batch["row"].tolist()]
        assert {len(batch["row"]) for batch in batches} == {size} and set(rows) == set(range(len(set(rows))))


def test_the_expansion_is_the_original_and_its_copies_of_the_training_part_alone(prepared):
    data = prepared("augment=expand")
    rows = data.rows()
    counts = rows.groupby("split").size()
    originals = data.crops.table.groupby("split").size()
    assert counts["train"] == len(data.train) == 6 * originals["train"]
    assert counts["test"] == originals["test"] and counts["val"] == originals["val"]
    assert (rows.loc[rows["split"] != "train", "copy"] == 0).all()
    assert rows["image_id"][:6].nunique() == 1 and rows["copy"].tolist()[:6] == list(range(6))


def test_the_paper_split_watches_test_and_any_other_validation(module):
    assert module().watched == "val"
    assert module("split=paper").watched == "test"


@pytest.mark.slow
@pytest.mark.realdata
def test_the_papers_97_films_become_582(mias):
    data = prepared_of(resolved(f"data.root={mias.root}", "protocol=paper", "model.image_size=32"))
    assert len(data.train) == 582
    assert data.class_counts().tolist() == [324, 258]
    assert data.crops.table.groupby(["split", "label"]).size()["test"].to_dict() == {"abnormal": 72, "normal": 153}


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("crop", ["lesion", "whole", "scaled_lesion"])
def test_every_real_film_and_finding_gives_its_samples(mias, crop):
    data = prepared_of(resolved(f"data.root={mias.root}", f"crop={crop}", "augment=none", "model.image_size=64"))
    labels = data.crops.table["label"].value_counts().to_dict()
    assert labels == {"normal": 207, "abnormal": 115 if crop == "whole" else 118}
    assert not data.audit["patients_in_two_splits"]
    sides = [note for note in data.crops.notes if "chest wall" in note]  # these breasts leave their films on both
    assert len(sides) == 2 and all(name in " ".join(sides) for name in ("mdb151", "mdb152"))
    others = [note for note in data.crops.notes if note not in sides]
    if crop == "whole":
        assert others == []
    else:  # the circle of mdb212 lies in the black, 10.5 mm off the breast: a black window tells its class
        (note,) = others
        assert all(name in note for name in ("mdb059", "mdb212", "mdb216", "mdb233", "mdb245")) and note.startswith(
            "5 "
        )
    if crop != "scaled_lesion":
        assert min(square.std() for square in data.crops.pixels) > 1


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("data.batch_size=64", "data.batch_size"),
        ("data.fold=5", "data.fold=5"),
        ("data.name=ddsm", "ddsm.*mias, phantom"),
        ("split.shares=[1,0,0]", "test"),
        ("task=finding", "no sample of class"),
        ("augment.mode=offline", "augment.mode=offline.*none, expand or online"),
        ("data.archive=x", "data.archive"),
    ],
)
def test_bad_settings_are_one_line_before_a_film_is_read(module, monkeypatch, tmp_path, setting, named):
    def read(*_):
        raise AssertionError("a film was read")

    monkeypatch.setattr("mammo.datasets.phantom.Phantom.read", read)
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))  # nothing cached
    with pytest.raises(InputError, match=named) as error:
        module(setting)
    assert "\n" not in str(error.value)


def test_a_missing_or_altered_film_is_named(module, phantom, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))  # nothing cached: films are read
    root = tmp_path / "films"
    shutil.copytree(phantom.root, root)
    film = root / "mdb007.pgm"
    data = bytearray(film.read_bytes())
    data[5000] ^= 255
    film.write_bytes(data)
    with pytest.raises(InputError, match=r"mdb007\.pgm: pixels differ"):
        module(f"data.root={root}")
    film.unlink()
    with pytest.raises(FileNotFoundError, match=r"mdb007\.pgm"):
        module(f"data.root={root}")


def test_scaling_of_grey_levels_is_the_films_own(prepared):
    """No number of one film enters another's pixels: a film alone gives the crop that it gives among others."""
    full = prepared("augment=none")
    again = prepared("augment=none", "split.shares=[0.25,0.25,0.5]", "data.batch_size=1")
    assert np.array_equal(full.crops.pixels, again.crops.pixels)
