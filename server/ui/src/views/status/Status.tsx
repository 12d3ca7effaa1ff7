/** How the server and its agents are, and, for admins, the API keys. */
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { answered, api, type Details } from "../../api/client";
import { count, duration } from "../../shared/format";
import { useMe } from "../../shared/session";
import { ErrorNote, Loading } from "../../shared/states";
import { Time } from "../../shared/time";
import { Agents } from "./Agents";
import { Keys } from "./Keys";
import "./status.css";

const EVERY_MS = 5_000;

export default function Status() {
	const { data: me } = useMe();
	const found = useQuery({
		queryKey: ["details"],
		queryFn: ({ signal }) => answered(api.GET("/health/details", { signal })),
		refetchInterval: EVERY_MS,
	});
	return (
		<div className="health">
			<h1>Health</h1>
			{found.isError && <ErrorNote error={found.error} again={() => void found.refetch()} />}
			{found.isPending && <Loading />}
			{found.data && (
				<>
					{found.data.warnings.map((warning) => (
						<Warning key={warning.of} text={warning.message} />
					))}
					<Engines details={found.data} />
					<Capacity details={found.data} />
					<Agents agents={found.data.agents} />
				</>
			)}
			{me?.scopes.includes("admin") && <Keys />}
		</div>
	);
}

function Warning({ text }: { text: string }) {
	const [said, next] = text.split(/\bNext: /);
	return (
		<div className="warning" role="alert">
			{said}
			{next && (
				<p>
					<b>Next:</b> {next}
				</p>
			)}
		</div>
	);
}

function Engines({ details }: { details: Details }) {
	const { record, search, indexer } = details.engines;
	return (
		<section aria-label="Engines" className="cards">
			<Engine name="Record" engine={record} note={details.events === null ? null : `${count(details.events)} events`}>
				{details.days !== null && `in ${count(details.days)} ${details.days === 1 ? "day" : "days"}`}
			</Engine>
			<Engine name="Search" engine={search} note={`${count(details.search_documents)} documents`} />
			<Engine
				name="Indexer"
				engine={indexer}
				note={indexer.pending ? `${count(indexer.pending)} steps to do` : "Nothing to do"}
			>
				{indexer.pending ? `${duration((indexer.lag_seconds ?? 0) * 1000)} behind` : ""}
				{!details.indexing_here && " Another server indexes."}
			</Engine>
			<Card name="Kept" note={details.horizon ? <Time at={details.horizon} full precision="minutes" /> : "Everything"}>
				{details.horizon ? "What is older is gone." : ""}
				{details.retain_seconds
					? ` Events are kept for ${count(Math.round(details.retain_seconds / 86_400))} days.`
					: ""}
			</Card>
		</section>
	);
}

interface EngineProps {
	name: string;
	engine: Details["engines"]["record"];
	note: ReactNode;
	children?: ReactNode;
}

function Engine({ name, engine, note, children }: EngineProps) {
	const isOk = engine.status === "ok";
	return (
		<Card name={name} note={isOk ? note : "Unavailable"} mark={isOk ? "ok" : "error"}>
			{isOk ? children : engine.error}
		</Card>
	);
}

interface CardProps {
	name: string;
	note: ReactNode;
	mark?: "ok" | "error";
	children?: ReactNode;
}

function Card({ name, note, mark, children }: CardProps) {
	return (
		<div className={mark === "error" ? "card card-error" : "card"}>
			<h2>
				{mark && (
					<span className={`status-${mark}`} title={mark}>
						<span aria-hidden="true">{mark === "ok" ? "✓" : "✕"}</span>
						<span className="hidden">{mark}</span>
					</span>
				)}{" "}
				{name}
			</h2>
			<p className="card-note">{note}</p>
			<p className="quiet">{children}</p>
		</div>
	);
}

const USES: Record<Details["capacity"][number]["of"], { name: string; isBytes: boolean }> = {
	events: { name: "Events in the record", isBytes: false },
	day: { name: "Events of the busiest day", isBytes: false },
	disk: { name: "Disk", isBytes: true },
	memory: { name: "Memory", isBytes: true },
};

function bytes(value: number): string {
	const units = ["B", "KB", "MB", "GB", "TB"];
	const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3));
	return `${(value / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

function Capacity({ details }: { details: Details }) {
	if (details.capacity.length === 0) return null;
	return (
		<section className="panel" aria-label="Capacity">
			<h2>Capacity</h2>
			<table>
				<tbody>
					{details.capacity.map((use) => {
						const { name, isBytes } = USES[use.of];
						const share = use.used / Math.max(1, use.most);
						const write = isBytes ? bytes : count;
						return (
							<tr key={use.of}>
								<th scope="row">{name}</th>
								<td className="capacity-bar">
									<meter
										aria-label={name}
										min={0}
										max={1}
										low={0.8}
										high={0.95}
										optimum={0}
										value={share}
										title={`${(100 * share).toFixed(1)} %`}
									/>
								</td>
								<td className="numeric">
									{write(use.used)} <span className="quiet">of {write(use.most)}</span>
								</td>
							</tr>
						);
					})}
				</tbody>
			</table>
			<p className="quiet">
				{Object.entries(details.stored_bytes)
					.map(([store, size]) => `${store}: ${bytes(size)} on disk`)
					.join(" · ")}
				{details.free_bytes !== null && ` · ${bytes(details.free_bytes)} free`}
			</p>
		</section>
	);
}
