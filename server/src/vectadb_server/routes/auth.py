"""``/api/v1/auth/keys``: making, listing and revoking API keys."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from vectadb_server import keys
from vectadb_server.keys import Key, Scope
from vectadb_server.routes import docs
from vectadb_server.routes.bodies import read_json
from vectadb_server.routes.errors import Refusal
from vectadb_server.services import Services
from vectadb_server.settings import Rate
from vectadb_server.times import parse_rfc3339, rfc3339

_TAGS = ["auth"]
_PATH = "/api/v1/auth/keys"
_MOST_BODY = 64 * 1024
_LASTING = re.compile(r"(\d{1,5})([hdw])", re.ASCII)
_UNITS = {"h": 3_600_000_000, "d": 86_400_000_000, "w": 7 * 86_400_000_000}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key to be made. ``expires``: RFC 3339, a date, or how long it holds: ``12h``, ``30d``, ``4w``."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=3)]
    expires: str | None = None
    max_requests_per_second: Rate | None = None
    max_events_per_second: Rate | None = None


class KeyReply(msgspec.Struct, kw_only=True):
    """A key, without its secret. ``last_used`` may be a minute behind."""

    id: str
    name: str
    scopes: list[Scope]
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None
    max_requests_per_second: float | None
    max_events_per_second: float | None


class MadeKey(KeyReply, kw_only=True):
    """A new key. ``key`` is what clients send; nobody can ask for it again."""

    key: str


class KeysReply(msgspec.Struct):
    """Every key there ever was, the oldest first."""

    keys: list[KeyReply]


_new = msgspec.json.Decoder(NewKey)


@post(
    _PATH,
    status_code=201,
    opt={"scope": "admin"},
    operation_class=docs.TakesNewKey,
    tags=_TAGS,
    responses=docs.replies(MadeKey, "The key, told this once", errors=(400, 408, 413, 415, 422), status=201),
)
async def post_key(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[MadeKey]:
    """Make an API key. The reply is the only place where it is told."""
    body = await read_json(request, services.settings, limit=_MOST_BODY)
    try:
        wanted = _new.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"not JSON: {error}") from None
    now = services.now()
    text, key_id = keys.minted()
    made = Key(
        id=key_id,
        name=_named(wanted.name),
        scopes=tuple(scope for scope in keys.SCOPES if scope in wanted.scopes),
        digest=keys.digest_of(text),
        created=now,
        expires=None if wanted.expires is None else _end(wanted.expires, now),
        max_requests_per_second=wanted.max_requests_per_second,
        max_events_per_second=wanted.max_events_per_second,
    )
    await services.access.create(made)
    return Response(MadeKey(key=text, **_told(made)), headers={"Cache-Control": "no-store"})


@get(_PATH, opt={"scope": "admin"}, tags=_TAGS, responses=docs.replies(KeysReply, "The keys"))
async def list_keys(services: NamedDependency[SkipValidation[Services]]) -> Response[KeysReply]:
    """List the API keys, revoked and expired ones too."""
    return Response(KeysReply([KeyReply(**_told(key)) for key in await services.access.listed()]))


@delete(
    _PATH + "/{key_id:str}",
    status_code=200,
    opt={"scope": "admin"},
    tags=_TAGS,
    responses=docs.replies(KeyReply, "It is revoked", errors=(404,)),
)
async def delete_key(
    services: NamedDependency[SkipValidation[Services]],
    key_id: Annotated[str, PathParameter(description="Id of the key: its middle part.")],
) -> Response[KeyReply]:
    """Revoke a key: at once on this server, within 5 seconds on every other. Again changes nothing."""
    key = await services.access.revoke(key_id) if keys.is_id(key_id) else None
    if key is None:
        raise Refusal(404, f"no key {key_id!r}. Next: `vectadb keys list`, or GET {_PATH}, lists those there are")
    return Response(KeyReply(**_told(key)))


def _named(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise Refusal(422, "name: found characters that cannot be printed, or only spaces; expected a name for people")
    return name.strip()


def _end(text: str, now: int) -> int:
    """Return when a key expires, microseconds."""
    wrong = f"expires: found {text[:100]!r}; expected RFC 3339, a date, or how long it holds: 12h, 30d, 4w"
    lasting = _LASTING.fullmatch(text)
    try:
        if lasting is not None:
            at = now + int(lasting[1]) * _UNITS[lasting[2]]
        else:
            at = parse_rfc3339(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
        rfc3339(at)
    except (ValueError, OverflowError):
        raise Refusal(422, wrong) from None
    if at <= now:
        raise Refusal(422, f"expires: found {text!r}, which is over; expected a time to come")
    return at


def _told(key: Key) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(key, name) for name in ("id", "name", *_LIMITS)}
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked, "last_used": key.used}
    return {
        **told,
        "scopes": list(key.scopes),
        **{name: None if at is None else rfc3339(at) for name, at in times.items()},
    }


_LIMITS = ("max_requests_per_second", "max_events_per_second")

HANDLERS: list[Any] = [post_key, list_keys, delete_key]
