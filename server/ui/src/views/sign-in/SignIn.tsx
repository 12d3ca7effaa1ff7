/** Signing in with an API key. The key is sent once; from then on a cookie that scripts cannot read says who asks. */
import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useLocation } from "wouter";
import { ApiError, answered, api } from "../../api/client";
import { ME, useMe } from "../../shared/session";
import { useUrlState } from "../../shared/url";
import "./sign-in.css";

/** Where to go afterwards: a path of this page, whatever the URL says. */
function inside(to: string | undefined): string {
	return to?.startsWith("/") && !/^\/[/\\]/.test(to) ? to : "/traces";
}

/** `stay`: shown in place of a view, which comes once the reader is in. */
export default function SignIn({ stay }: { stay?: boolean }) {
	const [params] = useUrlState();
	const [, navigate] = useLocation();
	const client = useQueryClient();
	const { data: me } = useMe();
	const [key, setKey] = useState("");
	const [wrong, setWrong] = useState<string | null>(null);
	const [busy, setBusy] = useState(false);

	async function submit(event: FormEvent) {
		event.preventDefault();
		setBusy(true);
		setWrong(null);
		try {
			const found = await answered(api.POST("/api/v1/auth/session", { body: { key: key.trim() } }));
			// What was refused before is asked anew.
			client.removeQueries({ predicate: (query) => query.queryKey[0] !== ME[0] });
			client.setQueryData(ME, found);
			if (!stay) navigate(inside(params.to), { replace: true });
		} catch (error) {
			setWrong(error instanceof ApiError ? error.message : String(error));
		} finally {
			setBusy(false);
		}
	}

	const mayRead = me?.scopes.includes("read") || me?.scopes.includes("admin");
	return (
		<form className="sign-in" onSubmit={(event) => void submit(event)}>
			<h1>Sign in</h1>
			{me && !me.keys_needed ? (
				<p>This server has no API keys: nobody has to sign in.</p>
			) : (
				<>
					<p className="quiet">
						{me?.key_id && !mayRead
							? `The key ${me.key_name} may ${me.scopes.join(", ")}, but not read. Sign in with one that may.`
							: "This server wants an API key with the scope read. It is not kept in the browser."}
					</p>
					<label>
						API key
						<input
							type="password"
							autoComplete="current-password"
							required
							// biome-ignore lint/a11y/noAutofocus: it is all there is to do here
							autoFocus
							spellCheck={false}
							placeholder="vdb_…"
							value={key}
							onChange={(event) => setKey(event.target.value)}
							aria-invalid={wrong !== null}
							aria-describedby="sign-in-says"
						/>
					</label>
					<div id="sign-in-says" role="alert" className="wrong">
						{wrong}
					</div>
					<button type="submit" className="primary" disabled={busy || !key.trim()}>
						{busy ? "Signing in…" : "Sign in"}
					</button>
					<p className="quiet">
						No key yet? On the server's machine: <code>vectadb keys create --name me --scope read</code>
					</p>
				</>
			)}
		</form>
	);
}
