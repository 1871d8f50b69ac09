"""Print the lower bound of each dependency as a pin, for pip-audit: `python tests/floors.py > floors.txt`."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def floors(text: str) -> list[str]:
    """Return `name==version` for each dependency of a pyproject that has a lower bound, extras included."""
    project = tomllib.loads(text)["project"]
    named = [*project["dependencies"], *(one for of in project["optional-dependencies"].values() for one in of)]
    found = (re.match(r"([\w.-]+)(?:\[.*?\])?>=([\w.]+)", one) for one in named)
    return sorted({f"{one[1]}=={one[2]}" for one in found if one})


if __name__ == "__main__":
    print("\n".join(floors(PROJECT.read_text())))
