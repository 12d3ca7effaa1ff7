/**
 * Text that others wrote, shown so that it can do nothing: no markup ever (React makes text nodes), and characters that
 * would reorder, hide or erase what is around them appear as marks. `Logged` shows terminal colours as well.
 */
import { type CSSProperties, memo, type ReactNode, useState } from "react";
import { type Run, runs } from "./ansi";
import { count } from "./format";

// What the server has escaped (`escapes.py`), control characters but tab and newline, marks of direction, invisible characters, line separators, tags, lone surrogates.
const CONTROL =
	/\u001a(?:0000|001[af]|d[89a-f][0-9a-f]{2})|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb]|\u{e0001}|[\u{e0020}-\u{e007f}]|[\ud800-\udfff]/gu;
const NAMES: Record<string, string> = {
	"\u0000": "NUL",
	"\u0007": "BEL",
	"\b": "BS",
	"\r": "CR",
	"\u001b": "ESC",
	"\u007f": "DEL",
};
/** Longer texts are cut, with a button for the rest. */
const LONG = 20_000;
/** So many marks are made apart; a text with more of them shows the rest as replacement characters. */
const MOST_MARKS = 2_000;

function mark(found: string): string {
	const point = found.length === 5 ? Number.parseInt(found.slice(1), 16) : (found.codePointAt(0) ?? 0);
	return NAMES[found] ?? `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The text with its control characters as marks. */
export function marked(text: string): ReactNode {
	if (text.search(CONTROL) < 0) return text;
	const pieces: ReactNode[] = [];
	let end = 0;
	for (const found of text.matchAll(CONTROL)) {
		if (pieces.length > 2 * MOST_MARKS) break;
		// CR LF is a line's end like LF.
		const isLineEnd = found[0] === "\r" && text[found.index + 1] === "\n";
		pieces.push(text.slice(end, found.index));
		if (!isLineEnd) {
			pieces.push(
				<span className="control" key={found.index} title={`control character ${mark(found[0])}`}>
					{mark(found[0])}
				</span>,
			);
		}
		end = found.index + found[0].length;
	}
	pieces.push(text.slice(end).replace(CONTROL, "\ufffd"));
	return pieces;
}

/** One line of text for a row or a heading: without colours, spaces drawn together, cut at `most` characters. */
export function oneLine(text: string, most = 400): string {
	const beginning = text.length > 4 * most ? text.slice(0, 4 * most) : text;
	const flat = beginning
		.replace(/\u001b\[[0-9;:]*m/g, "")
		.replace(/\s+/g, " ")
		.trim();
	const cut = flat.length > most ? `${flat.slice(0, most)}…` : flat;
	return cut.replace(CONTROL, "\ufffd");
}

/** A line of somebody's text. */
export function Line({ text, most, className }: { text: string; most?: number; className?: string }) {
	return <bdi className={className}>{oneLine(text, most)}</bdi>;
}

function Cut({ text, children }: { text: string; children: (shown: string) => ReactNode }) {
	const [whole, setWhole] = useState(false);
	if (whole || text.length <= LONG) return children(text);
	// Not between the halves of a character.
	const end = /[\ud800-\udbff]/.test(text.charAt(LONG - 1)) ? LONG - 1 : LONG;
	return (
		<>
			{children(text.slice(0, end))}
			<button type="button" className="more" onClick={() => setWhole(true)}>
				Show all {count(text.length)} characters
			</button>
		</>
	);
}

/** A text of several lines, wrapped. */
export const Prose = memo(function Prose({ text, mono }: { text: string; mono?: boolean }) {
	return <Cut text={text}>{(shown) => <div className={mono ? "prose mono" : "prose"}>{marked(shown)}</div>}</Cut>;
});

function style(run: Run): CSSProperties | undefined {
	// Set through the CSSOM, which the policy against inline styles allows.
	if (!run.rgb && !run.backgroundRgb) return undefined;
	return { ...(run.rgb && { color: run.rgb }), ...(run.backgroundRgb && { backgroundColor: run.backgroundRgb }) };
}

/** Raw log text with its terminal colours; other terminal commands are marks. */
export const Logged = memo(function Logged({ text }: { text: string }) {
	return (
		<Cut text={text}>
			{(shown) => (
				<div className="logged">
					{runs(shown).map((run, index) =>
						run.classes || run.rgb || run.backgroundRgb ? (
							// biome-ignore lint/suspicious/noArrayIndexKey: a text's runs have no other name, and never move
							<span key={index} className={run.classes} style={style(run)}>
								{marked(run.text)}
							</span>
						) : (
							// biome-ignore lint/suspicious/noArrayIndexKey: as above
							<span key={index}>{marked(run.text)}</span>
						),
					)}
				</div>
			)}
		</Cut>
	);
});
