/** What a server that has no traces yet shows: how they come here. It goes by itself when the first one has come. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { answered, api } from "../../api/client";
import { Copy } from "../../shared/copy";
import { useMe } from "../../shared/session";
import { link } from "../../shared/url";

function config(keyed: boolean): string {
	const key = keyed ? `, api_key: "\${VECTADB_API_KEY}"` : "";
	return `agent: {state_dir: ./state}
pipelines:
  my-agent:
    source:
      type: cloudwatch
      region: eu-central-1
      log_groups: [/aws/lambda/my-agent]
      lookback: 1h
    sinks: [vectadb]
sinks:
  vectadb: {type: vectadb, endpoint: "${location.origin}"${key}}
`;
}

function byHand(keyed: boolean): string {
	const key = keyed ? ` -H "Authorization: Bearer $VECTADB_API_KEY"` : "";
	const event = { timestamp: new Date().toISOString(), event_type: "query", trace_id: "try", raw: "Hello?" };
	return `curl ${location.origin}/api/v1/events -H 'Content-Type: application/json'${key} \\
  -d '${JSON.stringify(event)}'`;
}

export function FirstRun() {
	const { data: me } = useMe();
	const keyed = me?.keys_needed ?? false;
	return (
		<div className="first-run">
			<h1>No events yet</h1>
			<p className="quiet">Three steps from here to your agent's traces:</p>
			<ol>
				<li>
					<h2>Install the agent where AWS credentials are</h2>
					<Copyable text="pip install vectadb-agent vectadb-agent-cloudwatch vectadb-agent-parsers vectadb-agent-sinks" />
				</li>
				<li>
					<h2>
						Write <code>agent.yaml</code>, with your region and log group
					</h2>
					<Copyable text={config(keyed)} />
					{keyed && (
						<p className="quiet">
							<code>VECTADB_API_KEY</code> is a key with the scope ingest:{" "}
							{me?.scopes.includes("admin") ? <Link href="/status">make one</Link> : "ask an admin for one"}.
						</p>
					)}
				</li>
				<li>
					<h2>See whether it may read, then run it</h2>
					<Copyable text={"vectadb-agent check --config agent.yaml\nvectadb-agent run --config agent.yaml"} />
					<details>
						<summary className="quiet">Only trying? Send one event by hand</summary>
						<Copyable text={byHand(keyed)} />
					</details>
				</li>
			</ol>
			<Arrival />
		</div>
	);
}

/** Waits for the first event. Where it makes no trace of its own (a plain log line), it says where it is. */
function Arrival() {
	const { data: arrived } = useQuery({
		queryKey: ["any event"],
		queryFn: async ({ signal }) => {
			const query = { limit: 1, fields: "event_id" };
			return (await answered(api.GET("/api/v1/events", { params: { query }, signal }))).events.length > 0;
		},
		refetchInterval: (query) => (query.state.data ? false : 2000),
	});
	return (
		<p className="waiting" role="status">
			{arrived ? (
				<span>
					<b>The first event is here.</b> Its trace follows in a moment. Lines that say nothing of a run make no trace
					of their own: they are <Link href="/live">live</Link>, and{" "}
					<Link href={link("/traces", { basis: "time_window" })}>in quarters of an hour</Link>.
				</span>
			) : (
				<>
					<span className="spinner" aria-hidden="true" /> Waiting for the first event. This page notices it.
				</>
			)}
		</p>
	);
}

function Copyable({ text }: { text: string }) {
	return (
		<div className="copyable">
			<pre>{text}</pre>
			<Copy text={text} />
		</div>
	);
}
