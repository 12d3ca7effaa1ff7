/** One trace: what was asked, what was done, what came of it, and the log lines behind each step. */
import { useCallback, useMemo, useState } from "react";
import { Link } from "wouter";
import type { Trace } from "../../api/client";
import { allTokens, cost, count, counted, duration } from "../../shared/format";
import { Line, Prose } from "../../shared/inert";
import { useKeys } from "../../shared/keys";
import { ErrorNote, Loading } from "../../shared/states";
import { StatusMark } from "../../shared/status";
import { Time } from "../../shared/time";
import { link, useUrlState } from "../../shared/url";
import { Conversation } from "./Conversation";
import { Detail } from "./Detail";
import { Graph } from "./Graph";
import { MANY_EVENTS, useOutline, useWhole } from "./query";
import { RawLog } from "./RawLog";
import { build, type Tree } from "./tree";
import { Waterfall } from "./Waterfall";
import { BASIS } from "./words";
import "./trace.css";

const TABS = [
	["spans", "Waterfall"],
	["conversation", "Conversation"],
	["log", "Raw log"],
	["graph", "Graph"],
] as const;
type Tab = (typeof TABS)[number][0];

export default function TraceView({ id }: { id: string }) {
	const outline = useOutline(id);
	if (outline.isPending) return <Loading what="Reading the trace" />;
	if (!outline.data) return <ErrorNote error={outline.error} again={() => void outline.refetch()} />;
	return <Shown id={id} outline={outline.data} />;
}

function Shown({ id, outline }: { id: string; outline: NonNullable<ReturnType<typeof useOutline>["data"]> }) {
	const { trace, spans } = outline;
	const [params, change] = useUrlState();
	const tree = useMemo(() => build(spans, trace.start, trace.end), [spans, trace.start, trace.end]);
	const whole = useWhole(id, trace);
	const tab: Tab = TABS.find(([name]) => name === params.tab)?.[0] ?? "spans";
	const chosen = useMemo(() => {
		if (params.span) return tree.byId.get(params.span);
		// A link from a search result or a line of Live names an event: the innermost span that has it.
		const { event } = params;
		return event ? tree.rows.findLast((row) => row.span.event_ids.includes(event)) : undefined;
	}, [tree, params]);
	const selected = chosen ?? tree.failures[0] ?? tree.rows[0];
	const select = useCallback((span: string | null) => change({ span, event: null }, { replace: true }), [change]);

	const [failure, setFailure] = useState(-1);
	function nextFailure() {
		const next = (failure + 1) % Math.max(1, tree.failures.length);
		const row = tree.failures[next];
		if (!row) return;
		setFailure(next);
		change({ span: row.span.span_id, ...(tab !== "spans" && tab !== "log" && { tab: null }) }, { replace: true });
	}
	useKeys([
		{ key: "e", does: "first error, then the next", run: nextFailure },
		{ key: "Escape", does: "close the span", run: () => select(null) },
		...TABS.map(([name, label]) => ({
			key: label[0]?.toLowerCase() ?? "",
			does: label,
			run: () => change({ tab: name === "spans" ? null : name }),
		})),
	]);

	return (
		<div className="trace">
			<Summary trace={trace} tree={tree} toFailure={nextFailure} />
			<div className="tabs" role="tablist" aria-label="How to look at it">
				{TABS.map(([name, label]) => (
					<button
						key={name}
						type="button"
						role="tab"
						id={`tab-${name}`}
						aria-selected={tab === name}
						aria-controls="tab-panel"
						onClick={() => change({ tab: name === "spans" ? null : name })}
					>
						{label}
					</button>
				))}
			</div>
			<div className={`panes ${chosen ? "has-chosen" : ""}`}>
				<div className="pane-main" role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`}>
					{tab === "spans" && <Waterfall tree={tree} selected={selected} select={select} />}
					{tab === "graph" && <Graph tree={tree} select={select} />}
					{(tab === "conversation" || tab === "log") &&
						(trace.events > MANY_EVENTS ? (
							<p className="state">
								This trace has {count(trace.events)} events, more than are read at once. Choose a span in the waterfall
								to see its own lines, or take all of them:{" "}
								<a href={link("/api/v1/events", { trace: trace.trace_id, format: "ndjson" })}>NDJSON</a>
							</p>
						) : whole.data ? (
							tab === "log" ? (
								<RawLog whole={whole.data} tree={tree} selected={chosen} select={select} />
							) : (
								<Conversation whole={whole.data} selected={chosen} select={select} />
							)
						) : whole.isError ? (
							<ErrorNote error={whole.error} again={() => void whole.refetch()} />
						) : (
							<Loading />
						))}
				</div>
				{selected && (
					<Detail row={selected} trace={trace} whole={whole.data} select={select} close={() => select(null)} />
				)}
			</div>
		</div>
	);
}

function Summary({ trace, tree, toFailure }: { trace: Trace; tree: Tree; toFailure: () => void }) {
	const [more, setMore] = useState(false);
	return (
		<section className="summary" aria-label="Summary">
			<div className="title">
				<Link href="/traces" className="quiet" title="All traces">
					Traces
				</Link>
				<span className="quiet">/</span>
				<h1>
					<Line text={trace.name || "Trace"} most={120} />
				</h1>
				<StatusMark status={trace.status} />
				<span className="facts">
					<span>
						<Time at={trace.start} full />
					</span>
					<span>{duration(trace.duration_ms)}</span>
					<span>{counted(trace.spans, "span")}</span>
					{trace.llm_calls > 0 && <span>{counted(trace.llm_calls, "model call")}</span>}
					{trace.tool_calls > 0 && <span>{counted(trace.tool_calls, "tool call")}</span>}
					{allTokens(trace.tokens) !== null && (
						<span title={`${count(trace.tokens.input)} in, ${count(trace.tokens.output)} out`}>
							{counted(allTokens(trace.tokens) ?? 0, "token")}
						</span>
					)}
					{trace.cost_usd !== null && <span>{cost(trace.cost_usd)}</span>}
				</span>
				<button type="button" className="plain" aria-expanded={more} onClick={() => setMore(!more)}>
					{more ? "Less" : "More"}
				</button>
			</div>
			{trace.input && (
				<div className="said">
					<h3>Asked</h3>
					{more ? <Prose text={trace.input} /> : <Line text={trace.input} most={500} className="one-line" />}
				</div>
			)}
			{trace.output && (
				<div className="said">
					<h3>Answered</h3>
					{more ? <Prose text={trace.output} /> : <Line text={trace.output} most={500} className="one-line" />}
				</div>
			)}
			{trace.first_error && (
				<div className="said failed">
					<h3>{counted(trace.errors, "error")}</h3>
					{more ? (
						<Prose text={trace.first_error} mono />
					) : (
						<Line text={trace.first_error} most={500} className="one-line" />
					)}
					{tree.failures.length > 0 && (
						<button type="button" onClick={toFailure}>
							Show it <kbd>e</kbd>
						</button>
					)}
				</div>
			)}
			{more && (
				<dl className="properties">
					<Fact name="Recognised">{BASIS[trace.trace_basis]}</Fact>
					<Fact name="Trace">
						<code>{trace.trace_id}</code>
					</Fact>
					{trace.request_id && (
						<Fact name="Request">
							<Line className="mono" text={trace.request_id} />
						</Fact>
					)}
					{trace.sessions.map((session) => (
						<Fact key={session} name="Session">
							<Link href={link("/traces", { session, since: "all" })}>
								<Line text={session} />
							</Link>
						</Fact>
					))}
					{trace.agents.map((agent) => (
						<Fact key={agent} name="Agent">
							<Link href={link("/traces", { agent })}>
								<Line text={agent} />
							</Link>
						</Fact>
					))}
					{trace.models.length > 0 && (
						<Fact name="Models">
							<Line text={trace.models.join(", ")} />
						</Fact>
					)}
					{trace.tools.length > 0 && (
						<Fact name="Tools">
							<Line text={trace.tools.join(", ")} />
						</Fact>
					)}
					{trace.log_groups.length > 0 && (
						<Fact name="Log groups">
							<Line text={trace.log_groups.join(", ")} />
						</Fact>
					)}
				</dl>
			)}
		</section>
	);
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
	return (
		<div>
			<dt>{name}</dt>
			<dd>{children}</dd>
		</div>
	);
}
