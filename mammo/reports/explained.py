"""The part of a report that says how well maps point at lesions: from `explained.csv` to a table in words."""

from typing import Any

import pandas as pd

from mammo.evaluation import pointing
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.marks import HIT_MM
from mammo.reports.markdown import markdown, signed

NAMED = {
    pointing.MAP: "the map",
    pointing.CENTRE: "the centre of the breast",
    pointing.BLOB: "the brightest blob",
    pointing.RANDOM: "a random place",
}
MEASURED = {"pointing": "pointing game", "energy": "energy in the lesion", "drop": "fall of the score"}
ALIKE = 0.5  # rank correlation with shuffled weights from which a map is said to show little of what was learnt
RULE = (
    f"Test images of the positive class with a known lesion. Pointing game: the share of images whose hottest pixel lies "
    f"in a lesion, or within {HIT_MM} mm of its centre. Energy: the share of the map's positive values that lies there. "
    "Fall of the score: what the score loses if a disc of a fiftieth of the breast around the hottest pixel is replaced "
    "by the level of the breast around it. The other places are discs of this size; the random one is the mean of "
    "three. An empty map hits nothing and has no energy."
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
    pointing.check(table)
    said = ["## Where the maps look", "", RULE, ""]
    for head, own in table.groupby("head", sort=False):
        said += [*_head_lines(str(head), own), ""]
    return said[:-1]


def _head_lines(head: str, own: pd.DataFrame) -> list[str]:
    values, apart = pointing.values_of(own), pointing.differences(own)
    names = [place for place in pointing.PLACES]
    header = [f"{head}, n = {len(own) // len(names)} images, {own['patient'].nunique()} patients", *MEASURED.values()]
    rows = [[NAMED[place], *(_shown(values[place][name], name) for name in MEASURED)] for place in names]
    rows += [
        [f"the map less {NAMED[place]}", *(signed(apart[place][name]) for name in MEASURED)] for place in names[1:]
    ]
    of_centre = apart[pointing.CENTRE]
    won = [text for name, text in MEASURED.items() if pointing.better([of_centre[name]])]
    lost = [text for name, text in MEASURED.items() if text not in won]
    verdict = f"The maps of {head} are better than the centre of the breast by {', '.join(won)}." if won else ""
    if lost:
        verdict += f" **The maps of {head} are not shown to be better than the centre of the breast by {', '.join(lost)}.**"
    empty = _empty(own)
    return [
        *markdown(header, rows),
        "",
        *([f"{empty} maps are empty.", ""] if empty else []),
        verdict.strip(),
        "",
        _sanity(head, pointing.sanity(own)),
    ]


def _sanity(head: str, found: Value) -> str:
    """Return the line on the maps of shuffled weights."""
    line = f"Sanity check: with the network's weights shuffled within each layer, the rank correlation of old and new map of {head} is {signed(found)}."
    if found.value is None:
        return f"{line} All maps of one of them are flat."
    if (found.high if found.high is not None else found.value) > ALIKE:
        return f"{line} **So the maps may show the film more than what the network has learnt.**"
    return f"{line} So the maps depend on what the network has learnt."


def _shown(value: Value, name: str) -> str:
    return signed(value) if name == "drop" else str(value)


def _empty(own: pd.DataFrame) -> int:
    return int(own.loc[own["place"] == pointing.MAP, "x_px"].isna().sum())
