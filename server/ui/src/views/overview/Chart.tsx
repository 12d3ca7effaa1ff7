/** A small chart over time, as SVG: stacked bars or lines. Each stretch of time is a link to the traces behind it. */
import { type ReactNode, useId, useLayoutEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { usePreferences } from "../../shared/preferences";
import { clock, day } from "../../shared/time";

export interface Series {
	name: string;
	/** Names a class, `series-…`, which gives the colour. */
	colour: string;
	/** One for each stretch; `null`: there is none. */
	values: readonly (number | null)[];
}

interface Props {
	title: string;
	/** Said beside the title, e.g. the sum. */
	sum?: ReactNode;
	/** Starts of the stretches, milliseconds, and the length of one. */
	starts: readonly number[];
	length: number;
	series: readonly Series[];
	kind: "bars" | "lines";
	format: (value: number) => string;
	href: (start: number) => string;
}

const HEIGHT = 130;
const LEFT = 46;
const BOTTOM = 18;
const TOP = 6;
const PLOT = HEIGHT - TOP - BOTTOM;

/** The least of 1, 2, 5, 10, 20… that is no less. */
function round(value: number): number {
	if (value <= 0) return 1;
	const size = 10 ** Math.floor(Math.log10(value));
	return (([1, 2, 5].find((step) => step * size >= value) ?? 10) * size) as number;
}

export function Chart({ title, sum, starts, length, series, kind, format, href }: Props) {
	const { zone } = usePreferences();
	const box = useRef<HTMLElement>(null);
	const [width, setWidth] = useState(0);
	const name = useId();
	useLayoutEffect(() => {
		const element = box.current;
		if (!element) return;
		const observer = new ResizeObserver(() => setWidth(element.clientWidth - 2));
		observer.observe(element);
		return () => observer.disconnect();
	}, []);
	const sums = starts.map((_, i) => series.reduce((all, each) => all + (each.values[i] ?? 0), 0));
	const highest = kind === "bars" ? sums : series.flatMap((each) => each.values.map((value) => value ?? 0));
	const top = round(Math.max(0, ...highest));
	const step = Math.max(1, width - LEFT - 8) / Math.max(1, starts.length);
	const x = (i: number) => LEFT + i * step;
	const y = (value: number) => TOP + PLOT * (1 - value / top);
	const first = starts[0] ?? 0;
	const isLong = length * starts.length > 2 * 86_400_000;
	const label = (at: number) => (isLong ? day(at, zone) : clock(at, zone, "minutes"));
	const labels = Math.max(2, Math.min(7, Math.floor(width / 110)));
	const isEmpty = highest.every((value) => value === 0);
	return (
		<section className="chart" ref={box} aria-labelledby={name}>
			<header>
				<h2 id={name}>{title}</h2>
				<span className="chart-sum">{sum}</span>
			</header>
			<svg width={width} height={HEIGHT} role="group" aria-label={title}>
				{[0, 0.5, 1].map((part) => (
					<g key={part}>
						<line x1={LEFT} x2={width - 8} y1={y(top * part)} y2={y(top * part)} className="grid" />
						{!isEmpty && (
							<text x={LEFT - 6} y={y(top * part) + 4} textAnchor="end">
								{format(top * part)}
							</text>
						)}
					</g>
				))}
				{Array.from({ length: labels }, (_, i) => Math.round((i * (starts.length - 1)) / (labels - 1))).map((i) => (
					<text
						key={i}
						x={x(i) + step / 2}
						y={HEIGHT - 4}
						textAnchor={i === 0 ? "start" : i === starts.length - 1 ? "end" : "middle"}
					>
						{label(starts[i] ?? first)}
					</text>
				))}
				{kind === "bars"
					? starts.map((start, i) => <Bars key={start} at={i} x={x(i)} width={step} series={series} y={y} />)
					: series.map((each) => <Curve key={each.name} series={each} x={(i) => x(i) + step / 2} y={y} />)}
				{starts.map((start, i) => {
					const parts = series.flatMap((each) => {
						const value = each.values[i];
						return value ? [`${each.name}: ${format(value)}`] : [];
					});
					const text = [`${day(start, zone)} ${clock(start, zone, "minutes")}`, ...parts].join("\n");
					// Nothing is behind an empty stretch.
					return parts.length === 0 ? null : (
						<Link key={start} href={href(start)} aria-label={text.replaceAll("\n", ", ")}>
							<rect x={x(i)} y={TOP} width={step} height={PLOT} className="hit">
								<title>{text}</title>
							</rect>
						</Link>
					);
				})}
			</svg>
			{isEmpty && <p className="chart-none quiet">None in this time</p>}
			{series.length > 1 && !isEmpty && (
				<ul className="legend">
					{series.map((each) => (
						<li key={each.name}>
							<i className={`dot series-${each.colour}`} aria-hidden="true" />
							<bdi>{each.name}</bdi>
						</li>
					))}
				</ul>
			)}
		</section>
	);
}

interface BarsProps {
	at: number;
	x: number;
	width: number;
	series: readonly Series[];
	y: (value: number) => number;
}

function Bars({ at, x, width, series, y }: BarsProps) {
	let under = 0;
	return series.map((each) => {
		const value = each.values[at] ?? 0;
		if (value <= 0) return null;
		const bottom = y(under);
		under += value;
		return (
			<rect
				key={each.name}
				x={x + Math.min(1, width * 0.1)}
				width={Math.max(1, width - Math.min(2, width * 0.2))}
				y={y(under)}
				height={Math.max(1, bottom - y(under))}
				className={`series-${each.colour}`}
			/>
		);
	});
}

/** A line through the stretches that have a value, broken where there is none; one alone is a dot. */
function Curve({ series, x, y }: { series: Series; x: (i: number) => number; y: (value: number) => number }) {
	let path = "";
	let isBroken = true;
	series.values.forEach((value, i) => {
		// The ends are round, so that a line of no length is a dot.
		if (value !== null)
			path += `${isBroken ? "M" : "L"}${x(i).toFixed(1)} ${y(value).toFixed(1)}${isBroken ? "h0" : ""}`;
		isBroken = value === null;
	});
	return <path d={path} className={`curve series-${series.colour}`} />;
}
