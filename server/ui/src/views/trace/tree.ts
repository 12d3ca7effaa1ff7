/** The spans of a trace as a tree of rows, each with its depth; quick for tens of thousands. */
import type { Outlined } from "./query";

export interface Row {
	span: Outlined;
	depth: number;
	/** Milliseconds since the trace began. */
	from: number;
	to: number;
	parent: Row | null;
	children: Row[];
	/** Spans below it. */
	below: number;
	/** Whether something below it failed. */
	failedBelow: boolean;
}

export interface Tree {
	/** Depth first, children by their start. */
	rows: Row[];
	byId: Map<string, Row>;
	/** Where it begins, milliseconds since the epoch with fractions, and how long it is. */
	start: number;
	length: number;
	/** Those that failed of themselves, first first: not because of one below them. */
	failures: Row[];
}

/** RFC 3339 with microseconds to milliseconds since the epoch with fractions. */
export function preciseMs(text: string): number {
	const whole = Date.parse(text);
	const digits = /\.\d{3}(\d{1,6})/.exec(text)?.[1];
	return digits ? whole + Number(`0.${digits}`) : whole;
}

export function build(spans: readonly Outlined[], traceStart: string, traceEnd: string): Tree {
	const start = preciseMs(traceStart);
	const byId = new Map<string, Row>();
	const made: Row[] = [];
	for (const span of spans) {
		const { from } = span;
		const row: Row = {
			span,
			depth: 0,
			from,
			to: from + (span.duration_ms ?? 0),
			parent: null,
			children: [],
			below: 0,
			failedBelow: false,
		};
		made.push(row);
		byId.set(span.span_id, row);
	}
	const end = Math.max(preciseMs(traceEnd) - start, 0);
	const roots: Row[] = [];
	for (const row of made) {
		// What runs still is as long as is known.
		if (row.span.duration_ms === null) row.to = Math.max(row.from, end);
		const parent = row.span.parent_span_id === null ? undefined : byId.get(row.span.parent_span_id);
		if (parent && parent !== row) {
			row.parent = parent;
			parent.children.push(row);
		} else roots.push(row);
	}
	const byStart = (a: Row, b: Row) => a.from - b.from;
	const rows: Row[] = [];
	const stack = roots.sort(byStart).reverse();
	for (let row = stack.pop(); row; row = stack.pop()) {
		row.depth = row.parent ? row.parent.depth + 1 : 0;
		rows.push(row);
		row.children.sort(byStart);
		for (let i = row.children.length - 1; i >= 0; i--) stack.push(row.children[i] as Row);
	}
	for (let i = rows.length - 1; i >= 0; i--) {
		const row = rows[i] as Row;
		if (!row.parent) continue;
		row.parent.below += row.below + 1;
		row.parent.failedBelow ||= row.failedBelow || row.span.status === "error";
	}
	const failures = rows.filter((row) => row.span.status === "error" && !row.failedBelow).sort(byStart);
	return { rows, byId, start, length: Math.max(end, ...roots.map((row) => row.to), 0.001), failures };
}

/** The rows that are in no folded one. */
export function visible(tree: Tree, folded: ReadonlySet<string>): Row[] {
	if (folded.size === 0) return tree.rows;
	const shown: Row[] = [];
	for (let i = 0; i < tree.rows.length; i++) {
		const row = tree.rows[i] as Row;
		shown.push(row);
		if (folded.has(row.span.span_id)) i += row.below;
	}
	return shown;
}

/**
 * What led to a span, nearest first: of a tool's call, the model that asked for it; of a model's call, the result it
 * was given; otherwise what it is part of.
 */
export function causes(row: Row, most = 12): { row: Row; how: string }[] {
	const found: { row: Row; how: string }[] = [];
	for (let at: Row | null = row; at !== null && found.length < most; ) {
		const wanted: string | null = at.span.kind === "tool" ? "llm" : at.span.kind === "llm" ? "tool" : null;
		const siblings: Row[] = at.parent?.children ?? [];
		let before: Row | null = null;
		for (let i = siblings.indexOf(at) - 1; wanted && i >= 0 && !before; i--) {
			const sibling = siblings[i] as Row;
			if (sibling.span.kind === wanted && sibling.from <= at.from) before = sibling;
		}
		const next: Row | null = before ?? at.parent;
		if (next) found.push({ row: next, how: before ? (wanted === "llm" ? "asked for by" : "after") : "part of" });
		at = next;
	}
	return found;
}

/** Round steps for a ruler: about `count` of them over `length` milliseconds. */
export function ticks(from: number, to: number, count: number): number[] {
	const raw = (to - from) / Math.max(1, count);
	const size = 10 ** Math.floor(Math.log10(raw || 1));
	const step = [1, 2, 5, 10].map((n) => n * size).find((n) => n >= raw) ?? raw;
	const found: number[] = [];
	for (let at = Math.ceil(from / step) * step; at <= to && found.length < 50; at += step) found.push(at);
	return found;
}
