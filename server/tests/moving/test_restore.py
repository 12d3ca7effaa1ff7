"""What a backup becomes: a record that answers as the one it was made of, or nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import command, environment, everything, indexed, moving, run, serving, stop, told

if TYPE_CHECKING:
    from tests.engines.surreal import Engine

RECORDS = 90 + 5 * 3 + 3
TO = ("--namespace", "restored")


@pytest.fixture(scope="module")
def the_backup(the_filled: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a directory that no server has."""
    file = tmp_path_factory.mktemp("backup") / "backup.tar"
    run("backup", file, "--data-dir", the_filled[0])
    return file


@pytest.fixture
def backup(the_backup: Path, the_filled: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The same for each test to do with as it likes, and what the server answered that it was made of."""
    return Path(shutil.copy(the_backup, tmp_path)), the_filled[1]


def test_a_restored_directory_answers_as_the_one_before(backup: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    (file, found), new, third = backup, tmp_path / "new", tmp_path / "third"
    assert told("backup", "--verify", file)["records"] == RECORDS
    assert told("restore", file, "--data-dir", new)["records"] == RECORDS
    assert [path.name for path in new.iterdir()] == ["record"]
    with serving(new) as server:
        server.until(lambda: indexed(server, 90))
        assert everything(server) == found
        stop(server)
    again = run("restore", file, "--data-dir", new, code=1)
    assert "there is a record already" in again.stderr
    # The hashes of API keys travel as well.
    run("keys", "create", "--name", "mine", "--scope", "read", "--data-dir", new)
    run("backup", tmp_path / "keyed.tar", "--data-dir", new)
    run("restore", tmp_path / "keyed.tar", "--data-dir", third)
    assert [key["name"] for key in told("keys", "list", "--data-dir", third)["keys"]] == ["mine"]
    run("reindex", "--data-dir", third)
    run("check", "--data-dir", third)


def test_a_remote_record_is_made_of_it_once(
    backup: tuple[Path, dict[str, Any]], engine: Engine, tmp_path: Path
) -> None:
    file, found = backup
    to = ("--to", engine.url, *TO)
    assert told("restore", file, *to)["records"] == RECORDS
    variables = {"VECTADB_SURREAL_URL": engine.url, "VECTADB_SURREAL_NAMESPACE": TO[1]}
    with serving(tmp_path / "remote", **environment(**variables)) as server:
        server.until(lambda: indexed(server, 90))
        assert everything(server) == found
        running = run("restore", file, *to, "--database", "record", code=1)
        assert "a VectaDB server runs on it" in running.stderr
        refused = run("backup", tmp_path / "remote.tar", "--url", server.url, code=1)
        assert "the record is on a SurrealDB server" in refused.stderr
        stop(server)
    assert "there is a record already" in run("restore", file, *to, code=1).stderr


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign"])
def test_what_is_damaged_leaves_nothing(backup: tuple[Path, dict[str, Any]], tmp_path: Path, damage: str) -> None:
    file, new = backup[0], tmp_path / "new"
    whole = file.read_bytes()
    if damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "changed":
        at = (whole.index(b"event/") // 512 + 1) * 512 + 20
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    else:
        shutil.copy(__file__, file)
    refused = run("restore", file, "--data-dir", new, code=1)
    assert refused.stderr.startswith(f"vectadb restore: {file}: ")
    assert "Traceback" not in refused.stderr
    assert not new.exists()
    assert run("backup", "--verify", file, code=1).stderr.startswith(f"vectadb backup: {file}: ")


def test_one_that_was_killed_is_no_record_and_is_done_again(
    backup: tuple[Path, dict[str, Any]], engine: Engine, tmp_path: Path
) -> None:
    file, new = backup[0], tmp_path / "new"
    room = new / ".restoring" / "record"
    with subprocess.Popen(command("restore", file, "--data-dir", new), env=environment()) as restore:
        while not (room / "2026-01-01").exists():
            assert restore.poll() is None
        restore.kill()
    assert not (new / "record").exists()
    told("restore", file, "--data-dir", new)
    assert not room.exists()

    to = ("--to", engine.url, *TO)
    with subprocess.Popen(command("restore", file, *to), env=environment()) as restore:
        while moving(engine, TO[1])[0] is not False:
            assert restore.poll() is None
        restore.kill()
    variables = {"VECTADB_SURREAL_URL": engine.url, "VECTADB_SURREAL_NAMESPACE": TO[1]}
    refused = run("serve", "--port", "0", "--data-dir", tmp_path / "remote", code=1, **variables)
    assert "a restore into it has not come to its end" in refused.stderr
    assert told("restore", file, *to)["records"] == RECORDS
    assert moving(engine, TO[1])[0]
