"""``/api/v1/admin``: making the search index anew, checking it, backing up the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import QueryParameter, SkipValidation
from litestar.response import Stream

from vectadb_server.backups import BackupUnderWay
from vectadb_server.checking import Checked, Checker
from vectadb_server.reindexing import Progress, Reindexer
from vectadb_server.routes import docs
from vectadb_server.routes import queries as q
from vectadb_server.routes.errors import Refusal
from vectadb_server.services import Services
from vectadb_server.stores.rows import day_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAGS = ["admin"]
_PATH = "/api/v1/admin/reindex"
_CHECK = "/api/v1/admin/check"
_BACKUP = "/api/v1/admin/backup"
_TAR = "application/x-tar"


@post(
    _PATH,
    opt={"scope": "admin"},
    status_code=200,
    tags=_TAGS,
    responses=docs.replies(Progress, "It has begun", errors=(400, 403)),
)
async def post_reindex(
    services: NamedDependency[SkipValidation[Services]],
    since: q.Since = None,
    until: q.Until = None,
) -> Response[Progress]:
    """Make the days from `since` to `until`, by default all, anew from the record. Ingest and search go on."""
    reindexer = _reindexer(services)
    days: Sequence[str] = await services.record.days()
    if since is not None or until is not None:
        start, end = q.span_of_time(since, until, services.now(), back=services.now())
        days = [day for day in days if day_of(start) <= day <= day_of(end)]
    return Response(await reindexer.begin(days))


@get(_PATH, opt={"scope": "admin"}, tags=_TAGS, responses=docs.replies(Progress, "How far it is", errors=(403,)))
async def read_reindex(services: NamedDependency[SkipValidation[Services]]) -> Response[Progress]:
    """Say how far it is."""
    return Response(await _reindexer(services).progress())


@post(
    _CHECK,
    opt={"scope": "admin"},
    status_code=200,
    tags=_TAGS,
    responses=docs.replies(Checked, "It has begun", errors=(400, 403)),
)
async def post_check(
    services: NamedDependency[SkipValidation[Services]],
    repair: Annotated[bool, QueryParameter(name="repair", description="Mend what differs, and look again.")] = False,
) -> Response[Checked]:
    """Compare the record with search index, digests, counts and trace summaries; `repair` mends what differs."""
    return Response(_checker(services).begin(repair=repair))


@get(
    _CHECK,
    opt={"scope": "admin"},
    tags=_TAGS,
    responses=docs.replies(Checked, "How far it is, or what it found", errors=(403,)),
)
async def read_check(services: NamedDependency[SkipValidation[Services]]) -> Response[Checked]:
    """Say how far the check is; once it is through, what it found."""
    return Response(_checker(services).progress())


@post(
    _BACKUP,
    opt={"scope": "admin"},
    status_code=200,
    media_type=_TAR,
    tags=_TAGS,
    responses={
        **docs.replies(bytes, "", errors=(403, 404, 409)),
        200: ResponseSpec(bytes, generate_examples=False, description="The archive", media_type=_TAR),
    },
)
async def post_backup(services: NamedDependency[SkipValidation[Services]]) -> Stream:
    """Send everything as it is at this moment, but the search index, as a tar; whole if it ends with `SHA256SUMS`."""
    if services.backups is None:
        raise Refusal(404, "the record is on a SurrealDB server. Next: use that server's own tools to back it up")
    try:
        return Stream(await services.backups.begin(), media_type=_TAR)
    except BackupUnderWay:
        raise Refusal(409, "another backup is under way. Next: wait for its end") from None


def _reindexer(services: Services) -> Reindexer:
    if services.reindexer is None:
        raise Refusal(404, "this server has no index to make anew")
    return services.reindexer


def _checker(services: Services) -> Checker:
    if services.checker is None:
        raise Refusal(404, "this server has no index to check")
    return services.checker


HANDLERS: list[Any] = [post_reindex, read_reindex, post_check, read_check, post_backup]
