"""Outlines from settings to tables, on the phantom: where they lie, what they learn from, and what is refused."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from mammo.datasets.base import load_findings
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError
from mammo.evaluation.segmentation import SEGMENTER, evaluate_segments
from mammo.explaining.explanation import REGION, explain
from mammo.figures import read
from mammo.inference.build import build_predictor
from mammo.preprocessing.crops import WholeFilm
from mammo.preprocessing.cutting import Cutter
from mammo.preprocessing.masks import region_on_film
from mammo.preprocessing.squares import Ask
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from mammo.runs import checks, external_test
from mammo.runs.outlined import Outlines, choose_level, write_segments
from mammo.runs.train import train
from mammo.tasks.segmentation import Segmentation
from mammo.training import region_data, regions
from mammo.training.prepare import Prepared
from mammo.training.regions import WINDOWS, RegionSamples
from tests.archives import fake_cbis_ddsm, fake_inbreast
from tests.conftest import SHARES, SMALL, prepared_of, resolved

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/how-to/segment.md").read_text()
LINES = [shlex.split(line) for line in re.findall(r"^python train.py (.*)$", PAGE, re.MULTILINE)]
LARGE = ("data=phantom", "data.patients", "model.image_size")  # what the tests make smaller
SHOWN = [line for line in LINES if "data=phantom" in line]
LESION, BREAST = ([word for word in line if not word.startswith(LARGE)] for line in SHOWN)
CBIS = next(line for line in LINES if "data=cbis_ddsm" in line)


def samples_of(phantom, *words):
    """The samples of a run on the phantom, with its settings."""
    config = resolved(*SMALL, SHARES, f"data.root={phantom.root}", *words)
    return prepared_of(config), config


def oracle(prepared):
    """Return the answers of a network that knows the truth, (N, side, side) uint8."""
    side = prepared.crops.shown
    blank, inset = np.zeros((side, side), np.uint8), (len(prepared.crops.pixels[0]) - side) // 2
    part = slice(inset, inset + side)
    regions = {image: one.square[part, part] for image, one in prepared.regions.items()}
    return np.stack([regions.get(image, blank) for image in prepared.rows()["image_id"]])


def outlines_of(prepared, config, pixels):
    return Outlines(prepared, config, pixels, np.zeros(pixels.shape[1:], bool), 0.5)


@pytest.fixture(scope="module")
def known(phantom):
    return samples_of(phantom, *LESION, "model.image_size=192", "augment=none")


@pytest.mark.slow
def test_a_true_outline_comes_back_to_its_lesion_on_left_and_right_films(known, phantom):
    prepared, config = known
    every = outlines_of(prepared, config, oracle(prepared))
    masks = phantom.findings().dropna(subset="mask_path").groupby("image_id")["mask_path"].apply(list)
    sides = phantom.findings().drop_duplicates("image_id").set_index("image_id")["laterality"]
    seen = set()
    for number, row in every.rows().iterrows():
        one = every.on_film(number)
        found = one.found[SEGMENTER]
        true = np.zeros_like(found)
        for path in masks.get(row["image_id"], []):
            true |= region_on_film((("mask", (), path, ""),), *true.shape)
        assert np.array_equal(one.true, true)
        if not true.any():
            assert not found.any()
        elif true.sum() > 2000:  # 80 mm2; a pixel of the picture has up to 28 of the film
            assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.85
            seen.add(sides[row["image_id"]])
            middles = [np.argwhere(region).mean(axis=0) for region in (found, true)]
            assert np.hypot(*(middles[0] - middles[1])) < 3
    assert seen == {"left", "right"}


@pytest.mark.slow
def test_nothing_over_nothing_is_counted_apart_by_the_whole_way(known, tmp_path):
    """Case B43: images without a lesion have no Dice, and a false region there is told of with its area."""
    prepared, config = known
    rows, run, pixels = prepared.rows(), RunFolder(tmp_path), oracle(prepared)
    (tmp_path / "figures").mkdir()
    test = rows.index[rows["split"] == "test"]
    lesions = [i for i in test if pixels[i].any()]
    silent = [i for i in test if not pixels[i].any() and rows.at[i, "image_id"] in prepared.regions]
    pixels[lesions[0]] = 0
    pixels[silent[0], 40:60, 40:60] = 255
    write_segments(run, config, prepared, pixels, 0.5)
    table = run.segments
    tested = table[(table["split"] == "test") & (table["head"] == SEGMENTER)].set_index("image_id")
    facts = evaluate_segments(tested.reset_index(), resamples=50)
    assert facts.counts["with_region"] == len(lesions) and facts.counts["without_region"] == len(silent)
    assert facts.counts["empty"] == 1 and tested.at[rows.at[lesions[0], "image_id"], "dice"] == 0
    assert tested.loc[rows.loc[silent, "image_id"], "dice"].isna().all()
    assert facts.values["false_region"].value == pytest.approx(1 / len(silent))
    assert facts.values["false_area_mm2"].value == tested.at[rows.at[silent[0], "image_id"], "area_mm2"] > 0
    nothing = evaluate_segments(table[(table["split"] == "test") & (table["head"] == "empty")], resamples=50)
    assert nothing.values["dice"].value == 0 and nothing.values["false_region"].value == 0
    assert read(tmp_path / "figures/contours.png").shape[2] == 3


def test_the_level_is_that_of_validation_and_of_no_test_film(known):
    """Validation films are found at a third of the true probabilities, test films at two thirds of noise."""
    prepared, config = known
    rows, pixels = prepared.rows(), oracle(prepared) // 3
    test = (rows["split"] == "test").to_numpy()
    pixels[test] = 170 - pixels[test]
    assert choose_level(config, prepared, pixels)["level"] < 1 / 3
    fixed = replace(config, segmentation=replace(config.segmentation, level=0.7))
    assert choose_level(fixed, prepared, pixels) == {"level": 0.7, "how": "fixed before training"}
    assert choose_level(config, replace(prepared, regions={}), pixels)["level"] == 0.5


@pytest.mark.slow
def test_what_trains_shows_the_region_where_it_shows_the_lesion(known, phantom):
    prepared, _ = samples_of(phantom, *LESION, "model.image_size=64")
    grey = {
        image: replace(one, square=prepared.crops.pixels[number])
        for number, image in enumerate(prepared.crops.table["image_id"])
        if (one := prepared.regions.get(image))
    }
    given = prepared.crops, prepared.classes, prepared.train.rows, prepared.augment, 0
    item = RegionSamples(grey, *given)[3, 5]
    assert np.allclose(item["x"][0].numpy(), item["region"].numpy() * 255, atol=1) and item["x"].any()


@pytest.mark.slow
def test_windows_of_training_lie_at_regions_as_often_as_beside_them_and_show_both_alike(phantom):
    """Half of the windows see a region; and the grey levels, used as a region, are changed and cut as they are."""
    prepared, _ = samples_of(phantom, *LESION, "model.image_size=128", "segmentation.window_px=32")
    train, watch = prepared.train, prepared.watch
    items = [train[row, epoch] for epoch in range(2) for row in range(train.per_epoch)]
    assert {tuple(item["x"].shape) for item in items} == {(1, 32, 32)} and watch[0, 0]["x"].shape == (1, 128, 128)
    assert {item["row"] for item in items} == set(range(len(train)))
    assert len({item["x"].numpy().tobytes() for item in items if item["row"] == 0}) == 2 * WINDOWS
    assert 0.35 < np.mean([bool(item["region"].any()) for item in items]) < 0.65
    grey = dict(enumerate(prepared.crops.pixels))
    train.regions = {sample: grey[sample] for sample in train.regions}
    assert all(np.allclose(item["x"][0], item["region"] * 255, atol=1) for item in [train[3, 5], train[len(train), 1]])


@pytest.mark.slow
def test_a_window_that_does_not_fit_a_network_is_refused_in_one_line():
    of = {"inception": (["model.image_size=128"], "75 or more"), "vit_b_16": ([], "model.image_size=224")}
    labels = SimpleNamespace(classes=["normal", "abnormal"], positive=1, ordered=True)
    for name, (words, expected) in of.items():
        config = resolved("task=segmentation", "data=phantom", f"model={name}", "model.image_size=224", *words)
        with pytest.raises(InputError, match=rf"segmentation.window_px=64 does not fit {name}; expected {expected}"):
            Segmentation(config, labels)


@pytest.mark.slow
def test_the_breast_is_outlined_on_the_whole_film_and_the_phantom_knows_it(phantom):
    prepared, config = samples_of(phantom, *BREAST, "model.image_size=128", "augment=none")
    every = outlines_of(prepared, config, oracle(prepared))
    rows = every.rows()
    sides = prepared.crops.table.set_index("image_id")["laterality"]
    for side in ("left", "right"):
        number = rows.index[rows["image_id"].map(sides) == side][0]
        one = every.on_film(number)
        for head, least in ((SEGMENTER, 0.97), ("thresholds", 0.9), ("otsu", 0.5)):
            found = one.found[head]
            assert 2 * (found & one.true).sum() / (found.sum() + one.true.sum()) > least, head
    assert prepared.crops.pixels[0].max() > 0 and not any("thresholds" in note for note in prepared.notes)


class Drawn(Phantom):
    """The phantom without masks of lesions or breasts: circles alone say where lesions are."""

    def breast_mask(self, image_id):
        return None

    def findings(self):
        return super().findings().assign(mask_path=pd.NA)


@pytest.mark.slow
def test_what_regions_are_worth_is_said(phantom):
    of = [f"data._target_={__name__}.Drawn", f"data.root={phantom.root}"]
    words = [*SMALL, SHARES, *of, *LESION, "model.image_size=32"]
    prepared = prepared_of(resolved(*words))
    assert any("circles, as discs: weak regions" in note for note in prepared.notes)
    assert any("neither train nor test regions" in note for note in prepared.notes)
    with_breast = prepared_of(resolved(*words, "segmentation.target=breast", "crop=film"))
    assert any("finds by thresholds" in note for note in with_breast.notes)
    assert any("pectoral muscle" in note for note in with_breast.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "source", "words"),
    [
        (fake_cbis_ddsm.write, "mask", CBIS),
        (fake_inbreast.write, "contour", ["data=inbreast", "data.severity_source=[pathology,birads]"]),
    ],
    ids=["cbis_ddsm", "inbreast"],
)
def test_masks_and_contours_of_archives_are_regions(write, source, words, tmp_path):
    small = ["model.image_size=32", "data.batch_size=2", "data.workers=0", "data.max_unreadable=1"]
    of = {line.partition("=")[0]: line for line in [*LESION, *words, *small, f"data.root={write(tmp_path)}"]}
    prepared = prepared_of(resolved(*of.values()))
    sources = {shape[0] for one in prepared.regions.values() for shape in one.shapes}
    assert source in sources and any(one.square.any() for one in prepared.regions.values())


# --- runs


@pytest.fixture(scope="module")
def run(job):
    return RunFolder(job(*LESION, "model.image_size=64", "model.trainable=all")[0])


def test_a_run_leaves_a_row_for_each_image_and_head_and_says_it_in_its_report(run):
    table = run.segments
    heads = {"segmenter", "mean_region", "empty"}
    assert (table.groupby("image_id")["head"].apply(set) == heads).all()
    assert set(run.predictions()[0]["head"]) == {"softmax", "shortcuts", "majority"}
    assert run.selection["epoch"]["how"] == "the best val/dice"
    assert run.selection["segmenter"]["how"] == "the best mean Dice on val"
    assert {"train/dice", "val/dice"} <= set(pd.read_csv(run.path / "curves.csv"))
    assert "## Regions of lesions" in run.report and "contours.png" in run.report
    numbers = run.numbers["segmentation"]
    assert set(numbers["test"]) == heads and numbers["test"]["empty"]["dice"]["value"] == 0
    assert set(numbers["differences"]) == {"segmenter - mean_region", "segmenter - empty"}


@pytest.mark.slow
def test_the_checkpoint_holds_all_that_the_outlines_need(run, unreported, tmp_path):
    train(resolved("fit=false", f"ckpt_path={run.path}"), tmp_path)
    assert RunFolder(tmp_path).segments.equals(run.segments)


@pytest.mark.slow
def test_films_of_the_run_get_its_own_scores_and_regions_again(run, phantom):
    (run.path / FINISHED).write_text("{}")  # which the program writes
    table, _ = run.predictions()
    known = table[table["head"] == "softmax"].set_index("image_id")
    measured = run.segments[run.segments["head"] == SEGMENTER].set_index("image_id")
    predictor = build_predictor(run)
    films = phantom.findings().drop_duplicates("image_id").set_index("image_id").loc[known.index[:20]]
    seen = [predictor.see(predictor.read(row.path), laterality=row.laterality) for row in films.itertuples()]
    sizes = set()
    for image, answer in zip(films.index, predictor.answers(seen), strict=True):
        assert np.float32(answer.score) == np.float32(known.at[image, "score"])
        region = answer.outline.on_film()
        if image in measured.index:  # a true region is known
            assert region.shape == (1024, 1024) and region.sum() == measured.at[image, "area_px"]
        sizes.add(int(region.sum()))
    assert len(sizes) > 5
    (stages,) = predictor.stages(seen[:1])
    assert set(stages) > {"features", "logits"}


def test_the_map_of_a_film_is_the_probability_that_outlines_its_region(run, phantom):
    (run.path / FINISHED).write_text("{}")
    predictor, row = build_predictor(run), phantom.findings().iloc[0]
    made = explain(predictor, predictor.read(row.path), laterality=row.laterality)
    outline = made.prediction.outline
    assert np.array_equal(made.values > outline.level, outline.on_film() & made.breast) and made.method == REGION
    assert 0 < made.values.max() <= 1 and not made.values[~made.breast].any()


def test_a_run_on_whole_films_sees_the_whole_of_a_new_one_as_training_cuts_it(run, phantom):
    (run.path / FINISHED).write_text("{}")
    predictor = build_predictor(run)
    predictor.crop = WholeFilm()
    rows = load_findings(phantom).drop_duplicates("image_id").head(2)
    cutter = Cutter(phantom.read, shown=predictor.shown, margin=predictor.margin)
    for row, (square,) in zip(rows.itertuples(), cutter(rows, [Ask("film")] * 2), strict=True):
        inset = (len(square.pixels) - predictor.shown) // 2
        shown = square.pixels[inset:, inset:][: predictor.shown, : predictor.shown]
        seen = predictor.see(predictor.read(row.path), laterality=row.laterality)
        assert np.array_equal(seen.looked_at[0, 0], shown)
        assert min(seen.placed.step_x_px, seen.placed.step_y_px) > 0  # not mirrored


@pytest.mark.slow
def test_other_films_are_outlined_and_measured_by_the_same_rule(run, tmp_path):
    (run.path / "finished.json").write_text("{}")  # which the program writes
    external_test.test(run, replace(run.config.data, film_seed=1, patients=3, root=None), tmp_path / "test")
    tested = RunFolder(tmp_path / "test")
    assert set(tested.segments["head"]) == {"segmenter", "mean_region", "empty"}
    assert set(tested.segments["split"]) == {"test"} and "## Regions of lesions" in tested.report


@pytest.mark.slow
def test_a_region_of_another_image_is_an_error(job, monkeypatch):
    honest = RegionSamples.__init__

    def shifted(self, regions, *given):
        honest(self, dict(zip(regions, [*list(regions.values())[1:], *regions.values()], strict=False)), *given)

    monkeypatch.setattr(RegionSamples, "__init__", shifted)
    with pytest.raises(RuntimeError, match=r"regions of the train part are not what the findings of their images say"):
        job(*LESION)


def test_a_region_of_the_test_part_that_training_holds_is_an_error(job, monkeypatch):
    honest = RegionSamples.__init__

    def holds_all(self, regions, *given):
        honest(self, regions, *given)
        self.regions = {n: regions[i].square for n, i in enumerate(self.crops.table["image_id"]) if i in regions}

    monkeypatch.setattr(RegionSamples, "__init__", holds_all)
    with pytest.raises(RuntimeError, match=r"leak: \d+ regions are held that are not of the train part"):
        job(*LESION)


def test_training_on_test_films_is_an_error(job, monkeypatch):
    monkeypatch.setattr(Prepared, "_taught", lambda self, part: sum(self.rows_of.values(), []))
    with pytest.raises(RuntimeError, match=r"leak: training uses"):
        job(*LESION)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"x0_px": 2.0, "y0_px": 2.0, "x1_px": 9.0, "y1_px": 9.0}, "1 of 1 place lies off the breast"),
        ({"contour_px": "2,2 9,2 9,9"}, "1 of 1 place lies off the breast"),
        ({"mask_path": "grey.png"}, r"1 mask has grey levels: .*grey.png has grey levels"),
        ({"mask_path": "corner.png"}, "1 of 1 place lies off the breast"),
        ({"mask_path": "inverted.png"}, "1 mask seems to be inverted"),
    ],
)
def test_regions_that_are_learnt_but_seem_to_be_wrong_are_told(known, phantom, tmp_path, change, said):
    prepared, config = known
    findings = phantom.findings()
    findings = findings[findings["image_id"].isin(findings.dropna(subset="mask_path")["image_id"].iloc[:1])]
    true = cv2.imread(findings["mask_path"].dropna().iloc[0], cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(tmp_path / "grey.png"), cv2.GaussianBlur(255 * (true > 0).astype(np.uint8), (0, 0), 3))
    cv2.imwrite(str(tmp_path / "inverted.png"), 255 * (true == 0).astype(np.uint8))
    cv2.imwrite(str(tmp_path / "corner.png"), cv2.circle(0 * true, (1, 1), 5, 255, -1))
    if change:
        one = {key: str(tmp_path / value) if key == "mask_path" else value for key, value in change.items()}
        findings = findings.assign(mask_path=pd.array([pd.NA] * len(findings), "string")).assign(**one)
    _, notes = regions.regions_of(prepared.dataset, findings, prepared.crops, config)
    told = [note for note in notes if "true regions come from" not in note]
    assert len(told) == (1 if said else 0) and all(re.match(said, note.strip("*")) for note in told)


def test_prediction_sees_no_region(known):
    prepared, _ = known
    assert not prepared.described.regions and prepared.train.regions


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["crop=lesion"], "crop=lesion with task=segmentation segmentation.target=lesion"),
        (["segmentation.target=breast"], "crop=whole with task=segmentation segmentation.target=breast"),
        (["augment=mixup"], "augment.method=mixup does nothing with task=segmentation"),
        (["model.flips=eight"], "model.flips=eight does nothing with task=segmentation"),
        (["segmentation.width=12"], "segmentation.width=12: expected a multiple of 8"),
        (["objective=val/detector/auroc"], "objective=val/detector/auroc: expected null or <part>/<head>/<metric>"),
    ],
)
def test_settings_that_do_not_go_with_outlines_are_refused_in_one_line(words, line):
    with pytest.raises(InputError) as error:
        checks.check(resolved("task=segmentation", "data=phantom", *words))
    assert str(error.value).startswith(line)


def test_a_part_without_any_region_is_refused(phantom, monkeypatch):
    monkeypatch.setattr(region_data, "shapes_for", None)
    with pytest.raises(InputError, match=r"data.batch_size is 19"):
        samples_of(phantom, *LESION, "model.image_size=32", "data.batch_size=19", "split.shares=[0.6,0.2,0.2]")


@pytest.mark.slow
def test_two_devices_outline_what_one_does(phantom, tmp_path):
    """In 32 bits, because with 16 the roundings of a step grow over the next ones."""
    more = ["model.image_size=64", "trainer.precision=32-true", "model.trainable=all"]
    lines = [*SMALL, SHARES, *BREAST, f"data.root={phantom.root}", *more]
    for devices in (1, 2):
        of = {line.partition("=")[0]: line for line in [*lines, f"trainer.devices={devices}"]}.values()
        subprocess.run([sys.executable, "train.py", *of, f"hydra.run.dir={tmp_path}/{devices}"], check=True, cwd=ROOT)
    tables = [RunFolder(tmp_path / str(devices)).segments for devices in (1, 2)]
    keys = ["image_id", "head"]
    both = tables[0].merge(tables[1], on=keys, suffixes=("", "_two"), validate="one_to_one")
    assert len(both) == len(tables[0]) and np.allclose(both["dice"], both["dice_two"], atol=0.05)


@pytest.mark.slow
def test_lesions_are_found_and_not_only_where_they_often_lie(tmp_path):
    """The first command of the page: its Dice is above that of `mean_region`, and most lesions are touched."""
    train(resolved(*SHOWN[0]), tmp_path)
    numbers = RunFolder(tmp_path).numbers["segmentation"]
    assert numbers["differences"]["segmenter - mean_region"]["low"] > 0
    assert numbers["test"]["segmenter"]["missed"]["value"] < 0.5


@pytest.mark.slow
def test_breasts_are_outlined_better_than_at_one_level(tmp_path, job):
    run = RunFolder(job(*BREAST, "model.image_size=64", "trainer.max_epochs=15", folder=tmp_path)[0])
    assert {"thresholds", "otsu"} <= set(run.numbers["segmentation"]["test"])
    assert run.numbers["segmentation"]["test"]["segmenter"]["dice"]["value"] > 0.9
    assert "which says how sure it is of a breast" in run.report
