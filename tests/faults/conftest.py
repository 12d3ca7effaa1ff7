"""One site for all tests of a file: starting server and stand-ins once saves a second or two for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.site import Site
from tests.faults.site import site as open_site
from vectadb_agent.testing.cloudwatch.faults import Faults
from vectadb_agent.testing.proxy import PASS, always

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_261_124


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site"), seed=SEED) as made:
        yield made


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    yield shared_site
    shared_site.cloudwatch.faults = Faults()
    shared_site.proxy.plan = always(PASS)
    shared_site.end_agents()
    shared_site.accept()
    shared_site.start_server()
