"""The lesion windows of a detector's test films: how hot their centres are, and how bright, without any fit to them."""

import logging

import numpy as np
import pandas as pd

from mammo.config import Config
from mammo.crop_config import CropConfig
from mammo.errors import InputError
from mammo.evaluation.lesion_windows import BRIGHTNESS, DRAWINGS, HEAT
from mammo.evaluation.predictions import COLUMNS
from mammo.preprocessing.crop_table import cut_samples
from mammo.preprocessing.crops import build_crop
from mammo.run_folder import RunFolder
from mammo.training.cutter import cutter_of
from mammo.training.marks import HeatMaps
from mammo.training.prepare import Prepared

log = logging.getLogger(__name__)

POINT = ["x_px", "y_px"]


def write(run: RunFolder, config: Config, prepared: Prepared, heat: HeatMaps) -> None:
    """Write `windows.csv`; if no window can be cut, leave it out and say why in the log."""
    try:
        windows = lesion_windows(config, prepared, heat)
    except InputError as error:
        log.info("note   windows.csv is left out: %s", error)
        windows = None
    run.write_windows(windows)


def lesion_windows(config: Config, prepared: Prepared, heat: HeatMaps) -> pd.DataFrame:
    """Return a row for each head and each window of the test films.

    The score of `detector_heat` is that of the place which is nearest to the window's centre, and the score of
    `brightness` is the window's `contrast`. Each is given for the windows as they are drawn, and for those that are
    re-centred on the brightest blob.

    Returns:
        The columns of the predictions table as far as `score`, and `x_px, y_px`, the centre in pixels of the film.

    Raises:
        InputError: No window can be cut.
    """
    tables = []
    for drawing, recentre in DRAWINGS.items():
        windows = windows_of(config, prepared, recentre=recentre)
        scores = {HEAT: _nearest(windows, prepared, heat), BRIGHTNESS: windows["contrast"].to_numpy()}
        tables += [windows.assign(head=f"{name}_{drawing}", score=score) for name, score in scores.items()]
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(copy=0, fold="" if config.data.fold is None else config.data.fold, seed=config.seed)
    table["score"] = [f"{value:.9g}" for value in table["score"].astype(np.float32)]
    return table[[*COLUMNS, "score", *POINT]].round(dict.fromkeys(POINT, 2))


def windows_of(config: Config, prepared: Prepared, *, recentre: bool) -> pd.DataFrame:
    """Return the samples that `crop=lesion` cuts of the test films under the same seed and split.

    Args:
        config: The settings of the run.
        prepared: Its samples, which are whole films.
        recentre: True moves each window to the brightest blob near its point.

    Raises:
        InputError: No window can be cut.
    """
    parts = prepared.split.set_index("image_id")["split"]
    rows = prepared.findings.assign(split=prepared.findings["image_id"].map(parts))
    tested = prepared.rows().query("split == 'test'")["image_id"]
    placing = (rows["severity"] != "normal").fillna(True)  # lesions of other parts say where backgrounds lie
    crops = cut_samples(
        build_crop(CropConfig(name="lesion", recentre=recentre)),
        rows[rows["image_id"].isin(tested) | placing],
        cutter_of(prepared.dataset, config),
        prepared.labels,
        seed=config.seed,
    )
    windows = crops.table[crops.table["image_id"].isin(tested)].reset_index(drop=True)
    if windows.empty:
        raise InputError("no film of the test part gives a window of a lesion or of normal tissue")
    return windows


def _nearest(windows: pd.DataFrame, prepared: Prepared, heat: HeatMaps) -> np.ndarray:
    """Return the detector's heat (windows,) at the place that is nearest to the centre of each window."""
    films = {image: film for film, image in enumerate(prepared.rows()["image_id"])}
    values, points = heat.heats["detector"], heat.points
    found = []
    for image, *centre in windows[["image_id", *POINT]].itertuples(index=False):
        film = films[image]
        found.append(values[film][np.hypot(*(points[film] - centre).T).argmin()])
    return np.array(found)
