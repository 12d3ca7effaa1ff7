"""A table's rows in the order of their ids, which are UUIDs: a slice of all possible ids at a time.

The engine reads a range of ids to its end whatever ``LIMIT`` says (core 3.2.4: 3 to 5 us a row, and all of them in
memory), so that pages of "the next so many behind this one" take the square of the time. To count the rows of a range
takes it 0.3 us each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from vectadb_server.stores.engine import identity, range_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]

_END = 2**128
#: The first slice is this part of all ids; those that follow are wider or narrower, as what they hold asks for.
_PART, _WIDER = 4096, 4


async def slices(
    ask: Ask, table: str, columns: str, wanted: int, *, after: str = "", as_text: bool = False
) -> AsyncIterator[list[Any]]:
    """Yield what there is behind the id ``after``, about ``wanted`` rows at once and never more than twice as many.

    ``ask`` is a connection's ``one``; ``as_text``: the ids are UUIDs as text. What is written meanwhile behind the last
    slice comes too.
    """
    first = UUID(after).int + 1 if after else 0
    width = _END // _PART
    while first < _END:
        last = min(first + width, _END) - 1
        bounds = [str(UUID(int=bound)) for bound in (first, last)]
        values = {"range": range_of(table, *(bounds if as_text else map(identity, bounds)))}
        counted = await ask("SELECT count() AS n FROM $range GROUP ALL", values)
        count = counted[0]["n"] if counted else 0
        if count > 2 * wanted:
            # Ids are dense here (those that carry a time are): what is read is to be no more for that.
            width = max(1, width * wanted // count)
            continue
        if count and (rows := await ask(f"SELECT {columns} FROM $range", values)):  # noqa: S608 - no values
            yield rows
        first = last + 1
        width = min(width * _WIDER, max(1, width * wanted // count)) if count else width * _WIDER
