"""Every snippet of the documentation does what it is there for: shell is run, files are read by what reads them."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.docs.snippets import PAGES, ROOT, Snippet, of, script, snippets
from vectadb_agent.config import check
from vectadb_agent.host import installed
from vectadb_agent.settling import Counts
from vectadb_agent.vitals import PREFIX
from vectadb_server import prices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LANGUAGES = {"sh", "yaml", "toml", "python", "json", "jsonl", "text"}
FRAME = {
    "pipelines": {"p": {"source": {"type": "cloudwatch", "region": "us-east-1", "log_groups": ["/g"]}, "sinks": ["s"]}},
    "sinks": {"s": {"type": "stdout"}},
}
"""A configuration around a part of one."""


@pytest.mark.timeout(900)  # all pages in one, since each process of pytest-xdist would start a server of its own
def test_what_the_pages_have_their_readers_do_works(environment: Mapping[str, str], tmp_path: Path) -> None:
    told = {}
    for page in PAGES:
        text = script(page)
        if text is None:
            continue
        home = tmp_path / str(page.relative_to(ROOT)).replace("/", "-")
        home.mkdir()
        (home / "examples").symlink_to(ROOT / "examples")
        (home / "sample.log").write_text("ERROR no disk\n")
        done = subprocess.run(
            ["bash", "-c", text.replace("http://127.0.0.1:8080", environment["VECTADB_URL"])],
            cwd=home,
            env={**environment, "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        if done.returncode:
            told[home.name] = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert not told, "\n\n".join(f"{name}:\n{text}" for name, text in told.items())


@pytest.mark.parametrize("snippet", of("yaml"), ids=str)
def test_yaml_is_taken_by_what_would_read_it(snippet: Snippet) -> None:
    values = yaml.safe_load(snippet.text)
    kind = next(iter(values))
    if kind == "groups":
        return  # alerts: see below
    if "pipelines" in values:
        check(_without_plugins_of_the_pages(snippet.text), str(snippet), {})
    else:
        part = values if kind in ("agent", "sinks") else {"pipelines": {"p": {**FRAME["pipelines"]["p"], **values}}}
        if kind == "sinks":
            part = {**part, "pipelines": {"p": {**FRAME["pipelines"]["p"], "sinks": list(values["sinks"])}}}
        check(yaml.safe_dump({**FRAME, **part}), str(snippet), {})


def test_alerts_ask_for_metrics_that_there_are() -> None:
    (rules,) = (yaml.safe_load(each.text) for each in of("yaml") if each.text.startswith("# alerts.yaml"))
    expressions = [re.sub(r"\{.*?\}", "", rule["expr"]) for group in rules["groups"] for rule in group["rules"]]
    asked = {name for each in expressions for name in re.findall(r"\bvectadb_\w+", each)}
    figures = {f"{PREFIX}{name}_records_total" for name in Counts.__struct_fields__}
    code = "".join(path.read_text() for room in ("core", "plugins") for path in (ROOT / room).rglob("src/**/*.py"))
    figures |= {PREFIX + name for name in re.findall(r'"([a-z_]+)"', code)}
    server = "".join((ROOT / "server/src/vectadb_server" / name).read_text() for name in ("metrics.py", "gauges.py"))
    # The library puts what a counter or histogram ends in behind its name.
    figures |= {name + end for name in re.findall(r'"(vectadb_\w+)"', server) for end in ("", "_total", "_bucket")}
    assert len(asked) > 10
    assert asked - figures == set()


@pytest.mark.parametrize("snippet", of("toml"), ids=str)
def test_toml_is_taken_by_what_would_read_it(snippet: Snippet, tmp_path: Path) -> None:
    values = tomllib.loads(snippet.text)
    if snippet.file == "prices.toml":
        (tmp_path / "prices.toml").write_text(snippet.text)
        prices.load(tmp_path / "prices.toml")
    else:
        assert values["project"]["entry-points"]["vectadb_agent"]


@pytest.mark.parametrize("snippet", of("python"), ids=str)
def test_python_is_run(snippet: Snippet) -> None:
    if snippet.file is None:  # the others are files, which the page has its reader test
        exec(compile(snippet.text, str(snippet), "exec"), {"__name__": "snippet"})


@pytest.mark.parametrize("snippet", of("json", "jsonl"), ids=str)
def test_json_is_json(snippet: Snippet) -> None:
    for text in snippet.text.splitlines() if snippet.language == "jsonl" else [snippet.text]:
        json.loads(text)


def test_every_snippet_says_what_it_is_and_why_it_is_not_run() -> None:
    for page in PAGES:
        for each in snippets(page):
            assert each.language in LANGUAGES, f"{each}: write one of {sorted(LANGUAGES)} behind the fence"
            assert each.why is None or (each.language == "sh" and len(each.why) > 20), str(each)
        assert page.read_text().count("```") == 2 * len(snippets(page)), f"{page}: a fence that nobody reads"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"


def _without_plugins_of_the_pages(text: str) -> str:
    """Name a component that is installed where a page names the one that it has its reader write."""
    known = {entry.name for entry in installed()}
    assert "sinks" in known
    return text.replace("{type: logfmt}", "{type: json}").replace(
        "{type: folder, folder: ./events", "{type: file, path: ./events.ndjson"
    )
