"""SIGKILL at any moment, and several agents at once: nothing is lost, nothing is there twice, nothing altered."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from demo.oracle import judge, rows
from tests.faults.conftest import SEED
from tests.faults.site import lines
from vectadb_agent.testing.cloudwatch.application import CloudWatch, served
from vectadb_agent.testing.cloudwatch.store import Put

if TYPE_CHECKING:
    from tests.faults.site import Site


def progress(site: Site, group: str, dice: random.Random, per_round: int) -> int:
    """How many records are to be there before the next kill: at a random point of a round."""
    return min(site.cloudwatch.count(group), max(0, site.held(group)) + dice.randrange(per_round))


def test_the_agent_is_killed_at_random_points(site: Site) -> None:
    group, dice = site.group(), random.Random(SEED)
    site.put(group, lines(6_000), ago=60)
    agent = site.agent(group)
    for _ in range(4):
        agent.start()
        site.wait_for(progress(site, group, dice, 2_000), group, agent=agent)
        agent.kill()
    agent.start()
    site.wait_for_all(group, agent=agent)
    assert agent.starts == 5
    assert site.verdict(group), str(site.verdict(group))


def test_the_server_is_killed_at_random_points(site: Site) -> None:
    group, dice = site.group(), random.Random(SEED)
    site.put(group, lines(3_000), ago=60)
    with site.running(group) as agent:
        for _ in range(2):
            site.wait_for(progress(site, group, dice, 1_500), group, agent=agent)
            site.server.kill()
            site.start_server()
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


def test_two_agents_read_one_group(site: Site) -> None:
    group = site.group()
    site.put(group, lines(1_000), ago=30)
    with site.running(group) as one, site.running(group) as other:
        site.wait_for_all(group, agent=one)
        site.put(group, lines(200, "while both run"), ago=0)
        site.wait_for_all(group, agent=other)
    site.drain(group)
    assert site.verdict(group), str(site.verdict(group))


def test_two_accounts_with_the_same_groups_streams_and_ids_on_one_server(site: Site) -> None:
    group = site.group()
    other = CloudWatch(account="210987654321")
    with served(other) as at:
        now = other.now - 5_000
        site.put(group, lines(300, "first account"))
        other.store.numbers = itertools.count(min(int(log_id) for *_, log_id in site.cloudwatch.ledger(group)))
        other.put(group, "s", [Put(now + number, f"second account {number}") for number in range(300)])
        ids = [{key[1:] for key in account.ledger(group)} for account in (site.cloudwatch, other)]
        assert ids[0] == ids[1]
        with site.running(group) as one, site.running(group, at=at) as two:
            site.wait_for(600, group, agent=one)
            assert two.running
    verdict = judge(site.cloudwatch.ledger(group) | other.ledger(group), rows(site.direct, "events", log_group=group))
    assert verdict, str(verdict)
    assert verdict.records == 600


def test_a_second_agent_on_the_same_state_directory_refuses(site: Site) -> None:
    group = site.group()
    site.put(group, lines(50))
    agent = site.agent(group)
    agent.start()
    site.wait_for_all(group, agent=agent)
    second = type(agent)(agent.command, agent.log.with_name("second.log"), agent.env)
    second.start()
    assert second.wait(30) == 1
    assert "state" in second.said
    agent.stop()
    assert site.verdict(group), str(site.verdict(group))
