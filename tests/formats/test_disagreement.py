"""Films whose tags disagree with their pixels: read as the pixels say with a note, or refused with the true reason."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from mammo.datasets.film import read_film
from mammo.errors import UnreadableFilm
from mammo.formats.header import read_header
from tests.formats.ways import IDENTITY, J2K, LS, X10, X, dicom, encode_ls, j2k, lut, packed, rle, signed

EDGE = np.arange(200)[:, None] < 20  # the rows that are padding


def grey(content):
    return read_film(content).grey()


def notes(content):
    return " ".join(read_film(content).notes)


@pytest.mark.parametrize(("depth", "entries"), [(8, IDENTITY), (10, IDENTITY), (14, np.rint(IDENTITY * 65535 / 4095))])
def test_a_voi_table_of_more_bits_than_it_states_is_read_with_a_note(depth, entries):
    content = dicom(X, **lut("VOILUTSequence", entries, depth=depth))
    assert np.abs(grey(content) - X / 4095).max() < 1e-4
    assert f"states {depth} bits" in notes(content) and f"states {depth} bits" in " ".join(read_header(content).notes)


def test_a_voi_table_whose_white_is_rounded_up_keeps_its_levels():
    found = read_film(dicom(X, **lut("VOILUTSequence", np.where(IDENTITY > 3000, 4096, IDENTITY), depth=12)))
    assert np.array_equal(found.pixels, np.where(X > 3000, 4095, X)) and found.max_level == 4095


@pytest.mark.parametrize("value", [0xFFFF, 0xF000])
def test_padding_that_the_stored_bits_cannot_hold_is_background_and_white_stays_white(value):
    white = np.where(X > 2500, 4095, X)
    found = read_film(dicom(np.where(EDGE, value, white), PixelPaddingValue=value))
    assert np.array_equal(found.pixels, np.where(EDGE, 0, white)) and "BitsStored" not in " ".join(found.notes)
    assert found.max_level == 4095
    inverse = dicom(
        np.where(EDGE, value, 4095 - white), PixelPaddingValue=value, PhotometricInterpretation="MONOCHROME1"
    )
    assert np.array_equal(read_film(inverse).pixels, found.pixels)
    unused = dicom(white, PixelPaddingValue=value)
    assert np.array_equal(read_film(unused).pixels, white)


@pytest.mark.parametrize("value", [-32768, -2049, -30000])
def test_padding_below_signed_values_is_background_and_the_middle_stays_grey(value):
    stored = np.where(EDGE, value & 0xFFFF, signed(X))
    found = read_film(dicom(stored, PixelRepresentation=1, PixelPaddingValue=value))
    assert np.array_equal(found.pixels, np.where(EDGE, 0, X)) and found.max_level == 4095


def test_padding_in_a_range_that_ends_above_the_stored_bits_is_background_as_a_whole():
    stored = np.where(EDGE, np.where(X % 2, 4095, 0x1234), X)
    content = dicom(stored, PixelPaddingValue=4095, PixelPaddingRangeLimit=0xFFFF)
    assert np.array_equal(read_film(content).pixels, np.where(EDGE, 0, X))


SIGNED = j2k(X.astype(np.int16) - 2048)


def test_a_signed_codestream_decides_where_the_tag_says_unsigned():
    content = packed(SIGNED)
    assert np.array_equal(read_film(content).pixels, X) and "read as signed" in notes(content)


def test_bits_that_were_called_signed_by_mistake_stay_unsigned():
    """The encoder took the bits of unsigned values for two's complement; the picture tells."""
    wrong = np.where(X >= 2048, X.astype(np.int16) - 4096, X).astype(np.int16)
    content = packed(j2k(wrong))
    assert np.array_equal(read_film(content).pixels, X) and "read as unsigned" in notes(content)


@pytest.mark.parametrize("content", [
    dicom(X, 10), packed(bytes(encode_ls(X)), 10, LS), packed(j2k(X), 10), rle(X, 10),
    dicom((X.astype(int) - 2048) & 0xFFFF, 11, PixelRepresentation=1),
    dicom(np.where(EDGE, 0xFFFF, X), 10, PixelPaddingValue=0xFFFF),
])  # fmt: skip
def test_a_film_of_more_bits_than_it_states_is_refused(content):
    with pytest.raises(UnreadableFilm, match="BitsStored"):
        read_film(content)


def test_an_overlay_that_no_tag_states_and_few_odd_values_are_masked():
    pattern = (np.indices(X.shape).sum(axis=0) // 7 % 2).astype(np.uint16)
    for over in (pattern << 12, pattern << 15, np.full_like(X, 0x1000), (X > 1000).astype(np.uint16) << 12):
        assert np.array_equal(read_film(dicom(X | over)).pixels, X)
    few = X10.copy()
    few[100, :20] = 1024
    assert "BitsStored" in notes(dicom(few, 10))


@pytest.mark.parametrize(("syntax", "one", "other"), [
    (LS, bytes(encode_ls(X)), bytes(encode_ls(4095 - X))), (J2K, j2k(X), j2k(4095 - X)),
])  # fmt: skip
@pytest.mark.parametrize("fragments", [1, 3])
def test_a_second_codestream_is_told(syntax, one, other, fragments):
    content = dicom(X, 12, syntax, encapsulate([one, other], fragments_per_frame=fragments))
    assert np.array_equal(read_film(content).pixels, X) and "2 codestreams" in notes(content)
    assert "codestreams" not in notes(packed(one, syntax=syntax, fragments=fragments))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tags", [
    {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"}, {"RescaleSlope": "-1e306"},
])  # fmt: skip
def test_a_rescaling_beyond_all_numbers_is_refused_by_its_name(tags):
    content = dicom(X, **tags)
    with pytest.raises(UnreadableFilm, match="RescaleSlope"):
        read_film(content)
    assert "RescaleSlope" in read_header(content).refused


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["LINEAR_EXACT", "SIGMOID"])
def test_a_window_narrower_than_all_numbers_says_nothing_on_the_terminal(kind):
    found = read_film(dicom(X, WindowCenter="1000.5", WindowWidth="1e-308", VOILUTFunction=kind))
    assert np.array_equal(found.grey() > 0.5, X > 1000)


@pytest.mark.parametrize("group", [0x6000, 0x601E])
def test_only_an_overlay_within_the_pixels_takes_their_bits(tmp_path, group):
    """Annotations mostly have data of their own, and then padding by bits that are not stored stays background."""
    for position, made, expected in (
        (0, dicom(np.where(EDGE, 0xFFFF, X), PixelPaddingValue=0xFFFF), np.where(EDGE, 0, X)),
        (14, dicom(X | np.uint16(0x4000)), X),
    ):
        told = pydicom.dcmread(BytesIO(made))
        told.add_new(group << 16 | 0x102, "US", position)  # OverlayBitPosition
        told.save_as(tmp_path / "overlay")
        film = read_film(tmp_path / "overlay")
        assert np.array_equal(film.pixels, expected) and not any("BitsStored" in note for note in film.notes)


def test_an_overlay_that_a_tag_states_is_masked_whatever_it_shows(tmp_path):
    told = pydicom.dcmread(BytesIO(dicom(X, 10)))
    told.add_new(0x60000102, "US", 12)  # OverlayBitPosition
    told.save_as(tmp_path / "overlay")
    assert np.array_equal(read_film(tmp_path / "overlay").pixels, X & 1023)
