"""The plugins under ``examples/``, as anyone's: built, installed beside our wheels, used, and gone when uninstalled."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from demo import processes
from vectadb_agent.testing.peer import Asked, Reply, peer

from .conftest import EXAMPLES, Environment, new

if TYPE_CHECKING:
    from pathlib import Path

OURS = ("vectadb-agent[testing]", "vectadb-agent-parsers", "vectadb-agent-sinks")


@pytest.fixture(scope="module")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Our wheels, and all examples."""
    return new(tmp_path_factory.mktemp("examples") / "environment", wheels, *OURS, *(path.name for path in EXAMPLES))


def test_they_pass_their_own_tests(environment: Environment, tmp_path: Path) -> None:
    tests = [shutil.copytree(example / "tests", tmp_path / example.name) for example in EXAMPLES]
    assert len(tests) == 4
    done = environment.run("pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *tests, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_all_are_listed(environment: Environment, tmp_path: Path) -> None:
    listed = environment.run("vectadb-agent", "plugins", cwd=tmp_path)
    assert listed.returncode == 0, listed.stdout
    rows = {line.split()[0]: line.split()[1:] for line in listed.stdout.splitlines() if line.strip()}
    for name, kind in {"logfmt": "parser", "webhook": "source", "logsearch": "source", "ndjson": "sink"}.items():
        assert rows[name] == [f"vectadb-agent-{name}", "0.1.0", f"{kind}s:", name]


class Taker:
    """The other side of ``ndjson``."""

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def __call__(self, asked: Asked) -> Reply:
        self.events += [json.loads(line) for line in asked.body.splitlines()]
        return Reply(204)

    def told(self) -> list[tuple[object, object]]:
        return sorted((event["event_type"], event["properties"]["message"]) for event in self.events)  # type: ignore[index]


CONFIG = """
agent: {{state_dir: {directory}/state}}
pipelines:
  shop: {{source: {source}, parsers: [{{type: logfmt}}, {{type: json}}], sinks: [out]}}
sinks:
  out: {{type: ndjson, url: '{out}', batch_age: 10ms}}
"""


def write_config(directory: Path, source: dict[str, object], out: str) -> Path:
    path = directory / "agent.yaml"
    path.write_text(CONFIG.format(directory=directory, source=json.dumps(source), out=out))
    return path


def test_a_paged_api_is_read_to_a_sink(environment: Environment, tmp_path: Path) -> None:
    """By three plugins that know nothing of each other."""

    def api(asked: Asked) -> Reply:
        attributes = {"timestamp": datetime.now(UTC).isoformat(), "service": "shop"}
        pages = {
            None: ('level=info msg="page one"', {"after": "second"}),
            "second": ('{"level": "error", "message": "page two"}', {}),
        }
        message, more = pages[json.loads(asked.body)["page"].get("cursor")]
        found = {"id": message, "attributes": {**attributes, "message": message}}
        return Reply(200, {"data": [found], "meta": {"page": more}})

    taker = Taker()
    with peer(api) as url, peer(taker) as out:
        config = write_config(tmp_path, {"type": "logsearch", "url": url}, out)
        checked = environment.run("vectadb-agent", "check", "--config", config, cwd=tmp_path)
        assert checked.returncode == 0, checked.stdout
        ran = environment.run("vectadb-agent", "run", "--drain", "--config", config, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert taker.told() == [("error", "page two"), ("log", "page one")]


def test_a_pushed_line_is_answered_when_the_sink_has_it(environment: Environment, tmp_path: Path) -> None:
    taker, port, log = Taker(), processes.free_port(), tmp_path / "agent.log"
    with peer(taker) as out:
        config = write_config(tmp_path, {"type": "webhook", "port": port}, out)
        command = [environment.bin / "vectadb-agent", "run", "--config", config]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as agent:
            try:
                url = f"http://127.0.0.1:{port}/shop"
                processes.until(lambda: reached(url), "the source", log)
                assert httpx.post(url, content="level=fatal msg=boom\n").status_code == 200
                assert ("error", "boom") in taker.told()
            finally:
                agent.terminate()


def reached(url: str) -> bool:
    try:
        return httpx.post(url, content="level=info msg=hello").status_code == 200
    except httpx.TransportError:
        return False


def test_one_that_is_uninstalled_is_gone(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "lines.log").write_text("level=info msg=hello\n")
    parse = ("vectadb-agent", "parse", "--parser", "logfmt", "lines.log")
    there = environment.run(*parse, cwd=tmp_path)
    assert '"message":"hello"' in there.stdout.replace(" ", ""), there.stderr
    environment.uninstall("vectadb-agent-logfmt")
    try:
        assert "logfmt" not in environment.run("vectadb-agent", "plugins", cwd=tmp_path).stdout
        gone = environment.run(*parse, cwd=tmp_path)
        assert (gone.returncode, "unknown parser 'logfmt' (installed: " in gone.stderr) == (2, True), gone.stderr
    finally:
        environment.install(environment.wheel("vectadb-agent-logfmt"))
