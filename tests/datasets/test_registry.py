"""A data set is opened with the settings that it takes, be it a row of ours or a user's class; others are refused."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from mammo.config import DataConfig
from mammo.datasets.base import dataset_digest, load_findings
from mammo.datasets.film import Film
from mammo.datasets.registry import DATASETS, open_dataset
from mammo.errors import InputError
from mammo.testing import check_dataset

OWN = f"{__name__}.Own"


class Own:
    """Two images of two patients."""

    name, licence, citation = "own", "ours", "none"
    given: ClassVar = {  # of its constructor's keys, and what replaces them
        "dataset": "own", "image_id": ["1.2", "1.2.1"], "finding_id": [1, 0], "path": ["a", "b"], "patient": ["p", "q"],
        "severity": ["benign", None], "x_px": [3, None], "y_px": [4, None], "laterality": "left",
    }  # fmt: skip

    def __init__(self, root=None, scale=1):
        self.root, self.scale = root, scale

    def prepare(self):
        pass

    def findings(self):
        return pd.DataFrame(self.given)

    def read(self, image_id):
        return Film(np.full((8, 6), len(image_id), np.uint8), 255, laterality="left")

    def digest(self, image_id):
        return image_id


class Lacking:
    """No data set."""


def broken(**members):
    return type("Broken", (Own,), members)


def test_a_users_class_gets_the_keys_that_it_takes_and_its_arguments():
    dataset = open_dataset(DataConfig(_target_=OWN, root="films", spacing_mm=0.1, arguments={"scale": 3}))
    assert isinstance(dataset, Own) and (dataset.root, dataset.scale) == ("films", 3)
    assert open_dataset(DataConfig(_target_=OWN)).root is None
    phantom = open_dataset(DataConfig(name="phantom", patients=8, film_seed=2))
    assert (phantom.patients, phantom.film_seed) == (8, 2)


def test_a_row_may_be_added(monkeypatch):
    monkeypatch.setitem(DATASETS, "own", Own)
    assert isinstance(open_dataset(DataConfig(name="own")), Own)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"name": "ddsm"}, "data.name=ddsm .*mias, phantom"),
        ({"name": "mias", "patients": 40}, "data.patients=40 does nothing with data=mias"),
        ({"name": "phantom", "archive": "a.tar"}, "data.archive=a.tar does nothing with data=phantom"),
        ({"_target_": OWN, "download": False}, "data.download=False does nothing"),
        ({"_target_": OWN, "arguments": {"depth": 3}}, "depth"),
        ({"_target_": "tests.nowhere.Films"}, "data._target_=tests.nowhere.Films"),
        ({"_target_": f"{__name__}.Nobody"}, "data._target_=.*Nobody"),
        ({"_target_": "Films"}, "data._target_=Films"),
        ({"_target_": f"{__name__}.Lacking"}, "Lacking .*prepare"),
    ],
)
def test_settings_that_open_no_data_set_are_refused_in_one_line(settings, named):
    with pytest.raises(InputError, match=named) as error:
        open_dataset(DataConfig(**settings))
    assert "\n" not in str(error.value)


def test_a_table_is_validated_and_spacing_is_filled_in_where_it_is_unknown():
    table = load_findings(Own(), 0.1)
    assert table["spacing_mm"].tolist() == [0.1, 0.1] and table["density"].isna().all()
    with pytest.raises(InputError, match=r"data\.spacing_mm=0\.1 does nothing"):
        load_findings(broken(given=Own.given | {"spacing_mm": 0.2})(), 0.1)
    with pytest.raises(InputError, match="own"):
        load_findings(broken(given={key: [] for key in Own.given})())


def test_the_digest_of_a_data_set_follows_images_patients_and_pixels():
    one, table = Own(), load_findings(Own())
    changed = broken(digest=lambda self, image_id: "other")()
    other = load_findings(broken(given=Own.given | {"patient": ["p", "p"]})())
    assert dataset_digest(one, table) == dataset_digest(one, table.iloc[::-1])
    assert len({dataset_digest(*pair) for pair in ((one, table), (changed, table), (one, other))}) == 3


def film(pixels=None, **facts):
    return lambda self, image_id: Film(np.zeros((8, 6), np.uint8) if pixels is None else pixels, 255, **facts)


BROKEN = {
    "has no patient": {"given": Own.given | {"patient": None}},
    "no Film": {"read": lambda self, image_id: np.zeros((8, 6), np.uint8)},
    "uint8 or uint16": {"read": film(np.zeros((8, 6), np.float32))},
    "max_level": {"read": film(np.full((8, 6), 300, np.uint16))},
    "different pixels": {
        "read": lambda self, _: Film(np.random.default_rng().integers(9, size=(8, 6)).astype("u1"), 255)
    },
    "a right film": {"read": film(laterality="right")},
    "finding 1 at": {"given": Own.given | {"x_px": [7, None]}},
    "different digest": {"digest": lambda self, image_id: str(np.random.default_rng().random())},
    "the digest of another film": {"digest": lambda self, image_id: "same"},
    r"unreadable\.png": {"given": Own.given | {"mask_path": ["unreadable.png", None]}},
}  # fmt: skip


@pytest.mark.parametrize("named", BROKEN)
def test_the_check_says_in_one_line_what_is_wrong_with_a_data_set(named):
    check_dataset(Own())
    with pytest.raises(InputError, match=named) as error:
        check_dataset(broken(**BROKEN[named])())
    assert "\n" not in str(error.value)
