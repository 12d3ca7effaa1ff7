/** The filter bar: every filter is a parameter of the URL, named as the API's. Filters combine. */
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { answered, api, type Trace } from "../api/client";
import { useKeys } from "./keys";
import { usePreferences } from "./preferences";
import { moment } from "./time";
import type { Params } from "./url";
import { useUrlState } from "./url";

/** A filter: its parameter, its name in words, and what may be chosen or is proposed. */
export interface Field {
	name: string;
	label: string;
	/** What may be chosen; otherwise any text. */
	options?: readonly string[];
	/** What is proposed while one types. */
	proposed?: "agents" | "tools" | "models";
	placeholder?: string;
}

export const EVENT_TYPES = [
	"invocation_start",
	"invocation_end",
	"agent_start",
	"agent_end",
	"chain_start",
	"chain_end",
	"llm_start",
	"llm_end",
	"tool_call",
	"tool_result",
	"agent_action",
	"agent_thought",
	"agent_finish",
	"query",
	"retrieval",
	"message",
	"error",
	"log",
] as const;

/** What makes a trace one. Quarters of an hour of a stream (`time_window`) are listed only if asked for. */
export const BASES = [
	"trace_id",
	"request_id",
	"session_id",
	"invocation",
	"run",
	"time_window",
	"event",
] as const satisfies readonly Trace["trace_basis"][];

/** The filters that several views have. A view takes those that its route knows. */
export const FIELDS = {
	agent: { name: "agent", label: "Agent", proposed: "agents" },
	session: { name: "session", label: "Session" },
	tool: { name: "tool", label: "Tool", proposed: "tools" },
	model: { name: "model", label: "Model", proposed: "models" },
	type: { name: "type", label: "Event type", options: EVENT_TYPES },
	log_group: { name: "log_group", label: "Log group", placeholder: "/aws/lambda/…" },
	log_stream: { name: "log_stream", label: "Log stream" },
	request_id: { name: "request_id", label: "Request" },
	trace: { name: "trace", label: "Trace" },
	basis: { name: "basis", label: "Recognised by", options: BASES },
	level: { name: "level", label: "Level", options: ["debug", "info", "warning", "error", "critical"] },
	min_duration: { name: "min_duration", label: "Longer than", placeholder: "500ms, 30s, 2m" },
} as const satisfies Record<string, Field>;

const RANGES: [since: string, label: string][] = [
	["-15m", "Last 15 minutes"],
	["-1h", "Last hour"],
	["-6h", "Last 6 hours"],
	["-24h", "Last 24 hours"],
	["-7d", "Last 7 days"],
	["-30d", "Last 30 days"],
	["all", "All time"],
];
/** Where the URL names no time. */
export const USUAL_SINCE = "-7d";

/** The stretch of time as the API takes it; `all` is none. */
export function timeRange(params: Params): { since?: string; until?: string } {
	const since = params.since ?? USUAL_SINCE;
	return { ...(since !== "all" && { since }), ...(params.until && { until: params.until }) };
}

interface Props {
	fields: readonly Field[];
	/** What the text box looks for; absent: there is none. */
	search?: string;
	/** Parameter of the text box. */
	searchName?: string;
	/** Without the choice of time. */
	timeless?: boolean;
	/** More controls, at the end of the bar. */
	children?: ReactNode;
}

export function FilterBar({ fields, search, searchName = "q", timeless, children }: Props) {
	const [params, change] = useUrlState();
	const [editing, setEditing] = useState<string | null>(null);
	const given = fields.filter((field) => params[field.name]);
	const free = fields.filter((field) => !params[field.name]);
	const edited = fields.find((field) => field.name === editing);
	return (
		<search className="filters">
			{search && (
				<SearchBox label={search} value={params[searchName] ?? ""} onChange={(q) => change({ [searchName]: q })} />
			)}
			{!timeless && <TimeRange />}
			{given
				.filter((field) => field.name !== editing)
				.map((field) => (
					<span className="chip" key={field.name}>
						<button type="button" onClick={() => setEditing(field.name)} title="Change this filter">
							<span className="quiet">{field.label}</span> <bdi>{params[field.name]}</bdi>
						</button>
						<button
							type="button"
							aria-label={`Remove the filter ${field.label}`}
							onClick={() => change({ [field.name]: null })}
						>
							×
						</button>
					</span>
				))}
			{edited && (
				<FieldEditor
					key={edited.name}
					field={edited}
					value={params[edited.name] ?? ""}
					done={(value) => {
						setEditing(null);
						if (value !== null) change({ [edited.name]: value.trim() });
					}}
				/>
			)}
			{free.length > 0 && !edited && (
				<select aria-label="Add a filter" className="add" value="" onChange={(event) => setEditing(event.target.value)}>
					<option value="">+ Filter</option>
					{free.map((field) => (
						<option key={field.name} value={field.name}>
							{field.label}
						</option>
					))}
				</select>
			)}
			{given.length > 1 && (
				<button
					type="button"
					className="plain"
					onClick={() => change(Object.fromEntries(given.map((field) => [field.name, null])))}
				>
					Clear
				</button>
			)}
			{children}
		</search>
	);
}

/** A text box that tells of its text as one types, a moment after the last key. `/` goes there. */
export function SearchBox({
	label,
	value,
	onChange,
}: {
	label: string;
	value: string;
	onChange: (text: string) => void;
}) {
	const input = useRef<HTMLInputElement>(null);
	const [text, setText] = useState(value);
	const told = useRef(value);
	useEffect(() => {
		// Changed from outside: the back button, or a link.
		if (value !== told.current) {
			told.current = value;
			setText(value);
		}
	}, [value]);
	useEffect(() => {
		if (text === told.current) return;
		const timer = setTimeout(() => {
			told.current = text;
			onChange(text);
		}, 250);
		return () => clearTimeout(timer);
	}, [text, onChange]);
	useKeys([{ key: "/", does: "search", run: () => input.current?.select() }]);
	return (
		<input
			ref={input}
			type="search"
			className="search"
			aria-label={label}
			placeholder={`${label}  /`}
			value={text}
			onChange={(event) => setText(event.target.value)}
		/>
	);
}

function FieldEditor({ field, value, done }: { field: Field; value: string; done: (value: string | null) => void }) {
	const [text, setText] = useState(value);
	const list = useId();
	const proposed = useProposed(field.proposed);
	const input = useRef<HTMLInputElement & HTMLSelectElement>(null);
	useEffect(() => input.current?.focus(), []);
	function onKeyDown(event: { key: string; preventDefault: () => void; stopPropagation: () => void }) {
		if (event.key === "Escape") {
			event.stopPropagation();
			done(null);
		} else if (event.key === "Enter") {
			event.preventDefault();
			done(text);
		}
	}
	return (
		<span className="chip editing">
			<label className="quiet" htmlFor={`${list}-value`}>
				{field.label}
			</label>
			{field.options ? (
				<select
					ref={input}
					id={`${list}-value`}
					value={text}
					onChange={(event) => done(event.target.value)}
					onKeyDown={onKeyDown}
					onBlur={() => done(text)}
				>
					<option value="">any</option>
					{field.options.map((option) => (
						<option key={option}>{option}</option>
					))}
				</select>
			) : (
				<>
					<input
						ref={input}
						id={`${list}-value`}
						value={text}
						list={field.proposed && list}
						placeholder={field.placeholder}
						onChange={(event) => setText(event.target.value)}
						onKeyDown={onKeyDown}
						onBlur={() => done(text)}
					/>
					{field.proposed && (
						<datalist id={list}>
							{proposed.map((name) => (
								<option key={name} value={name} />
							))}
						</datalist>
					)}
				</>
			)}
		</span>
	);
}

/** Names of the last week's agents, tools or models. */
function useProposed(kind: Field["proposed"]): readonly string[] {
	const found = useQuery({
		queryKey: ["proposed"],
		queryFn: ({ signal }) => answered(api.GET("/api/v1/stats", { params: { query: { since: "-7d" } }, signal })),
		enabled: kind !== undefined,
		staleTime: 60_000,
		retry: false,
	});
	return kind && found.data ? found.data[kind].map((share) => share.name) : [];
}

/** From a time of `datetime-local` to RFC 3339 and back, in the reader's zone. */
function asTyped(value: string | undefined, utc: boolean): string {
	const at = Date.parse(value ?? "");
	if (Number.isNaN(at)) return "";
	return new Date(at - (utc ? 0 : new Date(at).getTimezoneOffset() * 60_000)).toISOString().slice(0, 19);
}

function fromTyped(text: string, utc: boolean): string | null {
	const at = Date.parse(utc ? `${text}Z` : text);
	return Number.isNaN(at) ? null : new Date(at).toISOString();
}

function TimeRange() {
	const [params, change] = useUrlState();
	const { zone } = usePreferences();
	const [custom, setCustom] = useState(false);
	const since = params.since ?? USUAL_SINCE;
	const isKnown = RANGES.some(([value]) => value === since) && !params.until;
	const words = (text: string | undefined, none: string) => {
		const at = Date.parse(text ?? "");
		return Number.isNaN(at) ? (text ?? none) : moment(at, zone, "seconds");
	};
	const utc = zone === "utc";
	function choose(value: string) {
		if (value === "custom") {
			setCustom(true);
			return;
		}
		setCustom(false);
		change({ since: value === USUAL_SINCE ? null : value, until: null });
	}
	return (
		<>
			<select
				aria-label="Time"
				value={isKnown && !custom ? since : "custom"}
				onChange={(event) => choose(event.target.value)}
			>
				{RANGES.map(([value, label]) => (
					<option key={value} value={value}>
						{label}
					</option>
				))}
				<option value="custom">
					{isKnown
						? "From … to …"
						: `${words(since === "all" ? undefined : since, "…")} – ${words(params.until, "now")}`}
				</option>
			</select>
			{custom && (
				<span className="chip editing">
					<label>
						<span className="quiet">from</span>{" "}
						<input
							type="datetime-local"
							step="1"
							defaultValue={asTyped(params.since, utc)}
							onChange={(event) => change({ since: fromTyped(event.target.value, utc) })}
						/>
					</label>
					<label>
						<span className="quiet">to</span>{" "}
						<input
							type="datetime-local"
							step="1"
							defaultValue={asTyped(params.until, utc)}
							onChange={(event) => change({ until: fromTyped(event.target.value, utc) })}
						/>
					</label>
					<button type="button" aria-label="Done" onClick={() => setCustom(false)}>
						✓
					</button>
				</span>
			)}
		</>
	);
}

/** Some of a few words, each a button that is on or off; a comma list in the URL. */
export function Toggles({ name, label, options }: { name: string; label: string; options: readonly string[] }) {
	const [params, change] = useUrlState();
	const on = new Set((params[name] ?? "").split(",").filter(Boolean));
	function toggle(option: string) {
		const next = options.filter((each) => (each === option ? !on.has(each) : on.has(each)));
		change({ [name]: next.join(",") });
	}
	return (
		<fieldset className="toggles" aria-label={label}>
			{options.map((option) => (
				<button
					key={option}
					type="button"
					aria-pressed={on.has(option)}
					className={`status-${option}`}
					onClick={() => toggle(option)}
				>
					<i className="dot" aria-hidden="true" />
					{option}
				</button>
			))}
		</fieldset>
	);
}
