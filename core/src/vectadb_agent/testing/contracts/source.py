"""What a source promises."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

import anyio
import msgspec
import pytest

from vectadb_agent.components import Batch, Component, Outcome, Source
from vectadb_agent.errors import CheckError
from vectadb_agent.testing.contracts.component import PATIENCE, ComponentContract, checked
from vectadb_agent.testing.contracts.samples import record_id
from vectadb_agent.testing.fakes import MemoryCheckpoints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectadb_agent.components import Checkpoint


class SourceContract(ComponentContract):
    """What a source promises: each record, at least once, from wherever it is resumed.

    :meth:`source` gives a new source over the same records, at least three. One that is pushed to overrides
    :meth:`push`, which is called while it is read.
    """

    def source(self) -> Source:
        """Return a new source over the same records."""
        raise NotImplementedError

    def broken(self) -> Source | None:
        """Return a source that cannot work, by its options: :meth:`Source.check` has to say so. ``None``: untested."""
        return None

    async def push(self, source: Source) -> None:
        """Bring the records to a source that others push to; return once it has answered.

        Raises:
            Exception: it answered that it could not keep them.
        """

    pushed: ClassVar[int | None] = None
    """How many records :meth:`push` brings; ``None``: the source fetches its records itself."""
    answers: ClassVar[bool] = True
    """Whether the source answers whoever pushes: false where the protocol has no answer, as syslog has none."""

    def kind(self) -> type[Component]:
        """See :class:`ComponentContract`."""
        return type(self.source())

    def made(self) -> Source:
        """See :class:`ComponentContract`."""
        return self.source()

    def test_a_full_read_delivers_every_record_under_an_id_of_its_own(self) -> None:
        """Ids are stable from one reading to the next, times are microseconds."""
        one, other = (anyio.run(self._all) for _ in range(2))
        records = [record for batch in one for record in batch.records]
        assert len(records) >= 3, "at least three records are wanted"
        ids = {record_id(record): record for record in records}
        assert {record_id(record): record.message for batch in other for record in batch.records} == {
            event_id: record.message for event_id, record in ids.items()
        }
        if not self.source().rereads:
            assert len(ids) == len(records), "two records have one id, or one came twice though `rereads` is false"
        for record in records:
            assert 10**14 < record.timestamp < 10**17, f"{record.timestamp} is no time in microseconds"
            assert record.stream.system
            assert record.log_id

    def test_resumed_anywhere_it_delivers_the_rest(self) -> None:
        """From each checkpoint, and from none: nothing is lost, and nothing twice where ``rereads`` is false."""
        batches = anyio.run(self._all)
        whole = {record_id(record) for batch in batches for record in batch.records}
        for stop in range(len(batches)) if self.pushed is None else ():
            before, after = anyio.run(self._some, stop)
            rest = anyio.run(self._from, after)
            first = [record_id(record) for batch in before if batch.partition in after for record in batch.records]
            second = [record_id(record) for batch in rest for record in batch.records]
            assert {*first, *second} == whole, f"resumed behind batch {stop}: {len(whole - {*first, *second})} are lost"
            if not self.source().rereads:
                assert len(first) + len(second) == len(whole), f"resumed behind batch {stop}: some came twice"

    def test_checkpoints_are_json(self) -> None:
        """They go through the state file."""
        for batch in anyio.run(self._all):
            assert batch.partition
            assert batch.checkpoint is None or isinstance(batch.checkpoint, dict)
            assert msgspec.json.decode(msgspec.json.encode(batch.checkpoint)) == batch.checkpoint

    def test_it_can_be_stopped_in_the_middle(self) -> None:
        """By closing the iterator, and by cancelling whoever waits for it."""

        async def closed() -> None:
            with anyio.fail_after(PATIENCE):
                async with self.source() as source, anyio.create_task_group() as group:
                    group.start_soon(self.push, source)
                    async with contextlib.aclosing(source.read({})) as batches:
                        async for batch in batches:
                            batch.settle(Outcome(durable=True, delivered=len(batch.records)))
                            break
                    group.cancel_scope.cancel()

        async def cancelled() -> None:
            with anyio.fail_after(PATIENCE):
                async with self.source() as source, anyio.create_task_group() as group:

                    async def wait() -> None:
                        async with contextlib.aclosing(source.read({})) as batches:
                            async for _ in batches:
                                began.set()

                    began = anyio.Event()
                    group.start_soon(wait)
                    group.start_soon(self.push, source)
                    await began.wait()
                    group.cancel_scope.cancel()

        anyio.run(closed)
        anyio.run(cancelled)

    def test_check_tells(self) -> None:
        """What was found, or why it cannot work, in words."""
        anyio.run(checked, self.source())
        broken = self.broken()
        if broken is not None:
            with pytest.raises(CheckError) as caught:
                anyio.run(checked, broken)
            assert str(caught.value)

    def test_whoever_pushes_is_not_told_that_all_is_well_before_it_is(self) -> None:
        """Where the pipeline could not make the records durable, :meth:`push` fails."""
        if self.pushed is None or not self.answers:
            return
        refused = None
        try:
            anyio.run(self._refused)
        except* Exception as errors:  # noqa: BLE001 - whatever the author's client raises
            refused = errors
        assert refused is not None, "push() returned, and nothing of it had been kept"

    async def _refused(self) -> None:
        """Read what is pushed, and say of all of it that it could not be kept."""
        with anyio.move_on_after(PATIENCE):
            async with self.source() as source, anyio.create_task_group() as group:

                async def read() -> None:
                    async with contextlib.aclosing(source.read({})) as batches:
                        async for batch in batches:
                            batch.settle(Outcome(durable=False))

                group.start_soon(read)
                await self.push(source)
                group.cancel_scope.cancel()

    async def _all(self) -> list[Batch]:
        return await self._from({})

    async def _from(self, after: Mapping[str, Checkpoint]) -> list[Batch]:
        return (await self._read(after, None))[0]

    async def _some(self, stop: int) -> tuple[list[Batch], Mapping[str, Checkpoint]]:
        return await self._read({}, stop)

    async def _read(
        self, after: Mapping[str, Checkpoint], most: int | None
    ) -> tuple[list[Batch], Mapping[str, Checkpoint]]:
        """Read to the end, or so many batches; return them and the checkpoints that would be saved then."""
        taken: list[Batch] = []
        saved = MemoryCheckpoints(after)
        if most == 0:
            return taken, saved
        with anyio.fail_after(PATIENCE):
            async with self.source() as source, anyio.create_task_group() as group:
                group.start_soon(self.push, source)
                drain = self.pushed is None
                async with contextlib.aclosing(source.read(after, drain=drain)) as batches:
                    async for batch in batches:
                        taken.append(batch)
                        saved.settle(batch)
                        count = sum(len(each.records) for each in taken)
                        if len(taken) == most or (self.pushed is not None and count >= self.pushed):
                            break
                group.cancel_scope.cancel()
        return taken, saved
