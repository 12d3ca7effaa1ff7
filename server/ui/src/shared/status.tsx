/** How a trace or span stands, and what kind a span is: never by colour alone. */
import type { Span } from "../api/client";

export type Status = Span["status"];
export const STATUSES = ["ok", "error", "running", "interrupted"] as const satisfies readonly Status[];

const MARKS: Record<Status, string> = { ok: "✓", error: "✕", running: "●", interrupted: "◐" };

export function StatusMark({ status, quiet }: { status: Status; quiet?: boolean }) {
	const className = `status status-${status}`;
	return quiet ? (
		<span className={className} title={status} role="img" aria-label={status}>
			{MARKS[status]}
		</span>
	) : (
		<span className={className} title={status}>
			<span aria-hidden="true">{MARKS[status]}</span> {status}
		</span>
	);
}

const KINDS: Record<Span["kind"], string> = {
	invocation: "INV",
	agent: "AGENT",
	chain: "CHAIN",
	llm: "LLM",
	tool: "TOOL",
	retrieval: "RETR",
};

export function KindMark({ kind }: { kind: Span["kind"] }) {
	return (
		<span className={`kind kind-${kind}`} title={kind}>
			{KINDS[kind]}
		</span>
	);
}
