"""What the command line prints: tables and reference pages, as text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from vectadb_agent.components import Duration, Size
from vectadb_agent.errors import UsageError
from vectadb_agent.host import KINDS, Host, Provided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from vectadb_agent.audit import Certificate
    from vectadb_agent.backfill import Summary
    from vectadb_agent.runner import Finding


def findings(found: Sequence[Finding]) -> str:
    """A table of what each component's check found."""
    rows = [("", "COMPONENT", "FOUND")]
    for finding in found:
        mark = "ok" if finding.ok else "FAIL"
        for number, line in enumerate(finding.lines):
            rows.append((mark, finding.component, line) if number == 0 else ("", "", line))
    failed = sum(not finding.ok for finding in found)
    verdict = "All is well." if not failed else f"{failed} of {len(found)} cannot work as configured."
    return f"{table(rows)}\n\n{verdict}"


def plugins(host: Host) -> str:
    """A table of the installed plugins, what each adds, and what is wrong with those that failed."""
    rows = [("PLUGIN", "DISTRIBUTION", "VERSION", "ADDS")]
    for plugin in host.plugins:
        adds = "; ".join(
            f"{kind}s: {', '.join(plugin.components[kind])}" for kind in KINDS if kind in plugin.components
        )
        rows.append((plugin.name, plugin.distribution, plugin.version, adds or "nothing"))
    lines = [table(rows)]
    if not host.plugins:
        lines = ["No plugin is installed. Try: pip install vectadb-agent-{cloudwatch,parsers,processors,sinks}"]
    lines += problems(host)
    lines.append("\n`vectadb-agent plugins show NAME` prints the options of a component, e.g. `show cloudwatch`.")
    return "\n".join(lines)


def problems(host: Host) -> list[str]:
    """A line for whatever is wrong with a plugin."""
    return [f"PROBLEM {plugin}: {problem}" for plugin in host.plugins for problem in plugin.problems]


def reference(host: Host, name: str) -> str:
    """The reference of a component, or of all components of a plugin.

    Raises:
        UsageError: nothing of that name is installed.
    """
    pages = [
        _page(kind, known, provided)
        for kind in KINDS
        for known, provided in sorted(host.components[kind].items())
        if name in (known, provided.plugin)
    ]
    if not pages:
        known_names = sorted({known for kind in KINDS for known in host.components[kind]})
        raise UsageError(f"nothing called {name!r} is installed (installed: {', '.join(known_names) or 'nothing'})")
    return "\n\n".join(pages)


def _page(kind: str, name: str, provided: Provided) -> str:
    component = provided.component
    lines = [f"{name} ({kind}, from {provided.distribution})"]
    about = (component.__doc__ or "").strip()
    if about:
        lines += ["", textwrap.indent(textwrap.dedent("    " + about), "  ")]
    lines += ["", "  Options:"]
    for option in options(component.Config):
        default = "required" if option.default is None else f"default: {option.default}"
        lines.append(f"    {option.name}  ({option.type}; {default})")
        if option.about:
            lines.append(textwrap.fill(option.about, 110, initial_indent=" " * 8, subsequent_indent=" " * 8))
    return "\n".join(lines)


class Option(NamedTuple):
    """One option of a configuration, as its reference tells it. ``default`` is ``None`` where it is required."""

    name: str
    type: str
    default: str | None
    about: str


def options(model: type[BaseModel]) -> list[Option]:
    """The options of a section or component, but ``type``; lengths of time and sizes as they are written in YAML."""
    schema = model.model_json_schema()
    return [
        Option(
            name,
            _written(field) or _type(schema["properties"][name], schema),
            None if field.is_required() else _default(field),
            " ".join((field.description or "").split()),
        )
        for name, field in model.model_fields.items()
        if name != "type"
    ]


def _written(field: FieldInfo) -> str | None:
    kinds: dict[str, Any] = {"duration": Duration, "size": Size}
    return next((name for name, hint in kinds.items() if hint.__metadata__[0] in field.metadata), None)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is not None and (written := _written(field)) is not None:
        return _in_units(value * 1000, _LENGTHS) if written == "duration" else _in_units(value, _SIZES)
    return _shown(value)


_LENGTHS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZES = {"GB": 10**9, "MB": 10**6, "KB": 1000, "B": 1}


def _in_units(value: float, units: dict[str, int]) -> str:
    """In the largest unit of which it is a whole number."""
    unit = next((unit for unit, of in units.items() if value and value % of == 0), list(units)[-1])
    return f"{value / units[unit]:g}{unit}"


def _type(schema: dict[str, Any], root: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _type(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return " or ".join(_type(option, root) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), root)}"
    if schema.get("type") == "object" and "properties" in schema:
        return "{" + ", ".join(schema["properties"]) + "}"
    return str(schema.get("const", schema.get("type", "any")))


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case list() | tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case _:
            return str(value) or '""'


def taken(counts: dict[str, int]) -> str:
    """How many records each parser took."""
    total = sum(counts.values())
    rows = [("PARSER", "RECORDS")]
    rows += [(name or "(none: kept as log events)", str(count)) for name, count in sorted(counts.items(), reverse=True)]
    return f"{table([*rows, ('total', str(total))])}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, two spaces apart; the last one runs as long as it likes."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def certificates(found: Sequence[Certificate]) -> str:
    """What an audit found: the hours that are not simply complete, then one line for each partition."""
    lines: list[str] = []
    for certificate in found:
        odd = [hour for hour in certificate.hours if hour.source != hour.stored or hour.extra or hour.repaired]
        if odd:
            names = ("source", "stored", "expired", "filtered", "quarantined", "missing", "extra", "repaired")
            rows = [("HOUR", *(name.upper() for name in names))]
            rows += [(hour.hour[:13] + "Z", *(str(getattr(hour, name)) for name in names)) for hour in odd]
            lines += [f"{certificate.pipeline}: {certificate.partition}", textwrap.indent(table(rows), "  ")]
            for hour in odd:
                lines += [f"    missing: {one.log_stream}  {one.log_id}  {one.timestamp}" for one in hour.named]
                if hour.missing > len(hour.named):
                    lines.append(f"    … and {hour.missing - len(hour.named)} more of this hour")
                if hour.extra:
                    lines.append(
                        f"    extra: the sink holds {hour.extra} records of this hour that the source has no longer "
                        "(its retention, or a group deleted and made anew)"
                    )
                lines += [f"    extra: {one.log_stream}  {one.log_id}  {one.timestamp}" for one in hour.named_extra]
            lines.append("")
    for certificate in found:
        lines.append(_certificate(certificate))
        if certificate.since > certificate.asked_since:
            lines.append(
                f"  (not from {certificate.asked_since}: the agent reads this group from {certificate.since} on; "
                f"`vectadb-agent backfill --since {certificate.asked_since}` fetches what is older)"
            )
    return "\n".join(lines)


def _certificate(certificate: Certificate) -> str:
    place = f"{certificate.pipeline}: {certificate.partition}"
    if certificate.error is not None:
        return f"{place}: UNKNOWN: {certificate.error}"
    hours = certificate.hours
    source, repaired = sum(hour.source for hour in hours), sum(hour.repaired for hour in hours)
    mended = f", {repaired} of them shipped just now" if repaired else ""
    if certificate.is_complete:
        words = f"complete through {certificate.until}, from {certificate.since}"
        return f"{place}: {words}: {source} records{mended}"
    lacking = sum(hour.missing for hour in hours)
    through = certificate.complete_through or "nowhere: the first hour lacks some"
    return f"{place}: NOT COMPLETE: {lacking} of {source} records are missing{mended}; complete through {through}"


def summary(found: Summary) -> str:
    """What a backfill did."""
    counts = found.counts
    lines = [
        f"{found.pipeline}: {found.since} to {found.until}: read {counts.read}, delivered {counts.delivered}, "
        f"there already {counts.duplicate}, filtered {counts.filtered}, quarantined {counts.quarantined}, "
        f"expired {counts.expired}"
    ]
    lines += [f"  not read: {words}" for words in found.unread]
    if not found.finished:
        lines.append("  not finished: give it the same words to go on where it stopped")
    return "\n".join(lines)
