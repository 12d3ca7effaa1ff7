/** The selected span: what it was given and returned, why it failed, what led to it, and its log lines. */
import { useMemo } from "react";
import type { Event, Trace, WholeTrace } from "../../api/client";
import { allTokens, cost, count, duration } from "../../shared/format";
import { Line, Logged, Prose } from "../../shared/inert";
import { Json, Value } from "../../shared/json";
import { ErrorNote, Loading } from "../../shared/states";
import { KindMark, StatusMark } from "../../shared/status";
import { Time } from "../../shared/time";
import { MANY_EVENTS, useEvents } from "./query";
import { causes, type Row } from "./tree";
import { consoleLink } from "./words";

interface Props {
	row: Row;
	trace: Trace;
	whole: WholeTrace | undefined;
	select: (span: string) => void;
	close: () => void;
}

/** Lines of a span shown at first. */
const LINES = 100;

export function Detail({ row, trace, whole, select, close }: Props) {
	const { span } = row;
	const isLarge = trace.events > MANY_EVENTS;
	const ids = useMemo(() => span.event_ids.slice(0, LINES), [span.event_ids]);
	const asked = useEvents(ids, isLarge);
	const full = useMemo(() => whole?.spans.find((each) => each.span_id === span.span_id), [whole, span.span_id]);
	const held = useMemo(() => {
		if (!whole) return undefined;
		const wanted = new Set(ids);
		return whole.events.filter((event) => wanted.has(event.event_id));
	}, [whole, ids]);
	const events = isLarge ? asked.data : held;
	const tokens = allTokens(span.tokens);
	return (
		<aside className="detail" aria-label="The selected span">
			<header>
				<KindMark kind={span.kind} />
				<h2>
					<Line text={span.name} most={200} />
				</h2>
				<StatusMark status={span.status} />
				<button type="button" className="close" aria-label="Close" onClick={close}>
					×
				</button>
			</header>
			<p className="facts">
				<span>
					<Time at={Date.parse(trace.start) + span.from} precision="milliseconds" />
				</span>
				<span>{span.duration_ms === null ? "not ended" : duration(span.duration_ms)}</span>
				{full?.model && <Line text={full.model} most={80} />}
				{tokens !== null && (
					<span>
						{count(span.tokens.input ?? 0)} in, {count(span.tokens.output ?? 0)} out
					</span>
				)}
				{span.cost_usd !== null && <span>{cost(span.cost_usd)}</span>}
			</p>
			{full?.error && (
				<section className="failed">
					<h3>Error</h3>
					<Prose text={full.error} mono />
				</section>
			)}
			{full && full.input !== null && full.input !== undefined && (
				<section>
					<h3>Input</h3>
					<Value value={full.input} />
				</section>
			)}
			{full && full.output !== null && full.output !== undefined && full.output !== full.error && (
				<section>
					<h3>Output</h3>
					<Value value={full.output} />
				</section>
			)}
			<Causes row={row} select={select} />
			{events ? (
				<Lines events={events} all={span.event_ids.length} />
			) : asked.isError ? (
				<ErrorNote error={asked.error} again={() => void asked.refetch()} />
			) : (
				<Loading what="Reading its lines" />
			)}
		</aside>
	);
}

function Causes({ row, select }: { row: Row; select: (span: string) => void }) {
	const found = causes(row);
	if (found.length === 0) return null;
	return (
		<section>
			<h3>What led to it</h3>
			<ol className="causes">
				{found.map(({ row: cause, how }) => (
					<li key={cause.span.span_id}>
						<span className="quiet">{how}</span>
						<button type="button" onClick={() => select(cause.span.span_id)}>
							<KindMark kind={cause.span.kind} /> <Line text={cause.span.name} most={80} />
						</button>
					</li>
				))}
			</ol>
		</section>
	);
}

function Lines({ events, all }: { events: readonly Event[]; all: number }) {
	return (
		<section>
			<h3>Log lines</h3>
			{events.map((event) => (
				<LogEvent key={event.event_id} event={event} />
			))}
			{all > events.length && <p className="quiet">and {count(all - events.length)} more events</p>}
		</section>
	);
}

export function LogEvent({ event }: { event: Event }) {
	const aws = consoleLink(event.source);
	const hasProperties = Object.keys(event.properties).length > 0;
	return (
		<article className="log-event">
			<div className="quiet log-head">
				<Time at={event.timestamp} precision="milliseconds" />
				<Line text={event.event_type} most={60} />
				{aws && (
					<a href={aws} target="_blank" rel="noopener noreferrer">
						CloudWatch ↗
					</a>
				)}
			</div>
			{event.raw !== null && <Logged text={event.raw} />}
			{hasProperties && (
				<details>
					<summary>Properties</summary>
					<Json value={event.properties} />
				</details>
			)}
			{event.source && (
				<details>
					<summary>Where it was logged</summary>
					<Json value={event.source} />
				</details>
			)}
		</article>
	);
}
