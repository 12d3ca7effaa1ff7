"""One real server process for each module: what one module sends cannot hide behind another's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from server.tests.hostile.rule import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile(
    "hostile",
    derandomize=True,
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
        running.probe()
        running.read_all()


@pytest.fixture(autouse=True)
def harmless(server: Server) -> Iterator[None]:
    """Whatever a test sent: it does not stop the indexer. After the module a healthy event is found by every read."""
    yield
    server.settle()
