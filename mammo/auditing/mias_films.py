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
    """Return the patient of each image in the first Info.txt that is mini-MIAS's and describes these films, and notes.

    The films may have been converted, and copies of one film may have more signs after its name. Where no film is named
    as those of mini-MIAS, no file is looked at.
    """
    named = {name for path in films if (name := mias_film(path))}
    notes = list[str]()
    for info in filter(Path.is_file, infos if named else ()):
        try:
            rows = parse_info(info.read_text(encoding="ascii", errors="replace"), str(info))
        except InputError as error:
            notes.append(f"Info.txt is not used, because it is not that of mini-MIAS: {error}")
            continue
        except OSError as error:
            notes.append(f"Info.txt is not used, because it cannot be read: {info} ({error.strerror})")
            continue
        patients = {str(row["image_id"]): str(row["patient"]) for row in rows}
        if named <= set(patients):
            return patients, []
        other = min(named - set(patients))
        notes.append(f"Info.txt is not used, because it does not describe these films, for example {other}")
    return {}, [*dict.fromkeys(notes)]
