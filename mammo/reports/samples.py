"""Lines of a report on its samples: how many of whom, of which data sets, and what their labels rest on."""

from collections.abc import Sequence

import pandas as pd

from mammo.wording import number_of

SOURCES = {  # what the values of severity_source say
    "pathology": "pathology",
    "follow_up": "follow-up",
    "reading": "a reading of the images without biopsy",
    "birads": "BI-RADS, a reader's guess",
    "patient_label": "the label of the patient",
    "unstated": "grounds that the data set does not state",
}


def datasets(samples: pd.DataFrame) -> list[str]:
    """Return the names of the data sets that samples are of; none in runs that did not write them."""
    return list(samples["dataset"].dropna().unique()) if "dataset" in samples else []


def samples_of_each(tested: pd.DataFrame, names: list[str], classes: list[str]) -> str:
    """Return a line that says how many of the tested samples of each class every data set has."""
    said = []
    for name in names:
        own = tested[tested["dataset"] == name]
        counts = ", ".join(f"{(own['label'] == one).sum()} {one}" for one in classes)
        said.append(
            f"{name} {counts} of {number_of(own['patient'].nunique(), 'patient')}" if len(own) else f"{name} none"
        )
    return f"Test samples of each data set: {'; '.join(said)}"


def synthetic_lines(names: Sequence[str]) -> list[str]:
    """Return the warning that films are drawn, if one of these data sets, or a part of one, is a phantom."""
    parts = [part for name in dict.fromkeys(names) for part in name.split("+")]
    drawn = [part for part in parts if part.startswith("phantom")]
    if not drawn:
        return []
    which = "Synthetic films" if drawn == parts else f"The films of {' and '.join(drawn)} are synthetic"
    return [f"**{which}: these numbers show that the program runs, not how it does on mammograms.**", ""]


def counted(samples: pd.DataFrame, classes: list[str]) -> str:
    """Return the numbers of samples, of each class and of patients, in words."""
    of = samples["label"].value_counts()
    shares = ", ".join(f"{of.get(name, 0)} {name}" for name in classes)
    return f"n = {number_of(len(samples), 'sample')} of {number_of(samples['patient'].nunique(), 'patient')} ({shares})"


def sources_of(tested: pd.DataFrame) -> str:
    """Return a line that says what the labels of the tested samples rest on; the column is missing in older runs."""
    sources, said = _sources(tested), []
    for source, count in sources.value_counts().items():
        of = tested.loc[sources == source, "dataset"].value_counts() if "dataset" in tested else {}
        each = ": " + ", ".join(f"{n} of {name}" for name, n in of.items())
        said.append(f"{SOURCES.get(source, source)} ({count}{each * (len(datasets(tested)) > 1)})")
    return f"Labels of the test samples rest on {', '.join(said)}"


def grounds(samples: pd.DataFrame) -> str:
    """Return what the labels of samples rest on, with counts."""
    return ", ".join(f"{SOURCES.get(name, name)} ({count})" for name, count in _sources(samples).value_counts().items())


def grounds_apart(trained: pd.DataFrame, tested: pd.DataFrame) -> str | None:
    """Return a warning if the labels that were learnt rest on other grounds than those by which the run is judged."""
    both = [set(_sources(samples)) for samples in (trained, tested)]
    if both[0] == both[1]:
        return None
    learnt, judged = (" and ".join(SOURCES.get(name, name) for name in sorted(one)) for one in both)
    return (
        f"The labels have other grounds: learnt from {learnt}; judged by {judged}. "
        "A disagreement of the two counts as an error of the run."
    )


def _sources(samples: pd.DataFrame) -> pd.Series:
    """Return what the label of each sample rests on."""
    return samples.get("severity_source", pd.Series(pd.NA, samples.index)).astype("string").fillna("unstated")
