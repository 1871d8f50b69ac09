"""The cache gives back what it was given, and forgives a torn file."""

import torch

from mammo.data.cache import OutputCache, digest


def test_outputs_come_back_bit_by_bit_in_their_own_type(tmp_path):
    cache = OutputCache(tmp_path / "trunk")
    stored = {"a": torch.randn(3, 2), "b": torch.randn(4).bfloat16()}
    cache.store(stored)
    found = cache.load(["a", "b", "c"])
    assert set(found) == {"a", "b"}
    assert all(torch.equal(found[key], stored[key]) and found[key].dtype == stored[key].dtype for key in stored)


def test_a_torn_file_costs_its_own_outputs_and_no_more(tmp_path):
    cache = OutputCache(tmp_path)
    cache.store({"a": torch.ones(2)})
    (whole,) = tmp_path.glob("*.safetensors")
    cache.store({"b": torch.ones(2)})
    (torn,) = set(tmp_path.glob("*.safetensors")) - {whole}
    torn.write_bytes(torn.read_bytes()[:20])
    assert set(cache.load(["a", "b"])) == {"a"}
    assert not torn.exists()


def test_no_temporary_file_is_left(tmp_path):
    OutputCache(tmp_path).store({"a": torch.ones(2)})
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_a_digest_depends_on_every_fact_and_not_on_their_order():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
