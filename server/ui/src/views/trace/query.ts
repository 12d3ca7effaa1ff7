/** What the view of a trace asks of the API. */
import { useQuery } from "@tanstack/react-query";
import { answered, api, type Event, type Span, type Trace, type WholeTrace } from "../../api/client";
import type { components } from "../../api/schema";

/** A span without what it was given and returned: enough for the tree, also of tens of thousands. */
export interface Outlined
	extends Pick<Span, "span_id" | "kind" | "name" | "status" | "duration_ms" | "tokens" | "cost_usd"> {
	parent_span_id: string | null;
	/** Milliseconds since the trace began, with fractions. */
	from: number;
	event_ids: string[];
}
export interface Outline {
	trace: Trace;
	spans: Outlined[];
}

function outlined(columns: components["schemas"]["Columns"]): Outlined[] {
	return columns.span_ids.map((span_id, at) => {
		const parent = columns.parents[at];
		const duration = columns.durations_us[at];
		return {
			span_id,
			parent_span_id: parent == null ? null : (columns.span_ids[parent] ?? null),
			kind: columns.kinds[at] ?? "chain",
			name: columns.distinct_names[columns.names[at] ?? 0] ?? "",
			from: (columns.starts_us[at] ?? 0) / 1000,
			duration_ms: duration == null ? null : duration / 1000,
			status: columns.statuses[at] ?? "ok",
			tokens: { input: columns.input_tokens[at] ?? null, output: columns.output_tokens[at] ?? null },
			cost_usd: columns.costs_usd[at] ?? null,
			event_ids: [span_id, ...(columns.more_event_ids[at] ?? [])],
		};
	});
}

/** A trace of more events is not read whole: its events come as they are looked at. */
export const MANY_EVENTS = 3_000;
const RUNNING_MS = 2_000;

export function useOutline(id: string) {
	return useQuery({
		queryKey: ["trace", id, "outline"],
		queryFn: async ({ signal }): Promise<Outline> => {
			const found = await answered(
				api.GET("/api/v1/traces/{trace_id}/outline", { params: { path: { trace_id: id } }, signal }),
			);
			return { trace: found.trace, spans: outlined(found.spans) };
		},
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
