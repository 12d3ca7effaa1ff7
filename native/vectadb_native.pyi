"""See `src/lib.rs`; what uses it is `vectadb_server.plain`."""

from typing import Final, final

FORM: Final[int]

@final
class Plain:
    count: int
    left: list[tuple[int, bytes]]
    indexes: list[int]
    ids: list[str]
    traces: list[str]
    rows: bytes
    now: int
    recorded: int
    least: int
    most: int
    digests: list[tuple[tuple[str, str, str, str, int], int, int]]
    kinds: list[tuple[tuple[int, str, str], list[str]]]

    def pieces(self) -> list[bytes]: ...

def read(body: bytes, now: int, limit: int) -> Plain | None: ...
