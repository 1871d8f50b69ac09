"""Pictures that are no mammograms: what installed packages ship, and drawings, each in several variants.

scikit-image is used if it is installed; it is no requirement of this package.
"""

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

SIDE = 1024  # of drawings, and of the film that a picture is laid on
Picture = tuple[str, str, np.ndarray]  # group, name, (height, width) uint8 or uint16


def others(seed: int = 0) -> Iterator[Picture]:
    """Yield pictures that are no mammograms.

    Args:
        seed: The seed of crops and drawings.
    """
    draw = np.random.default_rng(seed)
    for group, name, pixels in _shipped():
        for how, variant in _variants(pixels, draw):
            yield group, f"{name} {how}", variant
    for name, pixels in _digits():
        yield "digits and faces", name, pixels
    for number in range(40):
        yield "text", f"text {number}", _text(draw, number)
    for number in range(90):
        yield "noise and patterns", f"pattern {number}", _pattern(draw, number)
    for number in range(60):
        yield "shapes at the film's edge", f"shape {number}", _shape(draw, number)
    for number in range(60):
        yield "drawn X-rays of other parts", f"part {number}", (_chest, _hand, _knee)[number % 3](draw)


def dicom_files() -> list[Path]:
    """Return the DICOM files that pydicom ships: CT, MR, ultrasound, dose, captures and damaged ones."""
    from pydicom.data import DATA_ROOT

    return sorted(Path(DATA_ROOT, "test_files").glob("*.dcm"))


def _shipped() -> Iterator[Picture]:
    """Yield the pictures of packages in grey."""
    found: dict[str, list[Path]] = {}
    for package, folder in (
        ("sklearn", "datasets/images"),
        ("matplotlib", "mpl-data/sample_data"),
        ("skimage", "data"),
    ):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            inside = Path(spec.origin).parent / folder
            found[package] = sorted(path for path in inside.glob("*") if path.suffix in (".png", ".jpg", ".tif"))
    for package, paths in found.items():
        for path in paths:
            pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if pixels is not None and min(pixels.shape) >= 64:
                yield "photographs and micrographs", f"{package} {path.stem}", pixels
    for path in (Path(find_spec("matplotlib").origin).parent / "mpl-data/sample_data").glob("s1045*"):  # type: ignore[union-attr,arg-type]
        head = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint16).reshape(256, 256)
        yield "slices of CT and MR", "matplotlib head", (head / max(int(head.max()), 1) * 255).astype(np.uint8)
    for path in dicom_files():
        if (slice_ := _slice(path)) is not None:
            yield "slices of CT and MR", f"pydicom {path.stem}", slice_


def _slice(path: Path) -> np.ndarray | None:
    """Return the first frame of a CT, MR or NM file in 8 bits; None of other files and damaged ones."""
    import pydicom

    try:
        file = pydicom.dcmread(path)
        frame = np.asarray(file.pixel_array, np.float64) if file.get("Modality") in ("CT", "MR", "NM", "CR") else None
    except Exception:  # many of these files are damaged on purpose
        return None
    if frame is None:
        return None
    frame = frame[0] if frame.ndim == 3 else frame
    low, high = np.percentile(frame, [0.5, 99.5])
    return (np.clip((frame - low) / max(high - low, 1), 0, 1) * 255).astype(np.uint8) if frame.ndim == 2 else None


def _variants(pixels: np.ndarray, draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a picture as it is, inverted, cropped, scaled and darkened to the edges, and on a black film."""
    height, width = pixels.shape
    yield "whole", pixels
    yield "inverted", 255 - pixels
    share = draw.uniform(0.4, 0.8)
    top, left = (int(draw.uniform(0, (1 - share) * side)) for side in (height, width))
    crop = pixels[top : top + int(share * height), left : left + int(share * width)]
    yield "cropped", crop
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    dark = np.clip(1.6 - 2 * np.hypot(down - 0.5, across - draw.choice([0.0, 0.5])), 0, 1)
    large = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    yield "darkened to the edges", (large * dark).astype(np.uint8)
    film = np.zeros((SIDE, SIDE), np.uint8)
    film[SIDE // 6 : SIDE * 5 // 6, : SIDE // 2] = cv2.resize(pixels, (SIDE // 2, SIDE * 5 // 6 - SIDE // 6))
    yield "on a black film", film
    breast = (((down - 0.5) / 0.4) ** 2 + (across / 0.5) ** 2) < 1
    yield "in the outline of a breast", (large * breast).astype(np.uint8)


def _digits() -> Iterator[tuple[str, np.ndarray]]:
    """Yield scanned digits of scikit-learn, and faces of scikit-image, enlarged."""
    spec = find_spec("sklearn")
    digits = None if spec is None or spec.origin is None else Path(spec.origin).parent / "datasets/data/digits.csv.gz"
    if digits is not None and digits.is_file():
        for number, one in enumerate(np.loadtxt(digits, delimiter=",", max_rows=40)[:, :64]):
            small = (one.reshape(8, 8) * 15.9).astype(np.uint8)
            yield f"digit {number}", cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC)
    spec = find_spec("skimage")
    faces = None if spec is None or spec.origin is None else Path(spec.origin).parent / "data/lfw_subset.npy"
    if faces is not None and faces.is_file():
        for number, one in enumerate(np.load(faces, allow_pickle=False)[:20]):
            yield f"face {number}", cv2.resize((one * 255).astype(np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)


def _text(draw: np.random.Generator, number: int) -> np.ndarray:
    """Return a page of words, black on white or white on black."""
    page = np.zeros((SIDE, SIDE * 3 // 4), np.uint8)
    size = draw.uniform(0.6, 3)
    for y in range(60, SIDE - 20, int(40 * size)):
        word = "".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz   ")) for _ in range(int(40 / size)))
        cv2.putText(page, word, (30, y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(int(2 * size), 1), cv2.LINE_AA)
    return page if number % 2 else 255 - page


def _pattern(draw: np.random.Generator, number: int) -> np.ndarray:
    """Return noise of some grain, a gradient, stripes, rings or a checkerboard."""
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    turn, period = draw.uniform(0, np.pi), draw.uniform(0.02, 0.4)
    along = down * np.sin(turn) + across * np.cos(turn)
    kinds = [
        lambda: cv2.GaussianBlur(draw.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), draw.uniform(0.5, 60)),
        lambda: along,
        lambda: np.sin(2 * np.pi * along / period),
        lambda: np.sin(2 * np.pi * np.hypot(down - 0.5, across - draw.uniform(0, 0.5)) / period),
        lambda: np.sign(np.sin(np.pi * down / period) * np.sin(np.pi * across / period)) + along * draw.choice([0, 1]),
        lambda: np.exp(-((down - 0.5) ** 2 + across**2) / period),
    ]
    found = kinds[number % len(kinds)]()
    return ((found - found.min()) / max(float(np.ptp(found)), 1e-6) * 255).astype(np.uint8)


def _shape(draw: np.random.Generator, number: int) -> np.ndarray:
    """Return a half ellipse, box or triangle at the film's edge, even or with noise in it."""
    down, across = np.mgrid[:SIDE, :SIDE] / SIDE
    tall, deep = draw.uniform(0.2, 0.45), draw.uniform(0.3, 0.8)
    off = np.abs(down - 0.5) / tall
    inside = [off**2 + (across / deep) ** 2 < 1, (off < 1) & (across < deep), off + across / deep < 1][number % 3]
    grain = cv2.GaussianBlur(draw.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), draw.uniform(1, 30))
    grey = 150 + (number // 3 % 2) * 40 * grain / grain.std()
    return np.clip(inside * grey, 0, 255).astype(np.uint8)


def _soft(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return a drawing blurred and with the grain of a film."""
    blurred = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), draw.uniform(2, 8))
    return np.clip(blurred + draw.normal(0, 4, pixels.shape) * (blurred > 8), 0, 255).astype(np.uint8)


def _chest(draw: np.random.Generator) -> np.ndarray:
    """Return a chest: bright body, dark lungs, a spine, ribs and a heart."""
    film, middle = np.zeros((SIDE, SIDE), np.uint8), SIDE // 2
    cv2.ellipse(film, (middle, 600), (int(draw.uniform(400, 490)), 560), 0, 0, 360, 150, -1)
    for side in (-1, 1):
        lung = (middle + side * 190, int(draw.uniform(480, 560)))
        cv2.ellipse(film, lung, (int(draw.uniform(110, 150)), int(draw.uniform(260, 330))), side * 6, 0, 360, 50, -1)
        for y in range(260, 860, 75):
            cv2.ellipse(film, (middle + side * 190, y + 60), (150, 60), 0, 180, 360, 95, 14)
    cv2.rectangle(film, (middle - 35, 0), (middle + 35, SIDE), 190, -1)
    cv2.ellipse(film, (middle + 60, 680), (150, 120), 30, 0, 360, 185, -1)
    return _soft(film, draw)


def _hand(draw: np.random.Generator) -> np.ndarray:
    """Return a hand: soft tissue with bones, on a dark ground."""
    film = np.zeros((SIDE, SIDE * 3 // 4), np.uint8)
    across = film.shape[1]
    for grey, wide in ((90, 1.0), (200, 0.45)):
        cv2.ellipse(film, (across // 2, 700), (int(200 * wide), int(190 * wide)), 0, 0, 360, grey, -1)
        cv2.line(film, (across // 2, 720), (across // 2, SIDE), grey, int(190 * wide))
        for number, lean in enumerate((-190, -80, 20, 120, 260)):
            tip = across // 2 + lean, int(draw.uniform(100, 220) + (260 if number == 4 else 0))
            cv2.line(film, (across // 2 + lean // 2, 640), tip, grey, int(70 * wide))
    return _soft(film, draw)


def _knee(draw: np.random.Generator) -> np.ndarray:
    """Return a limb with two bones that meet in a joint, on a dark ground."""
    film = np.zeros((SIDE, SIDE * 3 // 4), np.uint8)
    middle, wide = film.shape[1] // 2 + int(draw.uniform(-80, 80)), int(draw.uniform(220, 420))
    cv2.line(film, (middle, 0), (middle, SIDE), 100, wide)
    for start, end in ((0, 480), (540, SIDE)):
        cv2.line(film, (middle, start), (middle, end), 190, wide // 3)
        cv2.ellipse(film, (middle, 470 if start == 0 else 550), (wide // 3, 60), 0, 0, 360, 200, -1)
    return _soft(film, draw)
