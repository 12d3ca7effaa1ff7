/** A table of any number of rows, of which only those on screen are made. Rows are links; `j` and `k` go through them. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { count } from "./format";
import { useKeys } from "./keys";

export interface Column<Row> {
	id: string;
	label: string;
	/** A track of CSS grid: `8rem`, `minmax(10rem, 2fr)`. */
	width: string;
	/** It is left out where the table is narrower, pixels. */
	from?: number;
	numeric?: boolean;
	cell: (row: Row) => ReactNode;
}

interface Props<Row> {
	label: string;
	rows: readonly Row[];
	columns: readonly Column<Row>[];
	id: (row: Row) => string;
	/** Where a row leads. The first column shown is the link's text. */
	href: (row: Row) => string;
	/** Class of a row, e.g. by its status. */
	mark?: (row: Row) => string;
	rowHeight?: number;
	/** Asked for as the end comes near; absent: these are all rows. */
	more?: (() => void) | undefined;
	/** Below the last row: that more is being fetched, or that this is all. */
	foot?: ReactNode;
}

export function Table<Row>({ label, rows, columns, id, href, mark, rowHeight = 34, more, foot }: Props<Row>) {
	const box = useRef<HTMLDivElement>(null);
	const [width, setWidth] = useState(0);
	const [at, setAt] = useState(-1);
	const [, navigate] = useLocation();
	useLayoutEffect(() => {
		const element = box.current;
		if (!element) return;
		setWidth(element.clientWidth);
		const observer = new ResizeObserver(() => setWidth(element.clientWidth));
		observer.observe(element);
		return () => observer.disconnect();
	}, []);

	const virtual = useVirtualizer({
		count: rows.length,
		getScrollElement: () => box.current,
		estimateSize: () => rowHeight,
		overscan: 6,
		// A task of its own for the rows that come into view: with the scroll in one, it takes twice as long.
		useFlushSync: false,
	});
	const items = virtual.getVirtualItems();
	const last = items.at(-1)?.index ?? -1;
	useEffect(() => {
		if (more && last >= rows.length - 40) more();
	}, [more, last, rows.length]);

	function move(to: number) {
		const next = Math.max(0, Math.min(rows.length - 1, to));
		if (rows.length === 0) return;
		setAt(next);
		virtual.scrollToIndex(next);
	}
	function open() {
		const row = rows[at];
		if (row) navigate(href(row));
	}
	useKeys([
		{ key: "j", does: "next row", run: () => move(at + 1) },
		{ key: "ArrowDown", does: "next row", run: () => move(at + 1) },
		{ key: "k", does: "row before", run: () => move(at - 1) },
		{ key: "ArrowUp", does: "row before", run: () => move(at - 1) },
		{ key: "Enter", does: "open the row", run: open },
	]);

	const shown = useMemo(() => columns.filter((column) => width >= (column.from ?? 0)), [columns, width]);
	const tracks = { gridTemplateColumns: shown.map((column) => column.width).join(" ") };
	return (
		<div className="table" ref={box} tabIndex={0} role="region" aria-label={label}>
			<div role="table" aria-label={label} aria-rowcount={more ? -1 : rows.length + 1}>
				<div role="rowgroup" className="table-head">
					<div role="row" className="table-row" style={tracks}>
						{shown.map((column) => (
							<div role="columnheader" key={column.id} className={column.numeric ? "numeric" : undefined}>
								{column.label}
							</div>
						))}
					</div>
				</div>
				<div role="rowgroup" className="table-body" style={{ height: virtual.getTotalSize() }}>
					{items.map((item) => {
						const row = rows[item.index] as Row;
						return (
							<div
								role="row"
								key={id(row)}
								aria-rowindex={item.index + 2}
								aria-current={item.index === at || undefined}
								className={`table-row ${mark?.(row) ?? ""}`}
								style={{ ...tracks, height: rowHeight, transform: `translateY(${item.start}px)` }}
							>
								<Cells row={row} shown={shown} href={href(row)} index={item.index} follow={setAt} />
							</div>
						);
					})}
				</div>
			</div>
			<div className="table-foot" role="status">
				{foot ?? (more ? "Loading more…" : `${count(rows.length)} in all`)}
			</div>
		</div>
	);
}

interface CellsProps<Row> {
	row: Row;
	shown: readonly Column<Row>[];
	href: string;
	index: number;
	follow: (index: number) => void;
}

/** A row's cells; made once, not with each step of scrolling. */
const Cells = memo(function Cells<Row>({ row, shown, href, index, follow }: CellsProps<Row>) {
	return shown.map((column, place) => (
		<div role="cell" key={column.id} className={column.numeric ? "numeric" : undefined}>
			{place === 0 ? (
				<Link href={href} className="row-link" onClick={() => follow(index)}>
					{column.cell(row)}
				</Link>
			) : (
				column.cell(row)
			)}
		</div>
	));
}) as <Row>(props: CellsProps<Row>) => ReactNode;
