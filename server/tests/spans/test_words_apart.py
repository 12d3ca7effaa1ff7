"""Spans whose words are logged apart from them, under their id, as Bedrock AgentCore does."""

from __future__ import annotations

import itertools

import pytest


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_words_are_the_spans_in_any_order(log, order):
    lines = [
        ("tool_call", {"tool": "search", "call": "c", "span_id": "s2", "parent_span_id": "s1"}),
        ("tool_result", {"tool": "search", "call": "c", "span_id": "s2", "parent_span_id": "s1"}),
        ("agent_end", {"agent": "shop", "span_id": "s1"}),
    ]
    words = [
        {"span_id": "s2", "role": "tool", "gen_ai.tool.call.arguments": {"q": 1}, "gen_ai.tool.call.result": "two"},
        {"span_id": "s1", "role": "user", "gen_ai.input.messages": "how long?"},
        {"span_id": "s1", "role": "assistant", "gen_ai.output.messages": "two days"},
    ]
    for at in order[:1]:
        log("message", stream="words", **words[at])
    for type_, more in lines:
        log(type_, **more)
    for at in order[1:]:
        log("message", stream="words", **words[at])
    _, found = log.build()
    by_kind = {span.kind: span for span in found.values()}
    assert sorted(by_kind) == ["agent", "tool"]
    assert (by_kind["tool"].input, by_kind["tool"].output) == ({"q": 1}, "two")
    assert (by_kind["agent"].input, by_kind["agent"].output) == ("how long?", "two days")


def test_words_with_another_spans_id_are_not_taken(log):
    call = log("tool_call", tool="search", args="x")
    log("message", **{"span_id": "elsewhere", "gen_ai.tool.call.result": "not mine"})
    log("tool_result", tool="search", result="y")
    _, found = log.build()
    assert found[call].output == "y"
