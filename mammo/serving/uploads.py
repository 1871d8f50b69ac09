"""The films of a request, in memory: nothing is written to disk, and no name chooses a path."""

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mammo.cells import printable
from mammo.formats.dicom import LEAST_MM, MOST_MM
from mammo.inference.films import FACTS
from mammo.inference.predictor import Point
from mammo.serving.limits import Limits, Refused
from mammo.tables.spellings import side_and_view, translations
from mammo.wording import number_of

OPTIONS = ("units", "force", "at")
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
LONGEST = 200  # letters of a name
MOST_TEXT = 10_000  # bytes of a field that is no film


@dataclass(frozen=True)
class Upload:
    """A film as it was sent.

    Attributes:
        name: The file's own name, without folders; for the answer only.
        content: The bytes of the file.
        patient, exam, laterality, view, spacing_mm: What the sender knows of it, else None.
    """

    name: str
    content: bytes
    patient: str | None = None
    exam: str | None = None
    laterality: str | None = None
    view: str | None = None
    spacing_mm: float | None = None


@dataclass(frozen=True)
class Form:
    """A request: its films, and options.

    Attributes:
        films: The films.
        units: See `predict`.
        force: True answers for films unlike those of the run too.
        at: A point of the only film.
    """

    films: list[Upload]
    units: list[str] | None = None
    force: bool = False
    at: Point | None = None


class InMemory(MultiPartParser):
    """A parser of forms whose files never go to disk; the size of the request bounds them."""

    spool_max_size = 0  # for the class that holds a file, no size is too large for memory
    ended = False  # true once the boundary has come that closes a form

    def on_end(self) -> None:
        """Take the end of the form; without it, its last part is lost or cut."""
        self.ended = True


async def form_of(request: Request, limits: Limits) -> Form:
    """Return the form of a request.

    Raises:
        Refused: It is too large, or is no form with films.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise Refused(415, "expected a form with files (multipart/form-data): curl -F films=@film.dcm <address>")
    if (packed := request.headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise Refused(415, f"the form is packed (Content-Encoding {printable(packed)[:20]}); send it as it is")
    if odd := [one for one in request.query_params if one != "format"]:
        raise Refused(422, f"{printable(odd[0])[:40]} in the address is not read; send a field of the form")
    most = {"max_files": limits.films, "max_fields": len(OPTIONS) + len(FACTS) * limits.films}
    parser = InMemory(request.headers, _counted(request, limits.bytes), max_part_size=MOST_TEXT, **most)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        said = "many" in error.message
        raise Refused(413 if said else 400, f"the form cannot be read: {error.message.rstrip('.')}") from None
    try:
        if not parser.ended:
            raise Refused(400, "the form ends early: the boundary that closes it is missing; send it again")
        return await _form(form.multi_items())
    finally:
        await form.close()


async def _counted(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """Yield the body; refuse it where it becomes larger than it may be."""
    total = 0
    async for part in request.stream():
        total += len(part)
        if total > most:
            raise Refused(413, f"the request has more than {most / 1e6:g} MB; send fewer films")
        yield part


async def _form(items: list[tuple[str, UploadFile | str]]) -> Form:
    said: dict[str, list[str]] = {}
    files: list[tuple[str, bytes]] = []
    for field, value in items:
        if isinstance(value, UploadFile):
            if not value.filename:
                said_by = printable(field)[:40]
                raise Refused(422, f"a file in the field {said_by} has no name; name it, or leave its part out")
            files.append((value.filename, await value.read()))
        elif field == "films":
            raise Refused(422, "the field films is no file; send one: curl -F films=@film.dcm <address>")
        elif field not in (*FACTS, *OPTIONS):
            raise Refused(422, f"there is no field {printable(field)[:40]}; expected {', '.join((*FACTS, *OPTIONS))}")
        else:
            said.setdefault(field, []).append(value.strip())
    if not files:
        raise Refused(422, "there is no film in the form; send at least one file")
    each = {fact: _for_each(fact, said.get(fact, []), len(files)) for fact in FACTS}
    names = _names([name for name, _ in files])
    films = [
        Upload(
            names[n],
            content,
            _text(each["patient"][n]),
            _text(each["exam"][n]),
            *_side_and_view(each["laterality"][n], each["view"][n]),
            _spacing(each["spacing_mm"][n]),
        )
        for n, (_, content) in enumerate(files)
    ]
    at = _point(said.get("at", []))
    if at is not None and len(films) > 1:
        raise Refused(422, f"a point is for one film, but {len(films)} are sent; send one film")
    units = [one.strip() for value in said.get("units", []) for one in value.split(",") if one.strip()]
    return Form(films, units or None, _force(said.get("force", [])), at)


def _names(sent: list[str]) -> list[str]:
    """Return the names of files without folders, on one line, and each once."""
    names: list[str] = []
    for full in sent:
        bare = printable(full.replace("\\", "/").rpartition("/")[2])[-LONGEST:] or "film"
        name, number = bare, 1
        while name in names:
            number += 1
            name = f"{bare} ({number})"
        names.append(name)
    return names


def _for_each(fact: str, values: list[str], count: int) -> list[str]:
    """Return the value of a fact for each film."""
    if len(values) not in (0, 1, count):
        raise Refused(
            422, f"{fact} is given {len(values)} times for {number_of(count, 'film')}; give it once, or once for each"
        )
    found = values if len(values) == count else (values or [""]) * count
    if any(len(one) > LONGEST for one in found):
        raise Refused(422, f"{fact} is longer than {LONGEST} letters")
    return found


def _text(text: str) -> str | None:
    return printable(text) or None


def _side_and_view(side: str, view: str) -> tuple[str | None, str | None]:
    """Return laterality and view in the words of tables, as `Rows.sides_and_views`; `LMLO` in either field gives both.

    A view that no table has is kept as it is.
    """
    sides, views = translations("laterality", [side]), translations("view", [view])
    both = {one: side_and_view(one) for one in (side, view) if one}
    told = {pair[0] for pair in both.values() if pair} | {sides[side] or ""} - {""}
    if side and sides[side] is None and not both[side]:
        raise Refused(422, f"laterality is {printable(side)[:20]}; expected left or right")
    shown = {pair[1] for pair in both.values() if pair} | {views[view] or ""} - {""}
    if len(told) > 1 or len(shown) > 1:
        said = f"laterality is {printable(side)[:20]} and view is {printable(view)[:20]}"
        raise Refused(422, f"{said}, which tell two sides or views; leave one out")
    return next(iter(told), None), next(iter(shown), None) or _text(view.upper())


def _spacing(text: str) -> float | None:
    if not text:
        return None
    found = _number(text)
    if not LEAST_MM <= found <= MOST_MM:
        raise Refused(422, f"spacing_mm is {printable(text)[:20]}; expected the side of a pixel, 0.01 to 1 mm")
    return found


def _once(field: str, values: list[str]) -> str:
    """Return the value of a field, empty without one."""
    if len(values) > 1:
        raise Refused(422, f"{field} is given {len(values)} times; give it once")
    return values[0] if values else ""


def _force(values: list[str]) -> bool:
    text = _once("force", values).lower()
    if text not in YES + NO:
        raise Refused(422, f"force is {printable(text)[:20]}; expected 1 or 0")
    return text in YES


def _point(values: list[str]) -> Point | None:
    if not (text := _once("at", values)):
        return None
    found = [_number(one) for one in text.split(",")]
    if len(found) != 2 or not math.isfinite(sum(found)):
        raise Refused(422, f"at is {printable(text)[:40]}; expected x,y in pixels from the top left")
    return found[0], found[1]


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan
