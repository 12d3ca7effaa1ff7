/** A JSON value, pretty, folding. */
import { memo, type ReactNode, useState } from "react";
import { count } from "./format";
import { oneLine, Prose } from "./inert";

/** Of a list or object, so many items are shown at first. */
const MANY = 100;
/** Levels deeper than this are closed at first. */
const OPEN_DEPTH = 3;

/** A span's input or output: text wrapped, whatever else as JSON. */
export function Value({ value }: { value: unknown }) {
	if (typeof value === "string") return <Prose text={value} />;
	return <Json value={value} />;
}

export const Json = memo(function Json({ value }: { value: unknown }) {
	return (
		<div className="json">
			<Node value={value} depth={0} />
		</div>
	);
});

function Node({ value, depth, name }: { value: unknown; depth: number; name?: string }) {
	const label = name === undefined ? null : <span className="json-key">{oneLine(name, 200)}: </span>;
	if (value !== null && typeof value === "object") return <Branch value={value} depth={depth} label={label} />;
	return (
		<div className="json-leaf">
			{label}
			<Leaf value={value} />
		</div>
	);
}

function Leaf({ value }: { value: unknown }): ReactNode {
	if (typeof value === "string") {
		if (value.length > 120 || value.includes("\n")) return <Prose text={value} />;
		return <span className="json-text">{`"${oneLine(value, 200)}"`}</span>;
	}
	return <span className={value === null ? "json-null" : "json-number"}>{String(value)}</span>;
}

function Branch({ value, depth, label }: { value: object; depth: number; label: ReactNode }) {
	const [open, setOpen] = useState(depth < OPEN_DEPTH);
	const [most, setMost] = useState(MANY);
	const isList = Array.isArray(value);
	const items: [string, unknown][] = isList ? value.map((item, i) => [String(i), item]) : Object.entries(value);
	const [left, right] = isList ? ["[", "]"] : ["{", "}"];
	if (items.length === 0) {
		return (
			<div className="json-leaf">
				{label}
				{left}
				{right}
			</div>
		);
	}
	const size = `${count(items.length)} ${isList ? "item" : "key"}${items.length === 1 ? "" : "s"}`;
	return (
		<div className="json-branch">
			<button type="button" className="json-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
				{label}
				{open ? left : `${left} ${size} ${right}`}
			</button>
			{open && (
				<>
					<div className="json-items">
						{items.slice(0, most).map(([key, item]) => (
							<Node key={key} value={item} depth={depth + 1} {...(isList ? {} : { name: key })} />
						))}
						{items.length > most && (
							<button type="button" className="more" onClick={() => setMost(most * 10)}>
								{count(items.length - most)} more
							</button>
						)}
					</div>
					<div>{right}</div>
				</>
			)}
		</div>
	);
}
