"""What is for people at a terminal: ``init``, ``tap``, ``top`` and ``completion``."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from vectadb_agent import (
    Batch,
    Block,
    ComponentConfig,
    Event,
    LogRecord,
    LogStream,
    Parser,
    Processor,
    cli,
    cli_init,
    config,
    endpoint,
    live,
    logs,
)
from vectadb_agent.cli import main
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import ConfigError, StateError, UsageError
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.state import State
from vectadb_agent.tap import MOST, Tap, looking
from vectadb_agent.testing import ListSource, MemorySink
from vectadb_agent.testing.cloudwatch import CloudWatch, Put, served
from vectadb_agent.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

STREAM = LogStream("test", "1", "eu", "/g", "s")
AT = 1_767_225_600_000_000
STAGES = ("read", "joined", "parsed", "shipped")


class Words(Parser):
    """Takes what begins with ``word``; of ``word nothing`` it makes nothing."""

    name = "words"

    def parse(self, block: Block) -> list[Event] | None:
        if not block.text.startswith("word"):
            return None
        return [] if "nothing" in block.text else [Event(event_type="message", properties={"said": block.text[5:]})]


class Mask(Processor):
    """Hides numbers."""

    name = "mask"

    def process(self, event: Event) -> Event:
        event.raw = re.sub(r"\d", "*", event.raw or "")
        return event


class Watched(ListSource):
    """Delivers once somebody looks."""

    pipeline: Pipeline

    async def read(self, after: Any, *, drain: bool = False) -> Any:
        while not self.pipeline.tap.lookers:
            await anyio.lowlevel.checkpoint()
        async for batch in super().read(after, drain=drain):
            yield batch


@contextlib.asynccontextmanager
async def agent(directory: Path, *texts: str, processors: tuple[Processor, ...] = ()) -> AsyncIterator[Pipeline]:
    """An agent whose pipeline delivers the texts once it is tapped."""
    records = [LogRecord(STREAM, str(number), AT + number, text) for number, text in enumerate(texts)]
    source = Watched([Batch(partition="/g", records=records)], stay=True)
    parser = Words(ComponentConfig(type="words"))
    settings = Settings("p", None, source, (parser,), ("sink",), 4_000_000, processors=processors)
    with State(directory) as state:
        pipeline = source.pipeline = Pipeline(settings, {"sink": MemorySink(batch_age="0s")}, state)
        vitals = Vitals(state)
        vitals.watch(pipeline, settings)
        stop = anyio.Event()
        with anyio.fail_after(60):
            async with endpoint.listening(directory, None) as doors, anyio.create_task_group() as group:
                group.start_soon(endpoint.serve, vitals, doors)
                group.start_soon(pipeline.run, stop)
                yield pipeline
                group.cancel_scope.cancel()


def tapped(directory: Path, *texts: str, most: int, processors: tuple[Processor, ...] = (), **options: Any) -> None:
    async def look() -> None:
        async with agent(directory, *texts, processors=processors):
            told = {"stages": STAGES, "pipeline": None, "most": most, "as_json": False, **options}
            await anyio.to_thread.run_sync(functools.partial(live.tap, directory, **told))

    anyio.run(look)


def test_tap_shows_each_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tapped(tmp_path, "word hello\x1b[1m\n there", "other", "word nothing", most=11)
    lines = [line.split("p /g  ") for line in capsys.readouterr().out.splitlines()]
    assert {time.split()[0] for time, _ in lines} == {"00:00:00.000"}
    shown = sorted((time.split()[1], words) for time, words in lines)
    assert shown == [
        ("joined", "other"),
        ("joined", "word hello  there"),
        ("joined", "word nothing"),
        ("parsed", "nobody: log  "),
        ("parsed", "words: message  said=hello\x1b[1m\n there".replace("\x1b[1m\n", " ")),
        ("read", "other"),
        ("read", "word hello  there"),
        ("read", "word nothing"),
        ("shipped", "delivered"),
        ("shipped", "delivered"),
        ("shipped", "filtered"),
    ]


def test_tap_shows_nothing_that_a_processor_may_hide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = Mask(ComponentConfig(type="mask"))
    tapped(tmp_path, "card 4711", most=4, processors=(mask,), as_json=True)
    told = capsys.readouterr().out
    assert "4711" not in told
    events = [seen["event"] for line in told.splitlines() if (seen := json.loads(line))["stage"] == "parsed"]
    assert [event["raw"] for event in events] == ["card ****"]
    tapped(tmp_path / "again", "card 4711", most=1, processors=(mask,), stages=("read",))
    assert "(not shown: a processor may hide it)" in capsys.readouterr().out


def test_tap_shows_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tapped(tmp_path, "word hello", most=1, stages=("shipped",), pipeline="p")
    assert re.fullmatch(r"00:00:00\.000 shipped p /g  delivered\n", capsys.readouterr().out)


def test_tap_says_what_was_missed_and_that_the_agent_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = live.Glimpse("shipped", "p", "/g", "s", "1", AT, records=2, fate="expired")
    lines = [(b"{}\n", None, 1_234), (b"{}\n", seen, 0)]
    monkeypatch.setattr(live, "glimpses", lambda _: iter(lines))
    live.tap(tmp_path, STAGES, None, most=None, as_json=False)
    told = capsys.readouterr()
    assert told.out == ("… 1,234 more passed too fast to be shown\n00:00:00.000 shipped p /g  expired (2 records)\n")
    assert told.err == "The agent has ended.\n"


def test_an_agent_without_tap_is_told_from_none(tmp_path: Path) -> None:
    async def older() -> None:
        async def answer(stream: Any) -> None:
            async with stream:
                await stream.receive()
                await stream.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        listener = await anyio.create_unix_listener(tmp_path / endpoint.SOCKET)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, answer)
            with pytest.raises(StateError, match="answers 404: it is of a version without `tap`"):
                await anyio.to_thread.run_sync(next, live.glimpses(tmp_path))
            group.cancel_scope.cancel()

    anyio.run(older)


def test_top_is_drawn_in_place_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys, "stdout", Terminal())
    live.top(tmp_path, 0.001, 2)
    first, second = sys.stdout.getvalue().split("\x1b[H")[1:]  # type: ignore[attr-defined]
    assert first.endswith("\x1b[K\n\x1b[J")
    assert len(second.split("\x1b[K")[0]) == 30


def test_tap_and_top_say_what_is_asked_wrongly_and_that_no_agent_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent.yaml").write_text(
        f"agent: {{state_dir: {tmp_path}/state}}\n"
        "pipelines: {p: {source: {type: cloudwatch, region: eu-west-1, log_groups: [/g]}, sinks: [out]}}\n"
        "sinks: {out: {type: stdout}}\n"
    )
    assert main(["tap", "--config", str(tmp_path / "agent.yaml")]) == 1
    assert "no agent runs on" in capsys.readouterr().err
    assert main(["top", "--count", "1", "--config", str(tmp_path / "agent.yaml")]) == 0
    assert "waiting for one" in capsys.readouterr().out
    assert main(["top", "--interval", "0", "--config", str(tmp_path / "agent.yaml")]) == 2
    capsys.readouterr()
    for command in ("top", "tap"):
        assert main([command, "--count", "0", "--config", str(tmp_path / "agent.yaml")]) == 2
        assert f"vectadb-agent {command}: --count 0: right would be 1 or more" in capsys.readouterr().err
    assert main(["tap", "--pipeline", "nope", "--config", str(tmp_path / "agent.yaml")]) == 2
    assert "--pipeline nope: there is none of that name (configured: p)" in capsys.readouterr().err


def test_who_looks_holds_nothing_up_and_is_told_what_was_missed() -> None:
    tap = Tap("p", hides=False)
    records = [LogRecord(STREAM, str(number), AT, "x" * 5_000) for number in range(MOST + 7)]

    async def look() -> None:
        with looking([tap]) as looker:
            tap.read(records)
            glimpses, missed = await looker.taken(0)
            assert (len(glimpses), missed) == (MOST, 7)
            assert len(glimpses[0].text or "") == 4_000
            assert await looker.taken(0) == ([], 0)

    anyio.run(look)
    tap.read(records)
    assert not tap.lookers


def test_colours_are_for_terminals_and_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    terminal: Any = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert logs.coloured(terminal)
    seen = live.Glimpse("parsed", "p", "/g", "s", "1", AT, parser="words", event={"event_type": "error"})
    assert "\x1b[31mparsed \x1b[0m" in live.shown(seen, 80, colour=True)
    assert live.shown(seen, 20, colour=False) == "00:00:00.000 parsed…"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not logs.coloured(terminal)
    assert not logs.coloured(io.StringIO())


def test_top_shows_rates_and_whom_it_waits_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def look() -> None:
        async with agent(tmp_path, "word hello", "other") as pipeline:
            with looking([pipeline.tap]) as looker:
                while pipeline.counts.delivered < 2:
                    await looker.taken(1)
            await anyio.to_thread.run_sync(live.top, tmp_path, 0.01, 2)

    anyio.run(look)
    first, second = (each for each in re.split(r"(?m)^(?=\d\d:\d\d:\d\d  )", capsys.readouterr().out) if each)
    assert re.search(r"vectadb-agent 0\.1\.0: ok \(process \d+, up ", first)
    row = next(line.split() for line in first.splitlines() if line.startswith("p "))
    assert row == ["p", "…", "…", "0", "0", "0", "unknown"]
    row = next(line.split() for line in second.splitlines() if line.startswith("p "))
    assert row == ["p", "0.0", "0.0", "0", "0", "0", "unknown"]
    assert "p → sink  0        0        0.0" in second


# init


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudWatch]:
    cloudwatch = CloudWatch()
    for group in ("/aws/lambda/a", "/aws/lambda/b", "/ecs/c"):
        cloudwatch.put(group, "s", [Put(cloudwatch.now, "a line", 0)])
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with served(cloudwatch) as url:
        for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "ENDPOINT_URL": url}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield cloudwatch


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def given(*lines: str) -> None:
        left = iter(lines)

        def answer(prompt: str) -> str:
            print(prompt, end="")
            try:
                return next(left)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr("builtins.input", answer)
        monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())

    return given


def test_init_asks_and_writes_what_check_accepts(
    aws: CloudWatch, answers: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("eu-west-1", "9", "", "1 /ecs/*", "", "shop: 'a'")
    file = tmp_path / "agent.yaml"
    assert main(["init", "--output", str(file)]) == 0
    told = capsys.readouterr().out
    assert "   1  /aws/lambda/a\n   2  /aws/lambda/b\n   3  /ecs/c\n" in told
    assert "9 is not in the list, which goes from 1 to 3" in told
    assert "at least one is wanted" in told
    assert f"Next: vectadb-agent check --config {file}" in told
    (pipeline,) = config.read(file, {}).pipelines
    assert (pipeline.agent_id, pipeline.source.config.region) == ("shop: 'a'", "eu-west-1")
    assert (pipeline.source.config.names, pipeline.source.config.prefixes) == (["/aws/lambda/a"], ["/ecs/"])
    assert sum("#" in line for line in file.read_text().splitlines()) > 8, "it is commented"
    assert main(["init", "--output", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_init_without_a_terminal_takes_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agent.yaml"
    flags = ["--region", "eu-west-1", "--log-group", "/a", "--log-group", "/b*", "--endpoint", "https://db.example.com"]
    assert main(["init", "--output", str(file), *flags]) == 0
    loaded = config.read(file, {})
    assert loaded.sinks["vectadb"].config.endpoint == "https://db.example.com"
    assert loaded.pipelines[0].source.config.prefixes == ["/b"]
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    assert main(["init", "--output", str(tmp_path / "b.yaml"), "--log-group", "/a"]) == 2
    assert "this is no terminal to ask at: name --region" in capsys.readouterr().err
    assert main(["init", "--output", str(tmp_path / "b.yaml"), *flags, "--log-group", "no group!"]) == 2
    assert "is no log group name" in capsys.readouterr().err
    assert main(["init", "--output", str(tmp_path / "no" / "b.yaml"), *flags]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "b.yaml").exists()


def test_init_goes_on_where_groups_cannot_be_listed(
    aws: CloudWatch, answers: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    aws.faults.keys = ["another"]
    answers("/mine")
    assert cli_init.ask("eu-west-1", (), "http://x", "a").log_groups == ["/mine"]
    assert "They cannot be listed: " in capsys.readouterr().out
    answers()
    with pytest.raises(UsageError, match="the answers ended before the questions"):
        cli_init.ask(None, (), None, None)


# completion


def test_bash_completes_commands_options_words_and_files(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").touch()
    asked = {
        "vectadb-agent pl": "plugins",
        "vectadb-agent plugins n": "new",
        "vectadb-agent plugins new x --kind proc": "processor",
        "vectadb-agent run --dr": "--drain",
        "vectadb-agent quarantine list --conf": "--config",
        "vectadb-agent completion f": "fish",
    }
    script = subprocess.run(
        [sys.executable, "-c", "from vectadb_agent.cli import main; main(['completion', 'bash'])"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    for line in asked:
        words = line.split(" ")
        script += f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _vectadb_agent; echo "${{COMPREPLY[*]}}"\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout.splitlines(), done.stderr) == ([*asked.values()], "")


def test_zsh_and_fish_are_told_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, command, option in (("zsh", "'{}:", "'{}["), ("fish", " -a {} ", " -l {} ")):
        assert main(["completion", shell]) == 0
        told = capsys.readouterr().out
        for name in cli._COMMANDS:
            assert command.format(name) in told, f"{shell}: {name}"
        for name in ("--config", "--drain", "--log-group", "--explain"):
            assert option.format(name if shell == "zsh" else name[2:]) in told, f"{shell}: {name}"


def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no agent runs on"):
        next(live.glimpses(tmp_path))
    with pytest.raises(ConfigError):
        cli_init.text(cli_init.Answers("eu", ["/g"], "ftp://x", "a"), tmp_path)
