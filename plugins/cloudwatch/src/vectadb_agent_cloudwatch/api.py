"""The CloudWatch Logs API, by boto3: one session and one client for all groups, calls in threads, errors told apart.

The only module that imports boto3, and only when the first call is made.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent_cloudwatch.answers import take_over
from vectadb_agent_cloudwatch.failures import ApiError, Kind, classify_answer, full_jitter, is_round
from vectadb_agent_cloudwatch.tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from vectadb_agent_cloudwatch.clock import AwsClock
    from vectadb_agent_cloudwatch.quota import Turns

log = logging.getLogger("vectadb_agent.cloudwatch")

T = TypeVar("T")

_PAUSE_CAP = 20.0
_CREDENTIALS_CAP = 300.0
_LONG = 60.0
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, msgspec.MsgspecError)
"""What an answer of another shape than CloudWatch's raises, here and in botocore: a proxy's page, say."""


@dataclass(frozen=True)
class Access:
    """How the API is reached: see the fields of the same names in :class:`CloudWatchConfig`."""

    region: str | None = None
    profile: str | None = None
    role_arn: str | None = None
    endpoint_url: str | None = None
    connections: int = 4


class LogsApi:
    """Calls of CloudWatch Logs.

    The client is made at the first call. Once one call has been answered, credentials that are refused later are
    taken for rotated: they are looked up again, with growing pauses, and the call waits.
    """

    def __init__(
        self, access: Access, clock: AwsClock, *, sleep: Callable[[float], Any] = anyio.sleep, read_timeout: float = 30
    ) -> None:
        self.clock = clock
        self.tally = Tally()
        self.region = access.region or ""
        self.endpoint = ""
        self._access = access
        self._sleep = sleep
        self._read_timeout = read_timeout
        self._client: Any = None
        self._loader: Any = None
        self._generation = 0
        self._renewals = 0
        self._proven = False
        self._failing: tuple[float, str] | None = None
        self._renewing = anyio.Lock()
        # A page takes ten times its size while it is decoded. One at a time is no slower: the GIL lets no two anyway.
        self._decoding = threading.Lock()
        self._turn = threading.local()
        self._threads = anyio.CapacityLimiter(access.connections)

    async def close(self) -> None:
        """Let go of the connections. A request under way in a thread ends by itself, by its timeout at the latest."""
        client, self._client = self._client, None
        if client is not None:
            await anyio.to_thread.run_sync(client.close)

    async def open(self) -> None:
        """Make the client, if there is none yet; afterwards ``region`` and ``endpoint`` are known.

        Raises:
            ApiError: kind ``setup`` or ``credentials``.
        """
        if self._client is None:
            async with self._renewing:
                if self._client is None:
                    self._client = await self._in_thread(self._make_client)

    async def attempt(self, operation: str, parameters: Mapping[str, Any], convert: Callable[[dict[str, Any]], T]) -> T:
        """Call once; ``convert`` is run on the response in the same thread.

        Raises:
            ApiError: what went wrong.
        """
        await self.open()
        self.tally.requests[operation] += 1
        try:
            result: T = await self._in_thread(self._call, self._client, operation, parameters, convert)
        except ApiError as error:
            self.tally.failed(error)
            raise
        self._proven, self._renewals = True, 0
        self._failing = None
        return result

    async def persist(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        convert: Callable[[dict[str, Any]], T],
        *,
        turns: Turns,
        attempts: int | None = None,
    ) -> T:
        """Call until answered: throttling and passing errors are tried again, for ever or ``attempts`` times.

        Raises:
            ApiError: a kind that trying again does not help, or the last of the attempts.
        """
        async with self.held(operation, parameters, convert, turns=turns, slots=None, attempts=attempts) as result:
            return result

    @asynccontextmanager
    async def held(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        convert: Callable[[dict[str, Any]], T],
        *,
        turns: Turns,
        slots: anyio.Semaphore | None,
        attempts: int | None = None,
    ) -> AsyncIterator[T]:
        """Like :meth:`persist`, holding one of ``slots`` from each request until the block is left; not in pauses.

        The slot is had before the turn: a turn must be used when it comes.
        """
        failures = 0
        while True:
            async with slots or nullcontext():
                await turns.turn()
                generation = self._generation
                try:
                    result = await self.attempt(operation, parameters, convert)
                except ApiError as error:
                    failed = error
                else:
                    await turns.succeeded()
                    yield result
                    return
            failures += 1
            self._note_failure(failed)
            if failed.kind == "throttled":
                await turns.throttled()
            await self._recover(failed, generation, failures, attempts, parameters)

    def _note_failure(self, error: ApiError) -> None:
        """Remember since when no call at all has been answered; a group that may not be read is its own affair."""
        if error.kind in ("transient", "credentials", "throttled"):
            since = time.monotonic() if self._failing is None else self._failing[0]
            self._failing = (since, str(error))

    def trouble(self) -> str | None:
        """The last error, where every call has failed for :data:`_LONG` seconds."""
        if self._failing is None or time.monotonic() - self._failing[0] < _LONG:
            return None
        since, error = self._failing
        return f"no call has succeeded for {time.monotonic() - since:.0f} s: {error}"

    async def _recover(
        self, error: ApiError, generation: int, failures: int, attempts: int | None, parameters: Mapping[str, Any]
    ) -> None:
        """Wait as the error asks for; raise it where waiting does not help."""
        if attempts is not None and failures >= attempts:
            raise error
        if error.kind == "credentials" and self._proven and attempts is None:
            await self._renew(generation, error)
        elif error.kind in ("throttled", "transient"):
            if is_round(failures):
                log.log(
                    logging.DEBUG if error.kind == "throttled" and failures < 4 else logging.WARNING,
                    "CloudWatch request failed, trying again",
                    extra={
                        "operation": error.operation,
                        "log_group": parameters.get("logGroupName", ""),
                        "failures": failures,
                        "error": str(error),
                    },
                )
            await self._sleep(full_jitter(failures, _PAUSE_CAP))
        else:
            raise error

    async def _renew(self, generation: int, error: ApiError) -> None:
        """Make a new client with credentials looked up anew, once for all calls that failed with the old one."""
        async with self._renewing:
            if generation != self._generation:
                return
            self._renewals += 1
            pause = min(_CREDENTIALS_CAP, 2.0 ** min(self._renewals, 30) / 2)
            log.error(
                "AWS refuses the credentials; looking them up again. Reading goes on once they are valid",
                extra={"error": str(error), "failures": self._renewals, "pause_seconds": pause},
            )
            await self._sleep(pause)
            old = self._client
            try:
                self._client = await self._in_thread(self._make_client)
            except ApiError as failure:
                log.error("no AWS credentials", extra={"error": str(failure)})  # noqa: TRY400 - a traceback says no more
            else:
                old.close()
            self._generation += 1

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await anyio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True, limiter=self._threads)

    def _make_client(self) -> Any:
        import boto3
        import botocore
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        access = self._access
        try:
            core = Session(profile=access.profile)
            if self._loader is None:
                self._loader = core.get_component("data_loader")
            core.register_component("data_loader", self._loader)  # its cache of API models outlives the session
            region = access.region or core.get_config_variable("region") or os.environ.get("AWS_REGION")
            if not region:
                raise ApiError(
                    "setup", "no AWS region: set `region` in the source's configuration, or AWS_DEFAULT_REGION"
                )
            core.set_config_variable("region", region)
            if access.role_arn:
                core = _assuming(core, access.role_arn)
            session = boto3.Session(botocore_session=core)
            client = session.client(
                "logs",
                region_name=region,
                endpoint_url=access.endpoint_url,
                config=Config(
                    connect_timeout=5,
                    read_timeout=self._read_timeout,
                    max_pool_connections=access.connections,
                    retries={"mode": "standard", "total_max_attempts": 1},  # ours go through the token bucket
                    user_agent=f"vectadb-agent botocore/{botocore.__version__}",  # its own costs a tenth of a poll
                    parameter_validation=False,  # AWS does it as well
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise ApiError("credentials" if classify(error) == "credentials" else "setup", str(error)) from error
        self.region, self.endpoint = region, client.meta.endpoint_url
        client.meta.events.register("before-parse.cloudwatch-logs", self._take_turn)
        for operation in ("FilterLogEvents", "GetLogEvents"):
            client.meta.events.register(f"before-parse.cloudwatch-logs.{operation}", take_over)
        return client

    def _call(
        self, client: Any, operation: str, parameters: Mapping[str, Any], convert: Callable[[dict[str, Any]], T]
    ) -> T:
        try:
            return self._answer(client, operation, parameters, convert)
        finally:
            if getattr(self._turn, "taken", False):
                self._turn.taken = False
                self._decoding.release()

    def _take_turn(self, **_: Any) -> None:
        """Called by botocore before it decodes an answer."""
        if not getattr(self._turn, "taken", False):
            self._decoding.acquire()
            self._turn.taken = True

    def _answer(
        self, client: Any, operation: str, parameters: Mapping[str, Any], convert: Callable[[dict[str, Any]], T]
    ) -> T:
        from botocore import xform_name

        try:
            response = getattr(client, xform_name(operation))(**parameters)
        except Exception as error:
            response = getattr(error, "response", None) or {}
            metadata = response.get("ResponseMetadata")
            if metadata:
                self.clock.observe(metadata.get("HTTPHeaders", {}).get("date"))
            kind = classify(error)
            if kind is None:
                raise
            raise ApiError(kind, str(error), operation=operation, sent_token="nextToken" in parameters) from error
        try:
            self.clock.observe(response["ResponseMetadata"]["HTTPHeaders"].get("date"))
            return convert(response)
        except _UNREADABLE as error:
            raise ApiError("transient", f"unreadable answer: {error!r}", operation=operation) from error


def _assuming(core: Any, role_arn: str) -> Any:
    """A botocore session like ``core`` that has the role's credentials, renewed before they expire."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )
    from botocore.session import Session

    source = core.get_credentials()
    if source is None:
        raise ApiError("credentials", f"no AWS credentials to assume {role_arn} with")
    fetcher = AssumeRoleCredentialFetcher(
        core.create_client, source, role_arn, extra_args={"RoleSessionName": "vectadb-agent"}
    )

    class Assumed(CredentialProvider):
        METHOD = "vectadb-assume-role"

        def load(self) -> Any:
            return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)

    assuming = Session(profile=core.profile)
    assuming.register_component("data_loader", core.get_component("data_loader"))
    assuming.register_component("credential_provider", CredentialResolver(providers=[Assumed()]))
    return assuming


def classify(error: Exception) -> Kind | None:
    """What can be done about an exception that botocore raised; ``None``: it is none of botocore's."""
    import botocore.exceptions as botocore

    if isinstance(error, botocore.ClientError):
        return classify_answer(error.response, error.operation_name)
    if isinstance(
        error,
        botocore.NoCredentialsError
        | botocore.PartialCredentialsError
        | botocore.CredentialRetrievalError
        | botocore.NoAuthTokenError
        | botocore.TokenRetrievalError
        | botocore.SSOError
        | botocore.LoginError
        | botocore.MetadataRetrievalError
        | botocore.RefreshWithMFAUnsupportedError
        | botocore.InfiniteLoopConfigError,
    ):
        return "credentials"
    if isinstance(error, botocore.ParamValidationError):
        return "invalid"
    if isinstance(
        error,
        botocore.BaseEndpointResolverError
        | botocore.EndpointProviderError
        | botocore.InvalidRegionError
        | botocore.ProfileNotFound
        | botocore.ConfigParseError
        | botocore.ConfigNotFound,
    ):
        return "setup"
    if isinstance(error, botocore.BotoCoreError):
        return "transient"
    from botocore.parsers import ResponseParserError

    if isinstance(error, (ResponseParserError, OSError, *_UNREADABLE)):
        return "transient"
    return None
