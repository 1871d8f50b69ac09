"""What all tests share: a home of their own, and the real films where there are any."""

import os
import shutil
from pathlib import Path

import pytest

from mammo.data.download import extract
from mammo.data.mias import MIAS, expected_member
from mammo.data.phantom import Phantom

SHARED_ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "all-mias.tar.gz"
ARCHIVE = Path(os.environ.get("MAMMO_MIAS_ARCHIVE") or SHARED_ARCHIVE)  # noted before the fixture below hides it


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MAMMO_MIAS_ARCHIVE", raising=False)
        yield


@pytest.fixture(scope="session")
def mias(tmp_path_factory):
    """The real films, unpacked once."""
    if not ARCHIVE.is_file():
        pytest.skip(f"no mini-MIAS archive at {ARCHIVE}; name one by MAMMO_MIAS_ARCHIVE")
    root = tmp_path_factory.mktemp("films") / "mias"
    extract(ARCHIVE, root, expected=expected_member)
    yield MIAS(root=str(root))
    shutil.rmtree(root)  # pytest would keep 340 MB of each of its last runs


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """Sixteen women who do not exist, drawn once."""
    dataset = Phantom(root=str(tmp_path_factory.mktemp("films") / "phantom"), women=16)
    dataset.prepare()
    return dataset
