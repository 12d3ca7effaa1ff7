"""What VectaDB's HTTP replies mean for a batch: delivered, refused by event, or an error. No I/O, no HTTP library."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from vectadb_agent import Result
from vectadb_agent.errors import PermanentError, RetryableError, TooLargeError, VectaDBAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectadb_agent import Event

MAX_TEXT = 300
"""Most characters of a reply that an error message repeats."""

_STATUSES = frozenset({"accepted", "duplicate", "expired", "failed"})


class Answer(msgspec.Struct):
    """An HTTP reply. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refusal(msgspec.Struct):
    """Why the server did not take the event at ``index`` of the request.

    ``code``: ``partial_overlap`` for a block of which the server holds some records in another block; ``unclaimed`` are
    then the positions of the others.
    """

    index: int
    error: str = ""
    code: str | None = None
    retryable: bool = False
    unclaimed: list[int] | None = None

    @property
    def overlaps(self) -> bool:
        """Whether nothing is wrong but that other blocks hold some of the records."""
        return self.code == "partial_overlap" and bool(self.unclaimed)

    @property
    def reason(self) -> str:
        """The server's words, its code in front."""
        if self.code and not self.error.startswith(self.code):
            return f"{self.code}: {self.error}" if self.error else self.code
        return self.error or "the server gave no reason"


class BatchReply(msgspec.Struct):
    """Body of a 200 from ``/api/v1/events/batch``. ``statuses``, where it is sent, is parallel to the request."""

    ingested: int | None = None
    ingested_count: int | None = None
    duplicates: int = 0
    expired: int = 0
    failed: int | None = None
    failed_count: int | None = None
    errors: list[Refusal] = []
    statuses: list[str] | None = None


class ErrorReply(msgspec.Struct):
    """Body of VectaDB's error replies."""

    message: str
    error: str = ""


_batch_reply = msgspec.json.Decoder(BatchReply)
_error_reply = msgspec.json.Decoder(ErrorReply)


def batch_result(answer: Answer, events: Sequence[Event], place: str) -> Result:
    """Say what became of each event of a batch. ``place`` (the endpoint) goes into error texts.

    A reply that does not account for every event is half a reply, or somebody else's: the batch is tried again, which
    costs nothing, since the server knows what it has.

    Raises:
        RetryableError, PermanentError, TooLargeError: as for :func:`failure`; or the reply is not VectaDB's.
    """
    if answer.status not in (200, 201):
        raise failure(answer, place)
    try:
        reply = _batch_reply.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_ours(answer, place, str(error)) from error
    count = len(events)
    refusals = {refusal.index: refusal for refusal in reply.errors}
    if any(not 0 <= index < count for index in refusals):
        raise not_ours(answer, place, f"an index in 'errors' is not among the {count} events sent")
    for index, refusal in refusals.items():
        block = events[index].block
        records = len(block.records) if block else 0
        if any(not 0 <= position < records for position in refusal.unclaimed or ()):
            raise not_ours(answer, place, f"'unclaimed' of the event at {index} is not among its {records} records")
    if reply.statuses is None:
        _check_counts(reply, count, len(refusals), answer, place)
        statuses: Sequence[str] = ()
    else:
        statuses = reply.statuses
        if len(statuses) != count:
            raise not_ours(answer, place, f"{len(statuses)} statuses for {count} events")
        unknown = set(statuses) - _STATUSES
        if unknown:
            raise not_ours(answer, place, f"unknown status {min(unknown)!r}")
    for index, status in enumerate(statuses):
        if status == "failed":
            refusals.setdefault(index, Refusal(index))
        elif index in refusals:
            raise not_ours(answer, place, f"the event at {index} is both {status} and in 'errors'")
    return Result(
        duplicate=[events[i].event_id for i, status in enumerate(statuses) if status == "duplicate"],
        expired=[events[i].event_id for i, status in enumerate(statuses) if status == "expired"],
        refused=[
            (events[i].event_id, refusal.reason, refusal.retryable)
            for i, refusal in sorted(refusals.items())
            if not refusal.overlaps
        ],
        overlapping=[
            (events[i].event_id, refusal.unclaimed or ()) for i, refusal in sorted(refusals.items()) if refusal.overlaps
        ],
    )


def _check_counts(reply: BatchReply, count: int, refused: int, answer: Answer, place: str) -> None:
    ingested = reply.ingested if reply.ingested is not None else reply.ingested_count
    failed = reply.failed if reply.failed is not None else reply.failed_count
    if ingested is None:
        raise not_ours(answer, place, "it counts no ingested events")
    total = ingested + reply.duplicates + reply.expired + (failed or 0)
    if total != count or (failed or 0) != refused:
        raise not_ours(answer, place, f"it accounts for {total} of {count} events, with {refused} errors")


def failure(answer: Answer, place: str) -> VectaDBAgentError:
    """The error that a reply other than 200 or 201 stands for.

    Only what VectaDB says of the events themselves (400, 413, 422) is permanent. Whatever the user, the operator or
    time can put right is retryable, since nothing is lost by waiting.
    """
    status, said = answer.status, said_by(answer)
    if status == 413:
        return TooLargeError(f"{place} takes no request as large as this (413): {said}")
    if status in (400, 422) and not is_page(answer):
        return PermanentError(f"{place} refused the batch ({status}): {said}")
    if status in (401, 403):
        what = "asks for a valid API key" if status == 401 else "does not allow this API key to do that"
        text = f"{place} {what} ({status}: {said}). Nothing is lost meanwhile: mend the sink's 'api_key'"
    elif status == 404:
        text = f"{place} has no VectaDB event API (404: {said}). Check the sink's 'endpoint': is it a VectaDB server?"
    elif 300 <= status < 400:
        target = plain(answer.headers.get("location", "nowhere"))
        text = (
            f"{place} redirects to {target} ({status}); redirects are not followed, as they would carry the API key"
            " elsewhere. Set the sink's 'endpoint' to the final address"
        )
    elif status == 415:
        text = f"{place} does not take the request's encoding (415: {said}). Try 'compress: false'"
    else:
        text = f"{place} answered {status}: {said}"
    return RetryableError(text, retry_after=retry_after(answer.headers))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the ``Retry-After`` header asks for, in either of its forms; ``None`` if it says nothing usable.

    A date is taken relative to the reply's own ``Date``, so that a clock that is wrong here does no harm.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def said_by(answer: Answer) -> str:
    """The message of VectaDB's error reply, else the start of whatever was sent instead; one printable line."""
    try:
        text = _error_reply.decode(answer.body).message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = answer.body[: 4 * MAX_TEXT].decode("utf-8", "replace")
    return plain(text) or "an empty reply"


def plain(text: str) -> str:
    """Text of another machine, fit for a log line: printable, one line, at most ``MAX_TEXT`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def is_page(answer: Answer) -> bool:
    """Whether the reply is an HTML page: then something in between answered, and it says nothing of the events."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/html"


def not_ours(answer: Answer, place: str, why: str) -> RetryableError:
    """The error for a reply of status 200 that VectaDB would not give, because of ``why``."""
    return RetryableError(
        f"{place} answered {answer.status}, but not as VectaDB does ({plain(why)}). Does a proxy answer in its place?"
        f" The reply starts: {said_by(answer)}",
        retry_after=retry_after(answer.headers),
    )
