"""What a record says of a copy that was, or is being, made into it: the row ``schema:moving`` of ``meta``.

While it is being made no server starts on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from vectadb_server.stores.engine import Connection


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A copy into this record; ``source``: the id of the one that is copied, ``done``: whether all of it is here."""

    kind: Literal["restore", "migration"]
    source: str = ""
    done: bool = False

    @property
    def command(self) -> str:
        """The command that makes such copies."""
        return "restore" if self.kind == "restore" else "migrate"


async def move_of(meta: Connection) -> Move | None:
    """Return what is known of a copy into this record."""
    found = await meta.one("SELECT kind, source, done FROM schema:moving")
    return msgspec.convert(found[0], Move) if found else None


async def note(meta: Connection, move: Move) -> None:
    """Say so."""
    values = {"kind": move.kind, "source": move.source, "done": move.done}
    await meta.run("UPSERT schema:moving SET kind = $kind, source = $source, done = $done RETURN NONE", values)


async def note_lost_index(meta: Connection) -> None:
    """Have the next start make the search index anew: no index has this generation."""
    await meta.run("UPSERT schema:index SET generation = -1 RETURN NONE")
