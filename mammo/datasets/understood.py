"""The meaning that was given to a table of films, for `mammo data check`."""

from dataclasses import dataclass, field

from mammo.formats.header import Header


@dataclass
class Understood:
    """The meaning that was given to a table.

    Attributes:
        columns: The table's column for each of ours.
        kept: The table's columns that have no meaning here; they are columns of the findings table too.
        translated: Our word for each word of the table that was replaced, by our column.
        missing: Paths of films that do not exist.
        headers: The header of each film, by path; `refused` says why a film cannot be used.
        alike: Groups of patients whose names are almost the same, see `tables.patients.alike`.
        listed_twice: Groups of images that are one file.
        disagreements: The images whose header tells another laterality or view than the table, by column.
        mixed: A line for each patient or PatientID that stands for several of the other, with its rows.
        spacings: A line for each image whose header tells a spacing far from that of the table.
        notes: All of it in words, one line each.
    """

    columns: dict[str, str]
    kept: list[str] = field(default_factory=list)
    translated: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    headers: dict[str, Header] = field(default_factory=dict)
    alike: list[tuple[str, ...]] = field(default_factory=list)
    listed_twice: list[tuple[str, ...]] = field(default_factory=list)
    disagreements: dict[str, list[str]] = field(default_factory=dict)
    mixed: list[str] = field(default_factory=list)
    spacings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def doubts(self) -> list[str]:
        """Return a line for each group of `alike`, for a terminal only: names of patients are in no report or log."""
        return [f"{' and '.join(group)}: one patient? They are taken as different" for group in self.alike]
