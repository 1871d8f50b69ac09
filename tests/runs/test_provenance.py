"""The commit of a run is that of its code, whoever owns the checkout."""

import subprocess

import pytest

from mammo.runs import provenance

commit = getattr(provenance.git_commit, "__wrapped__", provenance.git_commit)  # other tests ask once for all


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "mammo" / "runs").mkdir(parents=True)
    code = tmp_path / "mammo" / "runs" / "provenance.py"
    code.touch()
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(provenance, "__file__", str(code))
    return tmp_path


def test_another_users_checkout_tells_its_commit_and_whether_it_has_changed(checkout, monkeypatch):
    mine = commit()
    assert mine and len(mine) == 40
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    words = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    assert subprocess.run(words, check=False, capture_output=True).returncode
    assert commit() == mine
    (checkout / "mammo" / "runs" / "provenance.py").write_text("# changed")
    assert commit() == f"{mine}-changed"


def test_a_package_that_is_installed_inside_another_checkout_has_no_commit(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(checkout / "lib" / "mammo" / "runs" / "provenance.py"))
    assert commit() is None


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit() is None
