from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import select
import socket
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vectadb_server import cli, cli_client, cli_reads, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WIDE = "天気 is fine 🌞 " * 20
EVIL = "\x1b[31m[red]bold[/red]\x1b]0;title\x07\r\nnext :smile:"


@pytest.fixture(scope="module")
def trace(server: Any, until: Any) -> str:
    name = f"cli/{uuid.uuid4().hex[:8]}?"
    tool = {"gen_ai.tool.name": f"look_up{EVIL}", "gen_ai.tool.call.id": "1"}
    when = "2026-01-31T12:00:0{}Z"
    events = [
        {"timestamp": when.format(0), "event_type": "agent_start", "properties": {"message": f"question {EVIL}"}},
        {"timestamp": when.format(1), "event_type": "tool_call", "properties": {**tool, "tool_input": {"q": WIDE}}},
        {"timestamp": when.format(3), "event_type": "tool_result", "properties": {**tool, "tool_output": f"42 {EVIL}"}},
        {"timestamp": when.format(4), "event_type": "error", "properties": {"message": f"boom {EVIL}"}},
        {"timestamp": when.format(5), "event_type": "agent_end", "properties": {"message": "done"}},
    ]
    for event in events:
        event.update(trace_id=name, agent_id=name)
    reply = httpx.post(f"{server.url}/api/v1/events/batch", json={"events": events}).json()
    assert reply["ingested"] == 5
    until(lambda: not httpx.get(f"{server.url}/health/ready").json()["engines"]["indexer"]["pending"])
    return name


@pytest.fixture
def ask(server: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("VECTADB_URL", server.url)

    def run(*arguments: str) -> str:
        assert cli.main(arguments) == 0
        return capsys.readouterr().out

    return run


def test_traces_are_a_table(ask: Any, trace: Any) -> None:
    head, _, row = ask("traces", "--agent", trace).splitlines()
    assert head.split() == ["start", "status", "duration", "trace", "name", "events", "tools", "tokens", "input"]
    assert "5.0 s" in row
    assert re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", row)


def test_where_there_are_no_traces_it_says_how_else_to_look(ask: Any, trace: Any) -> None:
    """What began before a time is not listed, though it went on in it; nor is what has no marks of a run."""
    during = ("--since", "2026-01-31T12:00:02Z", "--until", "2026-01-31T12:00:06Z")
    said, advice = ask("traces", "--agent", trace, *during).splitlines()
    assert said == "No traces."
    assert "listed by when they began" in advice
    assert "`vectadb events --since … --until …`" in advice
    assert "`vectadb traces --basis time_window`" in advice
    assert "`vectadb traces --at 14:03`" in advice
    assert "tool_result" in ask("events", "--agent", trace, *during)


def test_what_was_going_on_at_a_time_is_listed_whenever_it_began(ask: Any, trace: Any) -> None:
    assert len(ask("traces", "--agent", trace, "--at", "2026-01-31T12:00:02Z").splitlines()) == 3
    assert ask("traces", "--agent", trace, "--at", "2026-01-31T12:01:00Z").startswith("No traces.")
    assert ask("traces", "--agent", trace, "--at", "14:03").startswith("No traces.")


@given(st.integers(10**9, 2 * 10**9), st.times())
def test_a_time_of_day_is_the_last_such(seconds: int, at: dt.time) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    asked = cli_reads.going_on(f"{at:%H:%M}", now.astimezone())
    since, until = (datetime.fromisoformat(asked[name]).astimezone() for name in ("active_since", "until"))
    assert (since.hour, since.minute, until - since) == (at.hour, at.minute, timedelta(minutes=1))
    assert since <= now < since + timedelta(hours=25)  # a day may have an hour more


def test_traces_without_marks_of_a_run_are_listed_if_asked_for(ask: Any, server: Any, until: Any) -> None:
    agent = f"unmarked-{uuid.uuid4().hex[:8]}"
    event = {"timestamp": "2026-01-31T12:00:00Z", "event_type": "log", "agent_id": agent}
    assert httpx.post(f"{server.url}/api/v1/events", json=event).is_success
    until(lambda: not httpx.get(f"{server.url}/health/ready").json()["engines"]["indexer"]["pending"])
    assert ask("traces", "--agent", agent).startswith("No traces.\n")
    assert len(ask("traces", "--agent", agent, "--basis", "time_window").splitlines()) == 3


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("traces", "that began at this time or later"),
        ("sessions", "with traces that began at this time or later"),
        ("events", "TIME this time or later"),
    ],
)
def test_help_says_of_what_a_time_is(capsys: Any, command: str, said: str) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert said in " ".join(capsys.readouterr().out.split())


def test_times_are_dates_or_so_long_before_now(ask: Any, trace: Any) -> None:
    def listed(*arguments: str) -> list[str]:
        return ask("events", "--agent", trace, *arguments).splitlines()[2:]

    assert len(listed("--since", "2026-01-31", "--until", "2026-02-01")) == 5
    for since in ("2026-02-01", "15m", "-15m"):
        assert listed("--since", since) == []
    assert len(listed("--until", "15m")) == 5


def test_a_trace_is_a_tree(ask: Any, trace: Any) -> None:
    shown = ask("trace", trace)
    lines = shown.splitlines()
    assert lines[0].startswith("trace ")
    [tool] = [line for line in lines if " tool look_up" in line]
    assert "2.0 s" in tool
    assert "ok" in tool
    assert any(re.search(r'input +\{"q": "天気', line) for line in lines)
    assert any(re.search(r"output +42 ", line) for line in lines)
    assert any("└── tool" in line or "├── tool" in line for line in lines)


@pytest.mark.parametrize("command", [("traces",), ("search", "boom"), ("trace", "TRACE")])
def test_hostile_text_does_not_reach_the_terminal(ask: Any, trace: Any, command: Any) -> None:
    shown = ask(*(trace if word == "TRACE" else word for word in command))
    assert not set(shown) & {"\x1b", "\x07", "\r"}
    if command[0] != "traces":
        assert "[red]bold[/red]" in shown
        assert ":smile:" in shown


def test_search_and_its_filters(ask: Any, trace: Any) -> None:
    shown = ask("search", "boom", "--trace", trace, "--type", "error", "--mode", "text")
    assert len(shown.splitlines()) == 3
    assert "boom" in shown
    assert ask("search", "boom", "--trace", trace, "--type", "none") == "Nothing found.\n"
    assert ask("search", "boom", "--trace", trace, "--since", "-2h") == "Nothing found.\n"
    assert "boom" in ask("search", "boom", "--trace", trace, "--since=2026-01-01T00:00:00Z", "--until", "-1m")


def test_search_for_what_is_like_an_event(ask: Any, trace: Any) -> None:
    [boom] = json.loads(ask("events", "--agent", trace, "--error", "--json"))["events"]
    times = ("--since", "2026-01-31T00:00:00Z", "--until", "2026-02-01T00:00:00Z")
    found = json.loads(ask("search", "--like", boom["event_id"], "--agent", trace, "--json", *times))["results"]
    assert found
    assert boom["event_id"] not in {each["event"]["event_id"] for each in found}
    only = ask("search", "--like", boom["event_id"], "--agent", trace, "--type", "agent_start, agent_end")
    assert {line.split()[3] for line in only.splitlines()[2:]} == {"agent_start", "agent_end"}


def test_search_takes_a_query_or_an_event_to_be_like(capsys: Any) -> None:
    for arguments in (["search"], ["search", "x", "--like", str(uuid.UUID(int=7))]):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2
        assert "either what to look for, or --like" in capsys.readouterr().err


def test_without_a_command_there_is_help(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "list traces, newest first" in capsys.readouterr().err


def result(**fields: Any) -> dict[str, Any]:
    text = f"…the naïve {EVIL} café 天気 is closed " + "x" * 200
    start = text.index("café")
    return {
        "event": {
            "event_id": str(uuid.UUID(int=1)),
            "trace_id": str(uuid.UUID(int=2)),
            "timestamp": "2026-01-31T12:00:00Z",
            "event_type": "error",
            "raw": text,
            "properties": {},
        },
        "score": 0.5,
        "highlights": [{"field": "raw", "text": text, "ranges": [[start, start + 4], [start + 5, start + 7]]}],
        **fields,
    }


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("plain", [True, False])
def test_a_terminal_shows_where_the_words_stand(capsys: Any, monkeypatch: Any, width: Any, plain: Any) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1" if plain else "")
    render.results({"results": [result(), result(highlights=[])]})
    shown = capsys.readouterr().out
    assert ("\x1b[1;33mcafé\x1b[0m \x1b[1;33m天気" in shown) == (not plain and width >= 80)
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert [line.split()[0] for line in lines] == [str(uuid.UUID(int=1)), "…the", "trace"] * 2
    assert not set("".join(lines)) & {"\x1b", "\x07", "\r"}


def test_stats_are_counts(ask: Any, trace: Any) -> None:
    shown = ask("stats", "--since", "2026-01-31T00:00:00Z", "--until", "2026-02-01T00:00:00Z", "--bucket", "6h")
    assert re.search(r"^tool_result +[\d,]+$", shown, re.MULTILINE)
    assert "latency of traces: p50 " in shown


def test_json_is_the_reply_itself(ask: Any, server: Any, trace: Any) -> None:
    shown = json.loads(ask("trace", trace, "--json"))
    assert shown == httpx.get(f"{server.url}/api/v1/traces/{shown['trace']['trace_id']}").json()
    assert set(json.loads(ask("traces", "--json", "--limit", "1"))) == {"traces", "next_cursor"}
    assert set(json.loads(ask("search", "x", "--json"))) == {"results"}
    assert "buckets" in json.loads(ask("stats", "--json"))


def test_what_the_server_refuses_is_told(capsys: Any, monkeypatch: Any, server: Any) -> None:
    monkeypatch.setenv("VECTADB_URL", server.url)
    for arguments, code, said in (
        (["trace", "no such?trace#"], 1, "vectadb trace: no trace 'no such?trace#'"),
        (
            ["trace", "none"],
            1,
            "vectadb trace: no trace 'none'. Next: `vectadb traces`, or GET /api/v1/traces, lists those there are\n",
        ),
        (
            ["keys", "revoke", "0123456789ab"],
            1,
            "vectadb keys: no key '0123456789ab'. Next: `vectadb keys list`, or GET /api/v1/auth/keys, lists",
        ),
        (["traces", "--limit", "0"], 2, "vectadb traces: limit"),
        (["traces", "--at", "noon"], 2, "vectadb traces: --at: found 'noon'"),
        (["traces", "--at", "14:03", "--since", "-1h"], 2, "vectadb traces: --at says the time"),
        (["traces", "--since", "noon"], 2, "vectadb traces: since: found 'noon'"),
        (["keys", "revoke", ""], 2, "vectadb keys: found ''; expected an id"),
    ):
        assert cli.main(arguments) == code
        assert capsys.readouterr().err.startswith(said)


def test_no_server(capsys: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert cli.main(["traces", "--url", url]) == 1
    assert capsys.readouterr().err == (
        f"vectadb traces: no server answers at {url}. "
        "Next: start one with `vectadb serve`, or name another with --url or VECTADB_URL\n"
    )


@pytest.mark.parametrize("command", [["check"], ["keys", "list"], ["backup", "made.tar"], ["reindex"]])
def test_who_names_a_server_does_not_mean_the_directory_here(
    capsys: Any, monkeypatch: Any, tmp_path: Path, command: Any
) -> None:
    (tmp_path / "data" / "record").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert cli.main([*command, "--url", url]) == 1
        monkeypatch.setenv("VECTADB_URL", url)
        assert cli.main(command) == 1
    assert capsys.readouterr().err.count(f"no server answers at {url}") == 2
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("data", "record")]


def test_who_names_a_directory_does_not_mean_the_server_at_the_usual_address(tmp_path: Path) -> None:
    named = argparse.Namespace(data_dir=tmp_path, url=None, api_key=None, api_key_file=None, json=False)
    with pytest.raises(cli_client.NoServer, match="no server answers there"):
        cli_client.ask(named, "GET", "/health")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keys", "create", "--name", "x", "--scope", "read", "--max-events-per-second", "nan"], "invalid rate value"),
        (["search", "\udcff"], "expected UTF-8"),
    ],
)
def test_what_is_no_number_and_no_text_is_wrong_usage(capsys: Any, arguments: Any, said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert (caught.value.code, said in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("trace", ["", ".", ".."])
def test_no_trace_has_an_id_that_no_path_has(capsys: Any, trace: str) -> None:
    assert cli.main(["trace", trace]) == 2
    assert "expected an id" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://[", "http://x:99999"])
def test_no_url(capsys: Any, url: Any) -> None:
    assert cli.main(["traces", "--url", url]) == 1
    assert url in capsys.readouterr().err


@pytest.fixture
def stranger() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Page) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{other.server_port}"
        other.shutdown()
        thread.join()


def test_another_server(capsys: Any, stranger: Any) -> None:
    assert cli.main(["stats", "--url", stranger]) == 1
    assert "it is no VectaDB" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["serv"], ["trace"], ["search"], ["traces", "--limit", "x"]])
def test_wrong_usage(capsys: Any, arguments: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def summary(**fields: Any) -> dict[str, Any]:
    return {
        "trace_id": str(uuid.UUID(int=7)),
        "start": "2026-01-31T12:00:00Z",
        "status": "ok",
        "duration_ms": 61_000,
        "name": WIDE,
        "events": 1234,
        "tool_calls": 2,
        "tokens": {"input": 1000, "output": 20},
        "input": WIDE,
        "first_error": None,
        **fields,
    }


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("plain", [True, False])
def test_a_terminal_is_never_too_narrow(capsys: Any, monkeypatch: Any, width: Any, plain: Any) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    render.traces({"traces": [summary(), summary(first_error=EVIL)], "next_cursor": None})
    shown = capsys.readouterr().out
    assert ("\x1b" in shown) != plain
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert len(lines) == 4
    assert max(map(cell_len, lines)) <= width
    if width >= 60:
        assert str(uuid.UUID(int=7)) in lines[2]  # ids are to be copied: they are not cut


def test_into_a_pipe_nothing_is_cut(capsys: Any) -> None:
    render.traces({"traces": [summary()], "next_cursor": "more"})
    shown = capsys.readouterr().out
    assert " ".join(WIDE.split()) in shown
    assert "1 min 01 s" in shown
    assert "1,000/20" in shown
    assert "--limit" in shown


def test_events_are_a_table_lines_or_json(ask: Any, trace: Any) -> None:
    head, _, *rows = ask("events", "--agent", trace).splitlines()
    assert head.split() == ["time", "type", "agent", "text"]
    assert [row.split()[2] for row in rows] == ["agent_end", "error", "tool_result", "tool_call", "agent_start"]
    assert all("\x1b" not in row for row in rows)
    assert len(json.loads(ask("events", "--agent", trace, "--error", "--json"))["events"]) == 1
    exported = [json.loads(line) for line in ask("events", "--agent", trace, "--ndjson").splitlines()]
    assert [event["event_type"] for event in exported][:2] == ["agent_end", "error"]
    assert ask("events", "--agent", trace, "--type", "x") == "No events.\n"
    assert "boom" in ask("events", "--trace", trace, "--q", "BOOM")


def test_agents_and_sessions_are_tables(ask: Any, trace: Any) -> None:
    times = ("--since", "2026-01-31T00:00:00Z", "--until", "2026-02-01T00:00:00Z", "--limit", "200")
    head, _, *rows = ask("agents", *times).splitlines()
    assert head.split()[:4] == ["last", "seen", "status", "agent"]
    assert any(trace in row for row in rows)
    assert ask("sessions", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z") == "No sessions.\n"


def test_events_are_followed(server: Any, trace: Any) -> None:
    popen = subprocess.Popen(
        [sys.executable, "-m", "vectadb_server", "events", "--follow", "--json", "--agent", f"{trace}-f"],
        env={**os.environ, "VECTADB_URL": server.url},
        stdout=subprocess.PIPE,
    )
    try:
        assert popen.stdout is not None
        sent: list[str] = []
        # It says nothing before the first event: one is sent again and again until it is heard.
        while not select.select([popen.stdout], [], [], 0.5)[0]:
            event = {"timestamp": "2026-01-31T12:00:00Z", "agent_id": f"{trace}-f"}
            sent += httpx.post(f"{server.url}/api/v1/events/batch", json={"events": [event]}).json()["event_ids"]
            assert len(sent) < 60
        assert json.loads(popen.stdout.readline())["event_id"] in sent
    finally:
        popen.kill()
        popen.wait()
        popen.stdout.close()
