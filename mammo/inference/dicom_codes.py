"""The coded words of what is written as DICOM: standard ones where there are some, else those of the scheme 99MAMMO."""

import hashlib

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammo.config import TaskConfig

SCHEME = "99MAMMO"
LONGEST_VALUE, LONGEST_MEANING = 16, 64  # of SH and LO
STANDARD = {
    "normal": codes.SCT.Normal,
    "abnormal": codes.SCT.Abnormal,
    "benign": codes.SCT.Benign,
    "malignant": codes.SCT.Malignant,
}
DENSITIES = {  # of task=acr_density
    "A": codes.SCT.AlmostEntirelyFat,
    "B": codes.SCT.ScatteredFibroglandularDensities,
    "C": codes.SCT.HeterogeneouslyDense,
    "D": codes.SCT.ExtremelyDense,
}
SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right}


def own(value: str, meaning: str) -> CodedConcept:
    """Return a code of the scheme 99MAMMO; a long meaning is cut."""
    return CodedConcept(value=value, scheme_designator=SCHEME, meaning=meaning[:LONGEST_MEANING])


CALLED = own("CALLED", "Class that is called")
SCORE = own("SCORE", "Score of the positive class")
THRESHOLD = own("THRESHOLD", "Score above which the positive class is called")
SENSITIVITY = own("SENSITIVITY", "Sensitivity at the threshold where it was chosen")
SPECIFICITY = own("SPECIFICITY", "Specificity at the threshold where it was chosen")
UNLIKE = own("UNLIKE", "Film is unlike those of training")
MARK = own("MARK", "Place marked as suspicious")
MARK_SCORE = own("MARK_SCORE", "Score of a marked place")
REGION = own("REGION", "Region found as suspicious")


def class_code(name: str, task: TaskConfig) -> Code | CodedConcept:
    """Return the code of a class: that of SNOMED CT for its word, or else one of our own that its name gives."""
    standard = DENSITIES if task.name == "acr_density" else STANDARD if task.column == "severity" else {}
    return standard.get(name) or own(_value("C", name), name)


def probability_code(name: str) -> CodedConcept:
    """Return the code of the probability of a class."""
    return own(_value("P", name), f"Probability of {name}")


def _value(kind: str, name: str) -> str:
    """Return a value of at most 16 characters, the same for a name in every run: a letter and digits of its SHA-256."""
    return f"{kind}{hashlib.sha256(name.encode()).hexdigest()[: LONGEST_VALUE - 1].upper()}"
