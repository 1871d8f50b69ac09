"""The visit at the end of a patient's name, such as a year or `visit 2`, and names that are dates by a spreadsheet."""

import re
from collections.abc import Iterable

MOST = 15  # visits of one patient; more are running numbers
_YEAR = r"(?:19|20)\d\d"
_MONTHS = (
    "jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch|s|zo)?|märz?|mrz|apr(?:il)?|may|mai|june?|juni|juin|july?|juli|juil"
    "|aug(?:ust)?|sept?(?:ember)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?"
)
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = (  # with its day
    rf"{_YEAR}-{_MONTH}-{_DAY}|{_DAY}-{_MONTH}-{_YEAR}|{_MONTH}-{_DAY}-{_YEAR}|{_YEAR}(?:0[1-9]|1[0-2])"
    rf"(?:0[1-9]|[12]\d|3[01])|{_DAY}-?(?:{_MONTHS})-?{_YEAR}"
)
_PERIOD = (  # without its day
    rf"{_YEAR}|{_YEAR}-(?:0[1-9]|1[0-2])|(?:{_MONTHS})-?{_YEAR}|{_YEAR}-?(?:{_MONTHS})|{_YEAR}-?q[1-4]|q[1-4]-?{_YEAR}"
)
_NAMED = "visits?|visita|visite|besuch|time-?point|follow-?up|nachsorge|baseline|screening|round|runde"
_WORD = (
    rf"(?:{_NAMED})(?:-?(?:\d{{1,2}}|[a-d]|i{{1,3}}))?|(?:pre|post|prae|prä)(?:-?(?:op|treatment|therapy|chemo|nac|surgery|biopsy))?"
    r"|before|after|prior|current|previous|initial|final|first|second|third|vorher|nachher|verlauf|kontrolle|recall"
    rf"|diagnostic|avant|apr[eè]s|antes|despu[eé]s|\d(?:st|nd|rd|th)(?:-?(?:{_NAMED}|exam|scan|study))?"
)
_LETTER = (  # or a word that may name other things, with a number
    r"(?:v|t|tp|fu|bl|y|yr|m|mo|w|wk|time|exam|examination|untersuchung|study|studie|session|sess?|scan|year|jahr"
    r"|months?|monate?|weeks?|wochen?)-?\d{1,2}|\d{1,2}-?(?:y|yrs?|years?|m|mo|months?|w|wks?|weeks?|jahre?|monate?|wochen?)"
    r"|bl|fu|new|old|copy|kopie|rescan|retake|repeat(?:ed)?"
)
_SIDE = "(?:-?(?:left|right|links|rechts|l|r|cc|mlo|ml|lm))*"
_SURE = re.compile(rf"(?:{_DATE}|{_WORD})(?:-(?:{_DATE}|{_PERIOD}|{_WORD}|{_LETTER}))*{_SIDE}")
_MAYBE = re.compile(rf"(?:{_PERIOD}|{_LETTER})(?:-(?:{_DATE}|{_PERIOD}|{_WORD}|{_LETTER}))*{_SIDE}")
_AT_ONCE = re.compile(r"(?<=\d)(?=(?:v|visit|fu)\d{1,2}$)")  # P1V2
_MONTH_OF = re.compile(rf".*[^\W_](?:[^\w-]|_)+{_YEAR}-\d\d\W*")  # P1_2019-03, but not S1-2019-03
_PARTS = 8  # of a name that may be of its visit
_RUNNING = re.compile(r"(.*?)-(\d+)")
_SHORT = re.compile(r"(?<!\d)\d{1,2}([./])\d{1,2}\1(\d\d)(?!\d)")  # 01.03.19
_DATED = re.compile(
    rf"\d{{1,2}}[-. ]{{1,2}}(?:{_MONTHS})\.?(?:[-. ](?:{_YEAR}|\d\d))?|(?:{_MONTHS})-\d\d"
    rf"|{_YEAR}[-/]{_MONTH}[-/]{_DAY}(?:[ t]00:00:00)?|{_DAY}[./]{_DAY}[./]{_YEAR}|{_DAY}/{_DAY}/\d\d"
)


def without_visits(names: Iterable[str]) -> dict[str, str]:
    """Return the patient in each name that ends in a visit, a year or a date: `P1` in `P1_2019` and in `P1 visit 2`.

    Numbers after a mark may also count patients (`A_1999`, `A_2000`). So a year, or a letter with a number, counts only
    after a name with a digit or of two parts, such as `P1` or `Doe Jane`; and not if the same name stands before other
    numbers, or before more than `MOST` of them. A year after a number and a dash (`12-2019`) may be a running number.

    Args:
        names: The names.
    """
    found: dict[str, tuple[str, str]] = {}
    running: set[str] = set()
    for name in names:
        folded = _SHORT.sub(r"20\2", name.strip().casefold())
        plain = _AT_ONCE.sub("-", re.sub(r"[\W_]+", "-", folded).strip("-"))
        if told := _visit_of(plain, folded):
            found[name] = told
        elif counted := _RUNNING.fullmatch(plain):
            running.add(counted[1])
    visits: dict[str, set[str]] = {}
    for of, visit in found.values():
        visits.setdefault(of, set()).add(visit)
    return {
        name: of
        for name, (of, visit) in found.items()
        if len(visits[of]) <= MOST and not (of in running and re.match(r"\d", visit))
    }


def _visit_of(plain: str, folded: str) -> tuple[str, str] | None:
    """Return the patient and the visit that a name tells, the longest one first; None without any."""
    parts = plain.split("-")
    for at in range(max(1, len(parts) - _PARTS), len(parts)):
        of, visit = "-".join(parts[:at]), "-".join(parts[at:])
        if _SURE.fullmatch(visit) or (_MAYBE.fullmatch(visit) and _may_have_visits(of, visit, folded)):
            return of, visit
    return None


def _may_have_visits(of: str, visit: str, folded: str) -> bool:
    """Tell if a name may be that of a patient before a year, or a letter with a number."""
    if re.match(rf"{_YEAR}-\d", visit) and not _MONTH_OF.fullmatch(folded):
        return False
    if of.isdecimal():
        return not (visit[0].isdecimal() and re.match(r"\d+[-/.]", folded))
    return bool(re.search(r"\d", of)) or sum(len(one) > 1 for one in of.split("-")) > 1


def like_dates(names: Iterable[str]) -> list[str]:
    """Return the names that look like dates: a spreadsheet makes `1-Mar` of 3-1, and may make one of two."""
    return [
        name
        for name in names
        if _DATED.fullmatch(name.strip().casefold()) and not re.match(r"[A-Z]{2}", name.strip())  # MAR-01
    ]
