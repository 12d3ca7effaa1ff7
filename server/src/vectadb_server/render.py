"""The server's replies on a terminal: tables and trees.

What was logged is hostile until shown otherwise: it is printed without control characters and never read as markup.
On a terminal lines are cut to its width, by cells, so that wide characters count as two; into a pipe nothing is cut
(COLUMNS sets another width for either).
"""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

from vectadb_server.logs import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Row = Sequence[Text | str]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SPACE = re.compile(r"\s")
_ENDLESS = 100_000
_STATUS = {"ok": "green", "error": "red", "running": "cyan", "interrupted": "yellow"}
_TEXT = 4_000  # characters of a value that are looked at
_NO_TRACES = (
    "Next: traces are listed by when they began; `vectadb traces --at 14:03` lists those that were going on then, "
    "`vectadb events --since … --until …` shows what happened, and `vectadb traces --basis time_window` lists what has "
    "no marks of a run."
)
_GAP, _LEAST = 3, 12  # cells between two columns, and of a column that is cut


def traces(reply: dict[str, Any]) -> None:
    """Print a page of traces as a table."""
    if not reply["traces"]:
        _console().print(_text("No traces."))
        _console().print(_text(_NO_TRACES))
        _older(reply)
        return
    rows: list[_Row] = [
        [
            _time(trace["start"]),
            _status(trace["status"]),
            _duration(trace["duration_ms"]),
            _text(trace["trace_id"]),
            _text(trace["name"]),
            _count(trace["events"]),
            _count(trace["tool_calls"]),
            _tokens(trace["tokens"]),
            _text(trace["first_error"] or trace["input"], "red" if trace["first_error"] else ""),
        ]
        for trace in reply["traces"]
    ]
    columns = ["start", "status", ">duration", "trace", "name", ">events", ">tools", ">tokens", "input"]
    _print_table(columns, rows, cut=("input", "name"), spare=("events", "tokens", "tools", "input", "name", "start"))
    _older(reply)


def reindexing(reply: dict[str, Any]) -> None:
    """Print how far the making anew is: over the line before on a terminal, else as a line of its own."""
    left, why = len(reply["days_left"]), reply["error"]
    line = f"{reply['day'] or 'waiting'}: {reply['rows']:,} of {reply['of']:,} rows; days left: {left}"
    line += f"; it waits: {printable(why)}" if why else ""
    sys.stdout.write(f"\r\x1b[K{line}" if sys.stdout.isatty() else f"{line}\n")
    sys.stdout.flush()


def checking(reply: dict[str, Any]) -> None:
    """Print how far a check is, on a terminal alone."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{reply['day'] or 'waiting for the indexer'}: {reply['events']:,} events looked at")
        sys.stdout.flush()


def checked(reply: dict[str, Any]) -> None:
    """Print what a check found: a line for each day, and a last one that says it all."""
    if sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K")
    names = ("events", "searchable", "missing", "extra", "stale", "digests", "minutes", "traces", "waiting")
    table = Table("day", *(Column(name, justify="right") for name in names), box=None, pad_edge=False)
    for day in reply["days"]:
        table.add_row(day["day"], *(f"{day[name]:,}" for name in names))
    console = _console()
    console.print(table)
    for day in reply["days"]:
        if day["examples"]:
            console.print(_text(f"{day['day']} differs in: {', '.join(day['examples'])}"))
    if reply["complete"]:
        mended = "what differed was mended; now " if reply["repairing"] else ""
        yet = ", but for what waits" if any(day["waiting"] for day in reply["days"]) else ""
        console.print(f"{mended}index, digests, counts and summaries are those of the record{yet}.")
    else:
        next_step = (
            "run it again; what differs still is a mistake to report"
            if reply["repairing"]
            else "vectadb check --repair"
        )
        console.print(f"index, digests, counts or summaries are not those of the record. Next: {next_step}")


def events(reply: dict[str, Any]) -> None:
    """Print a page of events as a table."""
    if not reply["events"]:
        _console().print("No events.")
    else:
        rows: list[_Row] = [
            [
                _time(event["timestamp"]),
                *(_text(event[name]) for name in ("event_type", "agent_id")),
                _text(_said(event)),
            ]
            for event in reply["events"]
        ]
        _print_table(["time", "type", "agent", "text"], rows, cut=("text",), spare=("agent",))
    _older(reply)


def event(found: dict[str, Any]) -> None:
    """Print one event as a line."""
    _console().print(_line(_event(found)))
    sys.stdout.flush()


def groups(reply: dict[str, Any], kind: str) -> None:
    """Print sessions or agents (``kind``) as a table."""
    if not reply[kind]:
        _console().print(f"No {kind}.")
    else:
        name = kind.removesuffix("s")
        rows: list[_Row] = [
            [
                _time(group["last_seen"]),
                _status(group["status"]),
                _text(group[f"{name}_id"]),
                *(_count(group[key]) for key in ("traces", "failed", "events", "errors")),
                _tokens(group["tokens"]),
                "" if group["cost_usd"] is None else _dollars(group["cost_usd"]),
            ]
            for group in reply[kind]
        ]
        columns = ["last seen", "status", name, ">traces", ">failed", ">events", ">errors", ">tokens", ">cost"]
        _print_table(columns, rows, cut=(name,), spare=("cost", "tokens", "errors"))
    _older(reply)


def _older(reply: dict[str, Any]) -> None:
    if reply["next_cursor"]:
        _console().print(_text("There are older ones: --limit shows more, --until TIME starts further back.", "dim"))


def new_key(reply: dict[str, Any]) -> None:
    """Print a new key: itself on standard output, alone, and what to know about it on standard error."""
    sys.stdout.write(f"{reply['key']}\n")
    until = f", until {reply['expires']}" if reply["expires"] else ""
    sys.stderr.write(
        f"Key {printable(reply['id'])} for {', '.join(reply['scopes'])}{until}. Keep it: nobody can ask for it again.\n"
    )


def keys(reply: dict[str, Any]) -> None:
    """Print the API keys as a table."""
    if not reply["keys"]:
        _console().print("No keys: callers on the server's own machine need none.")
        return
    rows: list[_Row] = [
        [
            _text(key["id"]),
            _text(", ".join(key["scopes"])),
            _text(f"revoked {key['revoked'][:10]}" if key["revoked"] else (key["expires"] or "never")[:10]),
            _text((key["last_used"] or "never")[:16]),
            _text(_limits(key)),
            _text(key["name"]),
        ]
        for key in reply["keys"]
    ]
    _print_table(["id", "scopes", "expires", "last used", "limits", "name"], rows, cut=("name",), spare=("limits",))


def _limits(key: dict[str, Any]) -> str:
    return ", ".join(
        f"{key[f'max_{name}_per_second']:g} {name}/s"
        for name in ("requests", "events")
        if key[f"max_{name}_per_second"] is not None
    )


def revoked_key(reply: dict[str, Any]) -> None:
    """Print that a key is revoked."""
    _console().print(_text(f"Key {reply['id']} ({reply['name']}) is revoked: within 5 s no server takes it any more."))


def trace(reply: dict[str, Any]) -> None:
    """Print one trace as a tree of its spans: tools with their inputs and outputs, durations, statuses."""
    summary = reply["trace"]
    head = Text.assemble(
        ("trace ", "dim"),
        _text(summary["trace_id"]),
        "  ",
        _status(summary["status"]),
        "  ",
        _duration(summary["duration_ms"]),
        f"  {_time(summary['start'])}",
        ("  by ", "dim"),
        _text(summary["trace_basis"]),
    )
    things = (("events", "event"), ("tool_calls", "tool call"), ("llm_calls", "model call"), ("errors", "error"))
    counts = [f"{count:,} {thing}{'s' * (count != 1)}" for name, thing in things if (count := summary[name])]
    lines = [head, Text(", ".join(counts), "dim")]
    tokens = _tokens(summary["tokens"])
    if tokens:
        lines[-1].append_text(Text.assemble(("; tokens in/out ", "dim"), tokens))
    if summary["cost_usd"] is not None:
        lines[-1].append_text(Text.assemble(("; cost ", "dim"), _dollars(summary["cost_usd"])))
    lines += _values(summary, ("input", "output"))
    if summary["first_error"]:
        lines.append(_value("error", summary["first_error"], "red"))
    root = Tree(Group(*map(_line, lines)), guide_style="dim")
    nodes: dict[str | None, Tree] = {None: root}
    for span in reply["spans"]:
        # A span comes after its parent.
        parent = nodes.get(span["parent_span_id"], root)
        nodes[span["span_id"]] = parent.add(_span(span))
    if not reply["spans"]:
        for event in reply["events"]:
            root.add(_line(_event(event)))
    _console().print(root)


def results(reply: dict[str, Any]) -> None:
    """Print what a search found: on a terminal with where the words stand, into a pipe as a table."""
    if reply.get("notice"):
        sys.stderr.write(f"{printable(reply['notice'])}\n")
    if not reply["results"]:
        _console().print("Nothing found.")
        return
    if sys.stdout.isatty():
        _console().print(Group(*(line for result in reply["results"] for line in _found(result))))
        return
    rows: list[_Row] = [
        [
            _text(f"{result['score']:.3f}"),
            _time(result["event"]["timestamp"]),
            *(_text(result["event"][name]) for name in ("event_type", "trace_id", "event_id")),
            _text(_said(result["event"])),
        ]
        for result in reply["results"]
    ]
    _print_table([">score", "time", "type", "trace", "event", "text"], rows, cut=("text",), spare=("event", "type"))


def _found(result: dict[str, Any]) -> list[Text]:
    """One event that was found, in lines: itself, its best pieces, its trace."""
    event = result["event"]
    head = Text.assemble((event["event_id"], "dim"), "  ", _text(event["event_type"], "bold"))
    head.append_text(Text.assemble("  ", (_time(event["timestamp"]), "dim"), (f"  {result['score']:.3f}", "dim")))
    pieces = [_marked(each) for each in result["highlights"] if each["ranges"]] or [_text(_said(event))]
    trace = Text.assemble(("trace ", "dim"), (printable(event["trace_id"] or "none"), "dim"))
    return [_line(head), *(_line(Text("    ").append_text(each)) for each in (*pieces, trace))]


def _marked(highlight: dict[str, Any]) -> Text:
    """A piece of an event, the query's words in it marked."""
    text, shown, end = _SPACE.sub(" ", highlight["text"]), Text(), 0
    for start, stop in highlight["ranges"]:
        shown.append(printable(text[end:start]))
        shown.append(printable(text[start:stop]), "bold yellow")
        end = stop
    return shown.append(printable(text[end:]))


def stats(reply: dict[str, Any]) -> None:
    """Print counts: in all, by type, and for each stretch of time in which something happened."""
    console, total = _console(), reply["total"]
    latency = total["latency_ms"]
    console.print(_text(f"{_time(reply['since'])} to {_time(reply['until'])}", "dim"))
    console.print(
        Text(
            f"{total['events']:,} events, {total['errors']:,} errors; "
            f"{total['traces']:,} traces, {total['failed']:,} failed; "
            f"tokens in/out {total['tokens']['input'] or 0:,}/{total['tokens']['output'] or 0:,}"
        )
    )
    if latency["p50"] is not None:
        said = ", ".join(f"{name} {_duration(latency[name])}" for name in ("p50", "p95", "max"))
        console.print(Text(f"latency of traces: {said}"))
    if not total["events"]:
        return
    console.print()
    _print_table(
        ["type", ">events"], [[_text(name), _count(count)] for name, count in total["types"].items()], cut=("type",)
    )
    for kind, counted in (("tools", "calls"), ("models", "calls"), ("agents", "traces")):
        if reply[kind]:
            console.print()
            _shares(reply[kind], kind.removesuffix("s"), counted)
    console.print()
    rows: list[_Row] = [
        [
            _time(bucket["start"]),
            *(_count(bucket[name]) for name in ("events", "errors", "traces", "failed")),
            _tokens(bucket["tokens"]),
            *(_duration(bucket["latency_ms"][name]) for name in ("p50", "p95")),
        ]
        for bucket in reply["buckets"]
        if bucket["events"] or bucket["traces"]
    ]
    _print_table(
        ["from", ">events", ">errors", ">traces", ">failed", ">tokens", ">p50", ">p95"], rows, spare=("tokens",)
    )


def _shares(shares: list[dict[str, Any]], kind: str, counted: str) -> None:
    rows: list[_Row] = [
        [
            _text(share["name"]),
            *(_count(share[name]) for name in ("count", "errors")),
            *(_duration(share["latency_ms"][name]) for name in ("p50", "p95")),
            _tokens(share["tokens"]),
            "" if share["cost_usd"] is None else _dollars(share["cost_usd"]),
        ]
        for share in shares
    ]
    columns = [kind, f">{counted}", ">errors", ">p50", ">p95", ">tokens", ">cost"]
    _print_table(columns, rows, cut=(kind,), spare=("cost", "tokens"))


def _console() -> Console:
    terminal = sys.stdout.isatty()
    columns = os.environ.get("COLUMNS", "")
    return Console(
        file=sys.stdout,
        width=int(columns) if columns.isdigit() else None if terminal else _ENDLESS,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _print_table(
    columns: list[str], rows: Sequence[_Row], *, cut: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """Print a table; a column whose name begins with ``>`` holds numbers.

    Where the terminal is too narrow, the columns ``cut`` give way first, down to a few cells, then those of ``spare``
    are left out one by one: ids and times are to be copied whole.
    """
    console = _console()
    names = [name.removeprefix(">") for name in columns]
    widths = {
        name: max(cell_len(name), *(cell_len(str(row[index])) for row in rows)) for index, name in enumerate(names)
    }
    for name in cut:
        over = sum(widths.values()) + _GAP * (len(widths) - 1) - console.width
        widths[name] = max(min(_LEAST, widths[name]), widths[name] - max(0, over))
    for name in spare:
        if sum(widths.values()) + _GAP * (len(widths) - 1) > console.width:
            del widths[name]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name, column in zip(names, columns, strict=True):
        if name in widths:
            justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
            table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[name])
    for row in rows:
        table.add_row(*(cell for name, cell in zip(names, row, strict=True) if name in widths))
    console.print(table)


def _span(span: dict[str, Any]) -> Group:
    head = Text.assemble((span["kind"], "dim"), " ", _text(span["name"], "bold"), "  ", _status(span["status"]))
    head.append_text(Text.assemble("  ", _duration(span["duration_ms"])))
    if span["model"]:
        head.append_text(Text.assemble("  ", _text(span["model"], "dim")))
    tokens = _tokens(span["tokens"])
    if tokens:
        head.append_text(Text.assemble(("  tokens ", "dim"), tokens))
    if span["cost_usd"] is not None:
        head.append_text(Text.assemble(("  ", "dim"), (_dollars(span["cost_usd"]), "dim")))
    lines = [head, *_values(span, ("input", "output"))]
    if span["error"]:
        lines.append(_value("error", span["error"], "red"))
    return Group(*map(_line, lines))


def _values(holder: dict[str, Any], names: tuple[str, ...]) -> list[Text]:
    return [_value(name, holder[name]) for name in names if holder[name] not in (None, "")]


def _value(name: str, value: Any, style: str = "") -> Text:
    return Text.assemble((f"{name:<6} ", "dim"), _text(value, style))


def _event(event: dict[str, Any]) -> Text:
    return Text.assemble(_time(event["timestamp"]), "  ", _text(event["event_type"], "bold"), "  ", _text(_said(event)))


def _said(event: dict[str, Any]) -> Any:
    """The text of an event that says most in one line."""
    properties = event["properties"]
    name = properties.get("gen_ai.tool.name") or properties.get("tool_name")
    told = (properties.get(key) for key in ("message", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"))
    said = next((text for text in told if text), None) or _COLOUR.sub("", event["raw"] or "").strip()
    if isinstance(name, str) and name not in _one_line(said):
        return f"{name}: {_one_line(said)}"
    return said or properties


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _text(value: Any, style: str = "") -> Text:
    return Text(_one_line(value), style)


def _one_line(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = text[:_TEXT]
    return printable(" ".join(cut.split())) + ("…" if len(text) > _TEXT else "")


def _status(status: str) -> Text:
    return Text(printable(status), _STATUS.get(status, ""))


def _time(text: str) -> str:
    """The time in this machine's zone, to the second."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _duration(ms: float | None) -> str:
    if ms is None:
        return ""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _dollars(cost: float) -> str:
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.3g}"


def _tokens(tokens: dict[str, int | None]) -> str:
    given, returned = tokens["input"], tokens["output"]
    return "" if not given and not returned else f"{given or 0:,}/{returned or 0:,}"
