/** A view's state is in its URL, so that it can be sent to a colleague and the back button works. */
import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";

export type Params = Readonly<Record<string, string>>;
/** Changes: a text, or nothing to take the parameter out. */
export type Change = (changes: Record<string, string | null | undefined>, options?: { replace?: boolean }) => void;

/** The parameters of the URL, and what changes some of them. Replaces the history's entry where `replace` is set. */
export function useUrlState(): [Params, Change] {
	const [search, setSearch] = useSearchParams();
	const text = search.toString();
	const params = useMemo(() => Object.fromEntries(new URLSearchParams(text)), [text]);
	const change = useCallback<Change>(
		(changes, options) =>
			setSearch(
				(before) => {
					const after = new URLSearchParams(before);
					for (const [name, value] of Object.entries(changes)) {
						if (value) after.set(name, value);
						else after.delete(name);
					}
					return after;
				},
				{ replace: options?.replace ?? false },
			),
		[setSearch],
	);
	return [params, change];
}

/** A link to `path` with these parameters; empty ones are left out. */
export function link(path: string, params: Record<string, string | null | undefined> = {}): string {
	const search = new URLSearchParams();
	for (const [name, value] of Object.entries(params)) if (value) search.set(name, value);
	const text = search.toString();
	return text ? `${path}?${text}` : path;
}
