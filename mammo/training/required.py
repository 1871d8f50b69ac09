"""Requirements of a run: which classes and how many samples each part must have."""

import pandas as pd

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.preprocessing.augment import Augment
from mammo.preprocessing.mask_files import sizes_of
from mammo.wording import number_of

FEW = 3  # fewer patients cannot be dealt to training, validation and test


def check_parts(rows: pd.DataFrame, config: Config, labels: Labels, split: pd.DataFrame, augment: Augment) -> None:
    """Require every class in every part of `rows` (`image_id`, `label`), and a training part that fills a batch."""
    rows = rows[["image_id", "label"]].reset_index().merge(split, on="image_id")
    parts = [part for part in PARTS if (split["split"] == part).any()]
    for required in ("train", "test"):
        if required not in parts:
            if config.split.name == "patient" and (patients := split["patient"].nunique()) < FEW:
                raise InputError(
                    f"the {required} part has no image, as the images are of {number_of(patients, 'patient')}; "
                    "use more patients, or mend the column of the patient"
                )
            raise InputError(f"the {required} part has no image; {_more(config, 'change split.shares')}")
    for part in parts:
        if missing := set(labels.classes) - set(rows.loc[rows["split"] == part, "label"]):
            raise InputError(
                f"the {part} part has no sample of class {', '.join(sorted(missing))}; "
                f"{_more(config, 'use more images, another seed or other shares')}"
            )
    least, counts = augment.method.least, rows[rows["split"] == "train"].groupby("label")["index"].nunique()
    if counts.min() < least:
        raise InputError(
            f"augment.method={config.augment.method} needs {least} training samples of each class, "
            f"but {counts.idxmin()} has {counts.min()}; use augment.method=geometric"
        )
    copies = 0 if "copy" in rows else augment.offline_copies
    train = int(((rows["split"] == "train") & rows["label"].notna()).sum()) * (1 + copies)
    if (batch := config.data.batch_size) > train and config.task.kind != "detection":  # whose batches hold places
        raise InputError(
            f"data.batch_size is {batch}, but the training part has {number_of(train, 'sample')}; use {train} or fewer"
        )


def check_masks(findings: pd.DataFrame, films: pd.DataFrame, config: Config) -> None:
    """Refuse a mask of another size than its film, whose pixels would lie elsewhere, where places are taken from it.

    Args:
        findings: A findings table.
        films: `image_id, height, width` of the films.
        config: The settings of the run. A detector learns the shape of each mask; windows of lesions read one only
            where there is no other place. Regions of such masks are left out.

    Raises:
        InputError: A mask has another size; the line names the image.
    """
    masks = findings.dropna(subset="mask_path")
    if config.task.kind != "detection":
        if config.crop.name not in ("lesion", "scaled_lesion", "grid"):
            return
        masks = masks[masks.reindex(columns=["x_px", "x0_px", "contour_px"]).isna().all(axis=1)]
    sizes = dict(zip(films["image_id"], zip(films["height"], films["width"], strict=True), strict=True))
    for image, path, size in zip(masks["image_id"], masks["mask_path"], sizes_of(masks["mask_path"]), strict=True):
        if size is not None and (film := sizes.get(image, size)) != size:
            raise InputError(
                f"image {image}: the mask {path} has {size[1]} x {size[0]} pixels, and its film {film[1]} x {film[0]}; "
                "write masks of the size of their films"
            )


def _more(config: Config, dealt: str) -> str:
    """Return what gives a part more images: `dealt` if the parts are dealt, not given."""
    given = {
        "table": f"give it some in split.table={config.split.table}, or use split=patient",
        "official": "use split=patient, which does not take the split of the data set",
    }
    return given.get(config.split.name, dealt)
