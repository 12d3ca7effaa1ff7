/** What the view of a trace asks of the API. */
import { useQuery } from "@tanstack/react-query";
import { answered, api, type Event, type Span, type Trace, type WholeTrace } from "../../api/client";

/** A span without what it was given and returned: enough for the tree, also of tens of thousands. */
export type Outlined = Pick<
	Span,
	| "span_id"
	| "parent_span_id"
	| "kind"
	| "name"
	| "start"
	| "duration_ms"
	| "status"
	| "tokens"
	| "cost_usd"
	| "event_ids"
>;
export interface Outline {
	trace: Trace;
	spans: Outlined[];
}

const FIELDS = [
	"trace",
	...[
		"span_id",
		"parent_span_id",
		"kind",
		"name",
		"start",
		"duration_ms",
		"status",
		"tokens",
		"cost_usd",
		"event_ids",
	].map((name) => `spans.${name}`),
].join(",");
/** A trace of more events is not read whole: its events come as they are looked at. */
export const MANY_EVENTS = 3_000;
const RUNNING_MS = 2_000;

export function useOutline(id: string) {
	return useQuery({
		queryKey: ["trace", id, "outline"],
		queryFn: ({ signal }) =>
			answered(
				api.GET("/api/v1/traces/{trace_id}", { params: { path: { trace_id: id }, query: { fields: FIELDS } }, signal }),
			) as Promise<Outline>,
		refetchInterval: ({ state }) =>
			state.data?.trace.status === "running" && state.data.trace.events < MANY_EVENTS ? RUNNING_MS : false,
	});
}

/** All of a trace that is not too large; `version` changes where it has grown. */
export function useWhole(id: string, trace: Trace | undefined) {
	return useQuery({
		queryKey: ["trace", id, "whole", trace?.events, trace?.status],
		queryFn: ({ signal }) =>
			answered(
				api.GET("/api/v1/traces/{trace_id}", { params: { path: { trace_id: id } }, signal }),
			) as Promise<WholeTrace>,
		enabled: trace !== undefined && trace.events <= MANY_EVENTS,
		placeholderData: (before) => before,
	});
}

/** The events of a span, where the trace is not read whole. */
export function useEvents(ids: readonly string[], wanted: boolean) {
	return useQuery({
		queryKey: ["events", ids],
		queryFn: ({ signal }) =>
			Promise.all(
				ids.map(
					(id) =>
						answered(
							api.GET("/api/v1/events/{event_id}", { params: { path: { event_id: id } }, signal }),
						) as Promise<Event>,
				),
			),
		enabled: wanted && ids.length > 0,
		staleTime: 60_000,
	});
}
