/** What the same trace says right before and behind an event. */
import { useQuery } from "@tanstack/react-query";
import { answered, api, type Event } from "../../api/client";
import { Line } from "../../shared/inert";
import { ErrorNote, Loading } from "../../shared/states";
import { Time } from "../../shared/time";

/** Milliseconds to either side, and the events shown of them. */
const NEAR = 60_000;
const EACH = 4;

export function Around({ event }: { event: Event }) {
	const at = Date.parse(event.timestamp);
	const found = useQuery({
		queryKey: ["around", event.event_id],
		queryFn: ({ signal }) =>
			answered(
				api.GET("/api/v1/events", {
					params: {
						query: {
							trace: event.trace_id ?? "",
							since: new Date(Math.max(0, at - NEAR)).toISOString(),
							until: new Date(at + NEAR).toISOString(),
							fields: "event_id,timestamp,event_type,raw",
							limit: 500,
						},
					},
					signal,
				}),
			),
	});
	if (found.isPending) return <Loading />;
	if (found.isError) return <ErrorNote error={found.error} />;
	const events = [...found.data.events].reverse();
	const place = events.findIndex((each) => each.event_id === event.event_id);
	if (place < 0) return <p className="quiet">More was said within that minute than is looked at here.</p>;
	return (
		<ol className="around" aria-label="Around it, in its trace">
			{events.slice(Math.max(0, place - EACH), place + EACH + 1).map((each) => (
				<li key={each.event_id} aria-current={each.event_id === event.event_id || undefined}>
					<span className="quiet">
						<Time at={each.timestamp} precision="milliseconds" />
					</span>
					<span className="event-type">
						<Line text={each.event_type} most={30} />
					</span>
					<Line text={each.raw ?? ""} most={240} />
				</li>
			))}
		</ol>
	);
}
