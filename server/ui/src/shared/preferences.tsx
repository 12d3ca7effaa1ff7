/** What a reader chose once for all views: light or dark, local time or UTC. Kept in the browser. */
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";

export type Theme = "auto" | "light" | "dark";
export type Zone = "local" | "utc";

interface Preferences {
	theme: Theme;
	zone: Zone;
	setTheme: (theme: Theme) => void;
	setZone: (zone: Zone) => void;
}

const Context = createContext<Preferences | null>(null);

function kept<T extends string>(name: string, possible: readonly T[], usual: T): T {
	try {
		const value = localStorage.getItem(name) as T;
		return possible.includes(value) ? value : usual;
	} catch {
		return usual; // the browser keeps nothing for us
	}
}

function keep(name: string, value: string): void {
	try {
		localStorage.setItem(name, value);
	} catch {
		// then it holds until the page is left
	}
}

export function PreferencesProvider({ children }: { children: ReactNode }) {
	const [theme, setTheme] = useState(() => kept<Theme>("theme", ["auto", "light", "dark"], "auto"));
	const [zone, setZone] = useState(() => kept<Zone>("zone", ["local", "utc"], "local"));
	useEffect(() => {
		if (theme === "auto") delete document.documentElement.dataset.theme;
		else document.documentElement.dataset.theme = theme;
		keep("theme", theme);
	}, [theme]);
	useEffect(() => keep("zone", zone), [zone]);
	const value = useMemo(() => ({ theme, zone, setTheme, setZone }), [theme, zone]);
	return <Context value={value}>{children}</Context>;
}

export function usePreferences(): Preferences {
	const found = useContext(Context);
	if (found === null) throw new Error("usePreferences outside of PreferencesProvider");
	return found;
}
