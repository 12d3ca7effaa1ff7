/** Terminal colours (SGR sequences) as runs of text with classes. Everything else that begins with ESC stays as it is. */

export interface Run {
	text: string;
	/** Names of classes, e.g. `ansi-bold ansi-fg-1`; empty: plain. The sixteen colours follow light and dark. */
	classes: string;
	/** A colour of the 256 or of all, as CSS. */
	rgb?: string;
	backgroundRgb?: string;
}

interface Look {
	flags: Set<string>;
	fg: string;
	bg: string;
}

const SGR = /\u001b\[([0-9;:]*)m/g;
const ON: Record<number, string> = {
	1: "bold",
	2: "dim",
	3: "italic",
	4: "underline",
	7: "inverse",
	8: "conceal",
	9: "strike",
};
const OFF: Record<number, string[]> = {
	22: ["bold", "dim"],
	23: ["italic"],
	24: ["underline"],
	27: ["inverse"],
	28: ["conceal"],
	29: ["strike"],
};
const LEVELS = [0, 95, 135, 175, 215, 255];
/** A text with more changes of colour than this is plain from there on. */
const MOST_RUNS = 5_000;

/** A colour of the 256: a digit for the sixteen, else CSS. */
function indexed(value: number): string {
	if (!(value >= 0 && value <= 255)) return "";
	if (value < 16) return String(value);
	if (value >= 232) {
		const grey = 8 + (value - 232) * 10;
		return `rgb(${grey} ${grey} ${grey})`;
	}
	const n = value - 16;
	return `rgb(${LEVELS[Math.floor(n / 36)]} ${LEVELS[Math.floor(n / 6) % 6]} ${LEVELS[n % 6]})`;
}

function applied(look: Look, sequence: string): Look {
	const codes = sequence === "" ? [0] : sequence.split(/[;:]/).map(Number);
	let { fg, bg } = look;
	const flags = new Set(look.flags);
	for (let i = 0; i < codes.length; i++) {
		const code = codes[i] ?? 0;
		if (code === 0) {
			flags.clear();
			fg = bg = "";
		} else if (ON[code]) flags.add(ON[code]);
		else if (OFF[code]) for (const flag of OFF[code]) flags.delete(flag);
		else if (code >= 30 && code <= 37) fg = String(code - 30);
		else if (code >= 90 && code <= 97) fg = String(code - 82);
		else if (code === 39) fg = "";
		else if (code >= 40 && code <= 47) bg = String(code - 40);
		else if (code >= 100 && code <= 107) bg = String(code - 92);
		else if (code === 49) bg = "";
		else if (code === 38 || code === 48) {
			let colour = "";
			if (codes[i + 1] === 5) {
				colour = indexed(codes[i + 2] ?? -1);
				i += 2;
			} else if (codes[i + 1] === 2) {
				const [r = 0, g = 0, b = 0] = codes.slice(i + 2, i + 5);
				if ([r, g, b].every((c) => c >= 0 && c <= 255)) colour = `rgb(${r} ${g} ${b})`;
				i += 4;
			}
			if (code === 38) fg = colour;
			else bg = colour;
		}
	}
	return { flags, fg, bg };
}

function run(text: string, look: Look): Run {
	const classes = [...look.flags].map((flag) => `ansi-${flag}`);
	const made: Run = { text, classes: "" };
	if (look.fg.startsWith("rgb")) made.rgb = look.fg;
	else if (look.fg) classes.push(`ansi-fg-${look.fg}`);
	if (look.bg.startsWith("rgb")) made.backgroundRgb = look.bg;
	else if (look.bg) classes.push(`ansi-bg-${look.bg}`);
	made.classes = classes.join(" ");
	return made;
}

/** The text in runs of one look each; together they are the text without its colour sequences. */
export function runs(text: string): Run[] {
	const made: Run[] = [];
	let look: Look = { flags: new Set(), fg: "", bg: "" };
	let end = 0;
	for (const found of text.matchAll(SGR)) {
		if (made.length >= MOST_RUNS) break;
		if (found.index > end) made.push(run(text.slice(end, found.index), look));
		look = applied(look, found[1] ?? "");
		end = found.index + found[0].length;
	}
	if (end < text.length) made.push(run(text.slice(end), look));
	return made;
}
