"""The report on a published claim: a few lines of plain text, with the verdict first."""

from collections.abc import Iterable
from dataclasses import replace

from mammo.auditing import claim as claims
from mammo.auditing.claim import Matrices, conflict, matrices, whole_patients, wilson
from mammo.auditing.claim_folds import in_words, of_folds
from mammo.auditing.claim_names import CELLS
from mammo.auditing.claim_numbers import RULES
from mammo.auditing.claim_readings import Reading
from mammo.auditing.claim_roc import auc_lines
from mammo.auditing.claim_search import search
from mammo.auditing.claim_words import Claim, read_claim
from mammo.wording import number_of

VERDICTS = {  # by the rules that some matrix fits
    "rounded truncated": "Possible: {counts} give {given}, rounded or truncated.",
    "rounded": "Possible as rounded: {counts} give {given}.",
    "truncated": "Possible only as truncated: no {counts} give {given} by rounding.",
    "": "Possible only as rounded in part and truncated in part: no {counts} give {given} by one rule alone.",
}


def audit(words: list[str]) -> tuple[bool, str]:
    """Return False if the claim is impossible in every way that was tried, and the report.

    Args:
        words: The words of the claim, see `claim_words.read_claim`.
    """
    return judged(read_claim(words))


def judged(claim: Claim) -> tuple[bool, str]:
    """Return what `audit` does, of a claim that is read."""
    possible, text = _judged(claim)
    if len(claim.cells) == len(CELLS):
        text += f"\n{_of_cells(**claim.cells)}"
    if claim.untested:
        text += f"\nNot tested: {' and '.join(claim.untested)}."
    if claim.over:
        text += f"\nAbove 100 %, which no share is: {', '.join(claim.over)}. Is it a slip?"
    if claim.note:
        text += f"\n{claim.note}"
    return possible, text


def _judged(claim: Claim) -> tuple[bool, str]:
    if not claim.numbers:
        possible, lines = auc_lines(claim, None)
        return possible, "\n".join([*lines, *_patients(claim)])
    # Accuracy alone does not depend on the classes, so all films may be negative; the search then need not grow as n^2.
    open_classes = claim.n_pos is None and set(claim.numbers) == {"accuracy"} and not claim.cells
    counted = replace(claim, n_pos=0) if open_classes else claim
    found = {rule: matrices(counted, rule) for rule in RULES}
    if not len(found["either"].rows):
        possible, lines = _otherwise(claim, counted)
        return possible, "\n".join([*lines, *_patients(claim)])
    kept = {rule: found[rule] for rule in ("rounded", "truncated") if len(found[rule].rows)}
    given = {"counts": f"counts of {_films(claim)}", "given": _given(claim, claim.numbers)}
    lines = [VERDICTS[" ".join(kept)].format(**given)]
    possible, of_auc = auc_lines(claim, None if open_classes else found["either"])
    if not possible:
        lines = [of_auc[0], lines[0].replace("Possible", "The other numbers are possible", 1)]
    lines += of_auc[not possible :]
    if claim.folds:
        wrong = of_folds(claim)
        lines += [f"As means over {in_words(claim)}: {'; '.join(wrong) or 'possible too'}."]
    elif claim.spreads:
        lines += [
            f"A spread stands with {' and '.join(claim.spreads)}: if it is a mean over folds or runs, give folds=."
        ]
    kept = kept or {"rounded in part, truncated in part": found["either"]}
    cells = [one.cells() for one in kept.values()]
    over = {name: (min(one[name][0] for one in cells), max(one[name][1] for one in cells)) for name in cells[0]}
    low, interval = _correct(claim, over["right"])
    if open_classes:
        lines += [
            "Confusion matrix: unknown, because accuracy alone does not determine it; give n_pos= or more numbers.",
            interval,
        ]
        lines += ["Majority class: unknown; give n_pos= or test=normal,abnormal."]
    else:
        lines += [*_matrices(kept), interval, _majority(claim, over, low)]
    if claim.n_pos is None and not open_classes and over["positives"][0] == over["positives"][1]:
        claim = replace(claim, n_pos=over["positives"][0])
    return possible, "\n".join([*lines, *_patients(claim)])


def _otherwise(claim: Claim, counted: Claim) -> tuple[bool, list[str]]:
    """Return whether the numbers are possible in another way than as counts of the positive class, and the lines."""
    found = search(claim, claims.LISTED)
    whole = _given(claim, claim.numbers)
    ranked, of_auc = auc_lines(claim, None)
    if not ranked:
        return False, of_auc
    if found.readings:
        first, *others = found.readings
        lines = [f"Possible, but not as counts of the positive class: {whole} can be {first.words}."]
        lines += [f"Confusion matrices: {_listed(first)}."] * bool(first.matrices)
        return True, lines + [f"They can be {one.words} too." for one in others]
    if found.undecided:
        return True, [f"Not decided: no counts of {_films(claim)} give {whole}, and {found.undecided}."]
    at_odds = conflict(counted)
    together = " together" if len(at_odds) > 1 else ""
    lines = [
        f"Impossible: no counts of {_films(claim)} give {_given(claim, at_odds)}{together}, rounded or truncated.",
        f"Readings tried, and none fits: {'; '.join(found.tried)}. Not tried: {'; '.join(found.untried)}. "
        "Ask the authors for the counts.",
    ]
    if claim.folds:
        lines.append(f"As means over {in_words(claim)}: {'; '.join(of_folds(claim))}.")
    of = {"accuracy": claim.n}
    if claim.n_pos is not None:
        of |= {"sensitivity": claim.n_pos, "specificity": claim.n - claim.n_pos}
    if len(at_odds) == 1 and (total := of.get(at_odds[0])) and not claim.cells:
        number = claim.numbers[at_odds[0]]
        below = min(number.digits * total // number.scale, total)
        nearest = " and ".join(_share(count, total, 4) for count in range(below, min(below + 1, total) + 1))
        lines.append(f"Nearest: {nearest}.")
    return False, lines


def _listed(reading: Reading) -> str:
    if reading.count <= claims.LISTED:
        return "; ".join(f"tp {tp}, tn {tn}, fp {fp}, fn {fn}" for tp, tn, fp, fn in reading.matrices)
    tp, tn, fp, fn = reading.matrices[0]
    return f"{reading.count} of them, tp {tp}, tn {tn}, fp {fp}, fn {fn} for example"


def _matrices(kept: dict[str, Matrices]) -> list[str]:
    lines: dict[str, str] = {}  # keyed by text, because two rules may leave the same matrices
    for rule, one in kept.items():
        count, cells = one.count(), one.cells()
        if count <= claims.LISTED:
            said = "; ".join(f"tp {tp}, tn {tn}, fp {fp}, fn {fn}" for tp, tn, fp, fn in one.each())
        else:
            ends = ", ".join(f"{name} {_ends(cells[name])}" for name in ("tp", "tn", "fp", "fn"))
            said = f"{count} of them, {ends}, with {_ends(cells['positives'])} positive films"
        lines[said] = f"{lines[said]} or {rule}" if said in lines else rule
    return [f"Confusion matrix, {rules}: {said}." for said, rules in lines.items()]


def _correct(claim: Claim, right: tuple[int, int]) -> tuple[float, str]:
    """Return the lower end of the widest interval, and the line with the intervals."""
    counts = _share(right[0], claim.n) if right[0] == right[1] else f"{_ends(right)} of {claim.n}"
    low, high = (wilson(count, claim.n)[end] for end, count in enumerate(right))
    line = f"Correct predictions: {counts}; Wilson 95 % interval by films {_percents(low, high)}."
    if (films := claim.films_per_patient) > 1:
        low, high = (wilson(count / films, claim.n / films)[end] for end, count in enumerate(right))
        line += (
            f" The films of one patient are not independent, so the true interval is wider: "
            f"{_percents(low, high)} if a patient's {films} films are always right or wrong together."
        )
    return low, line


def _majority(claim: Claim, over: dict[str, tuple[int, int]], low: float) -> str:
    (fewest, most), (worst, best) = over["larger"], over["right"]
    if fewest != most:
        return (
            f"Majority class: {_ends(over['larger'])} of {claim.n} correct, because {_ends(over['positives'])} "
            f"positive films are possible; give n_pos= or test=normal,abnormal."
        )
    if worst <= most < best:
        stands = "the claim may or may not be above it"
    elif worst <= most:
        stands = "the claim is not above it"
    else:
        beyond = "beyond the widest interval" if low > most / claim.n else "but within the widest interval"
        stands = f"the claim has {_ends((worst - most, best - most))} more correct films, {beyond}"
    return f"Majority class: predicting it for every film gets {_share(most, claim.n)} correct; {stands}."


def _patients(claim: Claim) -> list[str]:
    """Return the line on patients in both splits: counts may prove that there is one, never that there is none."""
    films, n = claim.films_per_patient, claim.n
    if films == 1:
        return []
    if claim.n_train is not None:
        return [_two_parts(claim, claim.n_train)]
    if n % films == 0:
        return [
            f"Patients: {n} test films may be all films of {n // films} patients; counts cannot show that they are."
        ]
    return [
        f"Patients: {n} test films cannot be all films of patients with {films} each: some patient has another "
        f"film in training or unused; give n_train= or train=normal,abnormal."
    ]


def _two_parts(claim: Claim, n_train: int) -> str:
    films, total, parts = claim.films_per_patient, n_train + claim.n, f"{n_train} train and {claim.n} test films"
    if films == 2 and claim.train and claim.n_pos is not None:
        normal, abnormal = claim.train
        if (normal + claim.n - claim.n_pos, abnormal + claim.n_pos) == claims.MIAS_FILMS:
            return _mias(normal, abnormal)
    if total % films:
        return f"Patients: {parts} together are not all films of patients with {films} each; a leak cannot be excluded."
    if claim.n % films:
        mias = (films, total) == (2, sum(claims.MIAS_FILMS))
        why = f"{total} are all films of mini-MIAS, so" if mias else "unless films were left out,"
        return f"Patients: {parts} split a patient with {films} films: {why} at least one patient is in both, a leak."
    return f"Patients: {parts} may be split by patients with {films} films; counts cannot show that they are."


def _mias(normal: int, abnormal: int) -> str:
    everyone = (claims.MIAS_ONE, claims.MIAS_BOTH, claims.MIAS_NONE)
    known = "mini-MIAS has {} patients with one abnormal film of two, {} with two, {} with none".format(*everyone)
    if (patients := whole_patients(normal, abnormal)) is None:
        return (
            f"Patients: no choice of patients has the {normal} normal and {abnormal} abnormal films of train "
            f"({known}): at least one patient is in both train and test, a leak."
        )
    one, none, both = patients
    return (
        f"Patients: {one + none + both} patients can have the {normal} normal and {abnormal} abnormal films of train "
        f"({one} with one abnormal, {both} with two, {none} with none; {known}); counts cannot show that they do."
    )


def _given(claim: Claim, names: Iterable[str]) -> str:
    *most, last = [f"{name} {claim.numbers[name].text}" for name in names]
    return f"{', '.join(most)} and {last}" if most else last


def _films(claim: Claim) -> str:
    cells = ", ".join(f"{name} {count}" for name, count in claim.cells.items())
    positive = "" if claim.n_pos is None else f", {claim.n_pos} positive,"
    return number_of(claim.n, "film") + positive + f" with {cells}," * bool(cells)


def _of_cells(tp: int, tn: int, fp: int, fn: int) -> str:
    """Return the line of the numbers that a confusion matrix gives."""
    shares = {
        "accuracy": (tp + tn, tp + tn + fp + fn), "sensitivity": (tp, tp + fn), "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp), "npv": (tn, tn + fn), "f1": (2 * tp, 2 * tp + fp + fn),
    }  # fmt: skip
    given = ", ".join(f"{name} {100 * of / all_of:.2f} %" for name, (of, all_of) in shares.items() if all_of)
    return f"The counts give {given}."


def _share(count: int, whole: int, decimals: int = 2) -> str:
    return f"{count} of {whole} ({100 * count / whole:.{decimals}f} %)"


def _ends(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _percents(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %"
