"""Rules for the ``regex`` parser that come with it, by name: ``extends: [key_value]`` puts them behind one's own."""

from __future__ import annotations

from typing import Any


def _value(name: str) -> str:
    return rf'(?:"(?P<{name}_quoted>[^"]*)"|(?P<{name}>[^\s,;"]+))'


_TOOL = {"tool": "gen_ai.tool.name", "tool_quoted": "gen_ai.tool.name"}

SETS: dict[str, list[dict[str, Any]]] = {
    # What people write who log their agent's steps by hand: tool_call tool=search args={"query": "a"} id=7
    "key_value": [
        {
            "name": "key_value tool_call",
            "pattern": rf"\btool[_ ]call\b[:,]?\s.*?\b(?:tool|name|tool_name)={_value('tool')}"
            r"(?:.*?\b(?:args|arguments|input|tool_input)=(?P<arguments>\{.*\}|\[.*\]|\S+))?",
            "event_type": "tool_call",
            "field_mapping": {**_TOOL, "arguments": "gen_ai.tool.call.arguments"},
        },
        {
            "name": "key_value tool_result",
            "pattern": rf"\btool[_ ]result\b[:,]?\s.*?\b(?:tool|name|tool_name)={_value('tool')}"
            r"(?:.*?\b(?:result|output|tool_output)=(?P<result>\S.*))?",
            "event_type": "tool_result",
            "field_mapping": {**_TOOL, "result": "gen_ai.tool.call.result"},
        },
        {
            "name": "key_value llm_call",
            "pattern": rf"\b(?:llm|model)[_ ](?:call|end|response)\b[:,]?\s.*?\bmodel={_value('model')}"
            r"(?:.*?\b(?:input_tokens|prompt_tokens)=(?P<given>\d{1,12}))?"
            r"(?:.*?\b(?:output_tokens|completion_tokens)=(?P<returned>\d{1,12}))?",
            "event_type": "llm_end",
            "field_mapping": {
                "model": "gen_ai.request.model",
                "model_quoted": "gen_ai.request.model",
                "given": "gen_ai.usage.input_tokens",
                "returned": "gen_ai.usage.output_tokens",
            },
            "types": {"given": "int", "returned": "int"},
        },
    ],
    # A line of a web server's access log, in the common or combined format.
    "http_access": [
        {
            "name": "http_access",
            "pattern": r'^(?P<client>\S+) \S+ \S+ \[[^\]]+\] "(?P<method>[A-Z]+) (?P<path>\S+) [^"]*" '
            r"(?P<status>\d{3}) (?P<size>\d+|-)",
            "event_type": "log",
            "field_mapping": {
                "client": "client.address",
                "method": "http.request.method",
                "path": "url.path",
                "status": "http.response.status_code",
                "size": "http.response.body.size",
            },
            "types": {"status": "int"},
        },
    ],
}
