"""The part of a report that says how well maps point at lesions: from `explained.csv` to a table in words."""

from typing import Any

import pandas as pd

from mammo.evaluation import pointing
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.marks import HIT_MM
from mammo.reports.markdown import markdown, signed
from mammo.wording import number_of

NAMED = {
    pointing.MAP: "the map",
    pointing.CENTRE: "the centre of the breast",
    pointing.BLOB: "the brightest blob",
    pointing.RANDOM: "a random place",
}
MEASURED = {"pointing": "pointing game", "energy": "energy in the lesion", "drop": "fall of the score"}
ALIKE = 0.5  # rank correlation with shuffled weights from which a map is said to show little of what was learnt
RULE = (
    "These are the test images of the positive class with a known lesion. Pointing game: the share of images whose "
    f"hottest pixel lies in a lesion, or within {HIT_MM} mm of its centre. Energy: the share of the map's positive "
    "values that lies there. Fall of the score: what the score loses if a disc of a fiftieth of the breast around the "
    "hottest pixel is replaced by the level of the breast around it. The other places are discs of this size; the "
    "random one is the mean of three. An empty map hits nothing and has no energy."
)


def facts(table: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of all heads, as `metrics.json` holds them."""

    def plain(of: dict[str, dict[str, Value]]) -> dict[str, Any]:
        return {place: {name: one.as_json() for name, one in values.items()} for place, values in of.items()}

    return {
        str(head): {
            "n": {"images": len(own) // len(pointing.PLACES), "patients": int(own["patient"].nunique())},
            "empty": _empty(own),
            "values": plain(pointing.values_of(own)),
            "differences": plain(pointing.differences(own)),
            "rank_correlation_shuffled": pointing.sanity(own).as_json(),
        }
        for head, own in table.groupby("head", sort=False)
    }


def lines(table: pd.DataFrame) -> list[str]:
    """Return the section of the report."""
    said = ["## Where the maps look", "", RULE, ""]
    for head, own in table.groupby("head", sort=False):
        said += [*_head_lines(str(head), own), ""]
    return said[:-1]


def _head_lines(head: str, own: pd.DataFrame) -> list[str]:
    values, apart = pointing.values_of(own), pointing.differences(own)
    names = list(pointing.PLACES)
    header = [
        f"{head}, n = {number_of(len(own) // len(names), 'image')}, {number_of(own['patient'].nunique(), 'patient')}",
        *MEASURED.values(),
    ]
    rows = [[NAMED[place], *(_shown(values[place][name], name) for name in MEASURED)] for place in names]
    rows += [
        [f"the map minus {NAMED[place]}", *(_apart(apart[place][name], name) for name in MEASURED)]
        for place in names[1:]
    ]
    verdicts = []
    for place in names[1:]:
        won = [text for name, text in MEASURED.items() if pointing.better(apart[place][name])]
        lost = [text for text in MEASURED.values() if text not in won]
        if won:
            verdicts.append(f"The maps of {head} are better than {NAMED[place]} by {', '.join(won)}.")
        if lost:
            verdicts.append(f"**They are not shown to be better than {NAMED[place]} by {', '.join(lost)}.**")
    empty = _empty(own)
    return [
        *markdown(header, rows),
        "",
        *([f"{empty} maps are empty.", ""] if empty else []),
        " ".join(verdicts),
        "",
        _sanity(pointing.sanity(own), int(own["rank_correlation"].notna().sum()), len(own) // len(names)),
    ]


def _sanity(found: Value, count: int, images: int) -> str:
    """Return the line on the maps of shuffled weights."""
    line = "Sanity check: the network's weights were shuffled within each layer, and the maps made again."
    if found.value is None:
        return f"{line} The new maps are flat, or the old ones were, so there is no rank correlation."
    line += f" The rank correlation of old and new map is {signed(found)}"
    line += "." if count == images else f"; {images - count} of {images} images have a flat map."
    if (found.high if found.high is not None else found.value) > ALIKE:
        return f"{line} **So the maps may show the film more than what the network has learnt.**"
    return f"{line} So the maps depend on what the network has learnt."


def _shown(value: Value, name: str) -> str:
    """Return a mean as text; a fall of the score has the unit of the score, and no bounds."""
    if name != "drop" or value.value is None:
        return str(value)
    held = "no interval" if value.low is None else f"{value.low:+.3g} to {value.high:+.3g}"
    return f"{value.value:+.3g} ({held})"


def _apart(value: Value, name: str) -> str:
    return _shown(value, name) if name == "drop" else signed(value)


def _empty(own: pd.DataFrame) -> int:
    return int(own.loc[own["place"] == pointing.MAP, "x_px"].isna().sum())
