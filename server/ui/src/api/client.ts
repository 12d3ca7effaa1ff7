/** The API, typed by what the server says of itself (`schema.ts`, made by `make page-types`). */
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type Trace = Schemas["TraceReply"];
export type Span = Schemas["SpanReply"];
export type Event = Schemas["EventReply"];
export type WholeTrace = Schemas["WholeTrace"];
export type Stats = Schemas["StatsReply"];
export type Share = Schemas["Share"];
export type Details = Schemas["Details"];
export type Key = Schemas["KeyReply"];
/** `openapi-fetch` makes lists of pairs into lists of lists. */
export type Highlight = Omit<Schemas["Highlight"], "ranges"> & { ranges: number[][] };
export type Result = Omit<Schemas["Result"], "highlights"> & { highlights: Highlight[] };

export const api = createClient<paths>({ baseUrl: "/" });

/** What the server answered instead; `message` says what to do next. `status` 0: it was not reached. */
export class ApiError extends Error {
	constructor(
		readonly status: number,
		readonly code: string,
		message: string,
		readonly requestId?: string,
	) {
		super(message);
	}
}

/** The reply's data. Throws `ApiError`; one that was aborted throws what `fetch` does. */
export async function answered<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
	let reply: { data?: T; error?: unknown; response: Response };
	try {
		reply = await asked;
	} catch (error) {
		if (error instanceof DOMException && error.name === "AbortError") throw error;
		throw new ApiError(0, "unreachable", "The server does not answer. Next: see whether `vectadb serve` runs.");
	}
	if (reply.response.ok && reply.data !== undefined) return reply.data;
	const said = (reply.error ?? {}) as { error?: string; message?: string; request_id?: string };
	const message = said.message ?? `The server answered ${reply.response.status}, and did not say why.`;
	throw new ApiError(reply.response.status, said.error ?? "error", message, said.request_id);
}
