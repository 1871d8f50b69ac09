"""The files below a folder of films: hidden ones are counted, and each real folder is entered once."""

import os
from dataclasses import dataclass, field
from pathlib import Path

NO_FILMS = {".csv", ".tsv", ".xlsx", ".xls", ".parquet", ".txt", ".md", ".json", ".yaml", ".pdf", ".docx"}
BESIDE = {  # files and folders that a file manager or a store writes, folded
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin", "system volume information",
    "@eadir", "#recycle", "lost+found",
}  # fmt: skip


@dataclass
class Folder:
    """The content of a folder.

    Attributes:
        folders: The folders that were entered, the first among them.
        files: The files that may be films, by folder and name; tables and texts are not among them.
        others: The files that are none by the ending of their names, such as tables and texts.
        hidden: The number of files and folders whose name begins with a dot, or that a file manager wrote.
        masks: The number of folders called masks, which hold no films and are not entered.
        closed: The reason of each folder that cannot be entered, and of each name that is no text, by path.
        again: The folder as which each linked folder was entered before, by path; links to a folder above are left out.
    """

    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    hidden: int = 0
    masks: int = 0
    closed: dict[str, str] = field(default_factory=dict)
    again: dict[Path, Path] = field(default_factory=dict)


def walk(folder: Path) -> Folder:
    """Return the content of a folder and of the folders below it; links are followed."""
    found = Folder()
    entered: dict[tuple[int, int], Path] = {}

    def closed(error: OSError) -> None:
        found.closed[str(error.filename)] = f"the folder cannot be read ({error.strerror})"

    for name, folders, files in os.walk(folder, onerror=closed, followlinks=True):
        here = Path(name)
        facts = here.stat()
        first = entered.setdefault((facts.st_dev, facts.st_ino), here)
        if first != here:
            folders.clear()
            if first not in here.parents:
                found.again[here] = first
            continue
        found.folders.append(here)
        for odd in (one for one in (*folders, *files) if not _is_text(one)):
            shown = os.fsencode(here / odd).decode("utf-8", "backslashreplace")
            found.closed[shown] = "its name is not in UTF-8, as names from old Windows are not; rename it"
        folders[:], named = [one for one in folders if _is_text(one)], [one for one in files if _is_text(one)]
        found.hidden += sum(map(_is_hidden, (*folders, *named)))
        found.masks += sum(one.lower() == "masks" for one in folders)
        folders[:] = sorted(one for one in folders if not _is_hidden(one) and one.lower() != "masks")
        for path in (here / one for one in sorted(named) if not _is_hidden(one)):
            (found.others if path.suffix.lower() in NO_FILMS else found.files).append(path)
    return found


def _is_text(name: str) -> bool:
    return not any("\udc80" <= one <= "\udcff" for one in name)  # bytes of a name that are no UTF-8


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in BESIDE
