"""Words of the command line: claims, sides of folders, patterns of patients, values for Hydra, configuration."""

import re

import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mammo.auditing import claim_report
from mammo.auditing.claim_names import COUNTS, METRICS, PARTS, SYNONYMS, known_key
from mammo.auditing.claim_numbers import AUC, read_value
from mammo.auditing.claim_words import read_claim
from mammo.auditing.people import by_names
from mammo.auditing.sides import part_of, read_sides
from mammo.config import GROUPS, Config
from mammo.datasets.first_table import first_table
from mammo.runs.hydra_words import for_hydra, written
from tests.properties import REFUSED, answer, holds, lines, numbers, texts
from tests.properties import written as file

pytestmark = pytest.mark.slow

KEYS = [*METRICS, AUC, *COUNTS, *PARTS, *SYNONYMS]
claimed = st.one_of(
    texts, numbers, st.from_regex(r"[0-9]{1,3}[.,][0-9]{1,3}( ?(±|\+-) ?[0-9.,]{1,4})? ?%?", fullmatch=True)
)


@holds(
    60,
    also=[{"words": ["a\rb"]}],
    words=st.lists(st.one_of(texts, st.builds("{}={}".format, st.sampled_from(KEYS), claimed)), max_size=4),
)
def test_the_words_of_a_claim_give_a_claim_or_a_line(words):
    claim = answer(read_claim, ["n=200", *words])
    if claim is not REFUSED:
        assert claim.n >= 1 and (claim.n_pos is None or 0 <= claim.n_pos <= claim.n)
        for number in claim.numbers.values():
            low, high = number.span()
            assert 0 <= low <= number.digits / number.scale and (low <= high <= 1 or number.digits > number.scale)


@holds(30, cells=st.tuples(*[st.integers(0, 60)] * 4), decimals=st.integers(0, 3), down=st.booleans())
def test_a_true_claim_is_never_called_impossible(cells, decimals, down):
    tp, tn, fp, fn = cells
    assume(sum(cells))
    shares = {
        "accuracy": (tp + tn, sum(cells)),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
    }
    words = [f"test={tn + fp},{tp + fn}"]
    for name, (of, whole) in shares.items():
        scaled = 100 * 10**decimals * of
        digits = 0 if not whole else scaled // whole if down else (2 * scaled + whole) // (2 * whole)
        text = f"{digits:0{decimals + 1}}"
        words.append(f"{name}={text[: len(text) - decimals]}.{text[len(text) - decimals :]}%")
    possible, said = claim_report.judged(read_claim(words))
    assert possible, (words, said)


@holds(text=st.one_of(claimed, texts), key=st.sampled_from(KEYS))
def test_a_published_number_stands_for_the_values_around_it(text, key):
    value = answer(read_value, key, text)
    assert known_key(key.upper()) == known_key(key) is not None
    if value is not REFUSED:
        number = value.number
        low, high = number.span()
        told = number.digits / number.scale
        assert low <= told <= high or told > 1  # above 100 % it stands for nothing or for 1


sides = st.sampled_from(["train", "val", "test", "fold1", "none", "Training", "holdout", "x", ""])


@holds(words=st.one_of(texts, st.lists(st.builds("{}={}".format, lines, sides), max_size=3).map(",".join)))
def test_sides_of_folders_are_parts_or_a_line(words):
    found = answer(read_sides, words)
    if found is not REFUSED:
        assert all(part in (None, "train", "val", "test") or re.fullmatch(r"fold\d+", part) for part in found.values())
        assert all(name == name.casefold() for name in found)


@holds(name=st.one_of(texts, st.builds("{}{}{}".format, sides, st.sampled_from(["", "_", " ", "-"]), lines)))
def test_a_folders_name_tells_one_part_or_none_and_a_part_tells_itself(name):
    part = part_of(name)
    assert part is None or part_of(part) == part


patterns = st.one_of(
    lines, st.sampled_from(["(", "(P", "a{9999999999}", "(?P<patient>x)?", "(?P<patient>", "[", "()*"])
)


@holds(
    also=[{"pattern": "a{9999999999}", "names": ["a"]}], pattern=patterns, names=st.lists(lines, min_size=1, max_size=3)
)
def test_a_pattern_of_patients_finds_words_of_the_names_or_is_a_line(pattern, names):
    films = pd.DataFrame({"name": names, "patient": pd.Series([pd.NA] * len(names), dtype="string")})
    found = answer(by_names, films, pattern)
    if found is not REFUSED:
        for name, patient in zip(names, found[0]["patient"], strict=True):
            assert pd.isna(patient) or patient in name
    with file(b"P5\n2 1\n255\n\0\1", "P1_a.pgm") as path:
        made = answer(first_table, path.parent, pattern)
        assert made is REFUSED or len(made.rows) == 1


@holds(60, also=[{"value": value} for value in (";\\", "a\\'b;", "\\\\", "'")], value=lines)
def test_any_value_is_passed_through_hydra_as_it_was_typed(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (word,) = for_hydra([written("data.root", value)])
    assert str(OverridesParser.create().parse_override(word).value()) == value


@holds(
    words=st.lists(
        st.builds(
            "data.{}{}".format,
            st.sampled_from(["values", "values.a", "values.a.b", "columns", "columns.a", "parts", "root"]),
            st.one_of(
                texts,
                lines.map("={}".format),
                st.sampled_from(["={a: b}", "=[a,{b: c}]", "={", "=[", '={"a": {"b": 1}}']),
            ),
        ),
        max_size=3,
    )
)
def test_words_for_hydra_stay_words(words):
    found = answer(for_hydra, words)
    assert found is REFUSED or (len(found) <= len(words) + 1 and all(isinstance(word, str) for word in found))


KNOWN = [(group, key) for group, of in GROUPS.items() for key in of.__dataclass_fields__]
plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 99), st.floats(), texts, st.sampled_from(["{", "[1", "???", "${x}"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=3,
)


@holds(
    15,
    also=[{"where": ("model", "maps"), "value": [[]]}, {"where": ("data", "parts"), "value": "[1"}],
    where=st.one_of(st.sampled_from(KNOWN), st.tuples(st.sampled_from(list(GROUPS)), texts)),
    value=plain,
)
def test_a_configuration_is_made_of_any_values_or_names_the_key(where, value):
    group, key = where
    given = Config().as_dict()
    given[group][key] = value
    made = answer(Config.of, given)
    if made is not REFUSED:
        assert Config.of(made.as_dict()) == made
        OmegaConf.structured(made)


@holds(8, also=[{"group": "data", "value": 7}], group=st.sampled_from(list(GROUPS)), value=plain)
def test_a_group_that_is_none_is_refused_in_a_line(group, value):
    made = answer(Config.of, Config().as_dict() | {group: value})
    assert made is REFUSED or isinstance(made, Config)


def test_true_and_false_are_taken_where_they_are_named_and_for_no_number():
    assert Config.of({"trainer": {"deterministic": True}}).trainer.deterministic is True
    assert answer(Config.of, {"seed": True}) is answer(Config.of, {"data": {"voi": True}}) is REFUSED
