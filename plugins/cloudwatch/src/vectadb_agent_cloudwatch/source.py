"""The source ``cloudwatch``: which groups are read, by how many at once, and what ends the reading."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

import anyio

from vectadb_agent import Batch, Source
from vectadb_agent.errors import CheckError
from vectadb_agent_cloudwatch.api import Access, LogsApi
from vectadb_agent_cloudwatch.clock import AwsClock
from vectadb_agent_cloudwatch.config import CloudWatchConfig
from vectadb_agent_cloudwatch.discovery import find_groups, start_of
from vectadb_agent_cloudwatch.failures import ApiError
from vectadb_agent_cloudwatch.pages import FilterPages, GetPages, Group, Pages
from vectadb_agent_cloudwatch.quota import TokenBucket, shared_bucket
from vectadb_agent_cloudwatch.reader import GroupReader, GroupUnreadable, Pace, remedy, watermark_of
from vectadb_agent_cloudwatch.slices import FUTURE, Position

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from types import TracebackType

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

log = logging.getLogger("vectadb_agent.cloudwatch")

_CHECKED_PER_PREFIX = 20
_LISTING_LAG = 60_000
"""Milliseconds that a group may exist before DescribeLogGroups lists it."""
_NO_CREDENTIALS = (
    "AWS credentials are missing or refused ({error}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile`, "
    "or run with a role; `aws sts get-caller-identity` shows what AWS sees"
)
_NO_ACCOUNT = (
    "the AWS account is unknown: {error}. Allow the IAM action logs:DescribeLogGroups (on *), or set `account` in the "
    "source's configuration"
)


class CloudWatchSource(Source):
    """Reads CloudWatch log groups, each as one partition."""

    name = "cloudwatch"
    Config = CloudWatchConfig
    config: CloudWatchConfig

    def __init__(self, config: CloudWatchConfig) -> None:
        super().__init__(config)
        self.clock = AwsClock()
        self.api = LogsApi(
            Access(config.region, config.profile, config.role_arn, config.endpoint_url, config.pages_in_flight + 2),
            self.clock,
        )
        self._slots = anyio.Semaphore(config.pages_in_flight)
        self._tasks: TaskGroup | None = None
        self._account = config.account or ""
        self._listed_account = ""
        self._buckets: dict[tuple[str, str], TokenBucket] = {}

    async def __aenter__(self) -> Self:
        """Open the task group in which groups are read."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all reading, and close the connections."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)
        with anyio.CancelScope(shield=True):
            await self.api.close()

    async def check(self) -> list[str]:
        """Try to list and to read each group (of each prefix, the first twenty).

        Raises:
            CheckError: what fails, and the IAM action that lacks.
        """
        try:
            account = await self.find_account(attempts=3)
        except ApiError as error:
            raise _startup_error(error) from error
        lines = [f"account {account or 'unknown as long as it has no log group'}, region {self.api.region}"]
        problems: list[str] = []
        if self._listed_account not in ("", account):
            problems.append(
                f"account: {account} is configured, but the log groups here belong to {self._listed_account}; "
                "correct `account`, or use the credentials of the other account"
            )
        names = dict.fromkeys(self.config.names)
        for prefix in self.config.prefixes:
            try:
                found = await find_groups(self.api, prefix, bucket=self.bucket("DescribeLogGroups"), attempts=3)
            except ApiError as error:
                problems.append(f"prefix {prefix}: {_in_words(error, prefix + '*')}")
                continue
            lines.append(f"prefix {prefix}: {len(found) or 'no'} log group{'' if len(found) == 1 else 's'}")
            names |= dict.fromkeys(group.name for group in found[:_CHECKED_PER_PREFIX])
        for name in names:
            try:
                await self._try_reading(name)
            except ApiError as error:
                problems.append(f"{name}: {_in_words(error, name)}")
            else:
                lines.append(f"{name}: readable")
        if problems:
            raise CheckError("\n".join(problems), fatal=False)
        return lines

    async def read(self, after: Mapping[str, dict[str, Any]], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the pages of all groups as they come: see :class:`vectadb_agent.Source`.

        Raises:
            CheckError: credentials, region or account are missing at the start, a checkpoint is not ours; with
                ``drain`` also where groups could not be read, after all others have been.
            RuntimeError: the source has not been entered with ``async with``.
        """
        if self._tasks is None:
            raise RuntimeError("read() needs `async with source`")
        send, receive = anyio.create_memory_object_stream[Batch](0)
        reading = _Reading(self, after, send, drain=drain)
        self._tasks.start_soon(reading.run)
        try:
            async with receive:
                async for batch in receive:
                    yield batch
        finally:
            reading.scope.cancel()
        if reading.error is not None:
            raise reading.error

    async def find_account(self, *, attempts: int | None = None) -> str:
        """The account's id; empty where it has no log group yet that would tell.

        The first call of the process too: it proves the credentials and sets the clock.

        Raises:
            ApiError: credentials or setup are wrong, or groups may not be listed and the account is not configured.
        """
        if self._account and self.clock.answered:
            return self._account
        await self.api.open()
        bucket = self.bucket("DescribeLogGroups")
        try:
            found = await find_groups(self.api, None, bucket=bucket, limit=1, attempts=attempts)
        except ApiError as error:
            if error.kind in ("credentials", "setup") or not self._account:
                raise
            return self._account
        if found:
            self._listed_account = found[0].account
            self._account = self._account or self._listed_account
        return self._account

    async def _try_reading(self, name: str) -> None:
        now = self.clock.now()
        parameters: dict[str, Any] = {"logGroupName": name}
        if self.config.reader == "get":
            await self.api.persist(
                "DescribeLogStreams", parameters, dict, bucket=self.bucket("DescribeLogStreams"), attempts=3
            )
            return
        parameters |= {"startTime": max(0, now - 1000), "endTime": now + FUTURE, "limit": 1}
        if self.config.filter_pattern is not None:
            parameters["filterPattern"] = self.config.filter_pattern
        await self.api.persist("FilterLogEvents", parameters, dict, bucket=self.bucket("FilterLogEvents"), attempts=3)

    def pages_of(self, name: str) -> Pages:
        """Where the pages of a group come from."""
        group = Group(name, self._account, self.api.region)
        streams = self.config.log_stream_names
        if self.config.reader == "get":
            return GetPages(
                self.api,
                group,
                bucket=self.bucket("GetLogEvents"),
                slots=self._slots,
                streams_bucket=self.bucket("DescribeLogStreams"),
                streams=streams,
            )
        return FilterPages(
            self.api,
            group,
            bucket=self.bucket("FilterLogEvents"),
            slots=self._slots,
            streams=streams,
            pattern=self.config.filter_pattern,
        )

    def bucket(self, operation: str) -> TokenBucket:
        """The bucket that all of this process's calls of ``operation`` draw from."""
        limit = self.config.max_requests_per_second if operation in ("FilterLogEvents", "GetLogEvents") else None
        bucket = self._buckets[operation, self._account] = shared_bucket(
            operation, self._account, self.api.region, limit
        )
        return bucket


class _Reading:
    """One call of ``read``: the tasks of its groups, and the error that ended it, if one did."""

    def __init__(
        self,
        source: CloudWatchSource,
        after: Mapping[str, dict[str, Any]],
        send: MemoryObjectSendStream[Batch],
        *,
        drain: bool,
    ) -> None:
        self.scope = anyio.CancelScope()
        self.error: Exception | None = None
        self._source = source
        self._config = source.config
        self._after = after
        self._send = send
        self._drain = drain
        self._started: set[str] = set()
        self._unreadable: list[str] = []
        self._alive_since: int | None = None

    async def run(self) -> None:
        """Read until drained, failed or cancelled; then close the stream of batches."""
        with self.scope:
            async with self._send:
                try:
                    await self._read_all()
                except ApiError as error:
                    self.error = _startup_error(error)
                except Exception as error:  # noqa: BLE001 - raised by read(), in the consumer's task
                    self.error = error

    async def _read_all(self) -> None:
        marks = self._watermarks()
        account = await self._account()
        if not account:
            return
        self._alive_since = max(marks.values(), default=self._source.clock.now())
        async with anyio.create_task_group() as groups:
            for name in self._config.names:
                self._start(groups, name, marks, created=None)
            await self._discover(groups, marks)
        if self.error is None and self._unreadable:
            raise CheckError("not read to the end:\n" + "\n".join(sorted(self._unreadable)))

    def _watermarks(self) -> dict[str, int]:
        marks = {}
        for name, checkpoint in self._after.items():
            try:
                marks[name] = watermark_of(checkpoint)
            except ValueError as error:
                raise CheckError(
                    f"the saved checkpoint of log group {name} cannot be used: {error}. Was it written by a newer "
                    "version of vectadb-agent-cloudwatch? Install that one, or start with an empty state directory"
                ) from error
        return marks

    async def _account(self) -> str:
        source, pause = self._source, self._config.poll_interval
        while True:
            account = await source.find_account()
            if account or self._drain:
                return account
            log.warning(
                "no log group in this account and region yet, so the account's id is unknown; looking again",
                extra={"region": source.api.region, "pause_seconds": pause},
            )
            await anyio.sleep(pause)
            pause = min(pause * 2, 300.0)

    async def _discover(self, groups: TaskGroup, marks: Mapping[str, int]) -> None:
        """Start the groups of the prefixes, and those created later."""
        if not self._config.prefixes:
            return
        source = self._source
        unmentioned = set(self._config.prefixes)
        while True:
            asked_at = source.clock.now()
            complete = True
            for prefix in self._config.prefixes:
                try:
                    found = await find_groups(source.api, prefix, bucket=source.bucket("DescribeLogGroups"))
                except ApiError as error:
                    complete = False
                    words = _in_words(error, prefix + "*")
                    log.warning("prefix cannot be looked up", extra={"prefix": prefix, "error": words})
                    if self._drain:
                        self._unreadable.append(f"prefix {prefix}: {words}")
                    continue
                if not found and prefix in unmentioned:
                    log.info("no log group has this prefix yet; looking again", extra={"prefix": prefix})
                    unmentioned.discard(prefix)
                for group in found:
                    self._start(groups, group.name, marks, created=group.created)
            if self._drain:
                return
            if complete:
                self._alive_since = asked_at - _LISTING_LAG
            await anyio.sleep(self._config.rediscover)

    def _start(self, groups: TaskGroup, name: str, marks: Mapping[str, int], *, created: int | None) -> None:
        if name in self._started:
            return
        self._started.add(name)
        now = self._source.clock.now()
        if name in marks:
            position = Position.resumed(marks[name])
        else:
            lookback = int(self._config.lookback * 1000)
            position = Position.fresh(
                start_of(now=now, lookback=lookback, created=created, alive_since=self._alive_since)
            )
        reader = GroupReader(
            name,
            position,
            self._source.pages_of(name),
            self._send.send,
            pace=Pace(
                self._config.poll_interval, int(self._config.settle_min * 1000), int(self._config.settle_max * 1000)
            ),
            now=self._source.clock.now,
            sleep=anyio.sleep,
        )
        groups.start_soon(self._read_group, reader, name=f"cloudwatch {name}")

    async def _read_group(self, reader: GroupReader) -> None:
        try:
            await reader.run(drain=self._drain)
        except GroupUnreadable as error:
            self._unreadable.append(str(error))
        except ApiError as error:
            self.error = _startup_error(error)
            self.scope.cancel()
        except Exception as error:  # noqa: BLE001 - raised by read(), in the consumer's task
            self.error = error
            self.scope.cancel()


def _startup_error(error: ApiError) -> CheckError:
    if error.kind == "credentials":
        return CheckError(_NO_CREDENTIALS.format(error=error))
    if error.kind == "denied":
        return CheckError(_NO_ACCOUNT.format(error=error))
    if error.kind == "setup":
        return CheckError(f"CloudWatch cannot be reached as configured: {error}")
    return CheckError(f"CloudWatch does not answer as it should: {error}", fatal=False)


def _in_words(error: ApiError, group: str) -> str:
    if error.kind == "credentials":
        return _NO_CREDENTIALS.format(error=error)
    if error.kind in ("throttled", "transient", "setup"):
        return str(error)
    return f"{error}; {remedy(error, group)}"
