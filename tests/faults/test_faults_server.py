"""What goes wrong between agent and server: nothing is lost, nothing is there twice, nothing altered."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING

import pytest

from tests.faults.site import BATCHES, lines, state_of
from vectadb_agent.testing.proxy import PASS, Act, Fault, Request, in_turn, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.programs import Program
    from tests.faults.site import Site

TRACEBACK = [
    "2026-01-01 00:00:00,000 ERROR app: failed",
    "Traceback (most recent call last):",
    '  File "app.py", line 1, in <module>',
    "    1 / 0",
    "ZeroDivisionError: division by zero",
]


def batches(site: Site, since: int = 0) -> list[Request]:
    """The batches that agents have sent, from the request of that number on."""
    return [request for request in site.proxy.requests[since:] if request.path.startswith(BATCHES)]


def down(agent: Program) -> bool:
    return "does not take events" in agent.said


def test_a_server_that_is_down_at_the_start(site: Site) -> None:
    group = site.group()
    site.put(group, lines(300) + TRACEBACK)
    site.refuse()
    with site.running(group) as agent:
        site.wait(lambda: down(agent), "the agent to notice", agent)
        assert site.held(group) == 0
        site.accept()
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


def test_a_server_that_is_killed_in_mid_batch(site: Site) -> None:
    group = site.group()
    site.put(group, lines(3_000))
    seen = len(site.proxy.requests)
    with site.running(group) as agent:
        site.wait(lambda: len(batches(site, seen)) > 3, "some batches", agent)
        site.server.kill()
        site.wait(lambda: down(agent), "the agent to notice", agent)
        site.start_server()
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


@pytest.mark.parametrize("act", ["cut_before", "cut_after", "half_reply"])
def test_replies_that_are_cut_before_and_after_the_commit_and_in_the_middle(site: Site, act: Act) -> None:
    group = site.group()
    site.put(group, lines(400) + TRACEBACK)
    seen = len(site.proxy.requests)
    site.proxy.plan = in_turn(*[Fault(act)] * 3, path=BATCHES)
    site.drain(group)
    assert [request.act for request in site.proxy.requests[seen:]].count(act) == 3
    assert site.verdict(group), str(site.verdict(group))


def test_413_splits_the_batch_until_the_server_takes_it(site: Site) -> None:
    group = site.group()
    site.put(group, lines(400))
    seen = len(site.proxy.requests)

    def small_only(request: Request) -> Fault:
        return Fault("answer", status=413) if request.size > 8_000 else Fault()

    site.proxy.plan = small_only
    site.drain(group, sink={"compress": False})
    refused = [request for request in batches(site, seen) if request.status == 413]
    assert refused
    assert site.verdict(group), str(site.verdict(group))


def test_429_with_retry_after_is_obeyed(site: Site) -> None:
    group = site.group()
    site.put(group, lines(20))
    seen = len(site.proxy.requests)
    refusal = Fault("answer", status=429, retry_after=2)

    def plan(request: Request) -> Fault:
        return refusal if request.path == "/api/v1/events/batch" and not refused() and request.size > 400 else Fault()

    def refused() -> list[Request]:
        return [request for request in batches(site, seen) if request.status == 429]

    site.proxy.plan = plan
    site.drain(group)
    (first,) = refused()
    (again,) = [request for request in batches(site, seen) if request.at > first.at]
    assert again.at - first.at >= 2
    assert site.verdict(group), str(site.verdict(group))


def test_503_for_long_and_then_all_arrives(site: Site) -> None:
    group = site.group()
    site.put(group, lines(600))
    seen = len(site.proxy.requests)
    site.proxy.plan = in_turn(*[Fault("answer", status=503)] * 12, path=BATCHES)
    site.drain(group)
    assert [request.status for request in batches(site, seen)].count(503) == 12
    assert site.verdict(group), str(site.verdict(group))


def large(fault: Fault) -> Callable[[Request], Fault]:
    """A plan: this happens to requests of more than 100 kB, nothing to others."""
    return lambda request: fault if request.size > 100_000 else PASS


def cut_what_is_held(site: Site, agent: Program) -> None:
    """Cut the requests that get no answer, so that they are made again."""
    site.refuse()
    site.wait(lambda: down(agent), "the agent to notice", agent)
    site.accept()


def test_one_poison_event_is_quarantined_and_delays_nobody(site: Site) -> None:
    poisoned, other = site.group(), site.group()
    poison = json.dumps({"msg": "x" * 300_000})
    site.put(poisoned, [*lines(150), poison, *lines(150, "after")])
    key = next(key for key, message in site.cloudwatch.ledger(poisoned).items() if message == poison)
    seen = len(site.proxy.requests)
    site.proxy.plan = large(Fault("blackhole"))
    with site.running(poisoned, other, sink={"compress": False, "timeout": "10m"}) as agent:
        site.wait(lambda: any(request.act == "blackhole" for request in batches(site, seen)), "the poison", agent)
        site.put(other, lines(50), ago=0)
        site.wait_for_all(other, agent=agent)
        assert site.quarantined(agent) == [], "nobody has refused it yet"
        site.proxy.plan = large(Fault("answer", status=413))
        cut_what_is_held(site, agent)
        site.wait(lambda: bool(site.quarantined(agent)), "the quarantine", agent)
        site.wait_for(300, poisoned, agent=agent)
        site.put(other, lines(50, "after"), ago=0)
        site.wait_for_all(other, agent=agent)
        (kept,) = site.quarantined(agent)
        files = list(state_of(agent).glob("state.db*"))
        assert {file.name: file.stat().st_mode & 0o777 for file in files} == {file.name: 0o600 for file in files}
    assert (kept.entry.pipeline, kept.entry.sink, kept.entry.records, kept.entry.tries) == ("p", "vectadb", 1, 1)
    assert kept.entry.reason == f"{site.proxy.url} takes no request as large as this (413): the fault proxy answers"
    assert kept.wire is not None
    assert kept.wire["raw"] == poison
    source = kept.wire["source"]
    assert (source["account"], source["log_group"], source["log_stream"], source["log_id"]) == key
    assert kept.wire["event_id"] == kept.entry.event_id
    verdict = site.verdict(poisoned)
    assert (verdict.lost, verdict.duplicates, verdict.altered, verdict.unknown) == ([key], [], [], [])
    assert site.verdict(other), str(site.verdict(other))


def test_a_server_that_never_answers_is_given_up_and_asked_again(site: Site) -> None:
    group = site.group()
    site.put(group, lines(100))
    seen = len(site.proxy.requests)
    site.proxy.plan = in_turn(Fault("blackhole"), Fault("blackhole"), path=BATCHES)
    agent = site.drain(group, sink={"timeout": "500ms"})
    assert [request.act for request in batches(site, seen)].count("blackhole") == 2
    assert "gave no whole answer within 0.5 s" in agent.said
    assert site.verdict(group), str(site.verdict(group))


def test_a_batch_that_is_never_answered_holds_up_no_other_group(site: Site) -> None:
    stuck, other = site.group(), site.group()
    site.put(stuck, lines(100))
    site.put(other, [])
    seen = len(site.proxy.requests)
    site.proxy.plan = in_turn(Fault("blackhole"), path=BATCHES)
    with site.running(stuck, other, sink={"timeout": "10m"}) as agent:
        site.wait(lambda: bool(batches(site, seen)), "the batch that is not answered", agent)
        for number in range(2):
            site.put(other, lines(50, str(number)), ago=0)
            site.wait_for_all(other, agent=agent)
        assert site.held(stuck) == 0
        cut_what_is_held(site, agent)
        site.wait_for_all(stuck, agent=agent)
    assert site.verdict(stuck, other), str(site.verdict(stuck, other))


def test_a_storm_of_everything(site: Site) -> None:
    group = site.group()
    dice = random.Random(7)
    for stream in ("s", "t", "u"):
        told = itertools.chain.from_iterable(
            TRACEBACK if dice.random() < 0.2 else [line] for line in lines(150, stream)
        )
        site.put(group, list(told), stream=stream)
    answers = (Fault("answer", status=503), Fault("answer", status=429, retry_after=0), Fault("answer", status=500))
    site.proxy.plan = seeded(
        7, answers=answers, latency=0.05, cut_before=0.1, cut_after=0.1, half_reply=0.1, answer=0.1
    )
    site.drain(group, sink={"batch_size": 50})
    assert site.verdict(group), str(site.verdict(group))


def test_the_search_process_is_killed_and_search_is_complete_again(site: Site) -> None:
    import httpx

    group = site.group()
    site.put(group, [*lines(1_500), json.dumps({"msg": "the capybara ate my homework"})])

    def found() -> bool:
        asked = {"query": "capybara homework", "mode": "text", "limit": 5}
        answer = httpx.post(f"{site.direct}/api/v1/search", json=asked, timeout=30)
        return answer.status_code == 200 and any(
            "capybara" in result["event"]["raw"] for result in answer.json()["results"]
        )

    with site.running(group) as agent:
        for some in (200, 600, 1_000):
            site.wait_for(some, group, agent=agent)
            site.wait(lambda: site.server.kill_child("edge_process"), "a search process", site.server)
        site.wait_for_all(group, agent=agent)
        site.wait(found, "the search", site.server)
    assert site.verdict(group), str(site.verdict(group))
