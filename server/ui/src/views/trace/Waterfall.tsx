/** The span tree with its bars over time. Dragging over the ruler zooms. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { allTokens, cost, count, duration, short } from "../../shared/format";
import { Line } from "../../shared/inert";
import { useKeys } from "../../shared/keys";
import { KindMark } from "../../shared/status";
import { useUrlState } from "../../shared/url";
import { type Row, type Tree, ticks, visible } from "./tree";

const ROW = 26;
/** Deeper levels are drawn like this one. */
const DEEPEST = 18;

interface Props {
	tree: Tree;
	selected: Row | undefined;
	select: (span: string) => void;
}

function readZoom(text: string | undefined, length: number): [number, number] {
	const [from = Number.NaN, to = Number.NaN] = (text ?? "").split("-").map(Number);
	return from >= 0 && to > from ? [from, to] : [0, length];
}

export function Waterfall({ tree, selected, select }: Props) {
	const [params, change] = useUrlState();
	const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
	const rows = useMemo(() => visible(tree, folded), [tree, folded]);
	const [from, to] = readZoom(params.zoom, tree.length);
	const box = useRef<HTMLDivElement>(null);
	const virtual = useVirtualizer({
		count: rows.length,
		getScrollElement: () => box.current,
		estimateSize: () => ROW,
		overscan: 10,
	});

	const at = selected ? rows.indexOf(selected) : -1;
	// What was chosen elsewhere (a key, a link, another tab) comes into sight, unfolded.
	const wanted = selected?.span.span_id;
	const shownFor = useRef<string | undefined>(undefined);
	useEffect(() => {
		if (!selected || shownFor.current === wanted) return;
		const above: string[] = [];
		for (let up = selected.parent; up; up = up.parent) if (folded.has(up.span.span_id)) above.push(up.span.span_id);
		if (above.length > 0) {
			setFolded(new Set([...folded].filter((id) => !above.includes(id))));
			return;
		}
		shownFor.current = wanted;
		if (at >= 0) virtual.scrollToIndex(at);
	}, [wanted, selected, at, folded, virtual]);

	function toggle(row: Row) {
		const next = new Set(folded);
		if (!next.delete(row.span.span_id)) next.add(row.span.span_id);
		setFolded(next);
	}
	function move(step: number) {
		const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
		if (next) select(next.span.span_id);
	}
	function inward() {
		if (!selected) return;
		if (folded.has(selected.span.span_id)) toggle(selected);
		else if (selected.children[0]) select(selected.children[0].span.span_id);
	}
	function outward() {
		if (!selected) return;
		if (selected.children.length > 0 && !folded.has(selected.span.span_id)) toggle(selected);
		else if (selected.parent) select(selected.parent.span.span_id);
	}
	function zoom(start: number, end: number) {
		const [low, high] = [Math.max(0, Math.min(start, end)), Math.max(start, end)];
		if (high - low > tree.length / 1e6) change({ zoom: `${low.toFixed(3)}-${high.toFixed(3)}` }, { replace: true });
	}
	useKeys([
		{ key: "j", does: "next span", run: () => move(1) },
		{ key: "ArrowDown", does: "next span", run: () => move(1) },
		{ key: "k", does: "span before", run: () => move(-1) },
		{ key: "ArrowUp", does: "span before", run: () => move(-1) },
		{ key: "ArrowRight", does: "unfold, or go inside", run: inward },
		{ key: "ArrowLeft", does: "fold, or go outside", run: outward },
		{
			key: "z",
			does: "zoom to the span",
			run: () => selected && zoom(selected.from, Math.max(selected.to, selected.from + 0.001)),
		},
		{ key: "0", does: "no zoom", run: () => change({ zoom: null }, { replace: true }) },
	]);

	return (
		<div className="waterfall" ref={box}>
			<Ruler
				from={from}
				to={to}
				zoomed={params.zoom !== undefined}
				zoom={zoom}
				reset={() => change({ zoom: null }, { replace: true })}
			>
				{tree.rows.some((row) => row.children.length > 0) && (
					<button
						type="button"
						className="plain"
						onClick={() =>
							setFolded(
								folded.size > 0
									? new Set()
									: new Set(
											tree.rows.flatMap((row) => (row.depth > 0 && row.children.length > 0 ? [row.span.span_id] : [])),
										),
							)
						}
					>
						{folded.size > 0 ? "Unfold all" : "Fold"}
					</button>
				)}
			</Ruler>
			<div
				className="spans"
				role="tree"
				aria-label={`${count(tree.rows.length)} spans`}
				style={{ height: virtual.getTotalSize() }}
			>
				{virtual.getVirtualItems().map((item) => {
					const row = rows[item.index] as Row;
					const isFolded = folded.has(row.span.span_id);
					const isSelected = row === selected;
					return (
						<div
							key={row.span.span_id}
							role="treeitem"
							aria-level={row.depth + 1}
							aria-selected={isSelected}
							aria-expanded={row.children.length > 0 ? !isFolded : undefined}
							tabIndex={isSelected ? 0 : -1}
							className={`span status-${row.span.status} ${row.span.status === "error" && !row.failedBelow ? "has-failed" : ""}`}
							style={{ height: ROW, transform: `translateY(${item.start}px)` }}
							onClick={() => select(row.span.span_id)}
							onKeyDown={(event) => {
								if (event.key === " ") {
									event.preventDefault();
									toggle(row);
								}
							}}
						>
							<div className="span-name" style={{ paddingLeft: 6 + Math.min(row.depth, DEEPEST) * 13 }}>
								<span
									className="fold"
									aria-hidden="true"
									onClick={(event) => {
										if (row.children.length === 0) return;
										event.stopPropagation();
										toggle(row);
									}}
								>
									{row.children.length === 0 ? "" : isFolded ? "▸" : "▾"}
								</span>
								<KindMark kind={row.span.kind} />
								<Line text={row.span.name} most={120} className="name" />
								{isFolded && <span className="quiet">+{short(row.below)}</span>}
								{row.span.status === "error" ? (
									<span className="status-error" title="failed">
										✕
									</span>
								) : row.span.status !== "ok" ? (
									<span className={`status-${row.span.status}`} title={row.span.status}>
										{row.span.status === "running" ? "●" : "◐"}
									</span>
								) : null}
							</div>
							<Bar row={row} from={from} to={to} />
						</div>
					);
				})}
			</div>
		</div>
	);
}

function Bar({ row, from, to }: { row: Row; from: number; to: number }) {
	const length = to - from;
	const left = (Math.max(row.from, from) - from) / length;
	const right = (Math.min(row.to, to) - from) / length;
	const isSeen = row.to >= from && row.from <= to;
	const tokens = allTokens(row.span.tokens);
	const more = [tokens === null ? "" : `${short(tokens)} tok`, cost(row.span.cost_usd)].filter(Boolean);
	// Beside the bar, on the side where there is room; on it where there is none.
	const place =
		right < 0.72
			? { left: `${right * 100}%`, paddingLeft: 6 }
			: left > 0.28
				? { right: `${(1 - left) * 100}%`, paddingRight: 6 }
				: undefined;
	return (
		<div className="span-time">
			{isSeen && (
				<>
					<div
						className={`span-bar kind-${row.span.kind}`}
						style={{ left: `${left * 100}%`, width: `max(2px, ${(right - left) * 100}%)` }}
					/>
					<span className={place ? "span-took" : "span-took inside"} style={place}>
						{duration(row.span.duration_ms)}
						{more.length > 0 && <span className="span-more"> · {more.join(" · ")}</span>}
					</span>
				</>
			)}
		</div>
	);
}

interface RulerProps {
	from: number;
	to: number;
	zoomed: boolean;
	zoom: (from: number, to: number) => void;
	reset: () => void;
	children: React.ReactNode;
}

function Ruler({ from, to, zoomed, zoom, reset, children }: RulerProps) {
	const area = useRef<HTMLDivElement>(null);
	const [drag, setDrag] = useState<[number, number] | null>(null);
	function at(event: PointerEvent): number {
		const box = area.current?.getBoundingClientRect();
		return box ? Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) : 0;
	}
	const placed = (part: number) => from + part * (to - from);
	return (
		<div className="ruler">
			<div className="ruler-left">
				{children}
				{zoomed && (
					<button type="button" className="plain" onClick={reset}>
						Whole time
					</button>
				)}
			</div>
			<div
				className="ruler-time"
				ref={area}
				title="Drag to zoom"
				onPointerDown={(event) => {
					event.currentTarget.setPointerCapture(event.pointerId);
					setDrag([at(event), at(event)]);
				}}
				onPointerMove={(event) => drag && setDrag([drag[0], at(event)])}
				onPointerUp={() => {
					if (drag && Math.abs(drag[1] - drag[0]) > 0.005) zoom(placed(drag[0]), placed(drag[1]));
					setDrag(null);
				}}
				onPointerCancel={() => setDrag(null)}
			>
				{ticks(from, to, 5).map((tick) => (
					<span key={tick} className="tick" style={{ left: `${((tick - from) / (to - from)) * 100}%` }}>
						{duration(tick)}
					</span>
				))}
				{drag && (
					<div
						className="brush"
						style={{ left: `${Math.min(...drag) * 100}%`, width: `${Math.abs(drag[1] - drag[0]) * 100}%` }}
					/>
				)}
			</div>
		</div>
	);
}
