"""What the generators share: a tape that stands in for stdout and stderr, and the truth beside it.

The tape is no terminal, so a framework prints as it does into a pipe. Whoever knows what is being
printed says so (``labelled``, or ``Tape.label``); the label of a line is that of all pieces on it.
``Tape.cut`` is the kill of a process whose output is unbuffered, as on Lambda: nothing is printed
or remembered after it, and ``Killed`` unwinds the run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).resolve().parent
MAX_BYTES = 200_000
MAX_FOLDER_BYTES = 700_000
LOG = ("log",)


class Killed(BaseException):
    """The process was killed here."""


class Tape(io.TextIOBase):
    """Collects what is printed, piece by piece, each with the event types it may be taken for."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, tuple[str, ...]]] = []
        self.label: tuple[str, ...] = LOG
        self.is_cut = False

    def write(self, text: str) -> int:
        if not self.is_cut:
            self.pieces.append((text, self.label))
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    @contextlib.contextmanager
    def labelled(self, *types: str) -> Iterator[None]:
        """Everything printed inside is of one of these types."""
        before, self.label = self.label, types
        try:
            yield
        finally:
            self.label = before

    def cut(self) -> None:
        """Kill the process: raises ``Killed``; later prints go nowhere."""
        self.is_cut = True
        raise Killed

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)

    def lines(self) -> list[list[str]]:
        """The types of each line; ``["*"]`` for a blank one. A piece of mere spaces does not count."""
        lines: list[list[str]] = [[]]
        for text, types in self.pieces:
            for index, part in enumerate(text.split("\n")):
                if index:
                    lines.append([])
                if part.strip():
                    lines[-1].extend(kind for kind in types if kind not in lines[-1])
        if self.text.endswith("\n") or not self.text:
            lines.pop()
        return [types or ["*"] for types in lines]


class Truth:
    """What really happened, told by hooks and return values; silent once the tape is cut."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.calls: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.models: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []
        self.answer: str | None = None
        self.failed = False

    def run(self, kind: str, name: str, within: int | None = None) -> int:
        """A run starts; it counts as interrupted until ``ended``."""
        self.runs.append({"kind": kind, "name": name, "within": within, "error": None, "interrupted": True})
        return len(self.runs) - 1

    def ended(self, run: int, error: str | None = None) -> None:
        if not self.tape.is_cut:
            self.runs[run].update(error=error, interrupted=False)

    def call(self, name: str, arguments: Any, call_id: str | None, within: int | None) -> dict[str, Any]:
        call = {"name": name, "arguments": arguments, "result": None, "error": None, "id": call_id, "within": within}
        self.calls.append(call)
        return call

    def model(self, name: str | None, tokens: tuple[int, int] | None, within: int | None) -> None:
        sent, received = tokens or (None, None)
        self.models.append({"model": name, "input_tokens": sent, "output_tokens": received, "within": within})


def forms(value: Any) -> set[str]:
    """The ways in which a value may stand in a text: plain, JSON, repr, and JSON or repr inside a JSON string."""
    plain = {value} if isinstance(value, str) else set()
    for ascii_only in (False, True):
        plain |= {json.dumps(value, ensure_ascii=ascii_only), json.dumps(value, ensure_ascii=ascii_only, indent=2)}
        plain.add(json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")))
    plain.add(repr(value))
    escaped = {json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in plain for ascii_only in (False, True)} | {
        repr(form)[1:-1] for form in plain
    }
    twice = {json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in escaped for ascii_only in (False, True)}
    return plain | escaped | twice


def shown(text: str, value: Any) -> str:
    """``full``, ``prefix`` (a value of 200 characters or more whose first 100 are there) or ``absent``."""
    if value is None or value in ("", {}, []):
        return "full" if value is not None and any(form and form in text for form in forms(value)) else "absent"
    if any(form in text for form in forms(value)):
        return "full"
    long = [form[:100] for form in forms(value) if len(form) >= 200]
    return "prefix" if any(form in text for form in long) else "absent"


@dataclass(frozen=True)
class Scenario:
    """One recording: what it shows, whether it is held out, and the code that runs the framework."""

    shows: str
    play: Callable[[Tape, Truth], None]
    held_out: bool = False


@contextlib.contextmanager
def recorded(tape: Tape) -> Iterator[None]:
    """Standard output and error go to the tape; a kill ends here."""
    with contextlib.redirect_stdout(tape), contextlib.redirect_stderr(tape), contextlib.suppress(Killed):
        yield


def as_on_lambda(text: str) -> str:
    """The folders of this machine rewritten as a Lambda has them; longest first."""
    base = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = {
        sysconfig.get_path("purelib"): f"/var/lang/lib/{version}/site-packages",
        str(base / "lib" / version): f"/var/lang/lib/{version}",
        sys.prefix: "/var/lang",
        str(base): "/var/lang",
        str(Path(sys.argv[0]).resolve().parent): "/var/task",
        str(RECORDINGS): "/var/task",
    }
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    return text


def rewritten(value: Any) -> Any:
    """``as_on_lambda`` in every string of a JSON value."""
    return json.loads(as_on_lambda(json.dumps(value, ensure_ascii=False)))


Printed = Callable[[str, dict[str, Any]], dict[str, Any]]


def write(
    framework: str,
    name: str,
    scenario: Scenario,
    packages: Sequence[str],
    *,
    printed_call: Callable[[str, dict[str, Any]], dict[str, str]],
    printed_run: Callable[[str, dict[str, Any]], bool],
    printed_model: Printed,
) -> Path:
    """Play a scenario and write its recording; raises ``ValueError`` if the shape or the size is wrong."""
    tape = Tape()
    truth = Truth(tape)
    with recorded(tape):
        scenario.play(tape, truth)
    text = as_on_lambda(tape.text)
    lines = tape.lines()
    pieces = text.split("\n")
    if pieces[-1] == "":
        pieces.pop()
    if len(pieces) != len(lines):
        raise ValueError(f"{framework}/{name}: {len(pieces)} lines of text, but {len(lines)} labels")
    document = {
        "framework": framework,
        "scenario": name,
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
        "shows": scenario.shows,
        "text": text,
        "truth": rewritten(
            {
                "calls": [
                    {**call, "printed": {"name": shown(tape.text, call["name"]), **printed_call(tape.text, call)}}
                    for call in truth.calls
                ],
                "runs": [{**run, "printed": printed_run(tape.text, run)} for run in truth.runs],
                "models": [{**model, "printed": printed_model(tape.text, model)} for model in truth.models],
                "answer": truth.answer,
                "answer_printed": "absent" if truth.answer is None else shown(tape.text, truth.answer),
                "failed": truth.failed,
                **({"logs": truth.logs} if truth.logs else {}),
            }
        ),
        "lines": lines,
    }
    folder = RECORDINGS / "held_out" / framework if scenario.held_out else RECORDINGS / framework
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    body = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    if len(body.encode()) > MAX_BYTES:
        raise ValueError(f"{path}: {len(body.encode())} bytes, more than {MAX_BYTES}")
    path.write_text(body, encoding="utf-8")
    return path


def in_forms(
    plays: dict[str, tuple[str, Callable[[Tape, Truth, str], None], bool]], forms: Sequence[str]
) -> dict[str, Scenario]:
    """Each play (what it shows, how it goes, whether it is held out) once in each form that a framework prints."""
    return {
        f"{name}.{form}": Scenario(
            f"{shows} ({form})", lambda tape, truth, play=play, form=form: play(tape, truth, form), held_out
        )
        for name, (shows, play, held_out) in plays.items()
        for form in forms
    }


def main(framework: str, scenarios: dict[str, Scenario], packages: Sequence[str], **printed: Any) -> None:
    """The command line of a generator: ``generate.py [scenario ...]``, all without an argument."""
    parser = argparse.ArgumentParser(description=f"Record {framework}.")
    parser.add_argument("scenario", nargs="*", metavar="scenario", help=", ".join(scenarios))
    wanted = parser.parse_args().scenario or list(scenarios)
    if unknown := [name for name in wanted if name not in scenarios]:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(scenarios)}")
    for name in wanted:
        path = write(framework, name, scenarios[name], packages, **printed)
        print(f"{path.relative_to(RECORDINGS)}: {path.stat().st_size} bytes")
    for folder in (RECORDINGS / framework, RECORDINGS / "held_out" / framework):
        if (size := sum(path.stat().st_size for path in folder.glob("*.json"))) > MAX_FOLDER_BYTES:
            raise SystemExit(f"{folder}: {size} bytes of recordings, more than {MAX_FOLDER_BYTES}")
