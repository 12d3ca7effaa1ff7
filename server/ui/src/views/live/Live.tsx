/** Events as they arrive: pause, filter, and marks where the connection was away. */
import { useState } from "react";
import { FIELDS, type Field, FilterBar } from "../../shared/filters";
import { count } from "../../shared/format";
import { Line } from "../../shared/inert";
import { useKeys } from "../../shared/keys";
import { usePreferences } from "../../shared/preferences";
import { Empty } from "../../shared/states";
import { type Column, Table } from "../../shared/table";
import { clock, Time } from "../../shared/time";
import { link, useUrlState } from "../../shared/url";
import { type Connection, type Gap, type Item, isGap, KEPT, useFollowed } from "./follow";
import "./live.css";

const SHOWN: readonly Field[] = [
	FIELDS.agent,
	FIELDS.type,
	FIELDS.level,
	FIELDS.tool,
	FIELDS.session,
	FIELDS.log_group,
	FIELDS.log_stream,
	FIELDS.trace,
];

const WORDS: Record<Connection, string> = {
	connecting: "Connecting…",
	open: "Connected",
	away: "The connection is away; trying again…",
};

const COLUMNS: readonly Column<Item>[] = [
	{
		id: "time",
		label: "Time",
		width: "9.5rem",
		cell: (item) => (isGap(item) ? "Connection away" : <Time at={item.timestamp} precision="milliseconds" />),
	},
	{
		id: "type",
		label: "Type",
		width: "minmax(6rem, 8rem)",
		from: 420,
		cell: (item) => (isGap(item) ? null : <Line text={item.event_type} most={40} className="event-kind" />),
	},
	{
		id: "agent",
		label: "Agent",
		width: "minmax(7rem, 11rem)",
		from: 760,
		cell: (item) => (isGap(item) ? null : <Line text={item.agent_id ?? ""} most={60} />),
	},
	{
		id: "text",
		label: "What it says",
		width: "minmax(8rem, 1fr)",
		cell: (item) => (isGap(item) ? <Away gap={item} /> : <Line text={said(item)} most={300} />),
	},
	{
		id: "group",
		label: "Log group",
		width: "minmax(8rem, 18rem)",
		from: 1200,
		cell: (item) => (isGap(item) ? null : <Line text={item.source?.log_group ?? ""} most={80} className="quiet" />),
	},
];

function said(item: Exclude<Item, Gap>): string {
	const { message } = item.properties;
	if (item.raw) return item.raw;
	return typeof message === "string" ? message : JSON.stringify(item.properties);
}

function Away({ gap }: { gap: Gap }) {
	const { zone } = usePreferences();
	const span = `${clock(gap.from, zone)} – ${clock(gap.to, zone)}`;
	return <>{gap.lost ? `${span}: some of what came then is not here` : `${span}: nothing was missed`}</>;
}

function href(item: Item): string {
	if (isGap(item)) {
		return link("/traces", { since: new Date(item.from).toISOString(), until: new Date(item.to).toISOString() });
	}
	if (!item.trace_id) return link("/search", { like: item.event_id });
	return link(`/traces/${encodeURIComponent(item.trace_id)}`, { event: item.event_id });
}

function mark(item: Item): string {
	if (isGap(item)) return item.lost ? "live-gap live-lost" : "live-gap";
	return item.event_type === "error" ? "live-error" : "";
}

export default function Live() {
	const [params] = useUrlState();
	const [paused, setPaused] = useState(false);
	const query = new URLSearchParams(
		[...SHOWN.map((field) => field.name), "q"].flatMap((name): [string, string][] =>
			params[name] ? [[name, params[name]]] : [],
		),
	).toString();
	const { items, waiting, dropped, connection, clear } = useFollowed(query, paused);
	useKeys([
		{ key: "p", does: "pause, or go on", run: () => setPaused(!paused) },
		{ key: "c", does: "clear the list", run: clear },
	]);
	return (
		<>
			<h1 className="hidden">Live</h1>
			<FilterBar fields={SHOWN} search="Text in the events" timeless>
				<span className={`connection connection-${connection}`} role="status">
					<i className="dot" aria-hidden="true" />
					{paused ? "Paused" : WORDS[connection]}
				</span>
				<button
					type="button"
					aria-pressed={paused}
					className={paused ? "primary" : ""}
					onClick={() => setPaused(!paused)}
				>
					{paused ? `Go on${waiting.length ? ` (${count(waiting.length)} waiting)` : ""}` : "Pause"}
				</button>
				<button type="button" onClick={clear} disabled={items.length === 0}>
					Clear
				</button>
			</FilterBar>
			{dropped > 0 && (
				<p className="live-note" role="status">
					{count(dropped)} more came while it was paused than this page keeps: of those the newest {count(KEPT)} are
					here.
				</p>
			)}
			{items.length === 0 ? (
				<Empty title={paused ? "Paused" : "Waiting for events"}>
					<p>They show here as the server learns of them, whatever their own times are.</p>
				</Empty>
			) : (
				<Table
					label="Events, the newest first"
					rows={items}
					columns={COLUMNS}
					id={(item) => (isGap(item) ? item.id : item.event_id)}
					href={href}
					mark={mark}
					rowHeight={28}
					foot={
						items.length === KEPT ? `The newest ${count(KEPT)}` : `${count(items.length)} since this page was opened`
					}
				/>
			)}
		</>
	);
}
