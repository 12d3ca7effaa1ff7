"""Every mistake at once, each with its place, what was found and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import Field

from vectadb_agent import Block, ComponentConfig, Duration, Event, Parser, Size
from vectadb_agent.config import Configuration, check
from vectadb_agent.errors import ConfigError
from vectadb_agent.host import Host, Plugin, Provided
from vectadb_agent.testing.fakes import ListSource, MemorySink

if TYPE_CHECKING:
    from collections.abc import Iterable


class ToyConfig(ComponentConfig):
    every: Duration = 1.0
    """How often."""
    most: Size = 10
    word: str
    """The word to look for."""
    odd: int = Field(default=1, ge=1)


class Toy(Parser):
    name = "toy"
    Config = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        if config.word == "never":
            raise ValueError("`word` can never be 'never'")
        if config.word == "crash":
            raise RuntimeError("boom")

    def parse(self, block: Block) -> list[Event] | None:
        return None


class Listed(ListSource):
    def __init__(self, config: ComponentConfig) -> None:
        super().__init__([])
        self.config = config


class Memory(MemorySink):
    def __init__(self, config: object) -> None:
        super().__init__()
        self.config = config


def host(names: Iterable[str] | None = None) -> Host:
    made = Host([Plugin("toys", "toys", "1")])
    made.components["source"]["list"] = Provided(Listed, "toys", "toys", "1.0")
    made.components["parser"]["toy"] = Provided(Toy, "toys", "toys", "1.0")
    made.components["sink"]["memory"] = Provided(Memory, "toys", "toys", "1.0")
    return made


GOOD = """\
pipelines:
  p:
    agent_id: a
    source: {type: list}
    parsers:
      - {type: toy, word: "${WORD:-hello}", every: 5m, most: 8MB}
    sinks: [m]
sinks:
  m: {type: memory, batch_size: "${N:-7}"}
"""


def read(text: str, **environ: str) -> Configuration:
    return check(text, "agent.yaml", environ, load_plugins=host)


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **environ)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_gives_components_with_typed_options() -> None:
    configuration = read(GOOD, WORD="ciao")
    (pipeline,) = configuration.pipelines
    assert (pipeline.name, pipeline.agent_id, pipeline.sinks) == ("p", "a", ("m",))
    parser = pipeline.parsers[0].config
    assert (parser.word, parser.every, parser.most) == ("ciao", 300.0, 8_000_000)
    assert configuration.sinks["m"].config.batch_size == 7


def test_a_variable_cannot_change_the_structure() -> None:
    parser = read(GOOD, WORD="x, every: 1s}").pipelines[0].parsers[0]
    assert parser.config.word == "x, every: 1s}"


def test_a_missing_variable_is_named_with_the_remedy() -> None:
    (problem,) = problems(GOOD.replace("${WORD:-hello}", "${WORD}"))
    assert problem.startswith("agent.yaml:6: pipelines.p.parsers[0].word: the environment variable WORD is not set")


def test_two_dollars_are_one() -> None:
    assert read(GOOD.replace("${WORD:-hello}", "$${x}")).pipelines[0].parsers[0].config.word == "${x}"


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    found = problems("""\
agnet: {}
pipelines:
  p:
    source: {type: lst}
    parsers:
      - {type: toy, every: 5}
      - {type: toy, word: never}
      - {type: toy, word: crash}
      - {type: toy, word: x, wrd: y, odd: 0}
    sinks: [n]
sinks:
  m: {type: memory}
  m: {type: memory}
""")
    assert found == [
        "agent.yaml:1: agnet: unknown section (known: agent, plugins, pipelines, sinks). Did you mean 'agent'?",
        "agent.yaml:4: pipelines.p.source.type: unknown source 'lst' (installed: list). Did you mean 'list'?",
        "agent.yaml:6: pipelines.p.parsers[0].every: a duration needs a unit, e.g. 5s (ms, s, m, h or d); found 5",
        "agent.yaml:6: pipelines.p.parsers[0].word: is required: The word to look for.",
        "agent.yaml:7: pipelines.p.parsers[1]: `word` can never be 'never'",
        "agent.yaml:8: pipelines.p.parsers[2]: parser 'toy' of toys 1.0 failed: RuntimeError: boom",
        "agent.yaml:9: pipelines.p.parsers[3].odd: input should be greater than or equal to 1; found 0",
        "agent.yaml:9: pipelines.p.parsers[3].wrd: unknown option (known: type, every, most, word, odd)."
        " Did you mean 'word'?",
        "agent.yaml:10: pipelines.p.sinks[0]: no sink 'n' is defined under `sinks:` (defined: m).",
        "agent.yaml:13: sinks.m: is given twice; remove one",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("- a", "is empty: a configuration has"),
        ("a: [", "agent.yaml:1: is not valid YAML"),
        ("pipelines: 3\nsinks: {m: {type: memory}}", "pipelines: at least one pipeline is wanted"),
        ("pipelines: {p: 3}\nsinks: {m: {type: memory}}", "pipelines.p: `source:`, `parsers:` and `sinks:` are wanted"),
        ("sinks: {}", "sinks: at least one sink is wanted"),
        (GOOD.replace("{type: list}", "list"), "pipelines.p.source: a mapping with `type:` is wanted, found 'list'"),
        (GOOD.replace("type: memory, ", ""), "sinks.m.type: which sink is wanted?"),
        (GOOD + "plugins: [x]", "plugins[0]: no plugin 'x' is installed"),
        (GOOD + "agent: {state_dir: []}", "agent.state_dir: "),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)
