"""Every row of ours keeps its contract, and the check of a contract says in one line what is wrong with a row."""

from dataclasses import replace

import pytest
import torch
import yaml
from sklearn.ensemble import RandomForestClassifier

from mammo.config import LossConfig, TaskConfig
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES
from mammo.models.heads import HEADS, Head
from mammo.models.losses import LOSSES, CrossEntropy
from mammo.testing import check_backbone, check_dataset, check_head, check_loss, check_task
from tests.conftest import CONF

pytestmark = pytest.mark.usefixtures("quick_init")
QUICK = {"resnet18", "compact", "alexnet_modified", "swin_t"}  # the other backbones with `-m slow`


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_a_backbone_keeps_its_contract(name):
    check_backbone(BACKBONES[name])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name != "knn" else name for name in HEADS]
)
def test_a_head_keeps_its_contract(name):
    check_head(HEADS[name])


def test_a_loss_keeps_its_contract():
    for loss in LOSSES.values():
        check_loss(loss)


def test_a_task_keeps_its_contract(phantom):
    for path in (CONF / "task").glob("*.yaml"):
        task = yaml.safe_load(path.read_text())
        task = task.get("task", task) | ({"column": "density"} if path.stem == "label" else {})
        check_task(task, None if path.stem in ("finding", "acr_density") else phantom.findings())


def test_a_data_set_keeps_its_contract(phantom):
    check_dataset(phantom)


ROW = BACKBONES["compact"]
FOREST = Head(RandomForestClassifier(10, random_state=0), {"max_depth": [2, 4]})


class Backwards(CrossEntropy):
    """Rewards what is wrong."""

    def forward(self, logits, y):
        return -super().forward(logits, y)


class Summed(CrossEntropy):
    """One number for a batch."""

    def forward(self, logits, y):
        return super().forward(logits, y).sum()


BROKEN = {
    "width": lambda: check_backbone(replace(ROW, width=64)),
    "last_block": lambda: check_backbone(replace(ROW, last_block="block9")),
    "cam": lambda: check_backbone(replace(ROW, cam="block5.nothing")),
    "taps": lambda: check_backbone(replace(ROW, taps={"late": "block5.9"})),
    "as_map": lambda: check_backbone(replace(ROW, as_map=lambda x: x.flatten(2))),
    "random_state": lambda: check_head(Head(RandomForestClassifier(10), FOREST.grid)),
    "depth": lambda: check_head(Head(FOREST.estimator, {"depth": [1]})),
    "a wrong prediction": lambda: check_loss(Backwards),
    "one for each sample": lambda: check_loss(Summed),
    "two classes": lambda: check_task(TaskConfig(classes={"a": ["x"]})),
    "belongs to two classes": lambda: check_task(TaskConfig(classes={"a": ["x"], "b": ["x"]})),
}


@pytest.mark.parametrize("named", BROKEN)
def test_what_is_wrong_with_a_row_is_one_line_that_names_it(named):
    with pytest.raises(InputError, match=named) as error:
        BROKEN[named]()
    assert "\n" not in str(error.value)
    assert not {"checked backbone", "checked head", "checked loss"} & {*BACKBONES, *HEADS, *LOSSES}


@pytest.mark.slow
def test_a_forest_of_a_users_own_keeps_the_contract_of_a_head():
    check_head(FOREST)


def test_a_loss_takes_the_settings_that_it_names():
    check_loss(LOSSES["focal"], LossConfig(gamma=0.5))
    assert torch.equal(LOSSES["focal"](2, gamma=0.5).weights, torch.ones(2))
