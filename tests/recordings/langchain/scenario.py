"""What a scenario is, and where the scenarios of one half stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from langchain_core.runnables import RunnableConfig

Format = Literal["verbose", "debug"]
Runner = Callable[[bool, RunnableConfig], None]


@dataclass(frozen=True)
class Scenario:
    """One thing to record.

    ``shows``: in words; ``raises``: how it dies if it does; ``killed``: nobody is left to say so; ``agents``: the
    chains that are agents, beside ``AgentExecutor`` and ``LangGraph``.
    """

    name: str
    shows: str
    run: Runner
    formats: tuple[Format, ...]
    raises: tuple[type[BaseException], ...]
    killed: bool
    agents: tuple[str, ...]


class Half(list[Scenario]):
    """The scenarios of one half, in the order in which they are written."""

    def scenario(
        self,
        *formats: Format,
        raises: tuple[type[BaseException], ...] = (),
        killed: bool = False,
        agents: tuple[str, ...] = (),
    ) -> Callable[[Runner], Runner]:
        """Register a function as a scenario under its own name; its docstring says what it shows."""

        def register(run: Runner) -> Runner:
            shows = (run.__doc__ or "").rstrip(".")
            chosen: tuple[Format, ...] = formats or ("verbose", "debug")
            self.append(Scenario(run.__name__, shows, run, chosen, raises, killed, agents))
            return run

        return register
