"""The page ``configuration.md``: every option of the agent, of the plugins of this repository, and of the server."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import BaseModel

from vectadb_agent.config import AgentSettings, PipelineSettings
from vectadb_agent.host import KINDS, Host, Plugin
from vectadb_agent.reports import options
from vectadb_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD = """\
# Configuration reference

<!-- Made of the code by `make docs`; do not edit. -->

[The agent](#the-agent) is configured by a YAML file, [the server](#the-server) by flags, the environment or a TOML
file. [`config.example.yaml`](../config.example.yaml) is an annotated beginning.

## The agent

The file is named by `--config` or `CONFIG_PATH`. `${VAR}` in a value is the environment variable, `${VAR:-default}` has
a default, `$$` is a dollar sign. A duration is a number and a unit (`500ms`, `10s`, `5m`, `24h`, `7d`), a size likewise
(`512KB`, `8MB`, `1MiB`). Unknown keys are refused; all mistakes are told at once, each with its line;
`vectadb-agent check` tries everything without starting. `plugins:`, a list of names, restricts which are loaded.
"""
SERVER = """\
## The server

Each setting is `VECTADB_NAME` in the environment and `name` in the TOML file that `--config` or `VECTADB_CONFIG` names;
`vectadb serve` has flags for the first few (`vectadb serve --help`). Flags go before the environment, that before the
file.

"""
TITLES = {"source": "Sources", "parser": "Parsers", "processor": "Processors", "sink": "Sinks"}


def ours() -> Host:
    """The plugins of this repository alone, whatever else is installed."""
    import vectadb_agent_cloudwatch
    import vectadb_agent_parsers
    import vectadb_agent_processors
    import vectadb_agent_sinks

    host = Host()
    for module in (vectadb_agent_cloudwatch, vectadb_agent_parsers, vectadb_agent_processors, vectadb_agent_sinks):
        name = module.__name__
        host.register(module, Plugin(name.removeprefix("vectadb_agent_"), name.replace("_", "-"), ""))
    return host


def page() -> str:
    """The whole page."""
    parts = [HEAD, "### `agent:`\n\n" + _table(AgentSettings), "### `pipelines:`, each by its name\n"]
    parts.append(_table(PipelineSettings))
    host = ours()
    for kind in KINDS:
        parts.append(f"### {TITLES[kind]}\n")
        for name, provided in sorted(host.components[kind].items()):
            component = provided.component
            parts.append(f"#### `{name}`\n\nFrom `{provided.distribution}`. {_prose(component.__doc__)}\n")
            table = _table(component.Config)
            parts.append(table or "No options.\n")
            parts += _nested(component.Config)
    return "\n".join(parts) + "\n" + SERVER + "\n".join(_settings()) + "\n"


def _table(model: type[BaseModel]) -> str:
    found = options(model)
    if not found:
        return ""
    return _rows(
        ("option", "type", "default", "meaning"),
        [
            (
                f"`{each.name}`",
                each.type,
                "required" if each.default is None else _code(each.default),
                _prose(each.about),
            )
            for each in found
        ],
    )


def _nested(model: type[BaseModel], seen: set[type] | None = None) -> Iterator[str]:
    """The options of what stands inside of a component's options."""
    seen = set() if seen is None else seen
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            if inner not in seen:
                seen.add(inner)
                yield f"In `{name}`: {_prose(inner.__doc__)}\n"
                yield _table(inner)
                yield from _nested(inner, seen)


def _models(hint: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        yield hint
    for inner in getattr(hint, "__args__", ()):
        yield from _models(inner)


def _settings() -> Iterator[str]:
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for field in Settings.__struct_fields__:
        about = [meta for meta in hints[field].__metadata__ if getattr(meta, "description", None)][-1]
        rows.append((f"`VECTADB_{field.upper()}`", about.extra["expected"], _code(_default(field)), about.description))
    yield _rows(("variable", "what it takes", "default", "meaning"), rows)


def _default(field: str) -> str:
    value = getattr(Settings(), field)
    match value:
        case None | ():
            return "none"
        case bool():
            return str(value).lower()
        case int() if type(value).__name__ == "Size":
            return f"{value >> 20} MiB"
        case float():
            return f"{value:g}"
    return str(value)


def _code(value: str) -> str:
    return "" if value == "none" else f"`{value}`"


def _prose(text: str | None) -> str:
    """A docstring as one line of Markdown."""
    return " ".join((text or "").replace("``", "`").split())


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
