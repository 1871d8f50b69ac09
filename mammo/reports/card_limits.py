"""The parts of a model card on what a model is for, and which limits follow from its films, protocol and numbers."""

from collections.abc import Sequence

from mammo.evaluation.subgroups import beyond_shortcuts
from mammo.reports.card_data import MADE
from mammo.reports.card_subject import Subject, listed
from mammo.reports.markdown import plain
from mammo.reports.run import shortcut_verdict
from mammo.run_folder import RunFolder
from mammo.wording import number_of


def intended_use(of: Subject) -> list[str]:
    """Return what the model may be used for, and what not."""
    views = _words(of, "view")
    films = " and ".join(map(plain, of.datasets))
    lines = [
        f"- For research and teaching, on mammograms like those of {films}.",
        "- Not for diagnosis, screening, triage or treatment. A run records no study with readers or patients and no "
        "approval, so none is known here.",
        "- Not for other parts of the body or other kinds of images.",
        f"- Not for views that it has not learnt from: it has seen {views}.",
        "- A missed lesion delays treatment, and a false alarm leads to examinations without need. Results tells how "
        "often each happened; which one weighs more is not decided here.",
    ]
    if of.run.crop["caption"]:
        lines.append("- It needs the place of a lesion, and was not trained to search for one.")
    if of.run.likeness is None:
        lines.append("- It refuses no film for being unlike those of the run, as it does not know how far one may lie.")
    else:
        lines.append("- A film that is unlike those of training is refused, with the reason.")
    return lines


def limits(of: Subject, tests: Sequence[RunFolder]) -> list[str]:
    """Return the limits that follow from the data, the protocol and the numbers."""
    return [f"- {line}" for line in (*_of_data(of), *_of_protocol(of, tests), *_of_numbers(of))]


def _of_data(of: Subject) -> list[str]:
    lines = []
    n, test = of.numbers["n"], of.numbers["n"]["test"]
    patients = sum(n[part]["patients"] for part in of.parts)
    if len(of.datasets) == 1:
        lines.append(f"All films are of one data set, {plain(of.datasets[0])}. Nothing is known of others.")
    made = {MADE.get(str(one)) for one in of.sources}
    if made == {MADE["mias"]}:
        lines.append("All films are digitised. Nothing is known of digital mammography.")
    elif made == {MADE["inbreast"]}:
        lines.append("All films are of digital mammography. Nothing is known of digitised film.")
    elif None in made:
        lines.append("It is not recorded whether films are digitised, or of which machines.")
    lines.append(f"The parts have {number_of(patients, 'patient')} together, and the test part {test['patients']}.")
    for column in ("view", "laterality"):
        if column in of.samples:
            seen = of.samples[column].dropna().unique()
            if len(seen) == 1:
                lines.append(f"Every image of known {column} is {plain(str(seen[0]))}.")
    if of.positive is not None and test["samples"]:
        share = test[of.positive] / test["samples"]
        lines.append(
            f"The share of {plain(of.positive)} among the test {of.sample}s is {share:.3g}. Where it is another one, "
            "predictive values and probabilities are others."
        )
    if of.config.task.column == "severity" and "severity_source" in of.samples:
        source = of.samples.loc[of.samples["split"] == "test", "severity_source"].astype("string").fillna("unstated")
        if weak := int((source != "pathology").sum()):
            lines.append(f"The labels of {weak} of {len(source)} test samples are not known to rest on pathology.")
    return lines


def _of_protocol(of: Subject, tests: Sequence[RunFolder]) -> list[str]:
    lines = []
    if leaks := of.run.leaks:
        lines.append(f"**The numbers leak ({', '.join(leak.kind for leak in leaks)}), so they are too good.**")
    if of.config.select_on == "test":
        lines.append("**The test part made choices, so there are no numbers for new patients.**")
    lines.append("It is one training with one seed and one split; others would give other numbers.")
    if not tests:
        lines.append("No external test was given to this card, so nothing is known of other hospitals.")
    elif any(test.leaks for test in tests):
        lines.append("An external test leaks too, see Other films.")
    return lines


def _of_numbers(of: Subject) -> list[str]:
    lines = []
    for head, found in of.metrics("test").items():
        area = found.get("auroc")
        if head in of.heads and area is not None and area.low is not None and area.high is not None:
            width = area.high - area.low
            said = f"The interval of the AUROC of {head} is {width:.2f} wide ({area.low:.3f} to {area.high:.3f})"
            lines.append(f"{said}{', and chance lies in it' * (area.low <= 0.5 <= area.high)}.")
    shortcuts = of.metrics("test").get("shortcuts", {}).get("auroc")
    if shortcuts is not None and of.positive is not None and "shortcuts" in of.tested:
        beyond = beyond_shortcuts(of.tested)
        lines.append(shortcut_verdict(shortcuts, beyond).removeprefix("- "))
    return lines


def _words(of: Subject, column: str) -> str:
    """Return the words of a column in training and validation."""
    if column not in of.samples:
        return f"a {column} that is not known here"
    seen = of.samples.loc[of.samples["split"] != "test", column].dropna().unique()
    return listed(sorted(map(str, seen))) if len(seen) else f"no image whose {column} is known"
