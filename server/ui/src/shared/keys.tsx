/** Keys: each view says which it has, the help (`?`) shows those of the view on screen. */
import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from "react";

/** What a key does, in words for the help, and the doing. `key`: as `KeyboardEvent.key` has it. */
export interface Binding {
	key: string;
	does: string;
	run: (event: KeyboardEvent) => void;
}

interface Registry {
	bindings: Set<() => readonly Binding[]>;
}

const Context = createContext<Registry>({ bindings: new Set() });

function isTyping(target: EventTarget | null): boolean {
	return (
		target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
	);
}

export function KeysProvider({ children }: { children: ReactNode }) {
	const [registry] = useState<Registry>(() => ({ bindings: new Set() }));
	const [shown, setShown] = useState<readonly Binding[] | null>(null);
	useEffect(() => {
		function pressed(event: KeyboardEvent) {
			if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
			if (isTyping(event.target)) {
				if (event.key === "Escape") (event.target as HTMLElement).blur();
				return;
			}
			const all = [...registry.bindings].flatMap((bindings) => bindings());
			if (event.key === "?") {
				setShown(all);
				return;
			}
			// What came last is innermost.
			const found = all.findLast((binding) => binding.key === event.key);
			if (found) {
				event.preventDefault();
				found.run(event);
			}
		}
		window.addEventListener("keydown", pressed);
		return () => window.removeEventListener("keydown", pressed);
	}, [registry]);
	return (
		<Context value={registry}>
			{children}
			{shown && <Help bindings={shown} close={() => setShown(null)} />}
		</Context>
	);
}

/** Have these keys for as long as the component is on screen. */
export function useKeys(bindings: readonly Binding[]): void {
	const { bindings: all } = useContext(Context);
	const latest = useRef(bindings);
	useEffect(() => {
		latest.current = bindings;
	});
	useEffect(() => {
		const read = () => latest.current;
		all.add(read);
		return () => {
			all.delete(read);
		};
	}, [all]);
}

const SHOWN: Record<string, string> = { ArrowDown: "↓", ArrowUp: "↑", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };

function Help({ bindings, close }: { bindings: readonly Binding[]; close: () => void }) {
	const dialog = useRef<HTMLDialogElement>(null);
	useEffect(() => dialog.current?.showModal(), []);
	const byWords = Map.groupBy(bindings, (binding) => binding.does);
	return (
		<dialog ref={dialog} className="help" onClose={close} aria-label="Keys">
			<h2>Keys</h2>
			<dl>
				{[...byWords].map(([does, of]) => (
					<div key={does}>
						<dt>
							{of.map(({ key }) => (
								<kbd key={key}>{SHOWN[key] ?? key}</kbd>
							))}
						</dt>
						<dd>{does}</dd>
					</div>
				))}
				<div>
					<dt>
						<kbd>?</kbd>
					</dt>
					<dd>this help</dd>
				</div>
			</dl>
			<div>
				<button type="button" onClick={() => dialog.current?.close()}>
					Close
				</button>
			</div>
		</dialog>
	);
}
