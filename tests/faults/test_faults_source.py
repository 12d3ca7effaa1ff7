"""What goes wrong between agent and CloudWatch: nothing is lost, nothing is there twice, nothing altered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.site import lines
from vectadb_agent.testing.cloudwatch.faults import QUOTAS, Faults, most_within
from vectadb_agent.testing.cloudwatch.store import Put

if TYPE_CHECKING:
    from tests.faults.site import Site

DAY = 86_400_000


def test_short_and_empty_pages_and_a_group_of_sixty_streams(site: Site) -> None:
    group = site.group()
    for stream in range(60):
        site.put(group, lines(15, str(stream)), stream=f"s{stream}", ago=5 + stream)
    site.cloudwatch.faults = Faults(short=0.3, empty=0.3)
    site.drain(group)
    assert site.verdict(group), str(site.verdict(group))


def test_more_than_a_page_in_one_millisecond(site: Site) -> None:
    group = site.group()
    at = site.cloudwatch.now - 5_000
    site.cloudwatch.put(group, "s", [Put(at, f"line {number}") for number in range(1_050)])
    site.drain(group, page_records=100)
    assert len(site.cloudwatch.requests("FilterLogEvents", group)) > 10
    assert site.verdict(group), str(site.verdict(group))


def test_a_message_of_one_megabyte_arrives_whole(site: Site) -> None:
    group = site.group()
    site.put(group, [json.dumps({"msg": "é" * 500_000}, ensure_ascii=False), "x" * 1_000_000, "small"])
    site.drain(group)
    assert site.verdict(group), str(site.verdict(group))


def test_odd_characters_arrive_unaltered(site: Site) -> None:
    group = site.group()
    odd = [
        "",
        "\n",
        " ",
        "a\x00b",
        "half \ud800 pair",
        "\x1a",
        "\x1ad800",
        "\x1b[31mred\x1b[0m",
        "é\u2028東京",
        '{"a":',
    ]
    site.put(group, odd)
    site.drain(group)
    assert site.verdict(group), str(site.verdict(group))


def test_a_future_event_does_not_move_the_mark_ahead(site: Site) -> None:
    group = site.group()
    site.put(group, lines(5))
    site.cloudwatch.put(group, "s", [Put(site.cloudwatch.now + 7_000_000, "nearly two hours early")])
    with site.running(group) as agent:
        site.wait_for_all(group, agent=agent)
        site.put(group, lines(5, "afterwards"), ago=0)
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


def test_events_that_become_visible_late_within_settle(site: Site) -> None:
    group = site.group()
    with site.running(group) as agent:
        for lag in (0, 1.5, 3, 0.5):
            site.put(group, lines(20, str(lag)), stream=f"lag-{lag}", ago=0, lag=lag)
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


def test_a_storm_of_errors_cuts_and_throttles(site: Site) -> None:
    groups = [site.group() for _ in range(3)]
    for group in groups:
        site.put(group, lines(250), ago=20)
    site.cloudwatch.faults = Faults(errors=0.3, drops=0.2, short=0.3, quota={"FilterLogEvents": 8})
    with site.running(*groups) as agent:
        site.wait_for_all(*groups, agent=agent)
    assert site.verdict(*groups), str(site.verdict(*groups))


def hangs(site: Site, operation: str, group: str | None = None) -> int:
    return [request.code for request in site.cloudwatch.requests(operation, group)].count("hang")


def test_a_request_that_hangs_holds_up_no_other_group(site: Site) -> None:
    slow, quick = site.group(), site.group()
    site.put(slow, lines(50))
    site.put(quick, lines(50))
    site.cloudwatch.faults = Faults(hanging=[slow], hang_seconds=600)
    with site.running(slow, quick) as agent:
        site.wait(lambda: hangs(site, "FilterLogEvents", slow) > 0, "a hung request", agent)
        site.put(quick, lines(50, "while it hangs"), ago=0)
        site.wait_for_all(quick, agent=agent)
        assert hangs(site, "FilterLogEvents", slow) == 1, "the other group had to wait until the request was given up"
        assert site.held(slow) == 0
        site.cloudwatch.faults = Faults()
        site.wait_for_all(slow, agent=agent)
        assert agent.starts == 1
    assert site.verdict(slow, quick), str(site.verdict(slow, quick))


def test_a_request_that_hangs_at_the_start_is_made_again_and_keeps_nobody_from_ending_it(site: Site) -> None:
    group = site.group()
    site.put(group, lines(50))
    site.cloudwatch.faults = Faults(hangs=1, hang_seconds=600)
    agent = site.agent(group)
    agent.start()
    site.wait(lambda: hangs(site, "DescribeLogGroups") > 0, "a hung request", agent)
    assert agent.stop() == 0, agent.said
    agent.start()
    site.cloudwatch.faults = Faults()
    site.wait_for_all(group, agent=agent)
    agent.stop()
    assert site.verdict(group), str(site.verdict(group))


def test_it_stays_below_its_share_of_the_quota_and_is_never_throttled(site: Site) -> None:
    groups = [site.group() for _ in range(12)]
    for group in groups:
        site.put(group, lines(20))
    site.cloudwatch.faults = Faults(quota=QUOTAS)
    before = len(site.cloudwatch.arrivals)
    with site.running(*groups, poll_interval="200ms") as agent:
        site.wait_for_all(*groups, agent=agent)
        site.wait(lambda: len(site.cloudwatch.arrivals) > before + 70, "seventy requests", agent)
    asked = [arrival for arrival in site.cloudwatch.arrivals[before:] if arrival.operation == "FilterLogEvents"]
    assert not [arrival for arrival in asked if arrival.code]
    assert most_within([arrival.at for arrival in asked], 3) <= 0.8 * 3 * QUOTAS["FilterLogEvents"] + 5
    assert site.verdict(*groups), str(site.verdict(*groups))


def test_throttling_slows_the_reading_down_and_is_no_trouble_of_any_group(site: Site) -> None:
    groups = [site.group() for _ in range(4)]
    for group in groups:
        site.put(group, lines(20))
    site.cloudwatch.faults = Faults(quota={"FilterLogEvents": 8})
    before = len(site.cloudwatch.arrivals)

    def throttled() -> int:
        return [arrival.code for arrival in site.cloudwatch.arrivals[before:]].count("ThrottlingException")

    with site.running(*groups, poll_interval="100ms") as agent:
        site.wait_for_all(*groups, agent=agent)
        site.wait(lambda: throttled() > 2, "throttling", agent)
        for group in groups:
            site.put(group, lines(5, "meanwhile"), ago=0)
        site.wait_for_all(*groups, agent=agent)
    assert "cannot be read" not in agent.said
    assert site.verdict(*groups), str(site.verdict(*groups))


def test_an_old_token_starts_the_slice_again(site: Site) -> None:
    group = site.group()
    site.put(group, lines(300))
    site.cloudwatch.faults = Faults(short=1, token_life=-1)
    with site.running(group) as agent:
        site.wait(lambda: "token" in agent.said, "a lost token", agent)
        site.cloudwatch.faults = Faults(short=0.2)
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


def test_credentials_that_expire_and_are_rotated(site: Site, tmp_path: Path) -> None:
    group = site.group()
    credentials = tmp_path / "credentials"

    def rotate(key: str) -> None:
        credentials.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")

    rotate("OLD")
    site.cloudwatch.faults = Faults(keys=["OLD"])
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    site.put(group, lines(50))
    with site.running(group, env=env) as agent:
        site.wait_for_all(group, agent=agent)
        site.cloudwatch.faults = Faults(keys=["NEW"], expired=["OLD"])
        site.put(group, lines(50, "after"), ago=0)
        site.wait(lambda: "AWS refuses the credentials" in agent.said, "the agent to say so", agent)
        rotate("NEW")
        site.wait_for_all(group, agent=agent)
        assert agent.running
    assert site.verdict(group), str(site.verdict(group))


def test_access_denied_on_one_group_holds_up_no_other_and_is_mended_without_a_restart(site: Site) -> None:
    denied, allowed = site.group(), site.group()
    site.put(denied, lines(50))
    site.put(allowed, lines(50))
    site.cloudwatch.faults = Faults(denied=[denied])
    with site.running(denied, allowed) as agent:
        site.wait_for_all(allowed, agent=agent)
        site.wait(lambda: "allow the IAM action logs:FilterLogEvents" in agent.said, "what to do about it", agent)
        assert site.held(denied) == 0
        site.cloudwatch.faults = Faults()
        site.wait_for_all(denied, agent=agent)
    assert site.verdict(denied, allowed), str(site.verdict(denied, allowed))


def test_a_group_that_is_deleted_and_created_again(site: Site) -> None:
    group = site.group()
    store = site.cloudwatch.store
    site.put(group, lines(50))
    with site.running(group) as agent:
        site.wait_for_all(group, agent=agent)
        store.delete_group(group)
        site.wait(lambda: "does not exist" in agent.said, "the agent to notice", agent)
        site.put(group, lines(50, "again"), ago=0)
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))


def test_streams_and_groups_that_appear_while_it_runs(site: Site) -> None:
    prefix = site.group() + "/"
    first = prefix + "first"
    site.put(first, lines(20))
    with site.running({"prefix": prefix}, rediscover="1s") as agent:
        site.wait_for_all(first, agent=agent)
        for number in range(3):
            site.put(first, lines(20, str(number)), stream=f"new-{number}", ago=0)
            site.put(prefix + str(number), lines(20, str(number)), ago=0)
        groups = [first, *(prefix + str(number) for number in range(3))]
        site.wait_for_all(*groups, agent=agent)
    assert site.verdict(*groups), str(site.verdict(*groups))


def test_a_clock_that_is_wrong_here_loses_nothing(site: Site) -> None:
    """AWS's clock is what counts: here it is two minutes behind the agent's."""
    group = site.group()
    site.cloudwatch.clock, real = (lambda: real() - 120), site.cloudwatch.clock
    try:
        site.put(group, lines(50), ago=1)
        with site.running(group, lookback="1m") as agent:
            site.wait_for_all(group, agent=agent)
            site.put(group, lines(50, "later"), ago=0)
            site.wait_for_all(group, agent=agent)
        assert site.verdict(group), str(site.verdict(group))
    finally:
        site.cloudwatch.clock = real


def test_a_backlog_of_many_pages_drains_in_one_go(site: Site) -> None:
    group = site.group()
    for stream in range(4):
        site.put(group, lines(520, str(stream)), stream=f"s{stream}", ago=60 * stream + 5)
    site.cloudwatch.faults = Faults(short=0.05)
    site.drain(group, page_records=100, poll_interval="1h")
    assert len(site.cloudwatch.requests("FilterLogEvents", group)) > 20
    assert site.verdict(group), str(site.verdict(group))


def test_a_late_event_beyond_settle_is_found_by_a_sweep(site: Site) -> None:
    group = site.group()
    options = {"settle_min": "500ms", "settle_max": "1s", "sweeps": ["6s"]}
    with site.running(group, **options) as agent:
        site.put(group, lines(20), ago=1)
        site.put(group, lines(20, "late"), stream="late", ago=1, lag=3)
        site.wait_for_all(group, agent=agent)
    assert site.verdict(group), str(site.verdict(group))
