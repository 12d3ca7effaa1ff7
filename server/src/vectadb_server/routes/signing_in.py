"""``/api/v1/auth/session`` and ``/api/v1/auth/me``: signing in with a key, as the web page does, and out again."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from vectadb_server.access import BadKey
from vectadb_server.keys import MOST_LENGTH, Scope
from vectadb_server.routes import docs
from vectadb_server.routes.bodies import read_json
from vectadb_server.routes.enforce import caller_of, cookie_in
from vectadb_server.routes.errors import Refusal
from vectadb_server.services import Services
from vectadb_server.signins import COOKIE, LASTS
from vectadb_server.times import rfc3339

_TAGS = ["auth"]
_PATH = "/api/v1/auth/session"
_MOST_BODY = 4 * 1024


class Shown(msgspec.Struct, forbid_unknown_fields=True):
    """The key that somebody signs in with."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_LENGTH)]


class Me(msgspec.Struct):
    """Who asks. ``keys_needed``: there are API keys, so that strangers may nothing. ``scopes``: what the caller may.

    ``key_id``, ``key_name``, ``key_expires``: of the caller's key. ``signed_in``: by a cookie.
    """

    keys_needed: bool
    signed_in: bool
    scopes: list[Scope]
    key_id: str | None = None
    key_name: str | None = None
    key_expires: str | None = None


_shown = msgspec.json.Decoder(Shown)


@post(
    _PATH,
    status_code=200,
    opt={"scope": "public"},
    operation_class=docs.TakesKey,
    security=[{}],
    tags=_TAGS,
    responses=docs.replies(Me, "Signed in", errors=(400, 401, 408, 409, 413, 415, 422), public=True),
)
async def sign_in(request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]) -> Response[Me]:
    """Sign in with an API key: from now on a cookie that scripts cannot read says who asks, for a week.

    What changes something is taken with the cookie only from pages of this server. It ends with the key, or by DELETE.
    """
    body = await read_json(request, services.settings, limit=_MOST_BODY)
    try:
        text = _shown.decode(body).key.strip()
    except msgspec.ValidationError as error:
        raise Refusal(422, f'{error}; expected {{"key": "…"}}') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, 'not JSON; expected {"key": "…"}') from None
    if not await services.access.exists():
        raise Refusal(409, "this server has no API keys, so that nobody has to sign in")
    try:
        caller = await services.access.caller(text)
    except BadKey as error:
        raise Refusal(401, f"{error}. Next: paste a key that holds; an admin can make one") from None
    assert caller.key is not None
    token = await services.sign_ins.begin(caller.key.id)
    made = Me(True, True, list(caller.scopes), caller.key.id, caller.key.name, _time(caller.key.expires))
    return Response(made, headers={"Set-Cookie": _cookie(request, token, LASTS // 1_000_000)})


@delete(
    _PATH,
    status_code=200,
    opt={"scope": "public"},
    security=[{}],
    tags=_TAGS,
    responses=docs.replies(Me, "Signed out", errors=(), public=True),
)
async def sign_out(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[Me]:
    """Sign out: the cookie stands for nothing any more, on this server at once, on every other within 2 seconds."""
    token = cookie_in(request.scope)
    if token is not None:
        with suppress(BadKey):  # Then there is nothing to forget.
            await services.sign_ins.key_of(token, await services.access.knows())
            await services.sign_ins.end(token)
    return Response(Me(await services.access.exists(), False, []), headers={"Set-Cookie": _cookie(request, "", 0)})


@get(
    "/api/v1/auth/me",
    opt={"scope": "public"},
    tags=_TAGS,
    responses=docs.replies(Me, "Who asks", errors=(), public=True),
)
async def read_me(request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]) -> Response[Me]:
    """Say what the caller may; a stranger, or one whose key or cookie does not hold any more, has no scopes."""
    caller, needed = caller_of(request), await services.access.exists()
    if caller is None:
        return Response(Me(needed, False, []))
    me = Me(needed, caller.signed_in, list(caller.scopes))
    if caller.key is not None:
        me.key_id, me.key_name, me.key_expires = caller.key.id, caller.key.name, _time(caller.key.expires)
    return Response(me)


def _time(us: int | None) -> str | None:
    return None if us is None else rfc3339(us)


def _cookie(request: Request[Any, Any, Any], token: str, seconds: int) -> str:
    # The browser knows best whether it came by HTTPS: a proxy may have ended it.
    origin = request.headers.get("origin", "")
    secure = "; Secure" if origin.startswith("https:") or request.scope["scheme"] == "https" else ""
    return f"{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


HANDLERS: list[Any] = [sign_in, sign_out, read_me]
