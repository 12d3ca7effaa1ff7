/** All traces: when, what was asked, what came of it. */
import { useEffect, useState } from "react";
import { FIELDS, FilterBar, Toggles } from "../../shared/filters";
import { allTokens, cost, count, duration, short } from "../../shared/format";
import { Line } from "../../shared/inert";
import { Empty, ErrorNote, Loading } from "../../shared/states";
import { STATUSES, StatusMark } from "../../shared/status";
import { type Column, Table } from "../../shared/table";
import { Time } from "../../shared/time";
import { useUrlState } from "../../shared/url";
import { FirstRun } from "./FirstRun";
import { Histogram } from "./Histogram";
import { isFiltered, type Listed, useAnyTrace, useLive, useTraces } from "./query";
import "./traces.css";

const FILTERS = [
	FIELDS.agent,
	FIELDS.session,
	FIELDS.tool,
	FIELDS.model,
	FIELDS.type,
	FIELDS.log_group,
	FIELDS.basis,
	FIELDS.min_duration,
	FIELDS.request_id,
];

const COLUMNS: Column<Listed>[] = [
	{ id: "start", label: "Start", width: "8.8rem", cell: (trace) => <Time at={trace.start} /> },
	{ id: "status", label: "", width: "1rem", cell: (trace) => <StatusMark status={trace.status} quiet /> },
	{
		id: "name",
		label: "Agent",
		width: "minmax(7rem, 1fr)",
		from: 520,
		cell: (trace) => <Line text={trace.name} most={80} />,
	},
	{
		id: "asked",
		label: "Asked",
		width: "minmax(7rem, 2.4fr)",
		cell: (trace) => <Line text={trace.input ?? ""} most={240} />,
	},
	{
		id: "answered",
		label: "Answered",
		width: "minmax(8rem, 2.4fr)",
		from: 760,
		cell: (trace) => <Answer trace={trace} />,
	},
	{
		id: "tools",
		label: "Tools",
		width: "minmax(6rem, 1.1fr)",
		from: 1180,
		cell: (trace) => <Line className="quiet" text={trace.tools.join(", ")} most={120} />,
	},
	{ id: "duration", label: "Took", width: "4.6rem", numeric: true, cell: (trace) => duration(trace.duration_ms) },
	{
		id: "errors",
		label: "Errors",
		width: "3rem",
		from: 640,
		numeric: true,
		cell: (trace) => trace.errors > 0 && <span className="status-error">{count(trace.errors)}</span>,
	},
	{ id: "spans", label: "Spans", width: "3.2rem", from: 980, numeric: true, cell: (trace) => short(trace.spans) },
	{
		id: "tokens",
		label: "Tokens",
		width: "3.6rem",
		from: 880,
		numeric: true,
		cell: (trace) => <span title={count(allTokens(trace.tokens))}>{short(allTokens(trace.tokens))}</span>,
	},
	{ id: "cost", label: "Cost", width: "4.8rem", from: 1040, numeric: true, cell: (trace) => cost(trace.cost_usd) },
];

function Answer({ trace }: { trace: Listed }) {
	if (trace.first_error !== null && trace.status === "error") {
		return <Line className="status-error" text={trace.first_error} most={240} />;
	}
	return <Line text={trace.output ?? ""} most={240} />;
}

export default function Traces() {
	const [params, change] = useUrlState();
	const [live, setLive] = useState(false);
	const { rows, query } = useTraces(params);
	useLive(live, query.refetch);
	const isEmpty = query.isSuccess && rows.length === 0 && !query.hasNextPage;
	const any = useAnyTrace(isEmpty && !isFiltered(params));
	const { refetch } = query;
	useEffect(() => {
		if (any) void refetch();
	}, [any, refetch]);
	if (any === false && !isFiltered(params)) return <FirstRun />;
	return (
		<div className="traces">
			<FilterBar fields={FILTERS} search="Asked, answered or error">
				<Toggles name="status" label="Status" options={STATUSES} />
				<button type="button" aria-pressed={live} className="live" onClick={() => setLive(!live)}>
					<i className="dot" aria-hidden="true" /> Live
				</button>
			</FilterBar>
			<Histogram params={params} change={change} live={live} listed={!query.isPending} />
			{query.isPending ? (
				<Loading what="Looking for traces" />
			) : query.isError && rows.length === 0 ? (
				<ErrorNote error={query.error} again={() => void query.refetch()} />
			) : isEmpty ? (
				<Empty title="No traces here">
					<p>Nothing that these filters let through{params.since === "all" ? "." : ", in this time."}</p>
					<div>
						{params.since !== "all" && (
							<button type="button" onClick={() => change({ since: "all", until: null })}>
								Look at all time
							</button>
						)}{" "}
						{isFiltered(params) && (
							<button
								type="button"
								onClick={() => change(Object.fromEntries(Object.keys(params).map((name) => [name, null])))}
							>
								Clear the filters
							</button>
						)}
					</div>
				</Empty>
			) : (
				<>
					{query.isError && <ErrorNote error={query.error} again={() => void query.refetch()} />}
					<Table
						label="Traces, newest first"
						rows={rows}
						columns={COLUMNS}
						id={(trace) => trace.trace_id}
						href={(trace) => `/traces/${trace.trace_id}`}
						mark={(trace) => (trace.status === "error" ? "row-error" : "")}
						more={query.hasNextPage && !query.isError ? query.fetchNextPage : undefined}
						foot={query.hasNextPage && query.isError ? "There are more, which could not be read." : undefined}
					/>
				</>
			)}
		</div>
	);
}
