"""Events to look at: agents' runs as a Lambda prints them; one that fails, one that is hostile, one enormous."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

Event = dict[str, Any]

GROUPS = {"research-agent": "/aws/lambda/research-agent", "support-agent": "/aws/lambda/support-agent"}
MODELS = ("gpt-4o-mini", "claude-sonnet-4-20250514")
QUESTIONS = (
    "What is the population of the capital of France, divided by 2?",
    "Which of our orders are late, and why?",
    "Summarise the last incident in three sentences",
    "Wie wird das Wetter morgen in Kyjiw?",
    "Find the cheapest flight from Berlin to Lisbon in May",
    "Refund order 4711 and tell the customer",
)
TRACEBACK = """Traceback (most recent call last):
  File "/var/task/agent/tools.py", line 88, in lookup_order
    row = orders.fetch(order_id)
  File "/var/task/agent/orders.py", line 31, in fetch
    raise OrderNotFound(f"no order {order_id!r} in region eu-central-1")
agent.orders.OrderNotFound: no order '4711' in region eu-central-1"""


def rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Run:
    """One agent's run: each call prints a line a little later than the one before, into one log stream."""

    def __init__(self, agent: str, at: datetime, trace: str, session: str | None = None) -> None:
        self.agent, self.at, self.trace, self.session = agent, at, trace, session
        self.events: list[Event] = []

    def say(self, event_type: str, raw: str, *, after: float = 0.05, **properties: Any) -> None:
        self.at += timedelta(seconds=after)
        number = len(self.events)
        self.events.append(
            {
                "timestamp": rfc3339(self.at),
                "event_type": event_type,
                "trace_id": self.trace,
                "agent_id": self.agent,
                "session_id": self.session,
                "properties": {name.replace("__", "."): value for name, value in properties.items()},
                "raw": raw,
                "source": {
                    "system": "cloudwatch",
                    "account": "123456789012",
                    "region": "eu-central-1",
                    "log_group": GROUPS.get(self.agent, f"/ecs/{self.agent}"),
                    "log_stream": f"2026/11/29/[$LATEST]{self.trace}",
                    "log_id": f"{self.trace}-{number:06d}",
                    "timestamp": rfc3339(self.at),
                },
            }
        )

    def start(self, question: str) -> None:
        self.say(
            "agent_start",
            "\x1b[1m> Entering new AgentExecutor chain...\x1b[0m",
            gen_ai__agent__name=self.agent,
            input=question,
        )

    def think(self, text: str, model: str, seconds: float, tokens: tuple[int, int]) -> None:
        name, used = (
            {"gen_ai.request.model": model},
            {"gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1]},
        )
        self.say(
            "llm_start",
            f"[llm/start] {model}",
            gen_ai__prompt=f"You are {self.agent}. Answer as well as you can.",
            **name,
        )
        self.say("agent_thought", f"\x1b[32;1m\x1b[1;3mThought: {text}\x1b[0m", after=seconds, message=text)
        self.say("llm_end", f"[llm/end] [{seconds:.2f}s] {model}", gen_ai__completion=text, **name, **used)

    def call(
        self, tool: str, arguments: dict[str, Any], result: str, seconds: float, *, error: str | None = None
    ) -> None:
        id_ = {"gen_ai.tool.call.id": f"call_{len(self.events)}"}
        said = f"\x1b[32;1m\x1b[1;3mInvoking: `{tool}` with `{arguments}`\x1b[0m"
        self.say("tool_call", said, gen_ai__tool__name=tool, gen_ai__tool__call__arguments=arguments, **id_)
        if error is not None:
            self.say(
                "error",
                f"\x1b[31m[ERROR]\x1b[0m {error}",
                after=seconds / 2,
                level="ERROR",
                error__type="OrderNotFound",
                message=error,
            )
        failed = {"error.type": "OrderNotFound"} if error else {}
        self.say(
            "tool_result",
            f"\x1b[36;1m\x1b[1;3m{result}\x1b[0m",
            after=seconds,
            gen_ai__tool__name=tool,
            gen_ai__tool__call__result=result,
            **id_,
            **failed,
        )

    def finish(self, answer: str) -> None:
        self.say("agent_finish", f"\x1b[32;1m\x1b[1;3mFinal Answer: {answer}\x1b[0m", output=answer)
        self.say("agent_end", "\x1b[1m> Finished chain.\x1b[0m", gen_ai__agent__name=self.agent, output=answer)


def ordinary(number: int, at: datetime) -> list[Event]:
    """A run that works, or in one of seven dies without a word."""
    rng = random.Random(number)
    agent = rng.choice(tuple(GROUPS))
    run = Run(agent, at, f"run-{number:04d}", f"session-{number % 9}")
    question, model = rng.choice(QUESTIONS), rng.choice(MODELS)
    run.start(question)
    for step in range(rng.randint(1, 5)):
        run.think(
            f"I should look that up, step {step + 1}.",
            model,
            rng.uniform(0.4, 2.5),
            (rng.randint(300, 4000), rng.randint(20, 400)),
        )
        tool = rng.choice(("search_web", "calculator", "lookup_order", "send_mail"))
        result = '{"rows": [{"city": "Paris", "population": 2102650}], "took_ms": 12}'
        run.call(tool, {"query": question, "limit": 10}, result, rng.uniform(0.05, 1.2))
    if number % 7:
        run.finish(f"The answer to “{question}” is 1,051,325.")
    return run.events


def failing(at: datetime, trace: str = "run-failing") -> list[Event]:
    """A run that works until a tool raises."""
    run = Run("support-agent", at, trace, "session-late-order")
    run.start("Refund order 4711 and tell the customer")
    run.think("I need the order first.", MODELS[0], 1.1, (812, 41))
    run.call("search_web", {"query": "refund policy"}, '{"days": 14, "needs_receipt": true}', 0.4)
    run.think("Within 14 days; now the order itself.", MODELS[0], 0.9, (1204, 52))
    run.call("lookup_order", {"order_id": "4711"}, TRACEBACK, 0.3, error=TRACEBACK)
    run.say(
        "error",
        TRACEBACK,
        level="ERROR",
        error__type="OrderNotFound",
        error__message="no order '4711' in region eu-central-1",
    )
    run.say("agent_end", "\x1b[1m> Finished chain.\x1b[0m", gen_ai__agent__name="support-agent", status="error")
    return run.events


def running(at: datetime) -> list[Event]:
    """A run that is under way."""
    run = Run("research-agent", at, "run-under-way", "session-now")
    run.start("Find the cheapest flight from Berlin to Lisbon in May")
    run.call("search_web", {"query": "flights BER LIS"}, '{"flights": 17}', 0.8)
    return run.events


HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg/onload=window.pwned=1>",
    '"><iframe src="javascript:parent.pwned=1"></iframe>',
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "[click](javascript:window.pwned=1)",
    "\u202e reversed \u2066 isolated \u200b zero \u00ad soft",
    "\x1b]8;;javascript:window.pwned=1\x07click\x1b]8;;\x07 \x1b[2J\x1b[H\x07\x08\x08\x08gone \x1b[31;48;2;1;2;3mred",
    "\ud800 half \ud83d half a face",
    "Z\u0351\u036b\u0343\u036a\u0302" * 30,
    "\x00\x01\x7f\x9b31m",
    "__proto__",
)


def hostile(at: datetime) -> list[Event]:
    """A run of which every field holds what would do harm where a page took it for more than text."""
    events: list[Event] = []
    for number, text in enumerate(HOSTILE):
        run = Run(text, at + timedelta(seconds=number), "run-hostile", f"session {text}")
        run.start(text)
        run.call(text, {text: text, "url": text}, text, 0.1, error=text)
        run.say(text, text, message=text, error=text, **{text: {text: [text]}})
        run.think(text, text, 0.1, (1, 1))
        run.finish(text)
        for event in run.events:
            event["source"] |= {
                "log_group": text,
                "log_stream": text,
                "region": text,
                "log_id": f"hostile-{number}-{event['source']['log_id'][-6:]}",
            }
            event["request_id"] = text
        events += run.events
    return events


def enormous(spans: int, at: datetime, trace: str = "run-enormous") -> list[Event]:
    """One run of so many spans: an agent, a thousand chains, and tool calls in them, with a failure in the middle."""
    events: list[Event] = []
    run = Run("research-agent", at, trace)
    run.start("Read the whole archive")
    inside = max(1, spans // 1000)
    chains = max(1, spans // (inside + 1))
    for chain in range(chains):
        name = f"chapter {chain}"
        run.say("chain_start", f"> {name}", after=0.001, name=name, span_id=f"c{chain}")
        for number in range(inside):
            failed = {"error": "the page is torn"} if chain == chains // 2 and number == 0 else {}
            run.say(
                "tool_result",
                "read",
                after=0.001,
                gen_ai__tool__name="read_page",
                gen_ai__tool__call__result="a page",
                span_id=f"t{chain}-{number}",
                parent_span_id=f"c{chain}",
                duration_ms=1,
                **failed,
            )
        run.say("chain_end", f"< {name}", after=0.001, name=name, span_id=f"c{chain}")
    run.finish("Read.")
    events += run.events
    return events


def demo(now: datetime | None = None) -> list[Event]:
    """Two days of runs, the newest at ``now``; among them one that fails, and one that is under way."""
    now = now or datetime.now(UTC)
    rng = random.Random(7)
    events = [
        event
        for number in range(60)
        for event in ordinary(number, now - timedelta(minutes=20 + number * 41 + rng.uniform(0, 30)))
    ]
    return [*events, *failing(now - timedelta(minutes=9)), *running(now - timedelta(minutes=2))]
