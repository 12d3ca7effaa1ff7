"""``vectadb-agent plugins new``: a whole plugin package, small enough to read, whose tests pass as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vectadb_agent.errors import UsageError
from vectadb_agent.host import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from vectadb_agent.host import Kind

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "vectadb-agent-{dashed}"
version = "0.1.0"
description = "The {kind} `{name}` for vectadb-agent."
requires-python = ">=3.11"
dependencies = ["vectadb-agent"]

[project.optional-dependencies]
testing = ["vectadb-agent[testing]"]

# How vectadb-agent finds it: any name, and the module that has the hook.
[project.entry-points.vectadb_agent]
{name} = "{module}"

[tool.hatch.build.targets.wheel]
only-include = ["{module}.py"]
"""

_README = """\
# vectadb-agent-{dashed}

The {kind} `{name}` for [vectadb-agent](https://pypi.org/project/vectadb-agent/).

```
pip install -e '.[testing]'
pytest                          # what every {kind} promises, and your samples
vectadb-agent plugins           # it is listed
```

In a configuration: `{usage}`
"""

_HOOK = '''

@hookimpl
def vectadb_register_{kind}s() -> list[type[{base}]]:
    """What this plugin brings."""
    return [{cls}]
'''

_PARSER = '''\
"""The parser ``{name}``: lines like ``key=value other="two words"``."""

import shlex

from vectadb_agent import Block, ComponentConfig, Event, Parser, errors, hookimpl

VECTADB_AGENT_API = 1


class {cls}Config(ComponentConfig):
    """Options of ``{name}``, checked before anything starts."""

    error_levels: tuple[str, ...] = ("error", "fatal")
    """Values of ``level`` that make an event an error."""


class {cls}(Parser):
    """Lines of key=value pairs."""

    name = "{name}"
    Config = {cls}Config

    def parse(self, block: Block) -> list[Event] | None:
        """Make an event of the line."""
        if "=" not in block.text.split(" ", 1)[0]:
            return None  # not mine: the next parser is asked
        try:
            pairs = dict(word.partition("=")[::2] for word in shlex.split(block.text))
        except ValueError as error:
            raise errors.ParseError(str(error)) from error  # mine, but malformed: kept whole, with the error noted
        is_error = pairs.get("level") in self.config.error_levels
        return [
            Event(
                event_type="error" if is_error else "log",
                request_id=pairs.pop("request_id", None),
                properties={{**pairs, "message": pairs.get("msg", "")}},
            )
        ]
'''
_PARSER_TEST = '''\
"""What every parser promises, on samples of ``{name}``."""

from vectadb_agent.testing import ParserContract

from {module} import {cls}


class Test{cls}(ParserContract):
    parser = {cls}
    good = (
        ('level=info msg="hello there" request_id=7', [{{"event_type": "log", "msg": "hello there"}}]),
        ("level=fatal msg=boom", [{{"event_type": "error", "message": "boom"}}]),
    )
    foreign = ("plain words",)
    malformed = ('level=info msg="open',)
'''

_PROCESSOR = '''\
"""The processor ``{name}``: cuts long texts."""

from pydantic import Field
from vectadb_agent import ComponentConfig, Event, Processor, hookimpl

VECTADB_AGENT_API = 1


class {cls}Config(ComponentConfig):
    """Options of ``{name}``, checked before anything starts."""

    most: int = Field(default=10_000, ge=1)
    """Characters of an event's text that are kept."""


class {cls}(Processor):
    """Cuts texts that are too long."""

    name = "{name}"
    Config = {cls}Config

    def process(self, event: Event) -> Event | None:
        """Return the event, changed or not; ``None`` would leave it out."""
        if event.raw is not None and len(event.raw) > self.config.most:
            event.raw = event.raw[: self.config.most]
            event.properties["truncated"] = True
        return event
'''
_PROCESSOR_TEST = '''\
"""What every processor promises, on samples of ``{name}``."""

from vectadb_agent.testing import ProcessorContract

from {module} import {cls}


class Test{cls}(ProcessorContract):
    processor = {cls}
    options = {{"most": 5}}
    good = (
        ({{"raw": "hello there"}}, {{"raw": "hello", "properties": {{"truncated": True}}}}),
        ({{"raw": "hi"}}, {{"raw": "hi", "properties": {{}}}}),
    )
'''

_SOURCE = '''\
"""The source ``{name}``: the lines of a file, from where it stopped."""

import hashlib
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import anyio
from vectadb_agent import Batch, ComponentConfig, Duration, LogRecord, LogStream, Source, errors, hookimpl

VECTADB_AGENT_API = 1
PAGE = 500  # lines in memory at once


class {cls}Config(ComponentConfig):
    """Options of ``{name}``, checked before anything starts."""

    path: Path
    """The file; it may grow while it is read."""
    poll_interval: Duration = 1.0
    """How often it is looked at, e.g. 5s."""


class {cls}(Source):
    """Reads the lines of a file."""

    name = "{name}"
    Config = {cls}Config
    rereads = False  # a checkpoint is exact: no line is delivered twice after it was settled

    async def check(self) -> list[str]:
        """Say whether the file can be read."""
        try:
            size = self.config.path.stat().st_size
        except OSError as error:
            raise errors.CheckError(f"{{self.config.path}}: {{error.strerror}}; name a file under `path:`") from error
        return [f"{{self.config.path}}: {{size:,}} bytes"]

    async def read(self, after: Mapping[str, dict], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the lines behind the checkpoint, and those that come."""
        partition = str(self.config.path)
        offset = after.get(partition, {{}}).get("offset", 0)
        while True:
            lines, offset = await anyio.to_thread.run_sync(self._page, offset)
            if lines:
                yield Batch(partition=partition, records=lines, checkpoint={{"offset": offset}})
            elif drain:
                return
            else:
                await anyio.sleep(self.config.poll_interval)

    def _page(self, offset: int) -> tuple[list[LogRecord], int]:
        stream = LogStream("file", "", "", str(self.config.path), "")
        records = []
        with self.config.path.open("rb") as file:
            file.seek(offset)
            while len(records) < PAGE and (line := file.readline()).endswith(b"\\n"):
                # An id must be the same whenever the line is read again; a time is microseconds since the epoch.
                mark = hashlib.sha256(line).hexdigest()[:8]
                time = int(self.config.path.stat().st_mtime * 1_000_000)
                text = line.decode("utf-8", "replace").rstrip()
                records.append(LogRecord(stream, f"{{offset}}-{{mark}}", time, text))
                offset += len(line)
        return records, offset
'''
_SOURCE_TEST = '''\
"""What every source promises, on a file of three lines."""

import pytest
from vectadb_agent.testing import SourceContract

from {module} import {cls}, {cls}Config


class Test{cls}(SourceContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.path = tmp_path / "lines.log"
        self.path.write_text("one\\ntwo\\nthree\\n")

    def source(self):
        return {cls}({cls}Config(type="{name}", path=self.path))

    def broken(self):
        return {cls}({cls}Config(type="{name}", path=self.path / "nowhere"))
'''

_SINK = '''\
"""The sink ``{name}``: events as JSON, a file each."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import anyio
from vectadb_agent import Event, Result, Sink, SinkConfig, errors, hookimpl

VECTADB_AGENT_API = 1


class {cls}Config(SinkConfig):
    """Options of ``{name}``, checked before anything starts."""

    folder: Path
    """Where the files go; made if absent."""


class {cls}(Sink):
    """Writes each event to a file of its own."""

    name = "{name}"
    Config = {cls}Config
    idempotent = True  # an event that comes again is the same file

    async def check(self) -> list[str]:
        """Say where the events go."""
        return [str(self.config.folder)]

    async def write(self, events: Sequence[Event]) -> Result:
        """Return when all of them are on disk."""
        try:
            await anyio.to_thread.run_sync(self._write, events)
        except OSError as error:  # it may pass: the same batch comes again
            raise errors.RetryableError(f"{{self.config.folder}}: {{error.strerror}}") from error
        return Result()

    def _write(self, events: Sequence[Event]) -> None:
        self.config.folder.mkdir(parents=True, exist_ok=True)
        for event in events:
            half = self.config.folder / f".{{event.event_id}}"
            with half.open("w") as file:
                json.dump(event.wire(), file)
                file.flush()
                os.fsync(file.fileno())
            half.rename(self.config.folder / f"{{event.event_id}}.json")
'''
_SINK_TEST = '''\
"""What every sink promises, on a folder."""

from vectadb_agent.testing import SinkContract

from {module} import {cls}, {cls}Config


class Test{cls}(SinkContract):
    def sink(self):
        return {cls}({cls}Config(type="{name}", folder=self._folder / "events"))

    def stored(self):
        return [path.stem for path in (self._folder / "events").glob("*.json")]
'''

_CODE: dict[Kind, tuple[str, str, str]] = {
    "source": (_SOURCE, _SOURCE_TEST, "source: {{type: {name}, path: app.log}}"),
    "parser": (_PARSER, _PARSER_TEST, "parsers: [{{type: {name}}}]"),
    "processor": (_PROCESSOR, _PROCESSOR_TEST, "processors: [{{type: {name}}}]"),
    "sink": (_SINK, _SINK_TEST, "sinks: {{out: {{type: {name}, folder: events}}}}"),
}


def write(name: str, kind: Kind, parent: Path) -> list[Path]:
    """Write the package ``vectadb-agent-NAME`` into a new folder of that name; return its files.

    Raises:
        UsageError: the name cannot be one, or the folder exists.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"a plugin's name is small letters, digits and '-', e.g. logfmt; found {name!r}")
    assert kind in KINDS
    snake = name.replace("-", "_")
    words = {
        "name": snake,
        "dashed": name.replace("_", "-"),
        "module": f"vectadb_agent_{snake}",
        "kind": kind,
        "base": kind.title(),
        "cls": "".join(word.title() for word in snake.split("_")) + kind.title(),
    }
    code, test, usage = _CODE[kind]
    words["usage"] = usage.format(**words)
    folder = parent / f"vectadb-agent-{words['dashed']}"
    try:
        (folder / "tests").mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists already; choose another name, or remove it") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}") from error
    files = {
        "pyproject.toml": _PYPROJECT,
        "README.md": _README,
        f"{words['module']}.py": code + _HOOK,
        f"tests/test_{snake}.py": test,
    }
    for path, text in files.items():
        (folder / path).write_text(text.format(**words), encoding="utf-8")
    return [folder / path for path in files]
