"""Settings of the server: from flags, else the environment, else a TOML file, else the defaults.

Every setting ``name`` is ``VECTADB_NAME`` in the environment and ``name`` in the file. A wrong one is refused with its
place, what was found and what would be right; nothing is started.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from vectadb_server.keys import weakness

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "VECTADB_"
#: Read by the commands, not by the server.
OTHERS = frozenset({"CONFIG", "URL", "API_KEY", "API_KEY_FILE"})

_UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d+) ?([a-z]*)", re.IGNORECASE | re.ASCII)
_LENGTH = re.compile(r"(\d{1,5}) ?([dw])", re.IGNORECASE | re.ASCII)
_DAY = 86_400_000_000
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


class SettingsError(Exception):
    """The settings cannot be used; one line for each mistake."""


class Size(int):
    """A number of bytes; in the environment and in files also as text with a unit: ``16 MiB``."""


#: User and password in an address.
_PASSWORD = re.compile("//[^@/]*@")


class Secret(str):
    """A text that is not shown: its ``repr`` does not tell it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Length(int):
    """A length of time, microseconds; in the environment and in files a text like ``30d``."""


class TypeLengths(tuple[tuple[str, int], ...]):
    """Lengths of time by event type; in a file a table, in the environment ``log=7d,llm_start=14d``."""

    __slots__ = ()


class Origins(tuple[str, ...]):
    """Origins of web pages, exactly as browsers send them; in the environment separated by commas."""

    __slots__ = ()


def _about(text: str, expected: str) -> msgspec.Meta:
    return msgspec.Meta(description=text, extra={"expected": expected})


_SIZES = 'a size of at least 1 KiB, like "16 MiB" or 16777216'
_COUNT = "a whole number from 1 to 1000000"
_SECONDS = "a number of seconds from 0 to 3600"
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
_WAIT = "a number of seconds from 0.1 to 3600"
Wait = Annotated[float, msgspec.Meta(ge=0.1, le=3600)]
Dimensions = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]")]
_RATE = "a number from 0.001 to 1000000"
Rate = Annotated[float, msgspec.Meta(ge=0.001, le=1_000_000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_LENGTHS = 'a number of days or weeks, like "30d" or "8w"'
_EVENTS = "a whole number from 1 to 1000000000000"
Events = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
_IDENTIFIERS = "a letter, then at most 62 letters, digits or _"
Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
# No user or password in it: addresses are logged.
WebSocketURL = Annotated[str, msgspec.Meta(pattern=r"^wss?://[^/@?#\s]+(/[^@?#\s]*)?$")]


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """What one server is told. The descriptions below are its reference."""

    host: Annotated[str, _about("Address to listen on.", "a host name or address")] = "127.0.0.1"
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65535), _about("Port; 0: a free one.", "a whole number from 0 to 65535")
    ] = 8080
    data_dir: Annotated[Path, _about("Directory of the record and the search index.", "a directory")] = Path("data")
    surreal_url: Annotated[
        WebSocketURL | None,
        _about(
            "SurrealDB server that holds the record instead of the data directory.", 'an address like "ws://db:8000"'
        ),
    ] = None
    surreal_user: Annotated[str, _about("User on it, of the server or the namespace.", "a name")] = "root"
    surreal_password: Annotated[Secret | None, _about("That user's password.", "a text")] = None
    surreal_password_file: Annotated[Path | None, _about("File with that password.", "a file")] = None
    surreal_namespace: Annotated[Identifier, _about("Namespace on it.", _IDENTIFIERS)] = "vectadb"
    surreal_database: Annotated[
        Identifier, _about("Beginning of the names of its databases: one for each UTC day, and one more.", _IDENTIFIERS)
    ] = "record"
    prices: Annotated[
        Path | None, _about("TOML file with prices of models, over those that are known.", "a TOML file")
    ] = None
    insecure: Annotated[
        bool, _about("Listen on an address that other machines reach, though there are no keys.", "true or false")
    ] = False
    bootstrap_key: Annotated[
        Secret | None,
        _about(
            "The first API key, for everything, where there never was one.", "a random text of 24 characters or more"
        ),
    ] = None
    bootstrap_key_file: Annotated[Path | None, _about("File with that key.", "a file")] = None
    cors_origins: Annotated[
        Origins,
        _about("Origins whose pages may call the API from a browser.", 'origins like "https://app.example", by commas'),
    ] = Origins()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _about("The least severe log lines that are written.", "debug, info, warning or error"),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json"],
        _about("How log lines are written; auto: for people on a terminal, else as JSON.", "auto or json"),
    ] = "auto"
    min_free: Annotated[
        Size, _about("Least room left on the data directory's disk: with less, events are refused.", _SIZES)
    ] = Size(256 * 2**20)
    record_memory: Annotated[
        Size,
        _about(
            "Memory of the server above which it closes days of the embedded record that nobody writes in; they are "
            "opened again when they are asked for.",
            _SIZES,
        ),
    ] = Size(1240 * 2**20)
    retain: Annotated[
        Length | None,
        _about("How long events are kept, by the record's time; whole days go. Unset: for ever.", _LENGTHS),
    ] = None
    retain_events: Annotated[
        Events | None,
        _about(
            "Most events that are kept: the oldest days go, but never today's and yesterday's. Unset: any number.",
            _EVENTS,
        ),
    ] = None
    capacity_events: Annotated[
        Events,
        _about(
            "Events that the embedded record is to bear, each further record of a block counted too: from 80 % on the "
            "server warns.",
            _EVENTS,
        ),
    ] = 1_000_000
    capacity_day_events: Annotated[Events, _about("Likewise, in the busiest day.", _EVENTS)] = 1_000_000
    retain_types: Annotated[
        TypeLengths,
        _about(
            "How long events of single types are kept, where that is shorter; whole days again.",
            'lengths by type, like { log = "7d" } or in the environment "log=7d,llm_start=14d"',
        ),
    ] = TypeLengths()
    max_body: Annotated[Size, _about("Largest request body, after decompression.", _SIZES)] = Size(16 * 2**20)
    max_batch_events: Annotated[Count, _about("Most events in one request.", _COUNT)] = 10_000
    max_ingest_requests: Annotated[Count, _about("Most ingest requests in progress; further ones get 503.", _COUNT)] = (
        64
    )
    max_ingest_bytes: Annotated[
        Size, _about("Most bytes in the bodies of ingest requests in progress; further ones get 503.", _SIZES)
    ] = Size(64 * 2**20)
    max_followers: Annotated[
        Count, _about("Most clients of GET /api/v1/events/stream at once; further ones get 503.", _COUNT)
    ] = 64
    max_read_requests: Annotated[Count, _about("Most reads in progress; further ones get 503.", _COUNT)] = 64
    read_timeout: Annotated[Wait, _about("Longest time for answering a read, export and live tail apart.", _WAIT)] = (
        30.0
    )
    header_timeout: Annotated[Wait, _about("Longest time for a request's headers to arrive.", _WAIT)] = 10.0
    max_requests_per_second: Annotated[
        Rate | None, _about("Most requests a second with one key that has no number of its own; unset: any.", _RATE)
    ] = None
    max_events_per_second: Annotated[
        Rate | None, _about("Most events a second with one key that has no number of its own; unset: any.", _RATE)
    ] = None
    body_timeout: Annotated[Wait, _about("Longest time for a request body to arrive.", _WAIT)] = 60.0
    shutdown_timeout: Annotated[
        Seconds, _about("Longest time that requests in progress are given when the server stops.", _SECONDS)
    ] = 20.0
    drain_timeout: Annotated[
        Seconds, _about("Longest time that the indexer is given to catch up when the server stops.", _SECONDS)
    ] = 5.0

    embedder: Annotated[
        Literal["wordllama", "openai"],
        _about("What makes vectors of meaning; openai: any endpoint with that API.", "wordllama or openai"),
    ] = "wordllama"
    embedder_url: Annotated[
        Url | None, _about("Where that API is, e.g. https://api.openai.com/v1.", "a URL that begins with http(s)://")
    ] = None
    embedder_model: Annotated[str | None, _about("The model to ask for.", "a model's name")] = None
    embedder_api_key: Annotated[Secret | None, _about("The API's key.", "a key")] = None
    embedder_api_key_file: Annotated[Path | None, _about("File with that key.", "a file")] = None
    embedder_dimensions: Annotated[
        Dimensions | None,
        _about("Numbers in a vector to ask for; unset: as many as the model gives.", "a whole number from 1 to 65536"),
    ] = None
    qdrant_url: Annotated[
        Url | None,
        _about("A Qdrant that holds the search index, instead of data_dir.", "a URL that begins with http(s)://"),
    ] = None
    qdrant_api_key: Annotated[Secret | None, _about("The Qdrant's key.", "a key")] = None
    qdrant_api_key_file: Annotated[Path | None, _about("File with that key.", "a file")] = None
    qdrant_collection: Annotated[
        str,
        msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,200}$"),
        _about("The collection in that Qdrant.", "letters, digits, - and _"),
    ] = "vectadb"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or address, without port or brackets) is this machine, seen from itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """Put the settings together.

    Args:
        flags: by the names of :class:`Settings`; ``None`` means not given.
        environ: the environment; an empty variable counts as not set.
        file: a TOML file; ``None``: the one that ``VECTADB_CONFIG`` names, if it is set.

    Raises:
        SettingsError: something is wrong; the text names all that is.
    """
    if file is None and environ.get(f"{PREFIX}CONFIG"):
        file = Path(environ[f"{PREFIX}CONFIG"])
    hints = get_type_hints(Settings, include_extras=True)
    problems: list[str] = []
    values: dict[str, Any] = {}
    layers = [
        [(name, str(file), value) for name, value in _read(file, problems).items()],
        [(name, "", environ[f"{PREFIX}{name.upper()}"]) for name in hints if environ.get(f"{PREFIX}{name.upper()}")],
        [(name, "", value) for name, value in flags.items() if value is not None],
    ]
    for layer, where in zip(layers, ("{file}: {name}", "{env}", "{flag}"), strict=True):
        for name, path, value in layer:
            place = where.format(file=path, name=name, env=PREFIX + name.upper(), flag="--" + name.replace("_", "-"))
            if name not in hints:
                problems.append(f"{place}: no such setting{_meant(name, hints)}")
                continue
            try:
                values[name] = _convert(value, hints[name])
            except (ValueError, msgspec.ValidationError):
                problems.append(f"{place}: found {_shown(value, hints[name])}; expected {_expected(hints[name])}")
    if values.get("surreal_url") and not (values.get("surreal_password") or values.get("surreal_password_file")):
        problems.append(f"{PREFIX}SURREAL_PASSWORD: not set; expected the password of the user on the SurrealDB server")
    _bootstrap(values, problems)
    if problems:
        raise SettingsError("\n".join(problems))
    settings = Settings(**values)
    if settings.embedder == "openai" and not (settings.embedder_url and settings.embedder_model):
        raise SettingsError("embedder openai: embedder_url and embedder_model must be set, too")
    # A record that is there may hold keys: that is looked at once it is open.
    if not (settings.bootstrap_key or settings.surreal_url or (settings.data_dir / "record").is_dir()):
        check_reach(settings, keyed=False)
    return settings


def check_reach(settings: Settings, *, keyed: bool) -> None:
    """Refuse to be reached by other machines where there is no API key.

    Raises:
        SettingsError: the host is not loopback, there is no key, and nobody said ``insecure``.
    """
    if not settings.loopback and not settings.insecure and not keyed:
        raise SettingsError(
            f"host {settings.host}: other machines could reach the server, and there is no API key yet. Next: make one "
            "with `vectadb keys create` while it listens on 127.0.0.1, or give the first with VECTADB_BOOTSTRAP_KEY; "
            "or add --insecure (VECTADB_INSECURE=true) if the network lets in only friends"
        )


def _bootstrap(values: dict[str, Any], problems: list[str]) -> None:
    """Read the file of the first key, and refuse a weak one."""
    place, file = f"{PREFIX}BOOTSTRAP_KEY", values.get("bootstrap_key_file")
    if file is not None:
        place = f"{PREFIX}BOOTSTRAP_KEY_FILE"
        if values.get("bootstrap_key"):
            problems.append(f"{place}: found beside {PREFIX}BOOTSTRAP_KEY; expected one of the two")
            return
        try:
            values["bootstrap_key"] = Secret(file.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{place}: {file} cannot be read: {getattr(error, 'strerror', None) or 'not text'}")
            return
    text = values.get("bootstrap_key")
    if text is not None and (wrong := weakness(text)) is not None:
        problems.append(f"{place}: {wrong}. Next: take the output of `openssl rand -hex 32`")


def secret(name: str, given: Secret | None, file: Path | None) -> Secret | None:
    """Return the secret that the setting ``name`` gives, or the file that ``name_file`` names.

    Raises:
        SettingsError: the file cannot be read, or is empty.
    """
    if file is None:
        return given
    try:
        found = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_file {file}: cannot be read: {error}") from None
    if not found:
        raise SettingsError(f"{name}_file {file}: is empty; expected the key")
    return Secret(found)


def strays(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each variable that looks like a misspelt setting."""
    known = {name.upper() for name in Settings.__struct_fields__} | OTHERS
    names = [name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX)]
    return [
        f"{PREFIX}{name} is not a setting{_meant(name, known, PREFIX)}"
        for name in sorted(names)
        if name not in known and difflib.get_close_matches(name, known, 1)
    ]


def _read(file: Path | None, problems: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: not TOML: {error}")
    return {}


def _convert(value: Any, hint: Any) -> Any:
    # Only text, as the environment gives it, is turned into numbers and truth values.
    return msgspec.convert(value, hint, strict=not isinstance(value, str), dec_hook=_decode)


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        if isinstance(value, (str, Path)) and str(value).strip():
            return Path(value).expanduser()
        raise ValueError("not a path")
    if kind is Secret:
        if isinstance(value, str) and value.strip():
            return Secret(value.strip())
        raise ValueError("not a secret")
    if kind is Origins:
        return _origins(value)
    if kind is Length:
        return _length(value)
    if kind is TypeLengths:
        return _type_lengths(value)
    found = _SIZE.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError("not a size")
    size = int(found[1]) * _UNITS[found[2].lower()]
    if not 1024 <= size < 2**40:
        raise ValueError("not a possible size")
    return Size(size)


def _length(value: Any) -> Length:
    found = _LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or int(found[1]) < 1:
        raise ValueError("not a length of time")
    return Length(int(found[1]) * _DAY * (7 if found[2] in "wW" else 1))


def _type_lengths(value: Any) -> TypeLengths:
    given = value
    if isinstance(value, str):
        pairs = [item.partition("=") for item in value.split(",") if item.strip()]
        given = {name.strip(): length for name, _, length in pairs}
        if len(given) < len(pairs):
            raise ValueError("a type twice")
    if not isinstance(given, dict) or not all(given):
        raise ValueError("not lengths by type")
    return TypeLengths((name, _length(length)) for name, length in given.items())


def _origins(value: Any) -> Origins:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(item, str) for item in given):
        raise ValueError("not origins")
    origins = [item.strip().lower() for item in given if item.strip()]
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("not an origin")
    return Origins(origins)


def _shown(value: Any, hint: Any) -> str:
    """What was found, without what nobody is to read."""
    if Secret in get_args(get_args(hint)[0]):
        return "something else"
    return _PASSWORD.sub("//…@", repr(value))


def _expected(hint: Any) -> str:
    return next(str(meta.extra["expected"]) for meta in hint.__metadata__ if getattr(meta, "extra", None))


def _meant(name: str, known: Mapping[str, Any] | set[str] | frozenset[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f". Did you mean {prefix}{close[0]}?" if close else f" (known: {', '.join(sorted(known))})"
