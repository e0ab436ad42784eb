"""Every finding that is not well has a remedy."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from xmkd_lib import doctor

ROOT = Path(__file__).parents[1]


def by_name(findings):
    return {finding.what: finding for finding in findings}


def needed(lines):
    return {line.partition(">")[0].strip() for line in lines if line[:1].isalpha()}


@pytest.fixture
def without(monkeypatch):
    def hide(*names):
        found = importlib.metadata.version

        def version(name):
            if name in names:
                raise importlib.metadata.PackageNotFoundError(name)
            return found(name)

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(doctor, "version", version)

    return hide


def test_here_all_that_is_required_is_well(tmp_path, monkeypatch):
    monkeypatch.setenv("XMKD_CACHE", str(tmp_path / "new" / "cache"))
    findings = by_name(doctor.examine())
    assert all(finding.ok for finding in findings.values() if finding.required)
    assert all(finding.ok or finding.remedy for finding in findings.values())
    assert findings["torch"].found == importlib.metadata.version("torch")
    assert findings["cache"].found == str(tmp_path / "new" / "cache")
    assert {"python", "device", "log-mel", "data: fsdd", "data: mnist"} <= set(findings)


def test_a_missing_package_has_a_remedy(without):
    without("safetensors", "papermill")
    findings = by_name(doctor.examine())
    for name, required in (("safetensors", True), ("papermill", False)):
        assert findings[name].found == "not installed"
        assert not findings[name].ok
        assert findings[name].required is required
        assert "requirements.txt" in findings[name].remedy
    assert findings["torch"].ok


def test_it_looks_at_all_that_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(doctor.REQUIRED) == needed(project["dependencies"])
    assert set(doctor.FOR_NOTEBOOKS) <= needed((ROOT / "requirements.txt").read_text().splitlines())


def test_a_cache_that_cannot_be_written_has_a_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("XMKD_CACHE", str(bad))
        finding = by_name(doctor.examine())["cache"]
        assert not finding.ok
        assert "XMKD_CACHE" in finding.remedy


def test_missing_data_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.sources, "folders", lambda: [tmp_path])
    finding = by_name(doctor.examine())["data: fsdd"]
    assert (finding.ok, finding.required) == (False, False)
    assert "https://" in finding.remedy
    assert str(tmp_path) in finding.remedy


def test_a_broken_torchaudio_is_reported(monkeypatch):
    import xmkd_lib.modalities

    def broken():
        raise OSError("libc10_cuda.so is missing")

    monkeypatch.setattr(xmkd_lib.modalities, "LogMel", broken)
    finding = by_name(doctor.examine())["log-mel"]
    assert not finding.ok
    assert "libc10_cuda.so" in finding.found
    assert "torchaudio" in finding.remedy
