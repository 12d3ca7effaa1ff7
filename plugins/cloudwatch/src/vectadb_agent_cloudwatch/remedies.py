"""What the user can do about a failed call, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent.errors import AbsentError, CheckError

if TYPE_CHECKING:
    from vectadb_agent_cloudwatch.failures import ApiError

_NO_CREDENTIALS = (
    "AWS credentials are missing or refused ({error}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile`, "
    "or run with a role; `aws sts get-caller-identity` shows what AWS sees"
)
_NO_ACCOUNT = (
    "the AWS account is unknown: {error}. Allow the IAM action logs:DescribeLogGroups (on *), or set `account` in the "
    "source's configuration"
)


def remedy(error: ApiError, group: str) -> str:
    """What the user can do about a group that cannot be read."""
    if error.kind == "denied":
        return f"allow the IAM action {error.action} on log group {group}"
    if error.missing_stream:
        return "check log_stream_names; the stream is read as soon as it exists"
    if error.kind == "missing":
        return f"no log group {group} in this account and region; it is read as soon as it exists"
    return "check the source's configuration: AWS does not take the request as it is"


def in_words(error: ApiError, group: str) -> str:
    """What is wrong with a group, or with the groups of a pattern, and what to do about it."""
    if error.kind == "credentials":
        return _NO_CREDENTIALS.format(error=error)
    if error.kind in ("throttled", "transient", "setup"):
        return str(error)
    return f"{error}; {remedy(error, group)}"


def startup_error(error: ApiError) -> CheckError:
    """Why nothing can be read at all."""
    if error.kind == "credentials":
        return CheckError(_NO_CREDENTIALS.format(error=error))
    if error.kind == "denied":
        return CheckError(_NO_ACCOUNT.format(error=error))
    if error.kind == "setup":
        return CheckError(f"CloudWatch cannot be reached as configured: {error}")
    return CheckError(f"CloudWatch does not answer as it should: {error}", fatal=False)


def group_error(error: ApiError, group: str) -> CheckError:
    """Why one group cannot be read, though others may be."""
    if error.kind in ("credentials", "setup"):
        return startup_error(error)
    kind = AbsentError if error.kind == "missing" and not error.missing_stream else CheckError
    return kind(f"{group}: {in_words(error, group)}", fatal=False)
