"""Mistakes in configurations, cases and options that are met less often: each is said with its place."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from vectadb_agent import (
    Block,
    ComponentConfig,
    Event,
    Parser,
    Sink,
    beside,
    cases,
    cli,
    cli_past,
    config,
    host,
    reports,
    runner,
    sample,
)
from vectadb_agent.errors import ConfigError, ParseError, UsageError
from vectadb_agent.host import Host, Provided
from vectadb_agent.testing import ArchiveSource, ListSource, MemorySink

if TYPE_CHECKING:
    from pathlib import Path

SOUND = (
    "pipelines: {p: {source: {type: cloudwatch, region: eu, log_groups: [/g]}, sinks: [out]}}\n"
    "sinks: {out: {type: stdout}}"
)


def mistakes(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.check(text, "agent.yaml", environ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"plugins: cloudwatch\n{SOUND}", "agent.yaml:1: plugins: a list of plugin names is wanted"),
        (f"plugins: [clodwatch, sinks]\n{SOUND}", "plugins[0]: no plugin 'clodwatch' is installed"),
        (f"agent: [1]\n{SOUND}", "agent.yaml:1: agent: a mapping is wanted, found a list"),
        (SOUND.replace("p:", "'a b':"), "a pipeline's name is letters, digits, '.', '_' and '-', found 'a b'"),
        (SOUND.replace("{source: {type: cloudwatch, region: eu, log_groups: [/g]}, sinks: [out]}", "7"), "`source:`, "),
        (SOUND.replace("type: stdout", "batch_size: 1"), "sinks.out.type: which sink is wanted? Name one by `type:`"),
        (SOUND.replace("{type: stdout}", "stdout"), "sinks.out: a mapping with `type:` is wanted, found"),
        (SOUND.replace("[/g]", "[{prefix: /g, more: 1}]"), "log_groups[0].more: unknown option"),
        (
            SOUND.replace("eu,", "eu, lookback: 5 parsecs,"),
            "a duration is a number and a unit: 500ms, 10s, 5m, 24h or 7d",
        ),
        (SOUND.replace("stdout}", "stdout, batch_bytes: 1 acre}"), "a size is a number and a unit: 512KB, 8MB, 1MiB"),
        (SOUND.replace("eu,", "eu, ? [a] : b,"), "a key must be plain text"),
        (SOUND.replace("eu,", "!!timestamp soon,"), "p.source.region: is not a value YAML knows"),
        (
            SOUND.replace("eu,", "2026-02-30,"),
            "p.source.region: is not a value YAML knows, or put it in quotes: day is",
        ),
        (SOUND.replace("eu,", "'${REGION}',"), "the environment variable REGION is not set; set it, or give a default"),
        ("a: b\n\x07", "agent.yaml: is not valid YAML"),
        (
            "pipelines: &a\n  q:\n    <<: *a\nsinks: {out: {type: stdout}}",
            "agent.yaml:2: pipelines.q.q: stands for what it is in itself, without end; write out what is meant",
        ),
        ("pipelines: &a\n  q:\n    r: *a", "agent.yaml:3: pipelines.q.r: stands for what it is in itself"),
        ("sinks: &a\n  - *a", "agent.yaml:1: sinks[0]: stands for what it is in itself"),
        ("a: " + "[" * 5000, "agent.yaml: is nested too deeply"),
    ],
)
def test_a_configuration_is_told_what_is_wrong(text: str, said: str) -> None:
    assert said in mistakes(text)


def test_what_is_no_file_or_no_text_is_said(tmp_path: Path) -> None:
    for read in (config.read, lambda file: cases.read(file, None)):
        with pytest.raises(ConfigError, match="cannot be read: No such file"):
            read(tmp_path / "none.yaml")
        (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
        with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 3\)"):
            read(tmp_path / "latin.yaml")


def test_a_sink_with_a_configuration_of_another_kind_is_refused() -> None:
    class Odd(Sink):
        """Has no sink's options."""

        name = "odd"
        Config = ComponentConfig

    def loaded(_: object) -> Host:
        made = host.load()
        made.components["sink"]["odd"] = Provided(Odd, "odd", "odd", "1")
        return made

    with pytest.raises(ConfigError, match=r"sinks\.out\.type: Odd\.Config is no subclass of SinkConfig"):
        config.check(SOUND.replace("stdout", "odd"), "agent.yaml", {}, load_plugins=loaded)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case: []", "unknown key (known: cases, parsers, processors)"),
        ("cases: []", "a list of cases is wanted, each with `name:`, `input:` and `expect:`"),
        ("cases: [7]", "cases[0]: a mapping with `name:`, `input:` and `expect:` is wanted"),
        ("cases: [{nam: x, input: a, expect: []}]", "cases[0].nam: unknown key (known: expect, input, name)"),
    ],
)
def test_cases_are_told_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        cases.read(tmp_path / "cases.yaml", None)
    assert said in str(caught.value)


def test_cases_are_run_through_processors_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(
        "parsers: [{type: json}]\nprocessors: [{type: set, properties: {env: prod}}]\n"
        'cases: [{name: x, input: \'{"message": "hi", "n": true}\', expect: [{env: prod, n: true, gone: null}]}]'
    )
    (outcome,) = cases.run(cases.read(tmp_path / "cases.yaml", None))
    assert outcome.problems == []
    (tmp_path / "cases.yaml").write_text(
        'parsers: [{type: json}]\ncases: [{name: x, input: \'{"message": "hi", "n": true}\', expect: [{n: 1}]}]'
    )
    (outcome,) = cases.run(cases.read(tmp_path / "cases.yaml", None))
    assert outcome.problems == ["event 1, n:\n  expected  1\n  found     true"]


# Options


def settings(name: str, source: Any) -> config.Pipeline:
    return config.Pipeline(name, None, source, (), ("out",), 1_000_000)


@pytest.mark.parametrize(
    ("word", "said"), [("agent.yaml", "named by an option: --config agent.yaml"), ("--fast", "arguments: --fast")]
)
def test_a_configuration_that_is_not_named_by_its_option_is_recognised(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", word])
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(said)


def test_times_are_relative_or_rfc_3339() -> None:
    assert beside.time_given("2026-01-01T01:00:00.5+01:00", "--since") == 1_767_225_600_500_000
    assert beside.time_given("2026-01-01", "--since") == 1_767_225_600_000_000
    before = time.time_ns() // 1000 - 5_400_000_000
    assert before <= beside.time_given("1.5h", "--since") <= time.time_ns() // 1000 - 5_400_000_000
    with pytest.raises(UsageError, match="--since 'noon' is no time; right would be 24h"):
        beside.time_given("noon", "--since")
    for before in ("9999999d", "9" * 400 + "h", "1969-12-31", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(UsageError, match=f"--since {re.escape(before)} is before 1970"):
            beside.time_given(before, "--since")
    asked = argparse.Namespace(since="2026-01-02", until="2026-01-01")
    with pytest.raises(UsageError, match="--since 2026-01-02 is not before --until 2026-01-01"):
        cli_past._times(asked)


@pytest.mark.parametrize("command", ["audit", "backfill"])
def test_so_long_ago_may_have_a_sign(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[argparse.Namespace] = []
    monkeypatch.setitem(cli._COMMANDS, command, lambda options: asked.append(options) or 0)
    assert cli.main([command, "--since", "-7d", "--until", "-1.5h"]) == 0
    assert [(options.since, options.until) for options in asked] == [("-7d", "-1.5h")]
    with pytest.raises(SystemExit):
        cli.main([command, "--since", "--until", "1h"])
    assert "argument --since: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize("until", [None, "2991-01-01"])
def test_a_past_that_is_yet_to_come_is_refused(until: str | None) -> None:
    with pytest.raises(UsageError, match="--since 2990-01-01 is not before now"):
        cli_past._times(argparse.Namespace(since="2990-01-01", until=until))


def test_a_pipeline_is_chosen_by_name_and_must_be_one_that_can_be() -> None:
    lists, archive = settings("lists", ListSource([])), settings("archive", ArchiveSource())
    configuration = config.Configuration(config.AgentSettings(), (lists, archive), {"out": MemorySink()}, Host())
    assert beside.chosen(configuration, None) == [archive]
    assert beside.chosen(configuration, "archive") == [archive]
    with pytest.raises(UsageError, match="the past of this source cannot be read again: list"):
        beside.chosen(configuration, "lists")
    with pytest.raises(UsageError, match=r"--pipeline x: there is none of that name \(configured: lists, archive\)"):
        beside.chosen(configuration, "x")
    assert sample.choose([lists], None) is lists
    assert sample.choose([lists, archive], "archive") is archive
    with pytest.raises(UsageError, match="which pipeline\\? Name one with --pipeline: lists, archive"):
        sample.choose([lists, archive], None)
    with pytest.raises(UsageError, match="no pipeline 'x' in the configuration"):
        sample.choose([lists], "x")


def test_parsers_by_name_must_be_there_and_need_no_options() -> None:
    with pytest.raises(UsageError, match="unknown parser 'jsom'"):
        sample.parsers_by_name(["jsom"])
    with pytest.raises(UsageError, match="regex"):
        sample.parsers_by_name(["regex"])


def test_a_parser_says_why_it_does_not_take_a_line() -> None:
    class Moody(Parser):
        """Does as the line says."""

        name = "moody"

        def parse(self, block: Block) -> list[Event] | None:
            match block.text:
                case "malformed":
                    raise ParseError("half of it")
                case "fails":
                    raise KeyError("x")
                case "takes":
                    return [Event(event_type="message"), Event(event_type="log")]
                case "empty":
                    return []
            return None

    class Takes(Parser):
        """Takes everything."""

        name = "takes"

        def parse(self, block: Block) -> list[Event] | None:
            return [Event()]

    first, second = Takes(ComponentConfig(type="takes")), Moody(ComponentConfig(type="moody"))

    told = {}
    for text in ("malformed", "fails", "takes", "empty", "other"):
        (taken,) = sample.parse([text], sample.Chain((first, second)), explain=True)
        told[text] = [*taken.others.values()]
    assert told == {
        "malformed": ["malformed: half of it"],
        "fails": ["failed: KeyError: 'x'"],
        "takes": ["would take it, as message, log"],
        "empty": ["would take it, as nothing"],
        "other": ["not its format"],
    }


# Reference pages, checks


def test_every_component_of_ours_has_a_page_with_all_its_options() -> None:
    loaded = host.load()
    for kind in host.KINDS:
        for name, provided in loaded.components[kind].items():
            page = reports.reference(loaded, name)
            assert f"{name} ({kind}, from {provided.distribution})" in page
            for option in provided.component.Config.model_fields:
                assert option == "type" or f"  {option}" in page, f"{name}: {option}"
    with pytest.raises(UsageError, match="nothing called 'nobody' is installed"):
        reports.reference(loaded, "nobody")
    assert "No plugin is installed. Try: pip install" in reports.plugins(Host())


def test_a_check_that_fails_or_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHECK_TIMEOUT", 0.01)

    class Fails(ListSource):
        async def check(self) -> list[str]:
            raise KeyError("x")

    class Hangs(MemorySink):
        async def check(self) -> list[str]:
            await anyio.sleep_forever()
            raise AssertionError

    pipelines = (settings("p", Fails([])),)
    found = runner.check(config.Configuration(config.AgentSettings(), pipelines, {"out": Hangs()}, Host()))
    assert [(finding.ok, finding.lines) for finding in found] == [
        (False, ["failed: KeyError: 'x'"]),
        (False, ["no answer within 0.01 s: is the endpoint reachable?"]),
    ]
