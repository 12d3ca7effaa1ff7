/** What a view shows while it has nothing else to show. */
import { Component, type ReactNode } from "react";
import { ApiError } from "../api/client";

export function Loading({ what = "Loading" }: { what?: string }) {
	return (
		<div className="state" role="status">
			<span className="spinner" aria-hidden="true" />
			{what}…
		</div>
	);
}

/** What went wrong and what to do; `again` tries once more. */
export function ErrorNote({ error, again }: { error: unknown; again?: () => void }) {
	const known = error instanceof ApiError ? error : null;
	const message = error instanceof Error ? error.message : String(error);
	const [said, next] = message.split(/\bNext: /);
	return (
		<div className="state state-error" role="alert">
			<p>{said}</p>
			{next && (
				<p>
					<b>Next:</b> {next}
				</p>
			)}
			{known?.status === 401 && (
				<p>
					<a className="button" href={`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`}>
						Sign in with an API key
					</a>
				</p>
			)}
			{known?.requestId && <p className="quiet">request {known.requestId}</p>}
			{again && (
				<button type="button" onClick={again}>
					Try again
				</button>
			)}
		</div>
	);
}

/** Shows what was thrown while a view was made, rather than nothing at all. */
export class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
	override state = { error: null as unknown };

	static getDerivedStateFromError(error: unknown) {
		return { error };
	}

	override render() {
		if (this.state.error === null) return this.props.children;
		return <ErrorNote error={this.state.error} again={() => location.reload()} />;
	}
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
	return (
		<div className="state">
			<h2>{title}</h2>
			{children}
		</div>
	);
}
