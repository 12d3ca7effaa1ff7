"""The dependency rules of ARCHITECTURE.md, checked over the import statements."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/vectadb_agent"
PLUGINS = {path.name: path for path in ROOT.glob("plugins/*/src/vectadb_agent_*")}
SERVER = ROOT / "server/src/vectadb_server"

#: Lower never imports higher.
LAYERS = [
    {"errors", "records", "bounded"},
    {"components"},
    {"hookspecs"},
    {"host"},
    {"config"},
    {
        "join",
        "tap",
        "parsing",
        "delivery",
        "logs",
        "statelock",
        "stateschema",
        "salvage",
        "statefile",
        "quarantine",
        "state",
    },
    {"tap"},
    {"lanes"},
    {"saving"},
    {"settling"},
    {"shipping"},
    {"pipeline"},
    {"comparing", "replay"},
    {"beside", "sweeps", "audit", "backfill", "endpoint", "vitals"},
    {
        "runner",
        "reports",
        "sample",
        "scaffold",
        "progress",
        "status",
        "cases",
        "cli",
        "cli_parse",
        "cli_past",
        "cli_quarantine",
        "cli_terminal",
        "cli_init",
        "completion",
        "live",
    },
]
#: Heavy libraries, each imported in one module of its own.
ENGINES = {
    "boto3": "vectadb_agent_cloudwatch",
    "surrealdb_embedded": "vectadb_server",
    "qdrant_edge": "vectadb_server",
    "qdrant_client": "vectadb_server",
    "wordllama": "vectadb_server",
    "vectadb_native": "vectadb_server",
}


@functools.cache
def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports, those for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def modules(package: Path) -> list[Path]:
    found = sorted(package.rglob("*.py"))
    assert found, package
    return found


def test_the_rooms_are_where_the_rules_look() -> None:
    assert set(PLUGINS) == {
        "vectadb_agent_cloudwatch",
        "vectadb_agent_parsers",
        "vectadb_agent_processors",
        "vectadb_agent_sinks",
    }


def test_core_imports_no_plugin_and_no_server() -> None:
    for path in modules(CORE):
        assert not packages(path) & {*PLUGINS, "vectadb_server"}, path


def test_lower_layers_of_core_do_not_import_higher_ones() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    assert {path.stem for path in CORE.glob("*.py")} - {"__init__"} == set(level)
    for name, number in level.items():
        for imported in imports(CORE / f"{name}.py"):
            parts = imported.split(".")
            if parts[0] == "vectadb_agent" and len(parts) > 1 and parts[1] in level:
                assert level[parts[1]] <= number, f"{name} imports {imported}"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_of_core_only_its_public_names_and_no_other_plugin(plugin: str) -> None:
    for path in modules(PLUGINS[plugin]):
        assert not packages(path) & ({*PLUGINS, "vectadb_server"} - {plugin}), path
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "vectadb_agent" and len(parts) > 1 and (CORE / f"{parts[1]}.py").exists():
                assert parts[1] == "errors", f"{path} imports {name}"


def test_the_server_does_not_import_the_agent() -> None:
    for path in modules(SERVER):
        assert not {name for name in packages(path) if name.startswith("vectadb_agent")}, path


def test_use_cases_and_stores_do_not_know_litestar() -> None:
    http = {SERVER / "app.py", SERVER / "cli.py", *SERVER.glob("routes/*.py")}
    for path in modules(SERVER):
        if path not in http:
            assert "litestar" not in packages(path), path


@pytest.mark.parametrize("library", ENGINES)
def test_each_engine_is_imported_in_one_module(library: str) -> None:
    places = [path for package in (CORE, *PLUGINS.values(), SERVER) for path in modules(package)]
    importing = [path for path in places if library in packages(path)]
    assert len(importing) == 1, importing
    assert ENGINES[library] in str(importing[0])
