"""From a data directory to a SurrealDB server and a Qdrant, broken off again and again."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from server.tests.operations.test_remote_search import Facade

from .conftest import DAYS, command, environment, event, everything, indexed, moving, run, send, serving, stop, told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.surreal import Engine

NAMESPACE = "moved"


def _migrate(data_dir: Path, engine: Engine) -> tuple[str, ...]:
    return "migrate", "--data-dir", str(data_dir), "--to", engine.url, "--namespace", NAMESPACE


def test_servers_on_the_copy_answer_as_before(
    filled: tuple[Path, dict[str, Any]], engine: Engine, tmp_path: Path
) -> None:
    data_dir, found = filled
    facade = Facade(tmp_path / "qdrant")
    try:
        qdrant = ("--qdrant", f"http://127.0.0.1:{facade.port}")
        said = told(*_migrate(data_dir, engine), *qdrant)
        assert said["days"] == list(DAYS)
        assert said["copied"] == [*DAYS, "meta"]
        # What is the same already is left alone, and a server may have the copy by now.
        again = told(*_migrate(data_dir, engine), *qdrant)
        assert again == {**said, "copied": []}
        with serving(tmp_path / "remote", **environment(**said["start_with"])) as server:
            server.until(lambda: indexed(server, 90))
            assert everything(server) == found
            running = run(*_migrate(data_dir, engine), code=1)
            assert "a VectaDB server runs on it" in running.stderr
            send(server, [event(5000)])
            assert run("check", "--url", server.url).returncode == 0
            stop(server)
        # What servers have written to the copy since is not undone.
        apart = run(*_migrate(data_dir, engine), code=1)
        assert "everything was migrated before, and" in apart.stderr
        with serving(tmp_path / "remote", **environment(**said["start_with"])) as server:
            assert server.get("/api/v1/events", limit=1, since="-1000d").status_code == 200
            assert len(everything(server)["events {}"]) == len(found["events {}"]) + 1
    finally:
        facade.kill()


def test_it_goes_on_after_any_end(filled: tuple[Path, dict[str, Any]], engine: Engine, tmp_path: Path) -> None:
    data_dir, found = filled
    with serving(data_dir) as server:
        refused = run(*_migrate(data_dir, engine), code=1)
        assert "another VectaDB server has it" in refused.stderr
        stop(server)
    # The command is killed; then the engine, which is started again, under the command.
    for victim in ("migrate", "engine"):
        with subprocess.Popen(
            command(*_migrate(data_dir, engine)), env=environment(), stderr=subprocess.PIPE, text=True
        ) as migrate:
            least = 2 if victim == "migrate" else 3
            while moving(engine, NAMESPACE)[1] < least:
                assert migrate.poll() is None
            if victim == "migrate":
                migrate.kill()
            else:
                engine.kill()
                said = migrate.communicate(timeout=60)[1]
                assert migrate.returncode == 1, said
                assert "Next: the same command goes on" in said
                engine.start()
    # Half a record is none.
    variables = {"VECTADB_SURREAL_URL": engine.url, "VECTADB_SURREAL_NAMESPACE": NAMESPACE}
    refused = run("serve", "--port", "0", "--data-dir", tmp_path / "remote", code=1, **variables)
    assert "a migration into it has not come to its end. Next: run `vectadb migrate` once more" in refused.stderr
    # Meanwhile the directory has had a server again.
    with serving(data_dir) as server:
        send(server, [event(7000, day="2026-01-04")])
        stop(server)
    said = told(*_migrate(data_dir, engine))
    # The first day's summaries count the new event; nothing of the second one differs.
    assert DAYS[1] not in said["copied"]
    assert "2026-01-04" in said["copied"]
    assert said["days"] == [*DAYS, "2026-01-04"]
    with serving(tmp_path / "remote", **environment(**said["start_with"])) as server:
        server.until(lambda: indexed(server, 90))
        assert len(everything(server)["events {}"]) == len(found["events {}"]) + 1
        stop(server)


def test_a_record_of_others_is_not_touched(filled: tuple[Path, dict[str, Any]], engine: Engine, tmp_path: Path) -> None:
    data_dir, _ = filled
    variables = {"VECTADB_SURREAL_URL": engine.url, "VECTADB_SURREAL_NAMESPACE": NAMESPACE}
    with serving(tmp_path / "remote", **environment(**variables)) as server:
        send(server, [event(1)])
        stop(server)
    refused = run(*_migrate(data_dir, engine), code=1)
    assert "there is a record already" in refused.stderr
    told(*_migrate(data_dir, engine), "--database", "mine")
    with serving(tmp_path / "other") as server:
        send(server, [event(1)])
        stop(server)
    refused = run(*_migrate(tmp_path / "other", engine), "--database", "mine", code=1)
    assert "is a copy of another data directory" in refused.stderr
    wrong = run("migrate", "--data-dir", data_dir, "--to", "http://127.0.0.1:1", code=2)
    assert "--to: found 'http://127.0.0.1:1'" in wrong.stderr
