/** The trace as a chat: who said what, which tools were called, what they answered. */
import { useMemo } from "react";
import type { Event, Span, WholeTrace } from "../../api/client";
import { Line, Prose } from "../../shared/inert";
import { Value } from "../../shared/json";
import { Time } from "../../shared/time";
import type { Row } from "./tree";

type Who = "user" | "thought" | "call" | "result" | "answer" | "error";
interface Turn {
	id: string;
	who: Who;
	at: string;
	/** The tool's name, or the speaker. */
	name: string;
	value: unknown;
	span: string | null;
}

const LABELS: Record<Who, string> = {
	user: "User",
	thought: "Thought",
	call: "Calls",
	result: "Result of",
	answer: "Answer",
	error: "Error",
};

function text(event: Event): string {
	const { message } = event.properties;
	if (typeof message === "string" && message) return message;
	return (event.raw ?? "").replace(/\u001b\[[0-9;:]*m/g, "").trim();
}

function given(event: Event, ...names: string[]): unknown {
	for (const name of names) if (event.properties[name] !== undefined) return event.properties[name];
	return text(event);
}

/** The turns of a conversation, in the order of the log. */
export function turns(whole: WholeTrace): Turn[] {
	const spanOf = new Map<string, Span>();
	for (const span of whole.spans) for (const id of span.event_ids) spanOf.set(id, span);
	const said: Turn[] = [];
	const thinks = whole.events.some((event) => /^agent_(thought|finish)$|^message$/.test(event.event_type));
	const seen = new Set<string>();
	const add = (event: Event, who: Who, name: string, value: unknown, span: Span | undefined) =>
		said.push({ id: `${event.event_id} ${who}`, who, at: event.timestamp, name, value, span: span?.span_id ?? null });
	const first = whole.events[0];
	if (first && whole.trace.input) add(first, "user", "", whole.trace.input, undefined);
	for (const event of whole.events) {
		const span = spanOf.get(event.event_id);
		const tool = span && (span.kind === "tool" || span.kind === "retrieval") ? span : undefined;
		if (tool && !seen.has(tool.span_id)) {
			seen.add(tool.span_id);
			add(event, "call", tool.name, tool.input, tool);
		}
		switch (event.event_type) {
			case "query":
				if (text(event) !== whole.trace.input) add(event, "user", "", given(event, "query", "question", "input"), span);
				break;
			case "message": {
				const isUser = event.properties.role === "user";
				if (!isUser || text(event) !== whole.trace.input) add(event, isUser ? "user" : "answer", "", text(event), span);
				break;
			}
			case "agent_thought":
				add(event, "thought", "", text(event), span);
				break;
			case "tool_result":
			case "retrieval":
				if (tool) add(event, tool.status === "error" ? "error" : "result", tool.name, tool.error ?? tool.output, tool);
				break;
			case "llm_end":
				if (!thinks && span?.output != null) add(event, "answer", span.model ?? "", span.output, span);
				break;
			case "agent_finish":
				add(event, "answer", "", given(event, "output", "answer", "final_answer"), span);
				break;
			case "error":
				if (!tool) add(event, "error", "", text(event), span);
				break;
		}
	}
	const last = whole.events.at(-1);
	if (last && whole.trace.output && !said.some((turn) => turn.who === "answer")) {
		add(last, "answer", "", whole.trace.output, undefined);
	}
	return said;
}

interface Props {
	whole: WholeTrace;
	selected: Row | undefined;
	select: (span: string) => void;
}

export function Conversation({ whole, selected, select }: Props) {
	const said = useMemo(() => turns(whole), [whole]);
	if (said.length === 0)
		return <p className="state">Nothing in this trace reads like a conversation. The raw log has it all.</p>;
	return (
		// biome-ignore lint/a11y/noRedundantRoles: without bullets Safari takes it for no list
		<ol className="conversation" role="list">
			{said.map((turn) => (
				<li
					key={turn.id}
					className={`turn turn-${turn.who}`}
					aria-current={(turn.span !== null && turn.span === selected?.span.span_id) || undefined}
				>
					<div className="turn-head">
						<b>{LABELS[turn.who]}</b>
						{turn.name && <Line text={turn.name} most={80} className="mono" />}
						<span className="quiet">
							<Time at={turn.at} precision="milliseconds" />
						</span>
						{turn.span && (
							<button type="button" className="plain" onClick={() => select(turn.span ?? "")}>
								Span
							</button>
						)}
					</div>
					{turn.value === null || turn.value === undefined ? null : turn.who === "error" &&
						typeof turn.value === "string" ? (
						<Prose text={turn.value} mono />
					) : (
						<Value value={turn.value} />
					)}
				</li>
			))}
		</ol>
	);
}
