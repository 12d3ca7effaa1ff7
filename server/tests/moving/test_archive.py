"""The file itself: whatever happens to it is noticed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from vectadb_server import archive
from vectadb_server.archive import BadArchive, Head, Writer

if TYPE_CHECKING:
    from pathlib import Path

DAY = "2026-01-02"


def made(head: Head | None = None) -> bytes:
    writer = Writer()
    pieces = [writer.head(head or Head(vectadb="0.1.0", made="2026-01-03T00:00:00Z"))]
    pieces += [writer.part("meta", "home", [b"one", b""]), writer.part(DAY, "event", [b"x" * 300])]
    pieces += [writer.part(DAY, "event", [b"two"])]
    writer.holds(DAY, "trace")
    return b"".join([*pieces, writer.end()])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    file.write_bytes(made())
    read: list[int] = []
    head, manifest = archive.verify(file, read.append)
    assert head.made == "2026-01-03T00:00:00Z"
    assert {name: {table: mark.rows for table, mark in held.items()} for name, held in manifest.items()} == {
        "meta": {"home": 2},
        DAY: {"event": 2, "trace": 0},
    }
    assert [part.rows for part in archive.parts(file)] == [[b"one", b""], [b"x" * 300], [b"two"]]
    assert sum(read) == 4


def test_the_tools_of_every_machine_can_check_it(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(made())) as tar:
        tar.extractall(tmp_path, filter="data")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_no_bit_can_change_unseen(tmp_path: Path) -> None:
    whole, file = made(), tmp_path / "backup.tar"
    file.write_bytes(whole)
    held = list(archive.parts(file))
    unseen = 0
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            archive.verify(file)
        except BadArchive:
            continue
        # In the padding, or the unused parts of a header.
        assert list(archive.parts(file)) == held
        unseen += 1
    assert unseen < 0.8 * len(whole) / 7


def test_a_part_of_it_is_refused(tmp_path: Path) -> None:
    whole, file = made(), tmp_path / "backup.tar"
    needed = len(whole.rstrip(b"\0"))
    for length in [*range(0, needed, 97), needed - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(BadArchive):
            archive.verify(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no backup of VectaDB"),
        (b"PK\x03\x04" * 1000, "no backup of VectaDB"),
        (made(Head(vectadb="9.0", made="", format=2)), "made by a newer VectaDB (9.0, format 2"),
        (made(Head(vectadb="9.0", made="", schema=99)), "made by a newer VectaDB (9.0, format 1, schema 99"),
        (made()[: made().index(b"manifest.json")], "its end is missing"),
    ],
)
def test_what_is_none_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "backup.tar"
    file.write_bytes(content)
    with pytest.raises(BadArchive) as refused:
        archive.verify(file)
    assert said in str(refused.value)
    assert str(file) in str(refused.value)


def test_parts_may_not_be_exchanged_or_left_out(tmp_path: Path) -> None:
    """Each as it was made, and the whole is not."""
    file = tmp_path / "backup.tar"
    with tarfile.open(fileobj=io.BytesIO(made())) as tar:
        members = [(member, (tar.extractfile(member) or io.BytesIO()).read()) for member in tar]
    for order in ([0, 2, 1, 3, 4, 5], [0, 1, 3, 4, 5], [0, 1, 2, 3, 5, 4], [0, 1, 2, 3, 4, 5, 1]):
        with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
            for number in order:
                member, content = members[number]
                tar.addfile(member, io.BytesIO(content))
        with pytest.raises(BadArchive):
            archive.verify(file)
