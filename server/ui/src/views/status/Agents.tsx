/** What agents reported last: of each log group, up to where it is read, and up to where nothing is missing. */
import type { Details } from "../../api/client";
import { duration } from "../../shared/format";
import { Line } from "../../shared/inert";
import { Time } from "../../shared/time";

type Report = NonNullable<Details["agents"]>[number];
/** Agents report every quarter of a minute; one that has not for so long is away. */
const AWAY_MS = 60_000;

export function Agents({ agents }: { agents: Details["agents"] }) {
	return (
		<section className="panel" aria-label="Agents">
			<h2>Agents</h2>
			{agents === null ? (
				<p className="quiet">What they reported cannot be told now: the record does not answer.</p>
			) : agents.length === 0 ? (
				<p className="quiet">
					None has reported. An agent does every 15 seconds, through its <code>vectadb</code> sink.
				</p>
			) : (
				agents.map((report) => <Agent key={report.agent} report={report} />)
			)}
		</section>
	);
}

function Agent({ report }: { report: Report }) {
	const silent = Date.now() - Date.parse(report.at);
	const isAway = silent > AWAY_MS;
	return (
		<div className="agent">
			<h3 className={isAway || report.reasons.length > 0 ? "status-error" : "status-ok"}>
				<Line text={report.agent} most={120} />
				<span className="quiet">
					{" "}
					{report.version} · {isAway ? `silent for ${duration(silent)}` : "running"}
				</span>
			</h3>
			{report.reasons.map((reason) => (
				<p key={reason} className="warning">
					<Line text={reason} most={500} />
				</p>
			))}
			{report.readings.length > 0 && (
				<div className="scroll" role="region" aria-label={`Log groups of ${report.agent}`} tabIndex={0}>
					<table>
						<thead>
							<tr>
								<th scope="col">Log group</th>
								<th scope="col">Complete through</th>
								<th scope="col">Read through</th>
								<th scope="col">Pipeline</th>
							</tr>
						</thead>
						<tbody>
							{report.readings.map((reading) => (
								<tr key={`${reading.pipeline} ${reading.partition}`}>
									<th scope="row">
										<Line text={reading.partition} most={120} />
									</th>
									<td>
										<Complete through={reading.complete_through ?? {}} />
									</td>
									<td>
										{reading.read_through ? <Time at={reading.read_through} /> : <span className="quiet">–</span>}
									</td>
									<td className="quiet">
										<Line text={reading.pipeline} most={60} />
									</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
		</div>
	);
}

/** The latest of what the sweeps say; the others are in the title. */
function Complete({ through }: { through: Record<string, string> }) {
	const ages = Object.entries(through).sort(([a], [b]) => Number(a) - Number(b));
	const latest = ages[0];
	if (!latest) return <span className="quiet">not swept yet</span>;
	const title = ages.map(([age, at]) => `read again after ${duration(Number(age) * 1000)}: ${at}`).join("\n");
	return (
		<span title={title}>
			<Time at={latest[1]} />
		</span>
	);
}
