/** A piece of an event with the words of the query marked. */
import { Fragment, memo } from "react";
import type { Highlight } from "../../api/client";
import { Line, marked } from "../../shared/inert";

export const Highlighted = memo(function Highlighted({ highlight }: { highlight: Highlight }) {
	// The server counts characters, JavaScript halves of them.
	const characters = Array.from(highlight.text);
	let end = 0;
	const pieces = highlight.ranges.map(([from = 0, to = 0]) => {
		const before = characters.slice(end, from).join("");
		end = to;
		return { from, before, word: characters.slice(from, to).join("") };
	});
	return (
		<div className="highlight">
			{highlight.field !== "raw" && (
				<span className="quiet highlight-field">
					<Line text={highlight.field.replace(/^properties\./, "")} most={80} />
				</span>
			)}
			<span className="prose">
				{pieces.map(({ from, before, word }) => (
					<Fragment key={from}>
						{marked(before)}
						<mark>{marked(word)}</mark>
					</Fragment>
				))}
				{marked(characters.slice(end).join(""))}
			</span>
		</div>
	);
});
