/** What a server that has no events yet shows: how they come here. It goes by itself when the first one has come. */
import { useState } from "react";

function config(): string {
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
  vectadb: {type: vectadb, endpoint: "${location.origin}"}
`;
}

export function FirstRun() {
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
					<Copyable text={config()} />
				</li>
				<li>
					<h2>See whether it may read, then run it</h2>
					<Copyable text={"vectadb-agent check --config agent.yaml\nvectadb-agent run --config agent.yaml"} />
				</li>
			</ol>
			<p className="waiting" role="status">
				<span className="spinner" aria-hidden="true" /> Waiting for the first event. This page notices it.
			</p>
		</div>
	);
}

function Copyable({ text }: { text: string }) {
	const [copied, setCopied] = useState(false);
	async function copy() {
		await navigator.clipboard.writeText(text);
		setCopied(true);
	}
	return (
		<div className="copyable">
			<pre>{text}</pre>
			<button type="button" onClick={() => void copy()}>
				{copied ? "Copied" : "Copy"}
			</button>
		</div>
	);
}
