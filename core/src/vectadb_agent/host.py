"""The plugin host: finds installed plugins, loads each by itself, and knows which component has which name.

pluggy marks and describes the hooks; each plugin's functions are called one by one, since pluggy's aggregate call would
lose who answered. A plugin that fails to load, or does not come to an end, is reported with its distribution and
version, and hurts only the pipelines that name what it would have brought.
"""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Literal, get_args

from vectadb_agent import hookspecs
from vectadb_agent.bounded import within
from vectadb_agent.components import API_VERSION, Component, ComponentConfig, Parser, Processor, Sink, Source

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

GROUP = hookspecs.PROJECT
Kind = Literal["source", "parser", "processor", "sink"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_BASES: dict[Kind, type[Component]] = {"source": Source, "parser": Parser, "processor": Processor, "sink": Sink}
OURS = frozenset(f"vectadb-agent-{name}" for name in ("cloudwatch", "parsers", "processors", "sinks"))
"""The distributions that are made with this one."""
PATIENCE = 30.0
"""Seconds that the import of a plugin, one of its hooks or the making of a component may take."""
_PREFIX = "vectadb_"
_HOOKS = [name for name in vars(hookspecs) if name.startswith("vectadb_register_")]


@dataclass(frozen=True)
class Provided:
    """A component class, and the plugin and distribution that brought it."""

    component: type[Component]
    plugin: str
    distribution: str
    version: str

    def make(self, config: ComponentConfig) -> Component:
        """Make the component.

        Raises:
            TimeoutError: it does not come to an end.
            Exception: whatever the plugin raises, ``ValueError`` if options contradict each other.
        """
        with within(PATIENCE):
            return self.component(config)


@dataclass
class Plugin:
    """One entry point: where it comes from, what it added, and what was wrong with it."""

    name: str
    distribution: str
    version: str
    problems: list[str] = field(default_factory=list)
    components: dict[Kind, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.distribution} {self.version})"


@dataclass
class Host:
    """The plugins found and the components that they brought, by kind and name."""

    plugins: list[Plugin] = field(default_factory=list)
    components: dict[Kind, dict[str, Provided]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def unknown(self, kind: Kind, name: str) -> str:
        """Say that no such component is installed, what is, and what may explain it."""
        known = sorted(self.components[kind])
        text = f"unknown {kind} {name!r} (installed: {', '.join(known) or 'none'})."
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            return f"{text} Did you mean {close[0]!r}?"
        broken = [f"{plugin} failed to load: {plugin.problems[0]}" for plugin in self.plugins if plugin.problems]
        if broken:
            return f"{text} {'; '.join(broken)}"
        return f"{text} Install the plugin that brings it, or see `vectadb-agent plugins`."

    def register(self, module: ModuleType, plugin: Plugin) -> None:
        """Call the module's hooks and take in its components; what is wrong is noted in ``plugin.problems``."""
        self.plugins.append(plugin)
        version = getattr(module, "VECTADB_AGENT_API", API_VERSION)
        if version != API_VERSION:
            plugin.problems.append(
                f"it is made for version {version} of the plugin API, this vectadb-agent has version {API_VERSION}; "
                "install versions of the two that fit together"
            )
            return
        for name, function in inspect.getmembers(module, inspect.isfunction):
            marked = hasattr(function, f"{hookspecs.PROJECT}_impl")
            if name in _HOOKS and marked:
                kind = _kind_of(name)
                try:
                    with within(PATIENCE):
                        found = list(function())
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything; it is named
                    plugin.problems.append(f"{name}() {_said(error)}")
                    continue
                for component in found:
                    self._add(kind, component, plugin)
            elif marked or (name.startswith(_PREFIX) and function.__module__ == module.__name__):
                plugin.problems.append(_unknown_hook(name, marked=marked))
        if not plugin.components and not plugin.problems:
            plugin.problems.append(f"it implements none of the hooks {', '.join(_HOOKS)}")

    def _add(self, kind: Kind, component: object, plugin: Plugin) -> None:
        base = _BASES[kind]
        if not (isinstance(component, type) and issubclass(component, base)):
            plugin.problems.append(
                f"vectadb_register_{kind}s returned {component!r}, which is no {base.__name__} class"
            )
            return
        name = getattr(component, "name", None)
        if not isinstance(name, str) or not name:
            plugin.problems.append(f'{component.__name__} has no `name`: set name = "…", the type used in YAML')
            return
        config: object = component.Config
        if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
            plugin.problems.append(f"{component.__name__}.Config is no subclass of ComponentConfig")
            return
        known = self.components[kind]
        if name in known:
            other = known[name]
            plugin.problems.append(
                f"{kind} {name!r} is brought by {other.distribution} {other.version} already; uninstall one of the "
                "two, or name the plugins to load under `plugins:`"
            )
            return
        known[name] = Provided(component, plugin.name, plugin.distribution, plugin.version)
        plugin.components.setdefault(kind, []).append(name)


def installed() -> list[metadata.EntryPoint]:
    """Return the entry points of all installed plugins, ours first, then by name; none is loaded.

    Of two components of one name the first stays: so nobody takes the place of ``json``.
    """

    def order(entry: metadata.EntryPoint) -> tuple[bool, str, str]:
        return entry.dist is None or entry.dist.name not in OURS, entry.name, entry.value

    return sorted(metadata.entry_points(group=GROUP), key=order)


def load(names: Iterable[str] | None = None, entries: Iterable[metadata.EntryPoint] | None = None) -> Host:
    """Load the plugins named (default: all that are installed), one by one. Never raises for a plugin's fault.

    ``entries`` replaces the installed entry points, for tests.
    """
    host = Host()
    wanted = None if names is None else set(names)
    for entry in installed() if entries is None else entries:
        if wanted is not None and entry.name not in wanted:
            continue
        distribution = entry.dist
        plugin = Plugin(
            name=entry.name,
            distribution=distribution.name if distribution else "unknown distribution",
            version=distribution.version if distribution else "unknown",
        )
        try:
            with within(PATIENCE):
                module = entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything; it is named
            plugin.problems.append(f"importing {entry.value} {_said(error)}")
            host.plugins.append(plugin)
            continue
        host.register(module, plugin)
    return host


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, TimeoutError) else f"raised {type(error).__name__}: {error}"


def _kind_of(hook: str) -> Kind:
    return next(kind for kind in KINDS if hook == f"vectadb_register_{kind}s")


def _unknown_hook(name: str, *, marked: bool) -> str:
    if name in _HOOKS and not marked:
        return f"{name} is not marked: put @hookimpl above it (from vectadb_agent import hookimpl)"
    close = difflib.get_close_matches(name, _HOOKS, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"unknown hook {name} (known: {', '.join(_HOOKS)}).{hint}"
