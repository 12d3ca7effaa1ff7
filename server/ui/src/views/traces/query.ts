/** What the list of traces asks of the API. */
import { infiniteQueryOptions, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { answered, api, type Trace } from "../../api/client";
import { timeRange } from "../../shared/filters";
import type { Params } from "../../shared/url";

/** Traces a page: first as many as fit on a screen, then as many as arrive before one has scrolled there. */
const [FIRST_PAGE, PAGE] = [60, 200];
/** What is read of each trace: with all of it, tens of thousands of them would be three times as large. */
const READ = [
	"trace_id",
	"name",
	"start",
	"duration_ms",
	"status",
	"input",
	"output",
	"first_error",
	"tools",
	"spans",
	"errors",
	"tokens",
	"cost_usd",
] as const satisfies readonly (keyof Trace)[];
export type Listed = Pick<Trace, (typeof READ)[number]>;
interface Page {
	traces: Listed[];
	next_cursor: string | null;
}
/** While live, at most so often. */
const LIVE_MS = 1000;
/** Without any event the list is read anew this often: what runs may have been given up. */
const QUIET_MS = 15_000;

/** The URL's parameters that are the API's, too. */
const FILTERS = ["agent", "session", "tool", "model", "min_duration", "request_id", "q", "log_group", "basis"] as const;

export function isFiltered(params: Params): boolean {
	return [...FILTERS, "status", "type"].some((name) => params[name]);
}

/** The filters as the API takes them. */
export function filters(params: Params) {
	const given = Object.fromEntries(FILTERS.flatMap((name) => (params[name] ? [[name, params[name]]] : [])));
	return {
		...given,
		...timeRange(params),
		...(params.status && { status: params.status.split(",") }),
		...(params.type && { type: params.type.split(",") }),
	};
}

const NONE: Page[] = [];

/** The pages' traces, each once: one that has got an earlier start while one scrolled may be on two pages. */
function useRows(pages: readonly Page[]): readonly Listed[] {
	const made = useRef({
		pages: NONE as readonly Page[],
		rows: [] as readonly Listed[],
		places: new Map<string, number>(),
	});
	return useMemo(() => {
		// With each page only that one is looked at.
		const goesOn = made.current.pages.every((page, index) => page === pages[index]);
		const rows = goesOn ? [...made.current.rows] : [];
		const places = goesOn ? made.current.places : new Map<string, number>();
		for (const page of pages.slice(goesOn ? made.current.pages.length : 0)) {
			for (const trace of page.traces) {
				const place = places.get(trace.trace_id) ?? rows.length;
				places.set(trace.trace_id, place);
				rows[place] = trace;
			}
		}
		made.current = { pages, rows, places };
		return rows;
	}, [pages]);
}

/** The list that these parameters ask for, page after page. */
export function list(params: Params) {
	const where = filters(params);
	return infiniteQueryOptions({
		queryKey: ["traces", where],
		queryFn: ({ signal, pageParam }) =>
			answered(
				api.GET("/api/v1/traces", {
					params: {
						query: {
							...where,
							fields: READ.join(),
							...(pageParam ? { cursor: pageParam, limit: PAGE } : { limit: FIRST_PAGE }),
						},
					},
					signal,
				}),
			) as Promise<Page>,
		initialPageParam: "",
		getNextPageParam: (last) => last.next_cursor,
		// With each page all those before it would be compared.
		structuralSharing: false,
	});
}

export function useTraces(params: Params) {
	const query = useInfiniteQuery({ ...list(params), placeholderData: (before) => before });
	const { data, fetchNextPage, isFetching } = query;
	const rows = useRows(data?.pages ?? NONE);
	const more = useCallback(() => {
		if (!isFetching) void fetchNextPage();
	}, [isFetching, fetchNextPage]);
	// A page may be empty and yet not the last.
	useEffect(() => {
		if (rows.length === 0 && query.hasNextPage) more();
	}, [rows.length, query.hasNextPage, more]);
	return { rows, query: { ...query, fetchNextPage: more } };
}

/** Read the list anew soon after events have come in, while `live`. */
export function useLive(live: boolean, refetch: () => unknown): void {
	useEffect(() => {
		if (!live) return;
		let timer: ReturnType<typeof setTimeout> | undefined;
		const soon = () => {
			timer ??= setTimeout(() => {
				timer = undefined;
				refetch();
			}, LIVE_MS);
		};
		refetch();
		const events = new EventSource("/api/v1/events/stream?fields=event_id");
		events.addEventListener("message", soon);
		events.addEventListener("gap", soon);
		const quiet = setInterval(refetch, QUIET_MS);
		return () => {
			events.close();
			clearInterval(quiet);
			clearTimeout(timer);
		};
	}, [live, refetch]);
}

/** Whether there is any trace at all; asked again and again until there is. `undefined`: not known yet. */
export function useAnyTrace(wanted: boolean): boolean | undefined {
	const query = useQuery({
		queryKey: ["any trace"],
		queryFn: async ({ signal }) => {
			const page = await answered(api.GET("/api/v1/traces", { params: { query: { limit: 1 } }, signal }));
			return page.traces.length > 0 || page.next_cursor !== null;
		},
		enabled: (query) => wanted || query.state.data === false,
		refetchInterval: (query) => (query.state.data === false ? 2000 : false),
		staleTime: 0,
	});
	return query.data;
}

/** `wanted`: not while the list is looked for, which would come later for it. */
export function useHistogram(params: Params, live: boolean, wanted: boolean) {
	const { since, until, ...where } = filters(params) as ReturnType<typeof filters> & { since?: string; until?: string };
	const range = { since: since ?? "-30d", ...(until && { until }) };
	return useQuery({
		queryKey: ["histogram", where, range],
		queryFn: ({ signal }) =>
			answered(api.GET("/api/v1/stats/traces", { params: { query: { ...where, ...range } }, signal })),
		enabled: wanted,
		placeholderData: (before) => before,
		refetchInterval: live ? 5000 : false,
	});
}
