/** The trace's log lines in order, each with the span it belongs to. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import type { WholeTrace } from "../../api/client";
import { Line, Logged } from "../../shared/inert";
import { KindMark } from "../../shared/status";
import { Time } from "../../shared/time";
import type { Row, Tree } from "./tree";

interface Props {
	whole: WholeTrace;
	tree: Tree;
	selected: Row | undefined;
	select: (span: string) => void;
}

export function RawLog({ whole, tree, selected, select }: Props) {
	const box = useRef<HTMLDivElement>(null);
	const rowOf = useMemo(() => {
		const found = new Map<string, Row>();
		for (const row of tree.rows) for (const id of row.span.event_ids) found.set(id, row);
		return found;
	}, [tree]);
	const virtual = useVirtualizer({
		count: whole.events.length,
		getScrollElement: () => box.current,
		estimateSize: () => 28,
		overscan: 20,
	});
	const chosen = selected?.span.span_id;
	useEffect(() => {
		if (chosen === undefined) return;
		const at = whole.events.findIndex((event) => rowOf.get(event.event_id)?.span.span_id === chosen);
		if (at >= 0) virtual.scrollToIndex(at, { align: "center" });
	}, [chosen, whole, rowOf, virtual]);
	return (
		<div className="raw-log" ref={box} tabIndex={0} role="log" aria-label="Raw log" aria-live="off">
			<div style={{ height: virtual.getTotalSize(), position: "relative" }}>
				{virtual.getVirtualItems().map((item) => {
					const event = whole.events[item.index];
					if (!event) return null;
					const row = rowOf.get(event.event_id);
					const before = whole.events[item.index - 1];
					const place = event.source && `${event.source.log_group} ${event.source.log_stream}`;
					const isElsewhere =
						place && place !== (before?.source && `${before.source.log_group} ${before.source.log_stream}`);
					return (
						<div
							key={event.event_id}
							ref={virtual.measureElement}
							data-index={item.index}
							className="raw-event"
							aria-current={(row !== undefined && row === selected) || undefined}
							style={{ transform: `translateY(${item.start}px)` }}
						>
							{isElsewhere && (
								<div className="raw-place">
									<Line text={place} most={200} />
								</div>
							)}
							<div className={`raw-line ${row ? `kind-${row.span.kind}` : ""}`}>
								<span className="quiet raw-time">
									<Time at={event.timestamp} precision="milliseconds" />
								</span>
								<span className="raw-span">
									{row && (
										<button type="button" title={`Span: ${row.span.kind}`} onClick={() => select(row.span.span_id)}>
											<KindMark kind={row.span.kind} /> <Line text={row.span.name} most={40} />
										</button>
									)}
								</span>
								<div className="raw-text">
									{event.raw === null ? (
										<Line className="quiet" text={event.event_type} />
									) : (
										<Logged text={event.raw} />
									)}
								</div>
							</div>
						</div>
					);
				})}
			</div>
		</div>
	);
}
