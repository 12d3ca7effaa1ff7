"""``redact``: takes e-mail addresses, keys, tokens, card numbers and a user's own patterns out of events.

What is found is replaced in ``raw``, in every text of the properties, and in the ids that an event carries; nothing
behind this processor sees it: no sink, no quarantine. A secret that is printed over several records, each an event of
its own, is not recognised.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from vectadb_agent import ComponentConfig, Figure, Processor
from vectadb_agent_processors.patterns import Pattern, compiled
from vectadb_agent_processors.secrets import Finder, Kind, finders, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_agent import Event

_IDS = ("trace_id", "request_id", "session_id", "agent_id", "parent_event_id")
_DEEPEST = 64
_LEAST_CARD = 10**12


class Custom(BaseModel):
    """A user's own pattern."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(pattern="^[A-Za-z][A-Za-z0-9_-]{0,40}$")
    """What stands in the place of what is found: ``[name]``."""
    pattern: Pattern
    """A pattern (RE2). Where it has groups, only what they match is replaced."""


class RedactConfig(ComponentConfig):
    """Options of ``redact``."""

    kinds: tuple[Kind, ...] = ("email", "key", "token", "card")
    """What is looked for: ``email``; ``key`` (API keys and private keys by their form, and values named password,
    secret, api_key …); ``token`` (JSON web tokens, GitHub, Slack …, and what follows Bearer); ``card`` (card numbers
    whose checksum is right)."""
    patterns: tuple[Custom, ...] = ()
    """Your own patterns, each with a ``name`` and a ``pattern``."""
    replacement: Literal["mask", "hash"] = "mask"
    """``mask`` leaves ``[email]``; ``hash`` leaves ``[email:3f9a61c02b7d]``, the same for the same secret, so that one
    customer's events can still be told from another's. A hash wants ``salt``. Ids are always hashed."""
    salt: SecretStr | None = None
    """What the hashes are keyed with; give it as ``${REDACT_SALT}``. Without it anyone could try out addresses."""
    keep_properties: tuple[str, ...] = ()
    """Names of properties that are left as they are."""


class RedactProcessor(Processor):
    """Takes e-mail addresses, keys, tokens, card numbers and your own patterns out of events."""

    name: ClassVar[str] = "redact"
    Config: ClassVar[type[ComponentConfig]] = RedactConfig

    def __init__(self, config: RedactConfig) -> None:
        super().__init__(config)
        salt = config.salt.get_secret_value() if config.salt is not None else ""
        if config.replacement == "hash" and len(salt) < 16:
            raise ValueError("salt: `replacement: hash` wants at least 16 characters, e.g. from `openssl rand -hex 16`")
        self._key = salt.encode() or b"vectadb-agent redact"
        self._hashes = config.replacement == "hash"
        self._kept = frozenset(config.keep_properties)
        self._finders = finders(config.kinds)
        self._names_secrets = "key" in config.kinds
        for each in config.patterns:
            pattern = compiled(each.pattern)
            self._finders.append(Finder(each.name, pattern, groups=pattern.groups > 0))
        # Most texts hold no secret, which one look with all patterns at once says sooner than each by itself.
        self._any = (
            compiled("|".join(f"(?:{finder.pattern.pattern})" for finder in self._finders)) if self._finders else None
        )
        self.found = {finder.kind: 0 for finder in self._finders}
        """How many secrets of each kind were replaced."""

    def process(self, event: Event) -> Event | None:
        """See :class:`Processor`."""
        if event.raw is not None:
            event.raw = self.redacted(event.raw)
        event.properties = {
            name: value if name in self._kept else self._value(name, value, 1)
            for name, value in event.properties.items()
        }
        for name in _IDS:
            value = getattr(event, name)
            if value is not None:
                setattr(event, name, self._id(value))
        event.event_type = self.redacted(event.event_type)
        return event

    def redacted(self, text: str) -> str:
        """Return the text without its secrets."""
        if self._any is None or self._any.search(text) is None:
            return text
        for finder in self._finders:
            text = self._without(finder, text, hashed=self._hashes)
        return text

    def figures(self) -> Iterable[Figure]:
        """See :class:`Component`."""
        for kind, count in self.found.items():
            labels = (("kind", kind),)
            yield Figure("redacted_secrets_total", "Secrets taken out of events.", count, "counter", labels)

    def _id(self, text: str) -> str:
        """An id without secrets, another for another one. A number is not taken for a card's: many ids are numbers."""
        if self._any is None or self._any.search(text) is None:
            return text
        for finder in self._finders:
            if finder.kind != "card":
                text = self._without(finder, text, hashed=True)
        return text

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            if self._names_secrets and value and is_secret_name(name):
                self.found["key"] += 1
                return self._stand_in("key", value, hashed=self._hashes)
            return self.redacted(value)
        if isinstance(value, int):
            # Also a card's number may come as one.
            return (
                value
                if abs(value) < _LEAST_CARD or (hidden := self.redacted(digits := str(value))) == digits
                else hidden
            )
        if depth > _DEEPEST:
            return "[too deep]"
        if isinstance(value, dict):
            return {self.redacted(key): self._value(key, each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(name, each, depth + 1) for each in value]
        return value

    def _without(self, finder: Finder, text: str, *, hashed: bool) -> str:
        parts: list[str] = []
        end = 0
        for match in finder.pattern.finditer(text):
            numbers = range(1, len(match.groups()) + 1) if finder.groups else range(1)
            for first, last in sorted(match.span(number) for number in numbers):
                secret = text[first:last] if first >= end else ""
                if not secret or (finder.accept is not None and not finder.accept(secret)) or _is_stand_in(secret):
                    continue
                self.found[finder.kind] += 1
                parts += [text[end:first], self._stand_in(finder.kind, secret, hashed=hashed)]
                end = last
        return "".join(parts) + text[end:] if parts else text

    def _stand_in(self, kind: str, secret: str, *, hashed: bool) -> str:
        if not hashed:
            return f"[{kind}]"
        digest = hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
        return f"[{kind}:{digest[:12]}]"


def _is_stand_in(text: str) -> bool:
    """Whether something else was there that is taken out already."""
    return text.startswith("[") and text.endswith("]")
