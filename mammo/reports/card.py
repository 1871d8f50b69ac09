"""The model card of a run, in Markdown and HTML: what was learnt from which films, how it was tested, and its limits.

Sections follow Mitchell et al. 2019 (Model Cards for Model Reporting), and ask what CLAIM (Tejani et al. 2024) and
FUTURE-AI (Lekadir et al. 2025) ask of medical images. All is computed from the run folder, and what it does not tell is
said to be unknown. No image, patient or path is named, so that a card can be given away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mammo.errors import InputError
from mammo.files import write_text
from mammo.reports import card_data, card_limits, card_results, html
from mammo.reports.card_subject import Subject, listed
from mammo.reports.markdown import plain
from mammo.reports.run import HEADS
from mammo.reports.samples import synthetic_lines
from mammo.run_folder import RunFolder

KINDS = {
    "classification": "says for each film, or for a window of it, which of these classes it belongs to: {classes}",
    "detection": "marks suspicious places on each film, and says which of these classes the film belongs to: {classes}",
    "segmentation": "outlines the region of {target} on each film, and gives the film a score",
}
TRAINED = {
    "head": "the last one, and what the weights lack that it began with",
    "last_block": "the last block, the last layer, and what the weights lack that it began with",
    "all": "all",
}
TARGETS = {"lesion": "lesions", "breast": "the breast"}
NAMES = {"markdown": "model_card.md", "html": "model_card.html"}


@dataclass(frozen=True)
class Card:
    """A model card: `text` is Markdown, from which the page of HTML is made."""

    text: str

    def markdown(self) -> str:
        """Return the card in Markdown."""
        return self.text

    def html(self) -> str:
        """Return the card as one file of HTML that needs nothing else."""
        return html.page(self.text)

    def save(self, folder: Path) -> list[Path]:
        """Write both into a folder; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in NAMES.values()]
        for path, text in zip(paths, (self.markdown(), self.html()), strict=True):
            write_text(text, path)
        return paths


def model_card(
    run: RunFolder | Path | str,
    tests: Sequence[RunFolder | Path | str] = (),
    model: RunFolder | None = None,
) -> Card:
    """Return the model card of a run, or of a portable model that is made of it.

    Args:
        run: A finished run, or its folder.
        tests: External tests of the run, as `mammo test` writes them.
        model: The portable folder that is made of it, whose heads, recalibration and digest are told; None tells those
            of the run.

    Raises:
        InputError: The folder is no run, or a portable one, which brings its card with it; or a test is of another run.
    """
    of = Subject(run if isinstance(run, RunFolder) else RunFolder(Path(run)), model)
    if of.run.portable:
        raise InputError(
            f"{of.run.path} is a portable model, whose card was made of its run; see {NAMES['markdown']} in it"
        )
    if of.run.external is not None:
        raise InputError(f"{of.run.path} is an external test of the run {of.run.tested_run.path}; name that run")
    tested = [one if isinstance(one, RunFolder) else RunFolder(Path(one)) for one in tests]
    for one in tested:
        if one.external is None or one.tested_run.path.resolve() != of.run.path.resolve():
            raise InputError(f"{one.path}: expected an external test of {of.run.path}; mammo test writes one")
    sections = [
        ("The model", _model(of)),
        ("Intended use", card_limits.intended_use(of)),
        ("Data", card_data.data(of)),
        ("Protocol", card_data.protocol_lines(of)),
        ("Preprocessing", card_data.preprocessing(of)),
        ("Training", card_data.training(of)),
        ("Results on the test part", card_results.results(of)),
        ("Calibration", card_results.calibration(of)),
        ("Subgroups", card_results.subgroup_lines(of)),
        ("Where it looks", card_results.maps(of)),
        ("Other films", card_results.other_films(of, tested)),
        ("Limits", card_limits.limits(of, tested)),
        ("Licences and digests", card_data.digests(of)),
    ]
    lines = [*_title(of), *(line for name, said in sections for line in ("", f"## {name}", "", *said))]
    return Card("\n".join(lines) + "\n")


def _title(of: Subject) -> list[str]:
    name = f"{of.config.task.name} by {of.config.network} on {' and '.join(of.datasets)}"
    return [
        f"# Model card: {plain(name)}",
        "",
        *synthetic_lines(of.datasets),
        "**Not for diagnostic use.** This card was computed from the files of the run. What they do not tell is said "
        "to be unknown. Numbers in brackets are 95 % intervals, from a bootstrap over patients.",
    ]


def _model(of: Subject) -> list[str]:
    """Return what the model is, who made it, and with what."""
    config, origin = of.config, of.origin
    said = KINDS[config.task.kind].format(classes=listed(of.classes), target=TARGETS[config.segmentation.target])
    versions = origin.get("versions", {})
    commit = origin.get("git_commit") or "not known"
    drawn = config.model.weights is None and config.task.kind != "detection"
    trained = TRAINED["all" if drawn else config.model.trainable]
    lines = [
        f"- The model {said}.",
        *([f"- Positive means {plain(of.positive)}."] if of.positive and config.task.kind != "segmentation" else []),
        f"- Network: {plain(config.network)}"
        + (", maps at these scales, with a detector on them." if config.task.kind == "detection" else ".")
        + f" Trained layers: {trained}.",
        *(f"- Answer `{head}`: {said}." for head, said in of.answers(HEADS).items()),
        f"- Made by mammo {versions.get('mammo', 'of an unknown version')}, commit {commit}.",
        "- Who trained it, when, and whom to ask: not recorded.",
    ]
    if (told := of.recalibration) is not None:
        lines.append("- Threshold and probabilities were chosen again on other films, see Other films.")
        lines.append(f"- It was made of the run {plain(str(told['run']))}.")
    return lines
