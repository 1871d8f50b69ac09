"""Batches: the same for any number of workers and devices, each film once, bad settings refused before any work."""

import numpy as np
import pytest
import torch

from mammo.errors import InputError
from mammo.preprocessing.augment import METHODS, Augment
from mammo.training import datamodule
from mammo.training.datamodule import MammogramDataModule
from mammo.training.samples import EpochSampler, OnceSampler, Samples

ONLINE = {"mode": "online", "copies": 4, "symmetries": True, "rotate_deg": 15, "shift": 0.05, "scale": 0.1}


@pytest.fixture
def module(phantom):
    def build(**settings):
        defaults = {
            "name": "phantom", "root": str(phantom.root), "women": 16, "task": "abnormality", "seed": 0,
            "split": {"name": "patient", "shares": [0.5, 0.25, 0.25]}, "crop": {"name": "whole"},
            "augment": ONLINE, "image_size": 48, "batch_size": 4, "workers": 0,
        }  # fmt: skip
        data = MammogramDataModule(**defaults | settings)
        data.load()
        return data

    return build


def by(method):
    return ONLINE | {"method": method, "steps": 2}


def epochs(data, count=2):
    loader = data.train_dataloader()
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        yield [(batch["row"].tolist(), batch["y"].tolist(), batch["x"]) for batch in loader]


@pytest.mark.parametrize("method", ["geometric", "mixup"])
def test_workers_change_nothing(module, method):
    loaders = [module(workers=workers, augment=by(method)).train_dataloader() for workers in (0, 2)]
    for _ in range(2):
        for ours, theirs in zip(*loaders, strict=True):
            assert set(ours) == {"x", "y", "other", "share", "row"}
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_on_a_cpu_one_worker_loads_and_nothing_is_pinned(module):
    data = module(workers=None)
    loader = data.train_dataloader()
    assert (loader.num_workers, loader.persistent_workers, loader.pin_memory) == (1, True, False)
    assert loader.dataset[0, 0]["x"].dtype == torch.uint8  # grey, until the device
    data.train.outputs = {}
    assert data.train_dataloader().num_workers == 0  # nothing is left to compute


@pytest.mark.parametrize("few", [True, False])
def test_draws_that_are_made_once_are_the_same_for_every_seed_and_others_are_not(module, few):
    draws = []
    for seed in (0, 7):
        data = module(seed=seed)
        data.train.few = few
        draws.append([data.train.pixels(sample, draw) for sample in range(4) for draw in (1, 2)])
    same = [torch.equal(*pair) for pair in zip(*draws, strict=True)]
    assert all(same) if few else not any(same)
    expanded = [module(seed=seed, augment=ONLINE | {"mode": "expand"}).train for seed in (0, 7)]
    assert torch.equal(*(samples.pixels(0, 3) for samples in expanded))


def test_each_epoch_has_its_own_order_and_its_own_draws(module):
    first, second = epochs(module())
    assert [b[0] for b in first] != [b[0] for b in second]
    seen = [{row: x for rows, _, xs in epoch for row, x in zip(rows, xs, strict=True)} for epoch in (first, second)]
    both = set(seen[0]) & set(seen[1])
    assert both and not any(torch.equal(seen[0][row], seen[1][row]) for row in both)


def test_a_label_follows_its_film(module):
    data = module(augment={"mode": "none"})
    table = data.dataset.index().drop_duplicates("image_id").set_index("image_id")["severity"]
    for rows, labels, _ in next(epochs(data, 1)):
        films = [data.train.ids[data.train.rows[row][0]] for row in rows]
        assert [int(table[film] != "normal") for film in films] == labels


def test_a_draw_depends_on_seed_draw_and_sample_alone_by_every_method(module):
    data = module(augment=by("gan"))
    for method in METHODS:

        def samples(seed, method=method):
            synthetic = data.synthetic if method == "gan" else None
            return Samples(data.crops, data.labels, data.train.rows, Augment(**by(method)), seed, data.pool, synthetic)

        one, two, other = samples(0), samples(0), samples(1)
        asked = [(sample, draw) for sample in data.pool[:4] for draw in range(6)]
        seen = {key: one.pixels(*key) for key in asked}
        assert all(torch.equal(two.pixels(*key), seen[key]) for key in reversed(asked))
        assert not any(torch.equal(other.pixels(sample, draw), seen[sample, draw]) for sample, draw in asked if draw)
        for sample in data.pool[:4]:
            assert np.array_equal(seen[sample, 0][0], data.crops.centre(sample))
        assert len({square.numpy().tobytes() for square in seen.values()}) == len(asked)


@pytest.mark.parametrize("method", ["crossover", "mixup", "cutmix"])
def test_a_partner_is_another_sample_of_the_training_part_and_its_class_is_told(module, method):
    data = module(augment=by(method))
    train = set(np.flatnonzero(data.crops.table["split"] == "train"))
    assert set(data.pool) == train
    met = set()
    for row in range(len(data.train)):
        for epoch in range(12):
            item, sample = data.train[row, epoch], data.train.rows[row][0]
            partner, weights = data.train.partner(sample, 1 + epoch)
            met.add(partner)
            assert partner in train and partner != sample
            assert item["y"] == data.labels[sample] and item["other"] == data.labels[partner]
            if method == "crossover":
                assert item["share"] == 1 and item["other"] == item["y"]
            else:
                assert item["share"] == pytest.approx(weights.mean())
            assert item["share"].dtype == torch.float32
    assert met == train  # so, where classes may differ, both are met


def test_a_child_holds_its_parents_pixels_and_nothing_else(module):
    settings = by("crossover") | {"mode": "expand", "copies": 3}
    data, plain = module(augment=settings), module(augment=settings | {"rate": 0.0})
    for sample, draw in data.train.rows:
        if draw:
            partner, weights = data.train.partner(sample, draw)
            first, second = (plain.train.pixels(s, draw)[0].numpy() for s in (sample, partner))
            expected = np.where(np.broadcast_to(weights, first.shape) == 1, first, second)
            assert np.array_equal(data.train.pixels(sample, draw)[0].numpy(), expected)


def test_labels_are_shared_by_the_draw_that_is_shown_where_outputs_are_cached(module):
    data = module(augment=by("cutmix"))
    made = {(name, draw): torch.tensor(float(draw)) for name in data.train.ids for draw in range(5)}
    data.train.outputs, data.train.few = made, True
    for epoch in range(8):
        item = data.train[3, epoch]
        partner, weights = data.train.partner(data.train.rows[3][0], int(item["x"]))
        assert item["share"] == pytest.approx(weights.mean()) and item["other"] == data.labels[partner]


def test_no_network_that_makes_crops_sees_one_beyond_the_training_part(module, monkeypatch, tmp_path_factory):
    def synthetic(*changed):
        def spoiled(*given, **how):
            crops = honest(*given, **how)
            for sample in np.flatnonzero(crops.table["split"].isin(changed)):
                crops.pixels[sample][::2] = 99
            return crops

        monkeypatch.setattr(datamodule, "cut_crops", spoiled)
        monkeypatch.setenv("MAMMO_HOME", str(tmp_path_factory.mktemp("home")))  # nothing cached
        data = module(augment=by("gan") | {"mode": "expand", "copies": 2})
        assert set(data.synthetic) == {(data.train.ids[sample], copy) for sample in data.pool for copy in (1, 2)}
        return np.stack(list(data.synthetic.values()))

    honest = datamodule.cut_crops
    as_it_is = synthetic()
    assert np.array_equal(synthetic("test", "val"), as_it_is)
    assert not np.array_equal(synthetic("train"), as_it_is)


def test_a_class_too_small_for_a_method_is_told_before_a_film_is_read(module):
    few = {"split": {"name": "patient", "shares": [0.07, 0.43, 0.5]}, "batch_size": 1}
    module(**few, augment=by("mixup"))
    with pytest.raises(InputError, match=r"crossover: expected 2 training samples of each class, found 1 of \w+; use"):
        module(**few, augment=by("crossover"))


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


def test_the_expansion_is_the_original_and_its_copies_of_the_training_part_alone(module):
    data = module(augment=ONLINE | {"mode": "expand", "copies": 5})
    rows = data.rows()
    counts = rows.groupby("split").size()
    originals = data.crops.table.groupby("split").size()
    assert counts["train"] == len(data.train) == 6 * originals["train"]
    assert counts["test"] == originals["test"] and counts["val"] == originals["val"]
    assert set(rows.loc[rows["split"] != "train", "sample_id"]) <= set(data.crops.table["sample_id"])
    film = rows["image_id"].iloc[0]
    assert rows["sample_id"].tolist()[:6] == [film, *(f"{film}.c{copy}" for copy in range(1, 6))]


def test_the_paper_split_watches_test_and_any_other_validation(module):
    assert module().watched == "val"
    assert module(split={"name": "paper"}).watched == "test"


@pytest.mark.realdata
def test_the_papers_97_films_become_582(mias):
    data = MammogramDataModule(
        name="mias", root=str(mias.root), task="abnormality", seed=0, split={"name": "paper"}, crop={"name": "whole"},
        augment=ONLINE | {"mode": "expand", "copies": 5}, image_size=32, batch_size=16,
    )  # fmt: skip
    data.load()
    assert len(data.train) == 582
    assert data.class_counts().tolist() == [324, 258]
    assert data.crops.table.groupby(["split", "label"]).size()["test"].to_dict() == {"abnormal": 72, "normal": 153}


@pytest.mark.realdata
@pytest.mark.parametrize("crop", ["whole", "lesion", "scaled_lesion"])
def test_every_real_film_and_finding_gives_its_samples(mias, crop):
    settings = {
        "whole": {},
        "lesion": {"window_mm": 22.4, "recentre": True},
        "scaled_lesion": {"window_mm": 22.4, "factor": 1.25},
    }
    data = MammogramDataModule(
        name="mias", root=str(mias.root), task="abnormality", seed=0, augment={"mode": "none"}, image_size=64,
        split={"name": "patient", "shares": [0.6, 0.2, 0.2]}, crop={"name": crop, **settings[crop]}, batch_size=16,
    )  # fmt: skip
    data.load()
    labels = data.crops.table["label"].value_counts().to_dict()
    assert labels == (
        {"normal": 207, "abnormal": 115} if crop == "whole" else {"normal": 207, "abnormal": 118}
    )  # mdb212: see below
    assert not data.audit["patients_in_two_splits"]
    if (
        crop != "whole"
    ):  # the circle of mdb212 lies in the black, 10.5 mm off the breast: a black window tells its class
        (note,) = data.crops.notes
        assert note.startswith("5 findings have no circle on the breast (mdb059.1, mdb212.1, mdb216.1")
    if crop != "scaled_lesion":
        assert min(square.std() for square in data.crops.pixels) > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 64}, "data.batch_size=64 is larger than the training part of"),
        ({"fold": 5}, "data.fold=5 is out of range"),
        ({"task": "cancer"}, "task 'cancer' is unknown"),
        ({"name": "ddsm"}, "expected one of mias, phantom"),
        ({"split": {"name": "patient", "shares": [1, 0, 0]}}, "no film for test"),
        ({"task": "finding"}, "part has no sample of class"),
        ({"augment": {"mode": "offline"}}, "expected one of none, expand, online"),
        ({"women_": 3}, "no setting women_"),
    ],
)
def test_bad_settings_are_refused_in_one_line(module, settings, message):
    with pytest.raises(InputError, match=message) as error:
        module(**settings)
    assert "\n" not in str(error.value)


def test_bad_settings_are_found_before_a_film_is_read(module, monkeypatch, tmp_path):
    def read(*_):
        raise AssertionError("a film was read")

    monkeypatch.setattr("mammo.datasets.phantom.Phantom.read", read)
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))  # nothing cached
    for settings in ({"batch_size": 64}, {"task": "finding"}, {"fold": 9}):
        with pytest.raises(InputError):
            module(**settings)


def test_a_missing_or_altered_film_is_named(module, phantom, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))  # nothing cached: films are read
    root = tmp_path / "films"
    shutil.copytree(phantom.root, root)
    film = root / "mdb007.pgm"
    data = bytearray(film.read_bytes())
    data[5000] ^= 255
    film.write_bytes(data)
    with pytest.raises(InputError, match=r"mdb007\.pgm: pixels differ"):
        module(root=str(root))
    film.unlink()
    with pytest.raises(FileNotFoundError, match=r"mdb007\.pgm"):
        module(root=str(root))


def test_scaling_of_grey_levels_is_the_films_own(module, phantom):
    """No number of one film enters another's pixels: a film alone gives the crop that it gives among others."""
    full = module(augment={"mode": "none"})
    again = module(augment={"mode": "none"}, split={"name": "patient", "shares": [0.25, 0.25, 0.5]}, batch_size=1)
    assert np.array_equal(full.crops.pixels, again.crops.pixels)
