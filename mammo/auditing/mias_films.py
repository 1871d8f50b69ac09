"""The patients of films that are named as those of mini-MIAS, from its Info.txt beside them."""

import re
from collections.abc import Iterable
from pathlib import Path

from mammo.datasets.mias_info import parse_info
from mammo.errors import InputError


def mias_film(path: Path) -> str:
    """Return the name that mini-MIAS gives to the film with which the name of a file begins, or nothing."""
    found = re.match(r"mdb[0-9]{3,}(?![0-9a-z])", path.stem.casefold())
    return found[0] if found else ""


def mias_patients(infos: Iterable[Path], films: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Return the patient of each image in the first Info.txt that is there, and notes.

    It must be that of mini-MIAS, and describe these films. They may have been converted, and copies of one film may
    have more signs after its name.
    """
    info = next((path for path in infos if path.is_file()), None)
    if info is None:
        return {}, []
    try:
        rows = parse_info(info.read_text(encoding="ascii", errors="replace"), str(info))
    except InputError as error:
        return {}, [f"Info.txt is not used, because it is not that of mini-MIAS: {error}"]
    patients = {str(row["image_id"]): str(row["patient"]) for row in rows}
    named = {name for path in films if (name := mias_film(path))}
    if not named or not named <= set(patients):
        other = min(named - set(patients), default=films[0].stem)
        return {}, [f"Info.txt is not used, because it does not describe these films, for example {other}"]
    return patients, []
