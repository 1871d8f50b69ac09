"""The names of columns and the words in them that tables of other people use, and ours for each."""

import difflib
import re
from collections.abc import Iterable, Mapping

from mammo.config import meant
from mammo.errors import InputError
from mammo.tables.words import word_key

# Our column: names that are surely it, and names that are taken for it if there is no sure one. Case, blanks, and marks
# do not count.
NAMES = {
    "path": (
        "path filepath imagepath imagefilepath filmpath dicompath fullpath relativepath pfad dateipfad bildpfad",
        "file filename image imagefile imagefilename imagename dicom dicomfile film shortpath datei dateiname bild",
    ),
    "patient": (
        "patient patientid patientnr patientno patientnumber patientcode patid pid patientenid patientennummer "
        "patientennr patnr patientin patientinnennr patientinnr patientinid mrn paciente pacienteid idpaciente",
        "subject subjectid case caseid person personid client clientid participant participantid anonpatientid",
    ),
    "image_id": ("imageid imageuid sopinstanceuid instanceuid filmid", ""),
    "exam": ("exam examid study studyid studyinstanceuid studyuid untersuchung", "accession accessionnumber accanon"),
    "laterality": ("laterality imagelaterality side breastside leftorrightbreast seite lateralite lado", "breast"),
    "view": ("view viewposition viewpos imageview projection projektion incidence", "views aufnahme"),
    "density": ("density breastdensity biradsdensity acr acrdensity densityacr dichte brustdichte", "tissue"),
    "finding": ("finding findingtype lesiontype abnormalitytype findingcategories", "lesion"),
    "severity": (
        "severity pathology",
        "label imagelabel diagnosis class classification outcome malignancy befund diagnose dignitaet dignität",
    ),
    "severity_source": ("severitysource labelsource", ""),
    "x_px": ("x xpx xcenter xcentre centerx centrex xc cx", ""),
    "y_px": ("y ypx ycenter ycentre centery centrey yc cy", ""),
    "radius_px": ("radius radiuspx r", ""),
    "x0_px": ("x0 x0px xmin bboxxmin", ""),
    "y0_px": ("y0 y0px ymin bboxymin", ""),
    "x1_px": ("x1 x1px xmax bboxxmax", ""),
    "y1_px": ("y1 y1px ymax bboxymax", ""),
    "mask_path": ("mask maskpath maskfile maskfilename roimaskfilepath segmentation", ""),
    "contour": ("contour contourpx polygon outline kontur", ""),
    "spacing_mm": ("spacing spacingmm pixelspacing pixelspacingmm pixelsize pixelsizemm", "imagerpixelspacing"),
    "official_split": ("split officialsplit splitgroup foldsplit datasetsplit", "set subset partition phase"),
}
SHORT = {"x_px": "x", "y_px": "y", "radius_px": "radius", "x0_px": "xmin", "y0_px": "ymin", "x1_px": "xmax",
         "y1_px": "ymax", "mask_path": "mask", "spacing_mm": "spacing", "official_split": "split"}  # fmt: skip
NAME_OF_PATIENT = r"pat(ient(s|en|in)?)?(names?|initial(s|en))|(last|sur|nach)name|pseudonym"
CORNERS = {"x1": "x0_px", "y1": "y0_px", "x2": "x1_px", "y2": "y1_px"}  # where x2 is there, x1 is the left edge

# Names of the sides of a box, before which no word says that they are those of a film.
SIDES_OF_BOX = (
    r"(b|box|bbox)?w|(?!{film})\w*(width|breite|largeur|ancho|anchura|larghezza|largura)",
    r"(b|box|bbox)?h|(?!{film})\w*(height|höhe|hoehe|hauteur|alto|altura|altezza)",
)
OF_FILM = "image|img|film|picture|pic|bild|original|orig|pixel|patient"

NOTHING = frozenset(["na", "n/a", "nan", "null", "<na>", "#n/a"])  # words for a missing value in any column, folded
MARKS = frozenset(["-", "--", ".", "?"])  # and those of a person, in a column of words
ABSENT = NOTHING | MARKS | {"none", "missing", "unknown", "unbekannt"}  # and those in a column that we know

VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO", "AT", "CV", "TAN")
LATERALITY = {
    "left": "l left lft lt li links gauche izquierda izquierdo sinistra",
    "right": "r right rgt rt re rechts droite droit derecha derecho destra",
    "": "b both bilateral u",
}
SIDES = {word: side for side, words in LATERALITY.items() if side for word in words.split()}
VIEW = {"CC": "craniocaudal", "MLO": "mediolateraloblique", "ML": "mediolateral", "LM": "lateromedial"}
SPLIT = {
    "train": "train training trn tr trainingsdaten treino treinamento entrenamiento entrainement entraînement "
    "apprentissage addestramento eğitim treningowy обучение обучающая 训练 训练集 学習 訓練 훈련 학습",
    "val": "val valid validation validierung dev development validierungsdaten validacion validación validacao "
    "validação validazione doğrulama walidacja валидация 验证 验证集 検証 검증",
    "test": "test testing tst holdout testdaten prueba pruebas teste testes essai тест тестовая "
    "测试 测试集 テスト 테스트 시험",
}
SPLITS = {word: split for split, words in SPLIT.items() for word in words.split()}
SEVERITY = {
    "normal": "normal norm n negative negativ healthy gesund normale",
    "benign": "benign b benignwithoutcallback gutartig bénin bénigne benigne benigno benigna",
    "malignant": "malignant m cancer bösartig boesartig malin maligne maligno maligna",
}
SOURCE = {
    "pathology": "pathology biopsy histology",
    "follow_up": "followup",
    "reading": "reading reader",
    "birads": "birads",
    "patient_label": "patientlabel",
    "unstated": "unstated",
}
FINDING = {
    "NORM": "norm normal nofinding nofindings none negative",
    "MASS": "mass",
    "CALC": "calc calcification calcifications microcalcification microcalcifications suspiciouscalcification",
    "ARCH": "arch architecturaldistortion",
    "ASYM": "asym asymmetry focalasymmetry globalasymmetry",
    "CIRC": "circ",
    "SPIC": "spic",
    "MISC": "misc",
}
WORDS = {"laterality": LATERALITY, "view": VIEW, "official_split": SPLIT, "severity": SEVERITY, "finding": FINDING,
         "severity_source": SOURCE}  # fmt: skip
ASKED = {
    "laterality": "left or right",
    "official_split": "train, val or test",
    "severity": "normal, benign or malignant",
    "severity_source": "pathology, follow_up, reading, birads, patient_label or unstated",
    "density": "A, B, C or D; or F, G or D",
}  # columns whose unknown words are asked for, with ours
GRADES = {"1": "A", "2": "B", "3": "C", "4": "D", "i": "A", "ii": "B", "iii": "C", "iv": "D", "0": "", "5": ""}


def fold(word: str) -> str:
    """Return the name of a column without case, blanks and marks, by which spellings are compared."""
    return re.sub(r"[\W_]+", "", str(word).casefold())


def ours_of(key: str) -> str | None:
    """Return our name of a column for a key of the settings, say `official_split` for `split`."""
    if key in NAMES:
        return key
    named = [ours for ours, names in NAMES.items() if fold(key) in " ".join(names).split() or fold(ours) == fold(key)]
    return named[0] if len(named) == 1 else None


def recognise(table: str, found: list[str], given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the table's column for each of ours that it has.

    Args:
        table: The name of the table, for errors.
        found: The columns of the table.
        given: The columns that the user names: ours, and the table's; None if the table's column is not to be used.

    Raises:
        InputError: A given name is unknown, or two columns could both be one of ours.
    """
    chosen = _named_by_user(table, found, given)
    unused = {ours_of(str(key)) for key, theirs in given.items() if theirs is None}
    left = {name: fold(name) for name in found if name not in chosen.values()}
    if {"x2", "y2"} <= set(left.values()):
        corners = {CORNERS[folded]: name for name, folded in left.items() if folded in CORNERS}
        chosen |= {ours: name for ours, name in corners.items() if ours not in chosen}
    for ours in NAMES:
        if ours in chosen or ours in unused:
            continue
        likely = _likely(ours, {name: folded for name, folded in left.items() if name not in chosen.values()})
        if len(likely) > 1:
            ways = " or ".join(f"data.columns.{_short(ours)}={name}" for name in likely)
            raise InputError(
                f"{table}: columns {' and '.join(likely)} could both be the {_short(ours)}; choose one by {ways}"
            )
        if likely:
            chosen[ours] = likely[0]
    return chosen


def _named_by_user(table: str, found: list[str], given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the table's column for each of ours for which the user names one."""
    named: dict[str, str] = {}
    for key, theirs in given.items():
        ours = ours_of(str(key))
        if ours is None:
            expected = list(map(_short, NAMES))
            raise InputError(f"data.columns.{key} is no column; {meant(f'data.columns.{key}', expected)}")
        if theirs is not None:
            named[ours] = _found(table, found, key, theirs)
    return named


def _found(table: str, found: list[str], key: str, theirs: str) -> str:
    """Return the only column of a table with this name; case, blanks and marks count if there are several."""
    same = [name for name in found if name == theirs] or [name for name in found if fold(name) == fold(theirs)]
    if len(same) == 1:
        return same[0]
    near = difflib.get_close_matches(str(theirs), found, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"data.columns.{key}={theirs}: {table} has no such column; {hint}it has {', '.join(found)}")


def _likely(ours: str, left: Mapping[str, str]) -> list[str]:
    """Return the columns, of those with these folded names, that could be ours."""
    likely = spelt(NAMES[ours], left)
    if ours == "patient" and likely and not is_sure(ours, likely[0]):  # a case may be one of several of a patient
        likely += [name for name, folded in left.items() if re.fullmatch(NAME_OF_PATIENT, folded)]
    return likely


def spelt(spellings: Iterable[str], left: Mapping[str, str]) -> list[str]:
    """Return the columns whose folded name is among the first spellings that any has; several could all be it.

    Args:
        spellings: Folded names, separated by blanks, the surest first.
        left: The folded name of each column.
    """
    ranks = ([name for name, folded in left.items() if folded in some.split()] for some in spellings)
    return next(filter(None, ranks), [])


def has_size(columns: Iterable[str]) -> bool:
    """Tell whether some of the columns may be the width and the height of a box."""
    folded = [re.sub("(px|pixels?)$", "", fold(name)) for name in columns]
    names = [of.format(film=OF_FILM) for of in SIDES_OF_BOX]
    return all(any(re.fullmatch(of, one) for one in folded) for of in names)


def is_sure(ours: str, theirs: str) -> bool:
    """Tell whether a column surely is ours by its name, so that unknown words in it are asked for."""
    return fold(theirs) in NAMES[ours][0].split()


def is_spelling(ours: str, theirs: str) -> bool:
    """Tell whether a column may be ours by its name."""
    return fold(theirs) in " ".join(NAMES[ours]).split()


def _short(ours: str) -> str:
    return SHORT.get(ours, ours)


def grades(words: Iterable[str]) -> dict[str, str | None]:
    """Return our letter for each density: A to D, or F, G and D; "" for 0 and 5; None for an unknown word."""
    named = re.compile(r"(?:(?:acr|birads|density|level|grade|type)[-:=/(]*)+(.*?)\)*")
    bare = {word: named.sub(r"\1", key) if named.fullmatch(key) else key for word in words for key in [word_key(word)]}
    found = set(bare.values())
    letters = "fgd" if found & {"f", "g"} and not found & {"a", "b", "c", *GRADES} else "abcd"
    return {word: one.upper() if one in tuple(letters) else GRADES.get(one) for word, one in bare.items()}


def translations(ours: str, words: Iterable[str]) -> dict[str, str | None]:
    """Return our word for each word of a column; "" means that it says nothing, None that it is not known."""
    if ours == "density":
        return grades(words)
    known = {one: word for word, spellings in WORDS[ours].items() for one in spellings.split()}
    known |= {word_key(word): word for word in known.values() if word}
    found: dict[str, str | None] = {}
    for word in words:
        folded = word_key(word)
        if ours == "laterality":
            folded = re.sub(r"(?<=.)(breast|side|brust|seite)$", "", folded)
        if ours == "view":
            found[word] = known.get(folded) or (word.upper() if word.upper() in VIEWS else None)
        else:
            found[word] = known.get(folded)
    return found


def side_and_view(word: str) -> tuple[str, str] | None:
    """Return laterality and view of a word that holds both, such as `LMLO`, `R_CC` or `MLO left`; None for another."""
    whole = word.strip().upper()
    if "?" in whole:  # a doubt
        return None
    joined = re.fullmatch(r"(L|R|LEFT|RIGHT)([A-Z]+)", whole)
    parts = list(joined.groups()) if joined else re.split(r"[\W_]+", whole)
    if len(parts) != 2 or whole in VIEWS:
        return None
    side, view = parts if parts[1] in VIEWS else parts[::-1]
    told = SIDES.get(side.casefold())
    return (told, view) if told and view in VIEWS else None
