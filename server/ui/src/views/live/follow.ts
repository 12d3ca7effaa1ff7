/** Events as they become known, over Server-Sent Events: comes back by itself, and says where it was away. */
import { useEffect, useReducer, useRef } from "react";
import type { Event } from "../../api/client";

/** In the list, beside events: the connection was away. `lost`: what came meanwhile is not known any more. */
export interface Gap {
	gap: true;
	id: string;
	from: number;
	to: number;
	lost: boolean;
}
export type Item = Event | Gap;
export type Connection = "connecting" | "open" | "away";

interface State {
	connection: Connection;
	/** The newest first. */
	items: readonly Item[];
	/** What came while it was paused, the newest first. */
	waiting: readonly Item[];
	/** Of those that came meanwhile, so many were let go: the oldest. */
	dropped: number;
}
type Action =
	| { type: "came"; items: Item[]; paused: boolean }
	| { type: "connection"; connection: Connection }
	| { type: "resume" }
	| { type: "clear" };

/** So many are kept on the page, and so many while it is paused. */
export const KEPT = 2_000;
/** Milliseconds between two times that what came is shown. */
const TOGETHER = 200;
const AGAIN = 2_000;

const EMPTY: State = { connection: "connecting", items: [], waiting: [], dropped: 0 };

export function isGap(item: Item): item is Gap {
	return "gap" in item;
}

function keyOf(item: Item): string {
	return isGap(item) ? item.id : item.event_id;
}

/** The newer ones before the others; an event that came again, since it has grown, is there once. */
function joined(newer: readonly Item[], older: readonly Item[]): Item[] {
	const seen = new Set<string>();
	const all: Item[] = [];
	for (const item of [...newer, ...older]) {
		if (seen.has(keyOf(item)) || all.length === KEPT) continue;
		seen.add(keyOf(item));
		all.push(item);
	}
	return all;
}

function reduce(state: State, action: Action): State {
	switch (action.type) {
		case "came": {
			if (!action.paused) return { ...state, items: joined(action.items, state.items) };
			const waiting = joined(action.items, state.waiting);
			const all = state.waiting.length + action.items.length;
			return { ...state, waiting, dropped: state.dropped + Math.max(0, all - KEPT) };
		}
		case "connection":
			return state.connection === action.connection ? state : { ...state, connection: action.connection };
		case "resume":
			return { ...state, items: joined(state.waiting, state.items), waiting: [], dropped: 0 };
		case "clear":
			return { ...EMPTY, connection: state.connection };
	}
}

/** Follow the events that `query` (the parameters of the stream) lets through. */
export function useFollowed(query: string, paused: boolean) {
	const [state, act] = useReducer(reduce, EMPTY);
	const isPaused = useRef(paused);
	useEffect(() => {
		isPaused.current = paused;
		if (!paused) act({ type: "resume" });
	}, [paused]);
	useEffect(() => {
		act({ type: "clear" });
		let source: EventSource | null = null;
		let last = "";
		let awaySince: number | null = null;
		let isLost = false;
		let gaps = 0;
		let came: Item[] = [];
		let again: ReturnType<typeof setTimeout> | undefined;

		function back() {
			if (awaySince === null) return;
			came.unshift({ gap: true, id: `gap-${gaps++}`, from: awaySince, to: Date.now(), lost: isLost });
			awaySince = null;
			isLost = false;
		}
		function connect() {
			const resume = last ? `${query && "&"}last_event_id=${encodeURIComponent(last)}` : "";
			const opened = new EventSource(`/api/v1/events/stream?${query}${resume}`);
			source = opened;
			opened.onopen = () => {
				act({ type: "connection", connection: "open" });
			};
			opened.onerror = () => {
				awaySince ??= Date.now();
				act({ type: "connection", connection: "away" });
				// After a refusal the browser does not come back by itself.
				if (opened.readyState === EventSource.CLOSED) again = setTimeout(connect, AGAIN);
			};
			opened.onmessage = (message: MessageEvent<string>) => {
				last = message.lastEventId || last;
				back();
				came.unshift(JSON.parse(message.data) as Event);
			};
			opened.addEventListener("gap", (message) => {
				last = (message as MessageEvent<string>).lastEventId || last;
				awaySince ??= Date.now();
				isLost = true;
				back();
			});
		}
		const timer = setInterval(() => {
			if (source?.readyState === EventSource.OPEN) back();
			if (came.length === 0) return;
			act({ type: "came", items: came.slice(0, KEPT), paused: isPaused.current });
			came = [];
		}, TOGETHER);
		connect();
		return () => {
			source?.close();
			clearInterval(timer);
			clearTimeout(again);
		};
	}, [query]);
	return { ...state, clear: () => act({ type: "clear" }) };
}
