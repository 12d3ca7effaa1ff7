/** Numbers in few characters. Times are in `time.tsx`. */

/** A length of time: `0.4 ms`, `120 ms`, `4.21 s`, `2 m 05 s`, `1 h 02 m`. */
export function duration(ms: number | null | undefined): string {
	if (ms === null || ms === undefined) return "";
	if (ms < 1) return ms === 0 ? "0 ms" : `${ms.toFixed(1)} ms`;
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
	if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
	const seconds = Math.round(ms / 1000);
	if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
	const minutes = Math.round(seconds / 60);
	if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
	return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

export function pad(value: number, width = 2): string {
	return String(value).padStart(width, "0");
}

/** `12,345`. */
export function count(value: number | null | undefined): string {
	// `Intl.NumberFormat` takes 30 ms to make.
	return value === null || value === undefined ? "" : String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `999`, `12.3k`, `4.5M`: for narrow columns; the title has `count`. */
export function short(value: number | null | undefined): string {
	if (value === null || value === undefined) return "";
	for (const [size, letter] of [
		[1e9, "G"],
		[1e6, "M"],
		[1e3, "k"],
	] as const) {
		if (value >= size) return `${(value / size).toFixed(value >= 100 * size ? 0 : 1)}${letter}`;
	}
	return String(value);
}

/** `$0.0123`, two digits from ten cents on; nothing where no price is known. */
export function cost(usd: number | null | undefined): string {
	if (usd === null || usd === undefined) return "";
	if (usd === 0) return "$0";
	if (usd < 0.0001) return "<$0.0001";
	return `$${usd.toFixed(usd < 0.1 ? 4 : 2)}`;
}

/** Tokens in and out together; `null` where the log says neither. */
export function allTokens(tokens: { input?: number | null; output?: number | null }): number | null {
	if (tokens.input == null && tokens.output == null) return null;
	return (tokens.input ?? 0) + (tokens.output ?? 0);
}

/** `1 tool call`, `2 tool calls`. */
export function counted(value: number, one: string, many = `${one}s`): string {
	return `${count(value)} ${value === 1 ? one : many}`;
}
