/** Times: RFC 3339 in, shown in the reader's zone or UTC; the other one is in the tooltip. */
import { pad } from "./format";
import { usePreferences, type Zone } from "./preferences";

export type Precision = "minutes" | "seconds" | "milliseconds";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function parts(at: number, zone: Zone) {
	const shifted = new Date(at - (zone === "local" ? new Date(at).getTimezoneOffset() * 60_000 : 0));
	return {
		year: shifted.getUTCFullYear(),
		month: shifted.getUTCMonth(),
		day: shifted.getUTCDate(),
		hours: shifted.getUTCHours(),
		minutes: shifted.getUTCMinutes(),
		seconds: shifted.getUTCSeconds(),
		milliseconds: shifted.getUTCMilliseconds(),
	};
}

/** `14:03`, `14:03:07`, `14:03:07.123`. */
export function clock(at: number, zone: Zone, precision: Precision = "seconds"): string {
	const p = parts(at, zone);
	const text = `${pad(p.hours)}:${pad(p.minutes)}`;
	if (precision === "minutes") return text;
	const seconds = `${text}:${pad(p.seconds)}`;
	return precision === "seconds" ? seconds : `${seconds}.${pad(p.milliseconds, 3)}`;
}

/** `28 Nov`, and the year where it is not this one. */
export function day(at: number, zone: Zone): string {
	const p = parts(at, zone);
	const text = `${p.day} ${MONTHS[p.month]}`;
	return p.year === parts(Date.now(), zone).year ? text : `${text} ${p.year}`;
}

/** Day and clock; today's without the day. */
export function moment(at: number, zone: Zone, precision: Precision = "seconds"): string {
	const date = day(at, zone);
	const time = clock(at, zone, precision);
	return date === day(Date.now(), zone) ? time : `${date} ${time}`;
}

/** The offset of the reader's zone at that time: `UTC+02:00`. */
export function offset(at: number): string {
	const minutes = -new Date(at).getTimezoneOffset();
	const size = Math.abs(minutes);
	return `UTC${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** A time in words of both zones, for tooltips. */
export function both(at: number): string {
	const local = `${day(at, "local")} ${clock(at, "local", "milliseconds")} ${offset(at)}`;
	return `${local}\n${day(at, "utc")} ${clock(at, "utc", "milliseconds")} UTC`;
}

/** A time on the page. `at`: RFC 3339, or milliseconds since the epoch. */
export function Time({ at, precision, full }: { at: string | number; precision?: Precision; full?: boolean }) {
	const { zone } = usePreferences();
	const ms = typeof at === "number" ? at : Date.parse(at);
	if (Number.isNaN(ms)) return <span>{String(at)}</span>;
	const text = full ? `${day(ms, zone)} ${clock(ms, zone, precision)}` : moment(ms, zone, precision);
	return (
		<time dateTime={new Date(ms).toISOString()} title={both(ms)}>
			{text}
		</time>
	);
}
