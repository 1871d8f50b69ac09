"""Maps are kept under the name of all that decides their bytes."""

import torch

from mammo.preprocessing.cache import digest
from mammo.preprocessing.cutting import read_by
from mammo.training.film_maps import VERSION, store_name

HOW = 0.2, torch.bfloat16


def test_maps_of_a_cpu_keep_the_name_that_they_had_before_devices_were_named():
    facts = {"version": VERSION, "torch": torch.__version__, **read_by(), "spacing_mm": 0.2}
    assert store_name(*HOW, torch.device("cpu")) == digest(facts | {"precision": "torch.bfloat16"})


def test_another_kind_of_device_has_maps_of_its_own_and_its_number_does_not_matter():
    cpu, first, second = (store_name(*HOW, torch.device(name)) for name in ("cpu", "cuda:0", "cuda:1"))
    assert cpu != first == second
