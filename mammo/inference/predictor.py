"""Apply a trained run to a new film: with its cutting, network and head, and notes of what is assumed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax

from mammo.datasets.film import Film, read_film
from mammo.datasets.findings import findings_table
from mammo.errors import InputError
from mammo.evaluation.aggregate import any_positive, none_positive
from mammo.evaluation.operating_point import Operating
from mammo.models.heads import FittedHead
from mammo.models.network import Network
from mammo.preprocessing.augment import Augment
from mammo.preprocessing.crops import build_crop
from mammo.preprocessing.cutting import Cutter
from mammo.preprocessing.flips import FLIPS, flipped
from mammo.preprocessing.squares import Square
from mammo.run_folder import RunFolder
from mammo.training.frozen import BLOCK

Point = tuple[float, float]


@dataclass(frozen=True)
class Prediction:
    """The answer for one film.

    Attributes:
        head: The head that gave it.
        probabilities: The probability of each class by its name.
        score: The score of the positive class of two, as in the predictions table; None for several classes.
        threshold: The score above which a film is called positive, from validation; None if none was chosen.
        notes: Each assumption about the film, one line each.
        windows: One row per window: its centre `x_px, y_px` and side `size_px` on the film, and its score and
            probabilities.
    """

    head: str
    probabilities: dict[str, float]
    score: float | None
    threshold: float | None
    notes: tuple[str, ...] = ()
    windows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    @property
    def called(self) -> str:
        """The class that the threshold gives, or the most probable class if there is no threshold."""
        names = list(self.probabilities)
        if self.threshold is not None and self.score is not None:
            return names[int(self.score > self.threshold)]
        return max(names, key=self.probabilities.__getitem__)

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.probabilities.items())
        decided = ""
        if self.threshold is not None and self.score is not None:
            where = "above" if self.score > self.threshold else "not above"
            decided = f"The score {self.score:.3g} is {where} the threshold {self.threshold:.3g} that validation chose."
        return "\n".join(
            [f"{self.called} ({self.head}: {shown})", *filter(None, [decided]), *self.notes, "Not for diagnostic use."]
        )


class Predictor:
    """A network and one head of a run; call it with a film.

    Args:
        run: A finished run.
        head: One of its heads, or `softmax` for the network's own output.

    Raises:
        InputError: The run has no such head, or its crop cannot be made of a film without findings.
    """

    def __init__(self, run: RunFolder, head: str = "softmax") -> None:
        if run.config.task.kind == "detection":
            raise InputError(
                f"{run.path} is a detector, which has no predictor yet; use mammo test on a table of films"
            )
        known = ["softmax", *run.selection["heads"]]
        if head not in known:
            raise InputError(f"{run.path} has no head {head}; it has {', '.join(known)}")
        self.run, self.head = run, head
        self.config, self.classes = run.config, list(run.provenance["classes"])
        self.crop = build_crop(self.config.crop)
        if not hasattr(self.crop, "look"):
            raise InputError(f"crop={self.config.crop.name} cannot cut a new film; give it a method `look`")
        units = run.numbers.get("by_image", run.numbers) if run.crop["several_per_image"] else run.numbers
        self.operating = Operating(**units["operating"].get(head, {}))  # of images, where several windows make one
        spacings = run.samples["spacing_mm"].dropna().unique()
        self.spacing_mm = float(spacings[0]) if len(spacings) == 1 else None

    @cached_property
    def network(self) -> Network:
        """The network with the weights of the chosen epoch."""
        return self.run.network()

    @cached_property
    def trained_windowed(self) -> bool:
        """True if a window or VOI table was applied to each film of the run."""
        notes = self.run.films["notes"].fillna("")
        return bool(len(notes)) and all(windowed(one.split("; ")) for one in notes)

    @cached_property
    def fitted(self) -> FittedHead:
        """The scikit-learn head."""
        return self.run.heads()[self.head]

    def read(self, path: Path | str) -> Film:
        """Read a film as the run read its own: with the window of DICOM files that `data.voi` says.

        Raises:
            UnreadableFilm: The file cannot be used as a film.
        """
        return read_film(path, self.config.data.voi)

    def window_note(self, film: Film) -> str | None:
        """Return a note if the film was read with another window than the films of the run; None if it was not."""
        if self.config.data.voi == "none" and windowed(film.notes):
            return "The film was read with its window, those of the run without one (data.voi=none); read it by `read`."
        if self.trained_windowed and not windowed(film.notes):
            return "No window was applied to this film, but one was to each film of the run."
        return None

    def __call__(self, film: Film, *, at: Point | None = None) -> Prediction:
        """Return the answer for a film.

        Args:
            film: A film, as `read` returns it.
            at: A point x, y in pixels of the film, from the top left, for a run on lesion windows. None: such a run
                looks at windows all over the breast, and the most alarming one counts.

        Raises:
            InputError: The crop needs millimetres but the film gives no pixel size, or there is no breast.
        """
        notes, spacing = list(film.notes), film.spacing_mm
        notes += filter(None, [self.window_note(film)])
        if spacing is None and self.spacing_mm is not None:
            spacing = self.spacing_mm
            notes.append(f"The film does not give the size of a pixel; {spacing} mm is assumed, as in training.")
        laterality = film.laterality
        row = {"dataset": "film", "image_id": "film", "finding_id": 0, "path": "film", "patient": "film"}
        rows = findings_table(pd.DataFrame([row | {"laterality": laterality, "spacing_mm": spacing}]))
        asks, said = self.crop.look(rows.iloc[0], at)  # type: ignore[attr-defined]
        notes += [said] if said else []
        cutter = Cutter(
            lambda _: film,
            shown=self.config.model.image_size,
            margin=Augment(self.config.augment).margin,
            bits=self.config.crop.bits,
        )
        cut, windows = cutter(pd.concat([rows] * len(asks)), asks), self.config.crop.windows
        shown: list[tuple[Square, ...]] = [(one,) for of in cut for one in of]
        if windows > 1:
            shown = list(zip(*cut, strict=True))
        squares = [one for one, *_ in shown]  # of several windows around one centre, the largest
        if not squares:
            raise InputError("no window can be cut from this film; name a point on the breast")
        score, probabilities = self._answers(shown, cutter)
        windows = pd.DataFrame([{key: one.numbers[key] for key in ("x_px", "y_px", "size_px")} for one in squares])
        windows = windows.assign(score=score) if score is not None else windows
        windows = windows.assign(**{f"p_{name}": probabilities[:, i] for i, name in enumerate(self.classes)})
        most = self.config.aggregate == "max" or bool(said)
        if most and len(squares) > 1:
            alarm = score if score is not None else -probabilities[:, 0]
            chosen = slice(int(np.argmax(alarm)), int(np.argmax(alarm)) + 1)
        else:
            chosen = slice(None)
        means, ranked = probabilities[chosen].mean(axis=0, keepdims=True), None if score is None else score[chosen]
        if self.config.aggregate == "noisy_or" and self.run.crop["several_per_image"]:
            found = any_positive(none_positive(*probabilities.T).sum(keepdims=True))
            means, ranked = found[:, 1:], found[:, 0]
        means = self.operating.calibrated(means)[0]
        return Prediction(
            self.head,
            dict(zip(self.classes, map(float, means), strict=True)),
            None if ranked is None else float(ranked.mean()),
            None if said else self.operating.threshold,  # chosen for one window, not for the most alarming of many
            tuple(notes),
            windows,
        )

    def _answers(self, samples: list[tuple[Square, ...]], cutter: Cutter) -> tuple[np.ndarray | None, np.ndarray]:
        """Return (N,) scores of the positive class, None for several classes, and (N, classes) probabilities.

        Args:
            samples: The squares of each sample: one, or those of its windows.
            cutter: The cutter that made them.
        """
        inset, flips = (cutter.stored - cutter.shown) // 2, range(FLIPS[self.config.model.flips])
        inside = (slice(inset, inset + cutter.shown),) * 2
        shown = [
            np.stack([flipped(one.pixels[inside], flip) for flip in flips for one in squares]) for squares in samples
        ]
        count = max(BLOCK // len(shown[0]), 1)  # batches as in training
        shown += shown[-1:] * (-len(shown) % count)
        low = self.run.provenance["precision"] == "bf16-mixed"
        logits, features = [], []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            for start in range(0, len(shown), count):
                pixels = torch.from_numpy(np.concatenate(shown[start : start + count])[:, None])
                found = self.network.features(pixels, count)
                features.append(found.float().numpy())
                logits.append(self.network.head(found).float().numpy())
        x, z = (np.concatenate(one)[: len(samples)] for one in (features, logits))
        if self.head != "softmax":
            return self.fitted.score(x), self.fitted.probabilities(x)
        margin = z[:, 1] - z[:, 0] if len(self.classes) == 2 else None
        return margin, softmax(z.astype(np.float64), axis=1)


def windowed(notes: Iterable[str]) -> bool:
    """Tell from the notes of a film if a window or VOI table of its file was applied."""
    return any(note.startswith(("window ", "VOI table")) and "applied" in note for note in notes)
