"""What would be uploaded: source distribution and wheel of each room, what they hold and say of themselves."""

from __future__ import annotations

import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt
from packaging.metadata import Metadata
from trove_classifiers import classifiers

from .conftest import ROOMS, ROOT, distribution, once, uv

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [distribution(room) for room in ROOMS]
LICENSE = (ROOT / "LICENSE").read_bytes()
VERSION = "0.1.0"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build every source distribution, and a wheel of each, as a release does."""

    def build(room: Path) -> None:
        uv(["build", "--quiet", "--no-build-isolation", "--out-dir", folder, room])

    with once(tmp_path_factory, "distributions") as (folder, first):
        if first:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(build, ROOMS))
    return folder


def wheel(folder: Path, name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(folder / f"{name}-{VERSION}-py3-none-any.whl")


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_of_the_source_distribution_is_the_wheel_of_the_tree(name: str, built: Path, wheels: Path) -> None:
    with wheel(built, name) as ours, wheel(wheels, name) as theirs:
        assert {each.filename: each.CRC for each in ours.infolist()} == {
            each.filename: each.CRC for each in theirs.infolist()
        }


@pytest.mark.parametrize("name", NAMES)
def test_it_says_whose_it_is_and_what_it_is_for(name: str, built: Path) -> None:
    with wheel(built, name) as opened:
        metadata = Metadata.from_email(opened.read(f"{name}-{VERSION}.dist-info/METADATA"), validate=True)
        assert opened.read(f"{name}-{VERSION}.dist-info/licenses/LICENSE") == LICENSE
        names = opened.namelist()
    assert metadata.license_expression == "Apache-2.0"
    assert set(metadata.classifiers or ()) <= classifiers
    assert metadata.summary
    assert any(each.endswith("/py.typed") for each in names)
    assert not any("/tests/" in each or each.startswith("tests") for each in names)
    with tarfile.open(built / f"{name}-{VERSION}.tar.gz") as source:
        held = source.getnames()
    assert f"{name}-{VERSION}/LICENSE" in held
    assert not any("node_modules" in each or "__pycache__" in each for each in held)


@pytest.mark.parametrize("name", NAMES)
def test_its_readme_is_shown_by_an_index(name: str, built: Path) -> None:
    with wheel(built, name) as opened:
        metadata = Metadata.from_email(opened.read(f"{name}-{VERSION}.dist-info/METADATA"), validate=True)
    assert metadata.description_content_type == "text/markdown"
    text = metadata.description or ""
    assert text.startswith(f"# {name.replace('_', '-')}\n")
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for link in (each for each in token.children or () if each.type == "link_open"):
            assert str(link.attrGet("href")).startswith("https://"), "an index knows no files beside the README"


def test_the_server_brings_its_page(built: Path) -> None:
    with wheel(built, "vectadb_server") as opened:
        names = opened.namelist()
    assert "vectadb_server/page/index.html" in names
    assert any(each.startswith("vectadb_server/page/assets/") for each in names)
