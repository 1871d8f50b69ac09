"""The parts of a model card on what was given: films, labels, split, preprocessing, training, licences and digests."""

import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.leaks import protocol
from mammo.reports.card_subject import Subject
from mammo.reports.markdown import markdown, plain
from mammo.reports.run import WHERE
from mammo.reports.samples import sources_of
from mammo.wording import number_of

MADE = {  # how the films of the built-in data sets were made
    "mias": "digitised film",
    "mias_full": "digitised film",
    "cbis_ddsm": "digitised film",
    "inbreast": "digital mammography",
    "vindr": "digital mammography",
    "rsna": "digital mammography",
    "cmmd": "digital mammography",
    "phantom": "drawn by a program",
}
SPLITS = {
    "patient": "Patients are dealt from the seed, so all images of a patient are in one part.",
    "image": "Images are dealt from the seed, whoever they are of.",
    "copy": "Augmented copies of images are dealt like images.",
    "paper": "54 normal and 43 abnormal images train, or in their proportions, and there is no validation part.",
    "paper_by_patient": "Whole patients are dealt, in numbers near those of Behery et al. 2023; no validation part.",
    "table": "A table says which image is in which part.",
    "official": "The data set says which image is in which part.",
}
CROPS = {
    "whole": "the whole breast, found on the film and turned to one side",
    "film": "the whole film, with labels and borders",
    "lesion": "a window of {window_mm:g} mm",
    "scaled_lesion": "a window of {factor:g} times the diameter of the lesion",
    "grid": "the whole breast, and windows of {window_mm:g} mm in a grid over it",
}
DESCRIBED = ("laterality", "view", "density", "finding", "severity", "severity_source")
MOST = 12  # words of a column that have a row each


def data(of: Subject) -> list[str]:
    """Return what the films are, how many of whom, and what their labels rest on."""
    found = of.origin["dataset"]
    made = sorted({MADE.get(str(one), "not recorded") for one in of.sources})
    lines = [
        " ".join(f"{plain(one)}." for one in (f"- Data set: {found['name']}", found["citation"]) if one),
        f"- How the films were made: {', '.join(made)}.",
        f"- Labels come from the column {plain(of.config.task.column)}: {_classes(of)}.",
    ]
    tested = of.samples[of.samples["split"] == "test"]
    if of.config.task.column == "severity":
        lines.append(f"- {sources_of(tested)}.")
    lines += [f"- Size of a pixel: {_range(of.samples['spacing_mm'], ' mm')}.", *_films(of)]
    lines.append("- Age, ethnicity, symptoms, hospital, machine and dose: not recorded by the program.")
    if notes := len(of.origin.get("notes", ())):
        lines.append(f"- The report of the run has {notes} note{'s' * (notes > 1)} on its films, not repeated here.")
    said = "Rows from laterality on count images, and an image with two findings once for each."
    return [*lines, "", *_counts(of), "", said]


def _classes(of: Subject) -> str:
    """Return the classes with their words of the column."""
    words = of.config.task.classes
    if not isinstance(words, dict):
        return ", ".join(map(plain, of.classes))
    of_words = {name: one if isinstance(one, list | tuple) else [one] for name, one in words.items()}
    return "; ".join(f"{plain(str(name))} is {plain(', '.join(map(str, one)))}" for name, one in of_words.items())


def _counts(of: Subject) -> list[str]:
    """Return the table of what each part has."""
    n = of.numbers["n"]
    names = ["patients", "samples", *of.classes]
    labels = {name: name if name in names[:2] else f"class {name}" for name in names}
    rows = [[labels[name], *(str(n[part][name]) for part in of.parts)] for name in names]
    known = of.samples.reindex(columns=["image_id", "split", *DESCRIBED])
    images = {part: known[known["split"] == part] for part in of.parts}
    rows.insert(1, ["images", *(str(images[part]["image_id"].nunique()) for part in of.parts)])
    return markdown(["", *of.parts], rows + _described(images))


def _described(images: dict[str, pd.DataFrame]) -> list[list[str]]:
    """Return the rows of what is known of images: a row for each word of a column, and one for unknown ones."""
    rows = []
    for column in DESCRIBED:
        words = pd.concat([own[column].astype("string") for own in images.values()]).value_counts().index.tolist()
        for word in [*words[:MOST], None]:
            counts = []
            for own in images.values():
                told = own[column].astype("string")
                counts.append(own.loc[told.isna() if word is None else told == word, "image_id"].nunique())
            if word is not None or any(counts):
                rows.append([f"{column} {'not known' if word is None else word}", *map(str, counts)])
        if len(words) > MOST:
            rows.append([f"{column}, {len(words) - MOST} other words", *["not shown"] * len(images)])
    return rows


def _films(of: Subject) -> list[str]:
    films = of.run.films
    lines = []
    if {"height", "width", "max_level"} <= set(films):
        size = f"{_range(films['height'])} x {_range(films['width'])} pixels (height x width)"
        lines.append(
            f"- {number_of(len(films), 'film was', 'films were')} read, of {size}, white at level "
            f"{_range(films['max_level'])}."
        )
    if lost := of.run.unreadable:
        lines.append(f"- {lost} film{'s' * (lost > 1)} could not be used and took no part.")
    return lines


def _range(numbers: pd.Series, unit: str = "") -> str:
    """Return a number, or the range of several."""
    known = numbers.dropna()
    if known.empty:
        return "not known"
    low, high = known.min(), known.max()
    missing = f", not known for {int(numbers.isna().sum())}" if len(known) < len(numbers) else ""
    return (f"{low:g}{unit}" if low == high else f"{low:g} to {high:g}{unit}") + missing


def protocol_lines(of: Subject) -> list[str]:
    """Return the split, its leaks, and what was chosen on which part."""
    config, leaks = of.config, of.run.leaks
    rule = SPLITS.get(config.split.name, "The rule is one of the user's own.")
    lines = [f"- {protocol(config)}; seed {config.seed}.", f"- {rule}"]
    if config.data.fold is not None:
        lines.append(f"- This is fold {config.data.fold} of {config.data.folds}, counted from 0; others are not shown.")
    if of.parts and config.select_on in of.parts:
        lines.append(f"- Epoch, heads, temperature and threshold were chosen on {WHERE[config.select_on]}.")
    else:
        lines.append("- There was no validation part, so nothing was chosen on one.")
    if leaks:
        lines += ["- **Leaks were found, so these numbers are better than those of new patients would be:**"]
        lines += [f"  - {plain(str(leak))}." for leak in leaks]
    else:
        lines.append("- Leaks: none found. The program looks for patients, images and pixels in two parts, crops that ")
        lines[-1] += "tell the class, choices on the test part, and test patients that the weights had learnt."
    return lines


def preprocessing(of: Subject) -> list[str]:
    """Return what is cut of a film, and the version of the code that cuts it."""
    config, crop = of.config, of.config.crop
    shown = CROPS.get("" if crop._target_ else crop.name, "a crop of the user's own")
    lines = [f"- The network sees {shown.format(**vars(crop))}."]
    if config.task.kind == "detection":
        lines = [f"- The network sees the whole breast at {config.detector.spacing_mm:g} mm a pixel."]
    else:
        side = config.model.image_size
        lines[0] = f"{lines[0][:-1]}, at {side} x {side} pixels."
        if crop.windows_mm:
            lines.append(f"- Windows of these sides in mm: {', '.join(f'{one:g}' for one in crop.windows_mm)}.")
    if config.model.flips != "none":
        lines.append(f"- Answers are averaged over flips: {config.model.flips}.")
    if of.run.crop["caption"]:
        lines.append(f"- {of.run.crop['caption']}.")
    applied = {"first": "the first window or table of a DICOM file is applied", "none": "no window is applied"}
    lines.append(f"- Grey levels: {applied[config.data.voi]}; {crop.bits} bits are kept of a crop.")
    versions = of.origin.get("preprocessing")
    said = "not recorded" if versions is None else ", ".join(f"{name} {one}" for name, one in versions.items())
    return [*lines, f"- Version of the preprocessing: {said}."]


def training(of: Subject) -> list[str]:
    """Return how the weights came about."""
    config, chosen = of.config, of.selection
    model, epoch = config.model, chosen["epoch"]
    begun = {"imagenet": "torchvision's weights for ImageNet", None: "random numbers"}
    start = begun.get(model.weights, "a file or folder of weights, whose digest is below")
    if "began_from" in of.origin:
        start = f"the weights of the run {plain(of.origin['began_from'])}"
    trained = f"{epoch['number']} ({epoch['how']}), of {config.trainer.max_epochs} at most"
    lines = [f"- It began with {start}.", f"- The weights are those of epoch {trained}."]
    if config.task.kind == "detection":
        facts = config.detector
        lines = [
            lines[0],
            f"- {facts.restarts} detectors were trained on frozen maps in {facts.steps} steps each, learning rate "
            f"{facts.lr:g}, and their mean answers.",
        ]
    else:
        augment = config.augment
        lines += [
            f"- Loss {config.loss.name}, classes weighted: {config.loss.class_weights}. AdamW, learning rates "
            f"{config.optim.lr_head:g} (new layers) and {config.optim.lr_backbone:g} (others), weight decay "
            f"{config.optim.weight_decay:g}, {config.data.batch_size} samples a step.",
            f"- Augmentation: {augment.mode}" + (f", {augment.method}." if augment.mode != "none" else "."),
        ]
    lines += [f"- Head {name}: {how['how']}." for name, how in chosen["heads"].items()]
    curves = chosen.get("detector", {}).get("fitted_on")
    lines += [f"- Curves from score to probability were fitted on the part {curves}."] if curves else []
    return [
        *lines,
        f"- Computed on {of.origin.get('devices', 'devices that are not known here')}, precision "
        f"{of.origin.get('precision', 'not known')}.",
    ]


def _code(digest: str | None, otherwise: str) -> str:
    return f"`{digest}`" if digest else otherwise


def digests(of: Subject) -> list[str]:
    """Return licences, and the digests by which data and weights can be told from others."""
    origin, found = of.origin, of.origin["dataset"]
    try:
        model = f"`{(of.model or of.run).digest}`"
    except InputError:
        model = "not known, as the weights are not there"
    weights = origin.get("weights_digest")
    begun = "none, as it began with random numbers" if of.config.model.weights is None else "not recorded"
    rows = [
        ["licence of the films", plain(found["licence"])],
        ["licence of the weights that it began with", begun],
        ["licence of the trained weights", "not recorded; the terms of the films may bind it"],
        ["images, patients and pixels", _code(origin.get("dataset_digest"), "not known")],
        ["weights that it began with", _code(weights, begun)],
        ["the model: weights, heads and choices", model],
    ]
    versions = ", ".join(f"{name} {version}" for name, version in origin.get("versions", {}).items())
    return [*markdown(["", "licence, or SHA-256"], rows), "", f"Made with: {versions or 'not recorded'}."]
