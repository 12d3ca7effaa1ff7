"""``regex``: events from lines that match a user's pattern. Linear in time on any pattern and text (RE2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgspec
import re2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent.errors import ParseError
from vectadb_agent_parsers.fields import ERROR_LEVELS, find_ids, level_name, microseconds
from vectadb_agent_parsers.regex_sets import SETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_agent import Block

_TEXT_FIELDS = frozenset(("event_type", "trace_id", "request_id", "session_id", "agent_id", "parent_event_id"))
_UNSUPPORTED = {
    "(?=": "lookahead",
    "(?!": "lookahead",
    "(?<=": "lookbehind",
    "(?<!": "lookbehind",
    "(?>": "an atomic group",
    "(?(": "a conditional",
}
_BACKREFERENCE = re.compile(r"\\[1-9]|\(\?P=")
_MAX_MEMORY = 64 << 20


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    return options


def _checked(pattern: str) -> str:
    """Return the pattern if RE2 takes it.

    Raises:
        ValueError: it does not, with the place and what to do.
    """
    try:
        re2.compile(pattern, _options())
    except re2.error as error:
        raise ValueError(_explain(pattern, error)) from error
    except UnicodeEncodeError as error:
        raise ValueError(f"at character {error.start}: a lone surrogate, which no log text holds") from error
    return pattern


def _explain(pattern: str, error: Exception) -> str:
    reason = error.args[0] if error.args else str(error)
    reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    what, _, fragment = reason.partition(": ")
    at = len(pattern) if what.startswith("missing )") else _place(pattern, fragment)
    feature = next((name for start, name in _UNSUPPORTED.items() if fragment and pattern.startswith(start, at)), None)
    if _BACKREFERENCE.match(fragment):
        feature = "a backreference"
    place = f"at character {at}" if at >= 0 else "in the pattern"
    told = f"{place}: {reason}"
    if feature is not None:
        told = (
            f"{place}: {feature} ({fragment}), which RE2 does not support, for it could take exponential time. "
            "Capture the surrounding text in a group of its own, or write several rules: the first that matches wins"
        )
    return told + (_pointed(pattern, at) if at >= 0 else "")


def _place(pattern: str, fragment: str) -> int:
    """Where the fragment stands that RE2 complains of, whose place it does not tell; -1 if that is not known."""
    at = pattern.find(fragment) if fragment else -1
    while at > 0 and (at - len(pattern[:at].rstrip("\\"))) % 2 == 1 and not fragment.startswith("\\"):
        at = pattern.find(fragment, at + 1)  # that one is literal: behind a backslash
    return at


def _pointed(pattern: str, at: int) -> str:
    """The pattern around a mistake, on a line of its own, and a caret below it."""
    begin, end = max(0, at - 40), at + 40
    text = re.sub(r"\s", " ", pattern[begin:end])
    before, after = "…" if begin else "", "…" if end < len(pattern) else ""
    return f"\n    {before}{text}{after}\n    {' ' * (at - begin + len(before))}^"


Pattern = Annotated[str, AfterValidator(_checked)]
Kind = Literal["int", "float", "bool", "json", "timestamp"]


class Rule(BaseModel):
    """One pattern, and what becomes of its groups."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    pattern: Pattern
    r"""What to look for, anywhere in the text; RE2 syntax, so without lookaround and backreferences. ``(?i)`` in front
    ignores case, ``(?s)`` lets the dot match newlines. Colour codes (``ESC[32m``) are part of the text: match them as
    ``\x1b\[[0-9;]*m``. Groups named ``timestamp``, ``event_type``, ``trace_id``, ``request_id``, ``session_id`` or
    ``agent_id`` fill the event's field of that name, all others its properties (``level``, ``message`` …)."""
    name: str | None = None
    """Kept as the property ``rule``, to tell which one matched."""
    event_type: str | None = None
    """Type of the event; by default ``error`` where a group ``level`` says ERROR or worse, else ``log``."""
    field_mapping: dict[str, str] = {}
    """``{group: field or property}``, for names that a group cannot have, such as ``gen_ai.tool.name``."""
    types: dict[str, Kind] = {}
    """``{group: int | float | bool | json | timestamp}``; a group is text by default."""

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        groups = re2.compile(self.pattern, _options()).groupindex
        for option, names in (("field_mapping", self.field_mapping), ("types", self.types)):
            for name in names:
                if name not in groups:
                    known = ", ".join(sorted(groups)) or "none; write one as (?P<name>…)"
                    raise ValueError(f"{option}.{name}: the pattern has no group of this name (groups: {known})")
        return self


class RegexConfig(ComponentConfig):
    """Options of the ``regex`` parser: one ``pattern``, or ``rules``."""

    pattern: Pattern | None = None
    """What to look for, see ``rules.pattern``."""
    event_type: str | None = None
    """Type of the event, see ``rules.event_type``."""
    field_mapping: dict[str, str] = Field(default_factory=dict)
    """``{group: field or property}``, see ``rules.field_mapping``."""
    types: dict[str, Kind] = Field(default_factory=dict)
    """``{group: type}``, see ``rules.types``."""
    rules: list[Rule] = Field(default_factory=list, max_length=1000)
    """Several patterns; the first in order that matches wins. All are looked for in one pass."""
    extends: list[str] = Field(default_factory=list)
    """Rules that come with the parser, put behind one's own: ``key_value`` (``tool_call tool=search args={…}``,
    ``tool_result``, ``llm_call model=… input_tokens=…``) and ``http_access``."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        for name in self.extends:
            if name not in SETS:
                raise ValueError(f"extends: no rules are named {name!r} (there are: {', '.join(SETS)})")
        if self.pattern is not None and self.rules:
            raise ValueError("give either pattern or rules, one of them")
        if self.pattern is None and not self.rules and not self.extends:
            raise ValueError("give either pattern or rules, or extends: there is nothing to look for")
        if self.rules and (self.event_type is not None or self.field_mapping or self.types):
            raise ValueError("event_type, field_mapping and types belong to each rule where there are rules")
        if self.pattern is not None:
            self._as_rules()
        return self

    def _as_rules(self) -> list[Rule]:
        own = self.rules
        if self.pattern is not None:
            one = {"event_type": self.event_type, "field_mapping": self.field_mapping, "types": self.types}
            own = [Rule.model_validate({"pattern": self.pattern, **one})]
        return [*own, *(Rule.model_validate(rule) for name in self.extends for rule in SETS[name])]

    def compiled(self) -> list[tuple[Rule, Any]]:
        """Return the rules in order, each with its compiled pattern."""
        return [(rule, re2.compile(rule.pattern, _options())) for rule in self._as_rules()]


class RegexParser(Parser):
    """Lines that match a pattern."""

    name = "regex"
    Config = RegexConfig
    config: RegexConfig

    def __init__(self, config: RegexConfig) -> None:
        super().__init__(config)
        self._rules = config.compiled()
        self._set: Any = None
        if len(self._rules) > 1:
            self._set = re2.Set.SearchSet(_options())
            for rule, _ in self._rules:
                self._set.Add(rule.pattern)
            try:
                self._set.Compile()
            except re2.error as error:
                raise ValueError(
                    "rules: together the patterns need too much memory; use fewer, or smaller counted repetitions"
                ) from error

    def parse(self, block: Block) -> list[Event] | None:
        """Make one event of the first rule that matches the block's text.

        Raises:
            ParseError: a group cannot be read as the type that ``types`` gives it.
        """
        found = self._found(block.text)
        if found is None:
            return None
        number, groups = found
        event = _event(self._rules[number][0], groups)
        find_ids(event, block.text)
        event.raw = block.text
        return [event]

    def explain(self, block: Block) -> str:
        """Name the rule that matches, or say that none does."""
        found = self._found(block.text)
        if found is None:
            return f"none of its {len(self._rules)} patterns matches" if len(self._rules) > 1 else "no match"
        return f"pattern {found[0] + 1} of {len(self._rules)}: {self._rules[found[0]][0].pattern}"

    def _found(self, text: str) -> tuple[int, dict[str, str | None]] | None:
        """The first rule that matches, by its position, and its groups."""
        # RE2 reads UTF-8, which has no lone surrogates; one stands for one, so that positions stay.
        searched = text if text.isascii() else _SURROGATE.sub("\ufffd", text)
        number = 0
        if self._set is not None:
            matching = self._set.Match(searched)
            if not matching:
                return None
            number = min(matching)
        found = self._rules[number][1].search(searched)
        return None if found is None else (number, found.groupdict())


_SURROGATE = re.compile("[\ud800-\udfff]")


def _event(rule: Rule, groups: dict[str, str | None]) -> Event:
    event = Event()
    properties: dict[str, Any] = {}
    level = None
    for group, text in groups.items():
        if text is None:
            continue
        target = rule.field_mapping.get(group, group)
        kind = rule.types.get(group)
        value: Any = text if kind is None else _convert(group, text, kind)
        if target == "timestamp":
            event.timestamp = value if type(value) is int and kind == "timestamp" else microseconds(value)
            if event.timestamp is None:
                properties[group] = text
        elif target in _TEXT_FIELDS:
            setattr(event, target, str(value))
        elif target == "level":
            level = level_name(value)
            properties["level"] = level or value
        else:
            properties[target] = value
    if rule.event_type is not None:
        event.event_type = rule.event_type
    elif level in ERROR_LEVELS and event.event_type == "log":
        event.event_type = "error"
    if rule.name is not None:
        properties["rule"] = rule.name
    event.properties = properties
    return event


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError


def _time(text: str) -> int:
    moment = microseconds(text)
    if moment is None:
        raise ValueError
    return moment


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError
    return number


_READERS: dict[Kind, tuple[Callable[[str], Any], str]] = {
    "int": (int, "an integer"),
    "float": (_finite, "a finite number"),
    "bool": (_boolean, "true or false"),
    "json": (msgspec.json.decode, "JSON"),
    "timestamp": (_time, "an RFC 3339 or epoch time"),
}


def _convert(group: str, text: str, kind: Kind) -> Any:
    read, wanted = _READERS[kind]
    try:
        return read(text)
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeError are ValueErrors
        raise ParseError(f"regex: group {group}: {text[:80]!r} is not {wanted} (types.{group}: {kind})") from error
