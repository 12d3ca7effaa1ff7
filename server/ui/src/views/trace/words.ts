/** What the view says in words, and the way to the log in AWS's console. */
import type { Event, Trace } from "../../api/client";

/** Why these events are one trace. */
export const BASIS: Record<Trace["trace_basis"], string> = {
	trace_id: "One trace because its events carry the same trace id.",
	request_id: "One trace because its log lines carry the same request id.",
	session_id: "One trace because its events carry the same session id, and nothing narrower.",
	invocation: "One trace because its lines stand between START and END of one Lambda invocation.",
	run: "One trace because its lines stand between the beginning and the end of one agent's run, in one log stream.",
	time_window:
		"No id and no run was recognised: these are simply the lines of a quarter of an hour of one agent or stream.",
	event: "A single event that belongs to nothing else.",
	none: "These events belong to no trace.",
};

/** Names it as AWS's console does: percent signs twice encoded, as dollars. */
function encoded(text: string): string {
	return encodeURIComponent(encodeURIComponent(text.replace(/[\ud800-\udfff]/gu, "\ufffd"))).replaceAll("%", "$");
}

/** The address of the event's line in the CloudWatch console; `null` where it is not from there. */
export function consoleLink(source: Event["source"]): string | null {
	if (source?.system !== "cloudwatch" || !source.log_group || !source.log_stream) return null;
	const region = source.region ?? "";
	if (!/^[a-z]{2}(-[a-z]+){1,2}-\d{1,2}$/.test(region)) return null;
	const host = region.startsWith("cn-")
		? `${region}.console.amazonaws.cn`
		: region.startsWith("us-gov-")
			? `${region}.console.amazonaws-us-gov.com`
			: `${region}.console.aws.amazon.com`;
	const at = Date.parse(source.timestamp ?? "");
	const start = Number.isNaN(at)
		? ""
		: `$3Fstart$3D${at}${source.log_id ? `$26refEventId$3D${encoded(source.log_id)}` : ""}`;
	return `https://${host}/cloudwatch/home?region=${region}#logsV2:log-groups/log-group/${encoded(source.log_group)}/log-events/${encoded(source.log_stream)}${start}`;
}
