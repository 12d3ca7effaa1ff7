"""What counts as a secret in a text: pure functions that find it, each linear in the text's length.

The forms of keys and tokens are those that their makers document, which is what makes them tellable from words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vectadb_agent_processors.patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Kind = Literal["email", "key", "token", "card"]

# No counted repetition: of letters of all scripts that makes RE2 a hundred times slower.
_EMAIL = r"[\pL\pN._%+\-]+@[\pL\pN][\pL\pN.\-]*\.\pL{2,}"

_KEYS = (
    r"\b(?:AKIA|ASIA|AIDA|AROA|ABIA|ACCA)[A-Z2-7]{16}\b",  # AWS: ids of keys, users, roles
    r"\bsk-[A-Za-z0-9_\-]{16,}",  # OpenAI, Anthropic (sk-ant-…), OpenRouter, Langfuse
    r"\bpk-lf-[A-Za-z0-9\-]{16,}",
    r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"\bAIza[A-Za-z0-9_\-]{35}",  # Google
    r"\b(?:lsv2_(?:pt|sk)_|ls__)[A-Za-z0-9_]{20,}",  # LangSmith
    r"\bhf_[A-Za-z0-9]{20,}",  # Hugging Face
    r"\bgsk_[A-Za-z0-9]{20,}",  # Groq
    r"\bvdb_[A-Za-z0-9]{4,}_[A-Za-z0-9_\-]{16,}",  # VectaDB
    r"\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",  # SendGrid
    r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\z)",
)
_TOKENS = (
    r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",  # JSON web tokens
    r"\bgh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{22,}",
    r"\bglpat-[A-Za-z0-9_\-]{20,}",  # GitLab
    r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}",  # Slack
    r"\bnpm_[A-Za-z0-9]{36}",
    r"\bpypi-[A-Za-z0-9_\-]{16,}",
    r"\b[0-9]{8,10}:AA[A-Za-z0-9_\-]{32,}",  # Telegram
)
# What a name or a scheme announces; the value alone would be told from no other word.
_AFTER = (
    r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9+/=_.~\-]{8,})",
    r"(?i)\b[a-z][a-z0-9+.\-]{1,20}://[^\s/:@\"']{0,64}:([^\s/@\"']{1,200})@",  # the password in an address
)
_NAMED = (
    r"""(?i)\b[a-z0-9_.\-]{0,40}(?:password|passwd|passphrase|secret|api[_\-]?key|access[_\-]?key|private[_\-]?key"""
    r"""|(?:auth|access|refresh|id|session|bearer)[_\-]?token)\\?["']?\s{0,4}(?:=>|[:=])\s{0,4}"""
    # In quotes that are escaped themselves, in quotes, or bare.
    r"""(?:\\"([^"\\\n]+)|"((?:[^"\\\n]|\\.)+)|\\?'([^'\\\n]+)|([^\s"'\\,;&<>{}\[\]()]+))"""
)
_NAMES = compiled(
    r"(?i)^(?:.*[_.\-])?(?:password|passwd|passphrase|secret|api[_\-]?key|access[_\-]?key|secret[_\-]?key"
    r"|private[_\-]?key|(?:auth|access|refresh|id|session|bearer)[_\-]?token|authorization|cookie|credentials?)$"
)
_CARD = r"\b(?:\d[ \-]?){12,18}\d\b"


class Finder(NamedTuple):
    """Where secrets of a kind are. ``groups``: in the pattern's groups; ``accept``: only those that it says yes to."""

    kind: str
    pattern: Any
    groups: bool = False
    accept: Callable[[str], bool] | None = None


def finders(kinds: Sequence[Kind]) -> list[Finder]:
    """Return what finds these kinds."""
    made: list[Finder] = []
    if "key" in kinds:
        made += [
            Finder("key", compiled("|".join(f"(?:{each})" for each in _KEYS))),
            Finder("key", compiled(_NAMED), groups=True),
        ]
    if "token" in kinds:
        made += [
            Finder("token", compiled("|".join(f"(?:{each})" for each in _TOKENS))),
            *(Finder("token", compiled(each), groups=True) for each in _AFTER),
        ]
    if "email" in kinds:
        made.append(Finder("email", compiled(_EMAIL)))
    if "card" in kinds:
        made.append(Finder("card", compiled(_CARD), accept=is_card))
    return made


def is_secret_name(name: str) -> bool:
    """Whether a property of this name holds a secret, whatever its value looks like."""
    return _NAMES.search(name) is not None


def is_card(text: str) -> bool:
    """Whether the digits are a payment card's number: 13 to 19, the first a known scheme's, with Luhn's checksum."""
    digits = [int(each) for each in text if each.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] not in {2, 3, 4, 5, 6} or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * each, 10)) for each in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
