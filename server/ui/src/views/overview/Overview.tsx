/** What happened in a stretch of time: events, errors, latency, tokens, cost; which tools, models and agents did it. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { answered, api, type Stats } from "../../api/client";
import { FIELDS, FilterBar, timeRange } from "../../shared/filters";
import { allTokens, cost, count, duration, short } from "../../shared/format";
import { Empty, ErrorNote, Loading } from "../../shared/states";
import { link, type Params, useUrlState } from "../../shared/url";
import { Chart, type Series } from "./Chart";
import { Shares } from "./Shares";
import "./overview.css";

const SHOWN = [FIELDS.agent, FIELDS.session] as const;
/** Models with a colour of their own; the others are one. */
const OWN = 5;
/** For "all time", which the API wants a beginning of: longer than anybody keeps. */
const LONGEST = "-52w";

export default function Overview() {
	const [params] = useUrlState();
	const range = timeRange(params);
	const query = {
		...range,
		since: range.since ?? LONGEST,
		...(params.agent && { agent: params.agent }),
		...(params.session && { session: params.session }),
	};
	const found = useQuery({
		queryKey: ["stats", query],
		queryFn: ({ signal }) => answered(api.GET("/api/v1/stats", { params: { query }, signal })),
		placeholderData: keepPreviousData,
		refetchInterval: 30_000,
	});
	return (
		<>
			<FilterBar fields={SHOWN} />
			<div className="overview" aria-busy={found.isFetching}>
				<h1 className="hidden">Overview</h1>
				{found.isError ? (
					<ErrorNote error={found.error} again={() => void found.refetch()} />
				) : found.isPending ? (
					<Loading what="Counting" />
				) : (
					<Figures stats={found.data} params={params} />
				)}
			</div>
		</>
	);
}

function Figures({ stats, params }: { stats: Stats; params: Params }) {
	const { total, buckets } = stats;
	const length = stats.bucket_seconds * 1000;
	const starts = buckets.map((bucket) => Date.parse(bucket.start));
	const kept = { agent: params.agent, session: params.session };
	const whole = { ...kept, since: params.since, until: params.until };
	const traces = (more: Record<string, string> = {}) => link("/traces", { ...whole, ...more });
	const at = (start: number) =>
		link("/traces", {
			...kept,
			since: new Date(start).toISOString(),
			until: new Date(start + length).toISOString(),
		});
	const chart = { starts, length, href: at };
	const models = byModel(stats);
	if (total.events === 0 && total.traces === 0) {
		return (
			<Empty title="Nothing happened in this time">
				<p>Choose a longer one, or take filters away.</p>
			</Empty>
		);
	}
	return (
		<>
			<dl className="tiles">
				<Tile name="Traces" href={traces()} value={count(total.traces)} />
				<Tile
					name="Failed"
					href={traces({ status: "error" })}
					value={count(total.failed)}
					note={total.traces ? `${((100 * total.failed) / total.traces).toFixed(1)} %` : ""}
					isBad={total.failed > 0}
				/>
				<Tile name="Events" href={link("/live", kept)} value={short(total.events)} title={count(total.events)} />
				<Tile
					name="Error events"
					href={traces({ type: "error" })}
					value={count(total.errors)}
					isBad={total.errors > 0}
				/>
				<Tile name="Latency p50" href={traces()} value={duration(total.latency_ms.p50) || "–"} />
				<Tile
					name="Latency p95"
					href={traces(longer(total.latency_ms.p95))}
					value={duration(total.latency_ms.p95) || "–"}
				/>
				<Tile
					name="Tokens"
					href={traces()}
					value={short(allTokens(total.tokens)) || "–"}
					title={`${count(total.tokens.input ?? 0)} in, ${count(total.tokens.output ?? 0)} out`}
				/>
				<Tile name="Cost" href={traces()} value={cost(total.cost_usd) || "–"} />
			</dl>
			<div className="charts">
				<Chart
					title="Traces"
					kind="bars"
					format={short}
					{...chart}
					series={[
						{ name: "failed", colour: "error", values: buckets.map((bucket) => bucket.failed) },
						{ name: "others", colour: "ok", values: buckets.map((bucket) => bucket.traces - bucket.failed) },
					]}
				/>
				<Chart
					title="Events"
					kind="bars"
					format={short}
					{...chart}
					series={[
						{ name: "errors", colour: "error", values: buckets.map((bucket) => bucket.errors) },
						{ name: "others", colour: "0", values: buckets.map((bucket) => bucket.events - bucket.errors) },
					]}
				/>
				<Chart
					title="Latency of traces"
					kind="lines"
					format={duration}
					{...chart}
					series={[
						{ name: "p50", colour: "0", values: buckets.map((bucket) => bucket.latency_ms.p50) },
						{ name: "p95", colour: "1", values: buckets.map((bucket) => bucket.latency_ms.p95) },
					]}
				/>
				<Chart title="Tokens by model" kind="bars" format={short} {...chart} series={models("tokens")} />
				<Chart title="Cost by model" kind="bars" format={cost} {...chart} series={models("cost")} />
			</div>
			<div className="shares">
				<Shares
					title="Tools"
					what="calls"
					shares={stats.tools}
					href={(name, more) => traces({ tool: name, ...more })}
				/>
				<Shares
					title="Agents"
					what="traces"
					shares={stats.agents}
					href={(name, more) => traces({ agent: name, ...more })}
				/>
				<Shares
					title="Models"
					what="calls"
					shares={stats.models}
					href={(name, more) => traces({ model: name, ...more })}
				/>
			</div>
		</>
	);
}

/** The filter of the traces that took so long or longer. */
function longer(ms: number | null): Record<string, string> {
	return ms === null ? {} : { min_duration: `${Math.max(1, Math.floor(ms))}ms` };
}

function byModel(stats: Stats) {
	return (of: "tokens" | "cost"): Series[] => {
		const amount = (share: Stats["models"][number]) => (of === "cost" ? share.cost_usd : allTokens(share.tokens)) ?? 0;
		const ranked = stats.models
			.filter((share) => amount(share) > 0)
			.sort((a, b) => amount(b) - amount(a))
			.map((share) => share.name);
		const named = ranked.slice(0, OWN);
		const value = (bucket: Stats["buckets"][number], isMeant: (name: string) => boolean) =>
			bucket.models.reduce((all, share) => all + (isMeant(share.name) ? amount(share) : 0), 0);
		const series = named.map((name, i) => ({
			name,
			colour: String(i),
			values: stats.buckets.map((bucket) => value(bucket, (each) => each === name)),
		}));
		if (ranked.length <= OWN) return series;
		const rest = (each: string) => !named.includes(each);
		return [...series, { name: "others", colour: "rest", values: stats.buckets.map((bucket) => value(bucket, rest)) }];
	};
}

interface TileProps {
	name: string;
	value: string;
	href: string;
	note?: string;
	title?: string;
	isBad?: boolean;
}

function Tile({ name, value, href, note, title, isBad }: TileProps): ReactNode {
	return (
		<div className="tile">
			<dt>{name}</dt>
			<dd>
				<Link href={href} className={isBad ? "status-error" : ""} title={title}>
					{value}
				</Link>
				{note && <span className="quiet"> {note}</span>}
			</dd>
		</div>
	);
}
