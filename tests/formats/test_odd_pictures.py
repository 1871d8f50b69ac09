"""Pictures that few programs write: with two orientations, an old header, a wrong white, or words in their chunks."""

import struct
import zlib

import numpy as np
import pytest

from mammo.datasets.film import read_film
from mammo.errors import UnreadableFilm
from mammo.formats import pictures
from tests.formats.rare_ways import exif
from tests.formats.ways import X8, X, picture


def blocks_of(kind, *blocks):
    """A picture with these blocks of EXIF."""
    if kind == "jpg":
        data = picture("jpg", X8)
        parts = [b"\xff\xe1" + struct.pack(">H", len(one) + 8) + b"Exif\0\0" + one for one in blocks]
        return data[:2] + b"".join(parts) + data[2:]
    return chunks(*((b"eXIf", one) for one in blocks))


def chunks(*parts):
    """A PNG with these chunks after its header."""
    data = picture("png", X8)
    written = [
        struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text)) for kind, text in parts
    ]
    return data[:33] + b"".join(written) + data[33:]


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_the_first_of_two_orientations_counts(kind):
    plain = read_film(blocks_of(kind)).pixels
    seen = {1: plain, 9: plain, 3: np.rot90(plain, 2), 6: np.rot90(plain, -1)}
    for first, second in ((6, 1), (1, 6), (6, 3), (3, 8), (9, 6)):
        found = read_film(blocks_of(kind, exif(first, "<"), exif(second, ">")))
        assert np.array_equal(found.pixels, seen[first])
        assert ("turned" in " ".join(found.notes)) == (first in (3, 6))
    assert np.array_equal(read_film(blocks_of(kind, b"damaged" * 3, exif(6, "<"))).pixels, seen[6])


def test_a_bitmap_with_the_old_header_is_read():
    palette = bytes(level for level in range(256) for _ in range(3))
    head = struct.pack("<IHHIIHHHH", 26 + len(palette) + X8.size, 0, 0, 26 + len(palette), 12, 160, 200, 1, 8)
    content = b"BM" + head + palette + X8[::-1].tobytes()
    assert np.array_equal(read_film(content).pixels, X8)
    with pytest.raises(UnreadableFilm, match="early"):
        read_film(content[:-200])


def test_a_pgm_whose_white_is_too_large_says_so():
    with pytest.raises(UnreadableFilm, match="white is 70000"):
        read_film(b"P5 160 200 70000\n" + X.tobytes())


@pytest.mark.parametrize("name", [b"Doe Jane", b"x\nDoe Jane", b"': x\nDoe': Jane", b"\xff\0"])
def test_no_word_of_a_picture_reaches_the_terminal(capfd, name):
    profile = struct.pack(">I", 200) + b"Doe " * 49
    damaged = chunks((b"iCCP", name + b"\0\0" + zlib.compress(profile)), (b"zTXt", b"Doe\0\0Jane"), (b"eXIf", b"Doe"))
    assert np.array_equal(read_film(damaged).pixels, X8)
    with pytest.raises(UnreadableFilm):
        pictures.read(chunks((b"DOEX", b"Jane")))
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")
