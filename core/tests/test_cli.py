"""The command line as a person meets it: what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vectadb_agent import __version__
from vectadb_agent.cli import main

PLUGIN = '''
import anyio
from vectadb_agent import Batch, LogRecord, LogStream, Result, Sink, SinkConfig, Source, errors, hookimpl

class Ticking(Source):
    """Ticks."""
    name = "ticking"
    async def read(self, after, *, drain=False):
        number = after.get("/g", {}).get("n", 0)
        stream = LogStream("t", "1", "eu", "/g", "s")
        while True:
            number += 1
            record = LogRecord(stream, str(number), number, f"line {number}")
            yield Batch(partition="/g", records=[record], checkpoint={"n": number})
            if drain and number % 5 == 0:
                return
            await anyio.sleep(0.01)
    async def check(self):
        return ["it ticks"]

class Refusing(Source):
    """Has no credentials."""
    name = "refusing"
    async def read(self, after, *, drain=False):
        raise errors.CheckError("no credentials: do this")
        yield
    async def check(self):
        raise errors.CheckError("no credentials: do this")

class LinesConfig(SinkConfig):
    path: str
    """Where the lines go."""

class Lines(Sink):
    """Writes lines."""
    name = "lines"
    Config = LinesConfig
    async def write(self, events):
        with open(self.config.path, "a") as out:
            out.writelines(event.raw + "\\n" for event in events)
        return Result()

class Away(Sink):
    """Nobody answers."""
    name = "away"
    async def write(self, events):
        raise errors.RetryableError("no route to host")

@hookimpl
def vectadb_register_sources():
    return [Ticking, Refusing]

@hookimpl
def vectadb_register_sinks():
    return [Lines, Away]
'''


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """An environment in which a toy plugin is installed, by its metadata on the path."""
    info = tmp_path / "site" / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "toy_for_cli.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vectadb_agent]\ntoy = toy_for_cli\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OUT": str(tmp_path / "out")}


def config(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(
        f"agent: {{state_dir: {tmp_path}/state}}\nplugins: [toy]\n"
        f"pipelines: {{p: {{source: {{type: {source}}}, sinks: [out]}}}}\n"
        "sinks: {out: {type: lines, path: '${OUT}', batch_age: 1ms}}\n"
    )
    return path


def agent(*arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from vectadb_agent.cli import main; sys.exit(main())"]
    return subprocess.run(
        [*command, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_run_drains_and_resumes_where_it_was(tmp_path: Path, site: dict[str, str]) -> None:
    path = config(tmp_path, "ticking")
    first = agent("run", "--drain", "-c", path, env=site)
    assert first.returncode == 0, first.stderr
    last = json.loads(first.stderr.splitlines()[-1])
    assert (last["message"], last["delivered"], last["in_flight"]) == ("pipeline ended", 5, 0)
    assert agent("run", "--drain", "-c", path, env={**site, "CONFIG_PATH": "nowhere"}).returncode == 0
    assert Path(site["OUT"]).read_text().splitlines() == [f"line {n}" for n in range(1, 11)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_in_order(tmp_path: Path, site: dict[str, str], number: signal.Signals) -> None:
    command = [sys.executable, "-c", "import sys; from vectadb_agent.cli import main; sys.exit(main())"]
    with subprocess.Popen(
        [*command, "run", "-c", str(config(tmp_path, "ticking"))], env=site, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"started"' in line:
                break
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(30) == 0, said
    ended = json.loads(said.splitlines()[-1])
    lines = Path(site["OUT"]).read_text().splitlines() if Path(site["OUT"]).exists() else []
    assert (ended["in_flight"], ended["delivered"]) == (0, len(lines))


def test_a_drain_that_is_stopped_before_all_is_delivered_says_so(tmp_path: Path, site: dict[str, str]) -> None:
    path = config(tmp_path, "ticking")
    text = path.read_text().replace("/state}", "/state, shutdown_timeout: 0s}")
    path.write_text(text.replace("type: lines, path: '${OUT}'", "type: away"))
    command = [sys.executable, "-c", "import sys; from vectadb_agent.cli import main; sys.exit(main())"]
    with subprocess.Popen(
        [*command, "run", "--drain", "-c", str(path)], env=site, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "no route to host" in line:
                break
        process.send_signal(signal.SIGTERM)
        said = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert process.wait(30) == 1, said
    (told,) = [line for line in said if "before all that is visible was delivered" in line["message"]]
    assert (told["pipeline"], told["in_flight"]) == ("p", said[-1]["in_flight"])
    assert told["in_flight"] >= 1


def test_what_cannot_work_ends_with_one_clear_message(tmp_path: Path, site: dict[str, str]) -> None:
    done = agent("run", "-c", config(tmp_path, "refusing"), env=site)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "vectadb-agent run: no credentials: do this"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full disk")
@pytest.mark.parametrize("command", ["status", "parse", "plugins", "completion"])
def test_output_that_cannot_be_written_is_named_and_nothing_else_is_blamed(
    tmp_path: Path, site: dict[str, str], command: str
) -> None:
    path = config(tmp_path, "ticking")
    assert agent("run", "--drain", "-c", path, env=site).returncode == 0
    lines = tmp_path / "sample.log"
    lines.write_text("a line\n" * 5000)
    words = {"status": ["-c", path], "parse": [lines, "-c", path], "plugins": [], "completion": ["bash"]}[command]
    program = "import sys; from vectadb_agent.cli import main; sys.exit(main())"
    asked = [sys.executable, "-c", program, command, *map(str, words)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(asked, env=site, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == f"vectadb-agent {command}: output: No space left on device"
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_who_reads_no_further_is_not_told_that_a_file_cannot_be_read(tmp_path: Path, site: dict[str, str]) -> None:
    lines = tmp_path / "sample.log"
    lines.write_text("a line\n" * 50_000)
    program = "import sys; from vectadb_agent.cli import main; sys.exit(main())"
    asked = [sys.executable, "-c", program, "parse", str(lines), "-c", str(config(tmp_path, "ticking"))]
    with subprocess.Popen(
        asked, env=site, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == ("", 1)


def test_check_prints_a_table_and_says_by_its_exit_code(tmp_path: Path, site: dict[str, str]) -> None:
    good = agent("check", "-c", config(tmp_path, "ticking"), env=site)
    assert (good.returncode, "it ticks" in good.stdout, "All is well." in good.stdout) == (0, True, True)
    bad = agent("check", "-c", config(tmp_path, "refusing"), env=site)
    assert bad.returncode == 1
    assert "FAIL  pipelines.p.source (refusing)  no credentials: do this" in bad.stdout


def test_plugins_lists_and_shows(site: dict[str, str]) -> None:
    listed = agent("plugins", env=site)
    assert "toy " in listed.stdout
    assert "sources: ticking, refusing; sinks: lines" in listed.stdout
    shown = agent("plugins", "show", "lines", env=site)
    assert "path  (string; required)" in shown.stdout
    assert "Where the lines go." in shown.stdout
    wrong = agent("plugins", "show", "nothing", env=site)
    assert wrong.returncode == 2
    assert "nothing called 'nothing' is installed" in wrong.stderr


def test_a_wrong_configuration_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("pipelines: {}\n")
    assert main(["run", "--config", str(path)]) == 2
    assert "2 problems in the configuration; nothing was started." in capsys.readouterr().err
    assert main(["check", "-c", str(tmp_path / "none.yaml")]) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_no_configuration_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CONFIG_PATH", raising=False)
    assert main(["run"]) == 2
    assert "--config FILE" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"vectadb-agent {__version__}\n"
