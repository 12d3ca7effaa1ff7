/** How many traces started when, and how many of them failed. Dragging over it chooses the time. */
import { type PointerEvent, useRef, useState } from "react";
import { count } from "../../shared/format";
import { usePreferences } from "../../shared/preferences";
import { clock, day } from "../../shared/time";
import type { Change, Params } from "../../shared/url";
import { useHistogram } from "./query";

const HEIGHT = 44;

interface Props {
	params: Params;
	change: Change;
	live: boolean;
	/** Whether the list below is there: it comes first. */
	listed: boolean;
}

export function Histogram({ params, change, live, listed }: Props) {
	const { data } = useHistogram(params, live, listed);
	const { zone } = usePreferences();
	const box = useRef<HTMLDivElement>(null);
	const [drag, setDrag] = useState<[from: number, to: number] | null>(null);
	if (!data || data.buckets.length === 0) return <div className="histogram" aria-hidden="true" />;

	const start = Date.parse(data.since);
	const end = Date.parse(data.until);
	const most = Math.max(1, ...data.buckets.map((bucket) => bucket.traces));
	const step = data.bucket_seconds * 1000;

	function at(event: PointerEvent): number {
		const area = box.current?.getBoundingClientRect();
		if (!area) return 0;
		return Math.max(0, Math.min(1, (event.clientX - area.left) / area.width));
	}
	function released() {
		if (!drag || !data) return;
		setDrag(null);
		const [from, to] = [Math.min(...drag), Math.max(...drag)];
		const buckets = data.buckets.length;
		// A click chooses one bar.
		const first = Math.min(buckets - 1, Math.floor(from * buckets));
		const last = Math.max(first + 1, Math.ceil(to * buckets));
		change({
			since: new Date(start + first * step).toISOString(),
			until: new Date(Math.min(end, start + last * step)).toISOString(),
		});
	}

	const label = (ms: number) => `${day(ms, zone)}${step >= 86_400_000 ? "" : ` ${clock(ms, zone, "minutes")}`}`;
	const isPartial = Date.parse(data.complete_from) > start;
	return (
		<div className="histogram">
			<div
				className="bars"
				ref={box}
				role="img"
				aria-label={`${count(data.traces)} traces from ${label(start)} to ${label(end)}, ${count(data.failed)} failed`}
				onPointerDown={(event) => {
					event.currentTarget.setPointerCapture(event.pointerId);
					setDrag([at(event), at(event)]);
				}}
				onPointerMove={(event) => drag && setDrag([drag[0], at(event)])}
				onPointerUp={released}
				onPointerCancel={() => setDrag(null)}
			>
				{data.buckets.map((bucket) => {
					const from = Date.parse(bucket.start);
					const failed = (bucket.failed / most) * HEIGHT;
					const well = ((bucket.traces - bucket.failed) / most) * HEIGHT;
					const words = `${label(from)} – ${clock(from + step, zone, "minutes")}\n${count(bucket.traces)} traces, ${count(bucket.failed)} failed`;
					return (
						<div className="bar" key={bucket.start} title={words}>
							{failed > 0 && <i className="failed" style={{ height: Math.max(2, failed) }} />}
							{well > 0 && <i style={{ height: Math.max(2, well) }} />}
						</div>
					);
				})}
				{drag && (
					<div
						className="brush"
						style={{ left: `${Math.min(...drag) * 100}%`, width: `${Math.abs(drag[1] - drag[0]) * 100}%` }}
					/>
				)}
			</div>
			<div className="axis">
				<span>{label(start)}</span>
				<span>
					{count(data.traces)} traces
					{data.failed > 0 && (
						<>
							, <span className="status-error">{count(data.failed)} failed</span>
						</>
					)}
					{isPartial && ` (counted from ${label(Date.parse(data.complete_from))} on)`}
				</span>
				<span>{label(end)}</span>
			</div>
		</div>
	);
}
