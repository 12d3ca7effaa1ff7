"""What can go wrong with a call, and what can be done about it; how long to pause before trying again."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["throttled", "transient", "credentials", "setup", "denied", "missing", "token", "invalid"]
"""What can be done about an error.

``throttled``, ``transient``: try again. ``credentials``: the user's, none or refused. ``setup``: region, profile or
endpoint make no sense. ``denied``: a permission lacks. ``missing``: no such group or stream. ``token``: this page
cannot be had any more, the slice can. ``invalid``: AWS does not take the request, e.g. the filter pattern.
"""

_THROTTLES = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "LimitExceeded"}
_REFUSED = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_DENIED = {"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"}
_NOT_AUTHORIZED = re.compile(r"not authorized to perform: (\S+)")


class ApiError(Exception):
    """A call that failed. ``kind`` says what can be done about it, the text what AWS or botocore said."""

    def __init__(self, kind: Kind, text: str, *, operation: str = "", sent_token: bool = False) -> None:
        super().__init__(text)
        self.kind: Kind = "token" if kind == "invalid" and sent_token else kind
        self.operation = operation

    @property
    def action(self) -> str:
        """The IAM action that lacks, where ``kind`` is ``denied``."""
        found = _NOT_AUTHORIZED.search(str(self))
        return found[1] if found else f"logs:{self.operation}"

    @property
    def missing_stream(self) -> bool:
        """Whether it is a log stream, not the group, that does not exist."""
        return self.kind == "missing" and "log stream" in str(self).lower()


def classify_answer(response: Mapping[str, Any], operation: str) -> Kind:
    """What an error response of AWS to ``operation`` means."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLES or status == 429:
        return "throttled"
    if code in _REFUSED or (code in _DENIED and operation.startswith("AssumeRole")):
        return "credentials"
    if code in _DENIED:
        return "denied"
    if code == "ResourceNotFoundException":
        return "missing"
    if status >= 500 or status in (0, 200, 408) or code == "ServiceUnavailableException":
        return "transient"
    return "invalid"


def full_jitter(attempt: int, cap: float, base: float = 0.2) -> float:
    """Seconds to pause after the ``attempt``-th failure in a row (from 1): anything up to a doubling bound."""
    return random.uniform(0, min(cap, base * 2 ** min(attempt, 30)))


def is_round(attempt: int) -> bool:
    """Whether to log this attempt: the 1st, 2nd, 4th, 8th…, so that an outage does not fill the log."""
    return attempt & (attempt - 1) == 0
