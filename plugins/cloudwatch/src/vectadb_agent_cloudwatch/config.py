"""The options of the ``cloudwatch`` source. The text under each field is its reference documentation."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vectadb_agent import ComponentConfig, Duration

_GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")


def _group_name(value: str) -> str:
    if value.startswith("arn:"):
        name = value.rsplit(":log-group:", maxsplit=1)[-1].removesuffix(":*")
        raise ValueError(f"give the log group's name, not its ARN: {name!r}")
    if not _GROUP_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no log group name: letters, digits and . - _ / # only, at most 512")
    return value


def _account_id(value: object) -> object:
    if isinstance(value, int):
        raise ValueError("put the account id in quotes, or YAML drops its leading zeros")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, str) and not re.fullmatch(r"\d{12}", value):
        raise ValueError(f"{value!r} is no AWS account id: twelve digits, in quotes")
    return value


def _endpoint(value: str) -> str:
    if not re.match(r"https?://[^/\s]", value):
        raise ValueError(f"{value!r} is no endpoint: it starts with http:// or https://")
    return value


GroupName = Annotated[str, AfterValidator(_group_name)]


class GroupPrefix(BaseModel):
    """Every log group whose name starts like this."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    prefix: GroupName
    """What the names start with, e.g. ``/aws/lambda/``. Groups created later are found by themselves."""


class CloudWatchConfig(ComponentConfig):
    """Reads log groups of one AWS account and region."""

    log_groups: list[GroupName | GroupPrefix] = Field(min_length=1)
    """The log groups to read: names, or ``{prefix: /aws/lambda/}`` for all that start so."""
    region: str | None = Field(default=None, min_length=1)
    """AWS region, e.g. ``eu-central-1``. Else that of the profile or of ``AWS_DEFAULT_REGION`` or ``AWS_REGION``."""
    account: Annotated[str, BeforeValidator(_account_id)] | None = None
    """The twelve digits of the AWS account, in quotes. Else taken from the groups' ARNs, which needs the permission
    ``logs:DescribeLogGroups``. Part of every record's identity: do not change it for data already read."""
    profile: str | None = Field(default=None, min_length=1)
    """Profile of the AWS configuration files. Else the usual chain: environment, web identity, container, instance."""
    role_arn: str | None = Field(default=None, pattern=r"^arn:[^:]+:iam::\d{12}:role/.+$")
    """Role to assume for reading, e.g. one in another account."""
    endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = None
    """Address of the CloudWatch Logs API, e.g. a VPC endpoint. Else ``AWS_ENDPOINT_URL`` if set, else AWS's own."""
    poll_interval: Duration = Field(default=10.0, gt=0)
    """How often a group that has been read up to now is looked at again."""
    lookback: Duration = Field(default=300.0, ge=0)
    """How far back a group starts that has no checkpoint yet, e.g. ``24h``."""
    rediscover: Duration = Field(default=300.0, gt=0)
    """How often prefixes are looked up for new groups. A group found so is read from its creation on."""
    filter_pattern: str | None = Field(default=None, min_length=1, max_length=1024)
    """CloudWatch filter pattern: only records that match are read. Others are never seen, and counted nowhere."""
    log_stream_names: list[Annotated[str, Field(min_length=1, max_length=512)]] = Field(default=[])
    """Only these log streams of each group; any number."""
    reader: Literal["filter", "get"] = "filter"
    """Which API call reads. ``filter`` (FilterLogEvents) reads a whole group at once. ``get`` (GetLogEvents) costs two
    requests for each log stream and poll, and is only for where FilterLogEvents is not allowed; its records' ids are
    made from their content, so the two must not be mixed on one group."""
    settle_min: Duration = Field(default=5.0, gt=0)
    """Least time that the newest records are read again, for those that become visible late."""
    settle_max: Duration = Field(default=60.0, gt=0)
    """Most time that the newest records are read again: at the start and once in five minutes. Between the two, the
    delay that is seen decides, and what it costs: no record is read twice over for it on average, at a poll of twice
    ``settle_min`` or longer. What is later than that is found by the first of ``sweeps``."""
    sweeps: list[Duration] = Field(default=["5m", "1h", "24h", "13.5d"], validate_default=True)
    """Ages at which records are read again, ascending, for those that became visible later than ``settle_max`` allows
    for: what is missing at the other end is delivered then. ``[]`` never reads again."""
    quota_share: float = Field(default=0.8, gt=0, le=1)
    """Part of AWS's quota of requests that is used: no ten seconds have more. The rest is for people at the console."""
    max_requests_per_second: float | None = Field(default=None, gt=0)
    """Most read requests a second to this account and region, instead of ``quota_share`` of AWS's quota. Either is
    shared with all pipelines and commands of the same user on this machine, and halved when AWS throttles."""
    pages_in_flight: int = Field(default=2, ge=1, le=64)
    """Most pages (1 MB or ``page_records`` each) held in memory, of all groups together."""
    page_records: int = Field(default=4_000, ge=100, le=10_000)
    """Most records asked for at once, where ``reader`` is ``filter``. Beside their text, 10,000 short ones take 12 MB
    more while they are decoded than 4,000, which are 1 MB, AWS's own limit, if a record has 236 bytes."""

    # Checks of a field where that can be: one of the whole is made only once every other mistake is mended.

    @field_validator("sweeps")
    @classmethod
    def _ascending(cls, ages: list[float]) -> list[float]:
        if any(later <= earlier for earlier, later in pairwise([0.0, *ages])):
            raise ValueError(f"sweeps must ascend, from more than 0s: {', '.join(f'{age:g}s' for age in ages)}")
        return ages

    @field_validator("reader")
    @classmethod
    def _able_to_filter(cls, reader: str, info: ValidationInfo) -> str:
        if reader == "get" and info.data.get("filter_pattern") is not None:
            raise ValueError("filter_pattern needs reader: filter (GetLogEvents cannot filter)")
        return reader

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.settle_min > self.settle_max:
            raise ValueError(f"settle_min ({self.settle_min:g}s) is more than settle_max ({self.settle_max:g}s)")
        return self

    @property
    def names(self) -> list[str]:
        """The groups given by name, each once."""
        return list(dict.fromkeys(entry for entry in self.log_groups if isinstance(entry, str)))

    @property
    def prefixes(self) -> list[str]:
        """The prefixes, each once."""
        return list(dict.fromkeys(entry.prefix for entry in self.log_groups if isinstance(entry, GroupPrefix)))
