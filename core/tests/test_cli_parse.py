"""`vectadb-agent parse --explain` and `vectadb-agent test`, as a person uses them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from vectadb_agent.cli import main

LINES = """\
Invoking tool search with input {"query": "a"}
Tool search returned one
2026-01-01 00:00:00,123 INFO httpx: HTTP Request: POST https://x
two
hello there?
{"broken":
"""

CASES = r"""
parsers:
  - {type: regex, rules: [{name: paid, pattern: 'payment (?P<id>\d+) (?P<state>\w+)', types: {id: int}}]}
  - {type: json}
cases:
  - name: a payment
    input: |
      INFO payment 7 done
    expect:
      - {event_type: log, id: 7, state: done, rule: paid}
  - name: an object, and a line of nobody's
    input: ['{"level": "ERROR", "order": {"id": 1, "lines": [1, 2]}}', "what?"]
    expect:
      - {event_type: error, properties: {order: {lines: [1, 2]}}, trace_id: null}
      - {raw: "what?"}
"""


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIG_PATH", raising=False)


def explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    file = tmp_path / "lines.log"
    file.write_text(LINES)
    assert main(["parse", str(file), "--explain", *options]) == 0
    return capsys.readouterr().out


def test_explain_says_who_took_each_line_into_what_and_who_did_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = explained(tmp_path, capsys, "--parser", "openai_agents", "--parser", "json", "--parser", "python_logging")
    blocks = told.strip().split("\n\n")
    assert blocks[0].splitlines() == [
        "line 1: openai_agents",
        '  | Invoking tool search with input {"query": "a"}',
        '  -> tool_call  framework=openai_agents  gen_ai.tool.name=search  gen_ai.tool.call.arguments={"query":"a"}',
        "  not asked: json, python_logging: not its format",
    ]
    assert blocks[1].splitlines()[0] == "line 3: python_logging"
    assert "  passed: openai_agents, json: not its format" in blocks[1]
    assert blocks[2].splitlines()[0] == "lines 2, 4 to 6: openai_agents"


def test_explain_names_the_rule_and_what_is_malformed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"agent: {{state_dir: {tmp_path}/state}}\n"
        "pipelines: {p: {source: {type: cloudwatch, log_groups: [/a], region: eu-west-1}, sinks: [s], parsers: ["
        "{type: json}, {type: regex, rules: [{name: greeting, pattern: hello}, {pattern: two}]}]}}\n"
        "sinks: {s: {type: stdout}}\n"
    )
    told = explained(tmp_path, capsys, "--config", str(config))
    assert "line 5: regex (rule greeting; pattern 1 of 2: hello)" in told
    assert "line 4: regex (pattern 2 of 2: two)" in told
    assert "  passed: regex: none of its 2 patterns matches" in told
    assert "line 6: json" in told  # malformed, and said so
    assert "vectadb.parse_error=json: looks like a JSON object" in told


def test_explain_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(tmp_path, capsys, "--parser", "openai_agents", "--parser", "json", "--json")
    first = json.loads(told.splitlines()[0])
    assert (first["lines"], first["parser"]) == ([1], "openai_agents")
    assert first["not_asked"] == {"json": "not its format"}
    assert first["events"][0]["event_type"] == "tool_call"


def test_without_a_configuration_every_known_format_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Tool #1: search\n"))
    assert main(["parse", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["event_type"] == "tool_call"


def test_cases_that_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES)
    assert main(["test", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    a payment",
        "ok    an object, and a line of nobody's",
        "2 passed, 0 failed",
    ]


def test_a_case_that_fails_shows_what_was_expected_and_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES.replace("id: 7,", "id: '7', amount: 3,").replace("lines: [1, 2]}}, t", "lines: [1]}}, t"))
    assert main(["test", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"FAIL  a payment  ({file}:6)" in out
    assert '      event 1, id:\n        expected  "7"\n        found     7\n' in out
    assert "      event 1, amount:\n        expected  3\n        found     nothing\n" in out
    assert '        found     {"id":1,"lines":[1,2]}\n' in out
    assert out.endswith("0 passed, 2 failed\n")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("- {raw: \"what?\"}", "", "event 2 was not expected: log {}"),
        ("- {raw: \"what?\"}", "- {raw: \"what?\"}\n      - {event_type: log}", "event 3 is missing"),
    ],
)  # fmt: skip
def test_the_number_of_events_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES.replace(old, new))
    assert main(["test", str(file)]) == 1
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cases: []", "cases: a list of cases is wanted"),
        ("cases: [{input: 3, expect: []}]", "cases[0].input: the lines are wanted"),
        ("cases: [{input: a, expect: {}}]", "cases[0].expect: a list of events is wanted"),
        ("cases: [{input: a, expect: [], wants: 1}]", "cases[0].wants: unknown key"),
        ("parsers: [{type: jsom}]\ncases: [{input: a, expect: []}]", "parsers[0].type: unknown parser 'jsom'"),
        ("cases: [", "is not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_of_cases_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    assert main(["test", str(file)]) == 2
    assert f"{file}:" in (error := capsys.readouterr().err)
    assert told in error


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(tmp_path / "none.yaml")]) == 2
    assert main(["parse", str(tmp_path / "none.log"), "--parser", "json"]) == 2
    assert "none.log cannot be read: No such file" in capsys.readouterr().err


def test_a_parser_that_needs_options_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parse", "-", "--parser", "regex"]) == 2
    error = capsys.readouterr().err
    assert "without options: give either pattern or rules, or extends: there is nothing to look for. Write" in error
    assert "pydantic" not in error


def test_a_bad_pattern_is_pointed_at_in_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text("parsers: [{type: regex, pattern: 'a(?=b)'}]\ncases: [{input: a, expect: []}]")
    assert main(["test", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"{file}:1: parsers[0].pattern: at character 1: lookahead")
    assert lines[1:3] == ["    a(?=b)", "     ^"]
