/** One box, by words and by meaning: the best events, with the words marked and what stands around each. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { answered, api, type Event, type Result } from "../../api/client";
import { FIELDS, FilterBar, SearchBox, timeRange } from "../../shared/filters";
import { Line, Prose } from "../../shared/inert";
import { useKeys } from "../../shared/keys";
import { Empty, ErrorNote, Loading } from "../../shared/states";
import { Time } from "../../shared/time";
import { link, useUrlState } from "../../shared/url";
import { Around } from "./Around";
import { Highlighted } from "./Highlighted";
import "./search.css";

const MODES = [
	["hybrid", "Words and meaning"],
	["text", "Words"],
	["semantic", "Meaning"],
] as const;
type Mode = (typeof MODES)[number][0];
const SHOWN = ["agent", "session", "type", "log_group", "log_stream", "trace"] as const;
const MOST = 50;

/** Where an event is in its trace; without a trace, the list of what was said near it. */
export function placeOf(event: Pick<Event, "event_id" | "trace_id">): string {
	return event.trace_id ? link(`/traces/${encodeURIComponent(event.trace_id)}`, { event: event.event_id }) : "/traces";
}

export default function Search() {
	const [params, change] = useUrlState();
	const mode = MODES.find(([name]) => name === params.mode)?.[0] ?? "hybrid";
	const query = (params.q ?? "").trim();
	const like = params.like;
	const filters = Object.fromEntries(SHOWN.flatMap((name) => (params[name] ? [[name, params[name]]] : [])));
	const asked = { ...(like ? { like } : { query }), mode, filters: { ...filters, ...timeRange(params) }, limit: MOST };
	const found = useQuery({
		queryKey: ["search", asked],
		queryFn: ({ signal }) => answered(api.POST("/api/v1/search", { body: asked, signal })),
		enabled: Boolean(like || query),
		placeholderData: (before) => before,
	});
	const results = found.data?.results ?? [];
	return (
		<div className="search-view">
			<h1 className="hidden">Search</h1>
			<FilterBar fields={SHOWN.map((name) => FIELDS[name])}>
				<select
					aria-label="How to search"
					value={mode}
					onChange={(event) => change({ mode: event.target.value === "hybrid" ? null : event.target.value })}
				>
					{MODES.map(([name, label]) => (
						<option key={name} value={name}>
							{label}
						</option>
					))}
				</select>
			</FilterBar>
			<div className="search-box">
				<SearchBox
					label="What are you looking for?"
					value={params.q ?? ""}
					onChange={(q) => change({ q, like: null }, { replace: true })}
				/>
			</div>
			{like && <Likeness id={like} end={() => change({ like: null })} />}
			{found.isError ? (
				<ErrorNote error={found.error} again={() => void found.refetch()} />
			) : !like && !query ? (
				<Empty title="Search everything your agents said and did">
					<p>
						In plain words or in the log's own: <i>why did the refund fail</i>, <i>timeout</i>, an id, a tool's name.
					</p>
				</Empty>
			) : found.isPending ? (
				<Loading what="Searching" />
			) : (
				<>
					{found.data.notice && (
						<p className="notice" role="status">
							{found.data.notice}
						</p>
					)}
					<Results results={results} mode={mode} waiting={found.isPlaceholderData} />
				</>
			)}
		</div>
	);
}

function Results({ results, mode, waiting }: { results: readonly Result[]; mode: Mode; waiting: boolean }) {
	const [at, setAt] = useState(-1);
	const [, navigate] = useLocation();
	// biome-ignore lint/correctness/useExhaustiveDependencies: other results are gone through from the top
	useEffect(() => setAt(-1), [results]);
	function move(to: number) {
		const next = Math.max(0, Math.min(results.length - 1, to));
		setAt(next);
		document.getElementById(`result-${next}`)?.scrollIntoView({ block: "nearest" });
	}
	const current = results[at];
	useKeys([
		{ key: "j", does: "next result", run: () => move(at + 1) },
		{ key: "k", does: "result before", run: () => move(at - 1) },
		{ key: "Enter", does: "open the result in its trace", run: () => current && navigate(placeOf(current.event)) },
	]);
	if (results.length === 0) {
		return (
			<Empty title="Nothing found">
				<p>A longer time, fewer filters or other words may find something.</p>
			</Empty>
		);
	}
	const best = Math.max(...results.map((result) => result.score), Number.MIN_VALUE);
	return (
		<ol className={waiting ? "results waiting" : "results"} aria-label="Results" aria-busy={waiting}>
			{results.map((result, index) => (
				<Found
					key={result.event.event_id}
					id={`result-${index}`}
					result={result}
					share={result.score / best}
					mode={mode}
					isCurrent={index === at}
				/>
			))}
			<li className="quiet results-end">
				{results.length < MOST ? `${results.length} found` : `The best ${MOST}. Narrower words or filters find others.`}
			</li>
		</ol>
	);
}

interface FoundProps {
	id: string;
	result: Result;
	/** Its score, of the best one's. */
	share: number;
	mode: Mode;
	isCurrent: boolean;
}

function Found({ id, result, share, mode, isCurrent }: FoundProps) {
	const { event, highlights } = result;
	const [open, setOpen] = useState(false);
	const isError = event.event_type === "error";
	return (
		<li id={id} className={isError ? "result result-error" : "result"} aria-current={isCurrent || undefined}>
			<div className="result-head">
				<span className={isError ? "event-type status-error" : "event-type"}>
					<Line text={event.event_type} most={40} />
				</span>
				{event.agent_id && (
					<Link href={link("/search", { q: "", agent: event.agent_id })} className="quiet">
						<Line text={event.agent_id} most={60} />
					</Link>
				)}
				<span className="quiet">
					<Time at={event.timestamp} />
				</span>
				<span className="score quiet" title={`score, ${mode}: comparable within these results only`}>
					<meter min={0} max={1} value={share} aria-hidden="true" />
					<span className="hidden">score </span>
					{result.score.toPrecision(2)}
				</span>
			</div>
			{highlights.length > 0 ? (
				highlights.map((highlight) => <Highlighted key={`${highlight.field}${highlight.text}`} highlight={highlight} />)
			) : (
				<Prose text={(event.raw ?? "").slice(0, 400)} />
			)}
			<div className="result-foot">
				{event.trace_id && <Link href={placeOf(event)}>Open in its trace</Link>}
				{event.trace_id && (
					<button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
						{open ? "Hide what is around it" : "What is around it"}
					</button>
				)}
				<Link href={link("/search", { like: event.event_id })}>Similar to this</Link>
			</div>
			{open && event.trace_id && <Around event={event} />}
		</li>
	);
}

/** What the results are like. */
function Likeness({ id, end }: { id: string; end: () => void }) {
	const found = useQuery({
		queryKey: ["event", id],
		queryFn: ({ signal }) =>
			answered(api.GET("/api/v1/events/{event_id}", { params: { path: { event_id: id } }, signal })),
	});
	return (
		<div className="likeness">
			<span className="quiet">Similar to</span> <Line text={found.data?.raw ?? id} most={160} />
			<button type="button" onClick={end}>
				Back to words
			</button>
		</div>
	);
}
