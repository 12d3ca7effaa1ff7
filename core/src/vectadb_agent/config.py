"""The configuration: YAML with ``${VAR}`` and ``${VAR:-default}``, checked whole before anything starts.

Every mistake is reported at once, each with file, line, path, what was found and what would be right.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vectadb_agent.components import Duration, Parser, Processor, Sink, SinkConfig, Size, Source
from vectadb_agent.errors import ConfigError, Problem
from vectadb_agent.host import Host, Kind, installed, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic_core import ErrorDetails

    from vectadb_agent.components import Component

_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_STRING = "tag:yaml.org,2002:str"
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})")

Path_ = tuple[str | int, ...]


def _address(value: object) -> object:
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if value is not None and (found is None or int(found[3]) > 65535):
        # A port alone would be all interfaces to some and loopback to others.
        raise ValueError(
            "an address is a host and a port: 127.0.0.1:9464 or [::1]:9464; 0.0.0.0:9464 can be reached from outside"
        )
    return found and (found[1] or found[2], int(found[3]))


DEFAULT_PARSER = "auto"
"""The parser of a pipeline that names none, where it is installed. ``parsers: []`` means none at all."""


class AgentSettings(BaseModel):
    """The ``agent:`` section."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    state_dir: Path = Path("./state")
    """Where checkpoints, the ledger of delivered records and the quarantine live; relative to the working directory."""
    shutdown_timeout: Duration = Field(default=10.0, ge=0)
    """Longest time that a stop waits for what was read to be delivered."""
    listen: Annotated[tuple[str, int] | None, BeforeValidator(_address, json_schema_input_type=str | None)] = None
    """TCP address, e.g. 127.0.0.1:9464, where /metrics and /health are served besides the socket in `state_dir`."""
    quarantine_keep: Duration = Field(default=14 * 86_400.0, gt=0)
    """How long events that a sink refused for good are kept for `vectadb-agent quarantine`."""
    quarantine_max: Size = Field(default=100_000_000, ge=1_000_000)
    """Most bytes of events in the quarantine; beyond it the oldest are given up, and the log names them."""


class PipelineSettings(BaseModel):
    """One of ``pipelines:``; what its components are told is checked by themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    agent_id: str | None = None
    """Agent of those events that do not name their own."""
    source: Any
    """Where the records come from: `type` and the options of a source."""
    parsers: list[Any] | None = None
    """Tried in order; what none takes becomes a `log` event, whole. Omitted: `[{type: auto}]`. `[]`: none at all."""
    processors: list[Any] = []
    """What events go through between parsers and sinks, in order."""
    sinks: list[str] = Field(min_length=1)
    """Names of sinks, as they stand under `sinks:`."""
    max_in_flight: Size = Field(default=3_000_000, ge=100_000)
    """Most bytes of records that are read and not yet delivered; then the source waits."""


@dataclass(frozen=True)
class Pipeline:
    """One pipeline, its components made but not yet opened."""

    name: str
    agent_id: str | None
    source: Source
    parsers: tuple[Parser, ...]
    sinks: tuple[str, ...]
    max_in_flight: int
    processors: tuple[Processor, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """All that ``run`` needs."""

    agent: AgentSettings
    pipelines: tuple[Pipeline, ...]
    sinks: dict[str, Sink]
    host: Host


@dataclass
class Document:
    """A YAML file's values, with the line on which each path begins, and what is wrong with it."""

    file: str
    data: Any
    lines: dict[Path_, int]
    problems: list[Problem] = field(default_factory=list)

    def blame(self, path: Path_, text: str) -> None:
        """Note a mistake at ``path``."""
        at = path
        while at and at not in self.lines:
            at = at[:-1]
        self.problems.append(Problem(self.file, self.lines.get(at, 1), _show(path), text))


def read(file: Path, environ: Mapping[str, str] | None = None) -> Configuration:
    """Read and check a configuration file, load the plugins that it names, and make its components.

    Raises:
        ConfigError: with every mistake found; nothing was opened or started.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        hint = "Name the file with --config or CONFIG_PATH; `vectadb-agent check --help` tells more."
        raise ConfigError([Problem(str(file), 0, "", f"cannot be read: {error.strerror}. {hint}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(file), 0, "", f"is not UTF-8 text (byte {error.start})")]) from error
    return check(text, str(file), os.environ if environ is None else environ)


def check(
    text: str, file: str, environ: Mapping[str, str], *, load_plugins: Callable[..., Host] = load
) -> Configuration:
    """Do what :func:`read` does for text that is at hand."""
    document = read_document(text, file, environ)
    if not isinstance(document.data, dict):
        raise ConfigError([Problem(file, 1, "", "is empty: a configuration has `pipelines:` and `sinks:`")])
    data: dict[Any, Any] = document.data
    known = ("agent", "plugins", "pipelines", "sinks")
    for key in data:
        if key not in known:
            document.blame((key,), f"unknown section (known: {', '.join(known)}).{_did_you_mean(str(key), known)}")
    agent = _validated(document, AgentSettings, data.get("agent") or {}, ("agent",))
    host = load_plugins(_plugin_names(document, data.get("plugins")))
    sinks = _sinks(document, host, data.get("sinks"))
    pipelines = _pipelines(document, host, data.get("pipelines"), set(_mapping(data.get("sinks"))))
    if document.problems or agent is None:
        raise ConfigError(document.problems)
    return Configuration(agent, tuple(pipelines), sinks, host)


def _plugin_names(document: Document, value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        document.blame(("plugins",), f"a list of plugin names is wanted, found {_found(value)}")
        return None
    known = sorted({entry.name for entry in installed()})
    for index, name in enumerate(value):
        if name not in known:
            document.blame(
                ("plugins", index),
                f"no plugin {name!r} is installed (installed: {', '.join(known) or 'none'})."
                f"{_did_you_mean(name, known)}",
            )
    return value


def _sinks(document: Document, host: Host, value: Any) -> dict[str, Sink]:
    sinks: dict[str, Sink] = {}
    if not isinstance(value, dict) or not value:
        document.blame(("sinks",), "at least one sink is wanted, e.g. `sinks: {vectadb: {type: vectadb, endpoint: …}}`")
        return sinks
    for name, options in value.items():
        sink = _component(document, host, "sink", options, ("sinks", name))
        if isinstance(sink, Sink):
            if not isinstance(sink.config, SinkConfig):
                document.blame(("sinks", name, "type"), f"{type(sink).__name__}.Config is no subclass of SinkConfig")
                continue
            sinks[str(name)] = sink
    return sinks


def _pipelines(document: Document, host: Host, value: Any, sink_names: set[str]) -> Iterator[Pipeline]:
    found: list[Pipeline] = []
    if not isinstance(value, dict) or not value:
        document.blame(("pipelines",), "at least one pipeline is wanted: a name, with `source:` and `sinks:` below it")
        return iter(found)
    for name, options in value.items():
        path: Path_ = ("pipelines", name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            document.blame(path, f"a pipeline's name is letters, digits, '.', '_' and '-', found {name!r}")
        if not isinstance(options, dict):
            document.blame(path, f"`source:`, `parsers:` and `sinks:` are wanted here, found {_found(options)}")
            continue
        settings = _validated(document, PipelineSettings, options, path)
        # The components are checked even where the frame around them is wrong: all mistakes are told at once.
        source = (
            _component(document, host, "source", options["source"], (*path, "source")) if "source" in options else None
        )
        parsers = make_parsers(document, host, options, path)
        processors = make_processors(document, host, options, path)
        for index, sink in enumerate(settings.sinks if settings else ()):
            if sink not in sink_names:
                known = sorted(map(str, sink_names))
                document.blame(
                    (*path, "sinks", index),
                    f"no sink {sink!r} is defined under `sinks:` (defined: {', '.join(known) or 'none'})."
                    f"{_did_you_mean(sink, known)}",
                )
        if settings and isinstance(source, Source):
            found.append(
                Pipeline(
                    name=str(name),
                    agent_id=settings.agent_id,
                    source=source,
                    parsers=parsers,
                    sinks=tuple(settings.sinks),
                    max_in_flight=settings.max_in_flight,
                    processors=processors,
                )
            )
    return iter(found)


def make_parsers(document: Document, host: Host, options: dict[Any, Any], path: Path_) -> tuple[Parser, ...]:
    """Make a pipeline's parsers, those that stand for several resolved; where none is named, ``auto`` if installed."""
    listed = options.get("parsers")
    if listed is None and DEFAULT_PARSER in host.components["parser"]:
        listed = [{"type": DEFAULT_PARSER}]
    parsers = [
        _component(document, host, "parser", item, (*path, "parsers", index))
        for index, item in enumerate(listed if isinstance(listed, list) else [])
    ]
    return tuple(member for parser in parsers if isinstance(parser, Parser) for member in parser.members())


def make_processors(document: Document, host: Host, options: dict[Any, Any], path: Path_) -> tuple[Processor, ...]:
    """Make a pipeline's processors, in order."""
    listed = options.get("processors")
    processors = [
        _component(document, host, "processor", item, (*path, "processors", index))
        for index, item in enumerate(listed if isinstance(listed, list) else [])
    ]
    return tuple(each for each in processors if isinstance(each, Processor))


def _component(document: Document, host: Host, kind: Kind, options: Any, path: Path_) -> Component | None:
    if not isinstance(options, dict):
        document.blame(path, f"a mapping with `type:` is wanted, found {_found(options)}")
        return None
    type_ = options.get("type")
    if not isinstance(type_, str):
        installed_ = ", ".join(sorted(host.components[kind])) or "none"
        document.blame((*path, "type"), f"which {kind} is wanted? Name one by `type:` (installed: {installed_})")
        return None
    provided = host.components[kind].get(type_)
    if provided is None:
        document.blame((*path, "type"), host.unknown(kind, type_))
        return None
    config = _validated(document, provided.component.Config, options, path)
    if config is None:
        return None
    try:
        return provided.make(config)
    except ValueError as error:
        document.blame(path, str(error))
    except Exception as error:  # noqa: BLE001 - a plugin's constructor may raise anything; it is named and reported
        whose = f"{kind} {type_!r} of {provided.distribution} {provided.version}"
        document.blame(path, f"{whose} failed: {type(error).__name__}: {error}")
    return None


def _validated(document: Document, model: type[Any], value: Any, path: Path_) -> Any:
    if not isinstance(value, dict):
        document.blame(path, f"a mapping is wanted, found {_found(value)}")
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            location = tuple(
                step for step in detail["loc"] if isinstance(step, int) or not step.startswith("function-")
            )
            document.blame((*path, *_existing(value, location)), _explain(detail, model))
        return None


def _existing(value: Any, location: Path_) -> Path_:
    """Drop from pydantic's location what is no key of the data (the names of union members)."""
    path: list[str | int] = []
    for step in location:
        if isinstance(value, dict) and (step in value or step == location[-1]):
            path.append(step)
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            path.append(step)
            value = value[step]
    return tuple(path)


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, found = detail["type"], _found(detail["input"])
    if kind == "missing":
        name = str(detail["loc"][-1])
        described = model.model_fields.get(name)
        what = f": {described.description}" if described is not None and described.description else ""
        return f"is required{what}"
    if kind == "extra_forbidden":
        if len(detail["loc"]) > 1:
            return "unknown option"
        known = list(model.model_fields)
        return f"unknown option (known: {', '.join(known)}).{_did_you_mean(str(detail['loc'][-1]), known)}"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if kind != "value_error" else message
    # A message that shows the place on lines of its own has shown what was found.
    return message if "\n" in message else f"{message}; found {found}"


def read_document(text: str, file: str, environ: Mapping[str, str]) -> Document:
    """Make plain values of YAML, remembering lines, and put variables in.

    Variables are replaced inside scalars after parsing, so that a value can never change the structure.

    Raises:
        ConfigError: it is no YAML.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            [Problem(file, mark.line + 1 if mark else 0, "", f"is not valid YAML: {error.problem or error}")]
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem(file, 0, "", f"is not valid YAML: {error}")]) from error
    except RecursionError as error:
        raise ConfigError([Problem(file, 0, "", "is nested too deeply to be a configuration")]) from error
    document = Document(file, None, {})
    if root is not None:
        document.data = _build(root, (), document, environ)
    return document


def _build(
    node: yaml.Node, path: Path_, document: Document, environ: Mapping[str, str], around: tuple[yaml.Node, ...] = ()
) -> Any:
    """The node's value; ``around``: the nodes that it stands in."""
    document.lines.setdefault(path, node.start_mark.line + 1)
    if any(node is each for each in around):
        document.blame(
            path, "stands for what it is in itself, without end; write out what is meant instead of the alias"
        )
        return None
    around = (*around, node)
    if isinstance(node, yaml.MappingNode):
        yaml.SafeLoader.flatten_mapping(cast("Any", yaml.SafeLoader("")), node)
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = _build(key_node, (*path, "?"), document, environ, around)
            document.lines.pop((*path, "?"), None)
            if isinstance(key, dict | list):
                document.blame(path, "a key must be plain text")
                continue
            if key in result:
                document.lines[(*path, key)] = key_node.start_mark.line + 1
                document.blame((*path, key), "is given twice; remove one")
            document.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = _build(value_node, (*path, key), document, environ, around)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), document, environ, around) for index, item in enumerate(node.value)]
    if node.tag == _STRING:
        return _substitute(str(node.value), path, document, environ)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # 2026-02-30, or a tag that its text does not fit
        document.blame(path, f"is not a value YAML knows, or put it in quotes: {error}")
        return None


def _substitute(text: str, path: Path_, document: Document, environ: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        if environ.get(name):
            return environ[name]
        if found[2] is not None:
            return found[2]
        if name in environ:
            return ""
        document.blame(
            path, f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-value}}"
        )
        return ""

    return _VARIABLE.sub(value, text)


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _show(path: Path_) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text
