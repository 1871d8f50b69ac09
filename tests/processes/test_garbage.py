"""Python's search for garbage is made rarer while a program imports its packages, and is spared when it ends."""

import subprocess
import sys

COUNTED = """
import atexit, gc
from mammo.processes.garbage import collect_seldom
searches = [0]
gc.callbacks.append(lambda phase, told: searches.__setitem__(0, searches[0] + (phase == "start")))
atexit.register(lambda: print(searches[0], gc.get_freeze_count()))  # runs after what is registered later
if {seldom}:
    collect_seldom()
import pandas
"""


def _counted(seldom):
    ended = subprocess.run(
        [sys.executable, "-c", COUNTED.format(seldom=seldom)], capture_output=True, text=True, check=True
    )
    return [int(word) for word in ended.stdout.split()]


def test_garbage_is_looked_for_a_tenth_as_often_and_not_at_all_among_modules_at_the_end():
    often, unfrozen = _counted(seldom=False)
    seldom, frozen = _counted(seldom=True)
    assert seldom < often / 10
    assert unfrozen < 1000 < frozen
