"""An option that is none is one line that lists those there are."""

import pytest

from mammo.cli.options import check_choices
from mammo.errors import InputError
from tests.conftest import CONF


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("model=vgg61", r"model=vgg61 is unknown; expected one of alexnet, .*vit_b_16$"),
        ("loss=focal,hinge", "loss=hinge is unknown; expected one of balanced, confusion, cross_entropy, focal$"),
        ("augment=twirl", "augment=twirl is unknown; expected one of .*online"),
        ("+experiment=doe2020", "expected one of behery2023_inception"),
        ("--nope", "--nope; see"),
        ("task=null", "task=null is no option, leave it out for the default; expected one of abnormality"),
        ("leak_study=null,paper", "leak_study=null is no option"),
    ],
)
def test_an_unknown_option_lists_the_known_on_one_line(argument, message):
    with pytest.raises(InputError, match=message) as found:
        check_choices(["-m", argument], CONF)
    assert "\n" not in str(found.value)


def test_options_sweeps_of_them_and_what_is_no_group_pass():
    lines = [
        "-m",
        "model=vgg16,inception",
        "experiment=glob(*)",
        "seed=range(3)",
        "data.fold=1",
        "--help",
    ]
    check_choices([*lines, "split=choice(patient,image)", "task=density", "model='vgg16'", "model=vgg16,"], CONF)


@pytest.mark.parametrize("argument", ["sweep=tune", "hydra/launcher=joblib", "hydra/launcher=submitit_slurm"])
def test_what_needs_more_packages_says_so(monkeypatch, argument):
    check_choices(["-m", argument], CONF)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs more packages: pip install -e '\.\[sweep\]'"):
        check_choices(["-m", argument], CONF)
