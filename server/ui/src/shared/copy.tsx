/** A button that copies a text, also where the browser has no clipboard for us (plain HTTP from another machine). */
import { useEffect, useState } from "react";

async function copied(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = document.createElement("textarea");
		area.value = text;
		area.className = "hidden";
		(document.querySelector("dialog[open]") ?? document.body).append(area);
		area.select();
		const done = document.execCommand("copy");
		area.remove();
		return done;
	}
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
	const [said, setSaid] = useState<string | null>(null);
	useEffect(() => {
		if (said === null) return;
		const timer = setTimeout(() => setSaid(null), 2000);
		return () => clearTimeout(timer);
	}, [said]);
	return (
		<button
			type="button"
			onClick={async () => setSaid((await copied(text)) ? "Copied" : "Select it and copy by hand")}
			aria-live="polite"
		>
			{said ?? label}
		</button>
	);
}
