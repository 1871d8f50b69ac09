"""The table of the choices for each head: its temperature and its threshold."""

from collections.abc import Mapping

from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES
from mammo.reports.markdown import markdown


def operating_table(operating: Mapping[str, Operating]) -> list[str]:
    """Return the table and what is wrong with a choice, in Markdown; nothing if nothing was chosen.

    Args:
        operating: The choices by head; baselines are left out.
    """
    chosen = {head: one for head, one in operating.items() if one.temperature is not None and head not in BASELINES}
    if not chosen:
        return []
    rows = [
        [head, f"{one.temperature:.3f}", "" if one.threshold is None else f"{one.threshold:.4g}", one.rule]
        for head, one in chosen.items()
    ]
    warned = [f"- {head}: {one.warning}." for head, one in chosen.items() if one.warning]
    return [*markdown(["head", "temperature", "threshold", "rule"], rows), "", *warned, *[""] * bool(warned)]
