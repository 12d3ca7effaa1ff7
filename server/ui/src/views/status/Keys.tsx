/** API keys: make one (told once), see who has which, revoke. For admins. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { answered, api, type Key } from "../../api/client";
import { Copy } from "../../shared/copy";
import { Line } from "../../shared/inert";
import { ME, SIGNING_IN, useMe } from "../../shared/session";
import { ErrorNote, Loading } from "../../shared/states";
import { Time } from "../../shared/time";

const KEYS = ["keys"] as const;
const SCOPES = ["ingest", "read", "admin"] as const;
const MEANING: Record<(typeof SCOPES)[number], string> = {
	ingest: "bring events (agents)",
	read: "look and search (people)",
	admin: "everything, keys too",
};

export function Keys() {
	const [isMaking, setMaking] = useState(false);
	const [revoking, setRevoking] = useState<Key | null>(null);
	const found = useQuery({
		queryKey: KEYS,
		queryFn: ({ signal }) => answered(api.GET("/api/v1/auth/keys", { signal })),
	});
	const { data: me } = useMe();
	const client = useQueryClient();
	const keys = found.data?.keys ?? [];
	// Nothing is read anew while a key is on screen: whatever that tells must not take away what is shown only once.
	function done() {
		setMaking(false);
		void client.invalidateQueries();
	}
	return (
		<section className="panel" aria-label="API keys">
			<div className="panel-head">
				<h2>API keys</h2>
				{/* Not before it is known whether it will be the first: that one has to be an admin's. */}
				<button type="button" className="primary" disabled={!found.data} onClick={() => setMaking(true)}>
					New key
				</button>
			</div>
			{found.isPending && <Loading />}
			{found.isError && <ErrorNote error={found.error} again={() => void found.refetch()} />}
			{found.data && keys.length === 0 && (
				<p className="quiet">
					There are none: this machine may do everything, others nothing. From the first key on everybody needs one.
				</p>
			)}
			{keys.length > 0 && (
				<div className="scroll" role="region" aria-label="List of API keys" tabIndex={0}>
					<table>
						<thead>
							<tr>
								<th scope="col">Name</th>
								<th scope="col">May</th>
								<th scope="col">Made</th>
								<th scope="col">Last used</th>
								<th scope="col">Ends</th>
								<th scope="col">
									<span className="hidden">Revoke</span>
								</th>
							</tr>
						</thead>
						<tbody>
							{keys.map((key) => (
								<tr key={key.id} className={hasEnded(key) ? "ended" : ""}>
									<th scope="row">
										<Line text={key.name} most={100} /> <code className="quiet">{key.id}</code>
									</th>
									<td>{key.scopes.join(", ")}</td>
									<td>
										<Time at={key.created} precision="minutes" />
									</td>
									<td>
										{key.last_used ? (
											<Time at={key.last_used} precision="minutes" />
										) : (
											<span className="quiet">never</span>
										)}
									</td>
									<td>
										<Ends of={key} />
									</td>
									<td className="numeric">
										{!hasEnded(key) && (
											<button type="button" onClick={() => setRevoking(key)} aria-label={`Revoke ${key.name}`}>
												Revoke
											</button>
										)}
									</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
			{isMaking && <NewKey close={done} wasFirst={keys.length === 0} />}
			{revoking && <Revoke of={revoking} isOwn={revoking.id === me?.key_id} close={() => setRevoking(null)} />}
		</section>
	);
}

function hasEnded(key: Key): boolean {
	return key.revoked !== null || (key.expires !== null && Date.parse(key.expires) <= Date.now());
}

function Ends({ of: key }: { of: Key }) {
	if (key.revoked) {
		return (
			<>
				revoked <Time at={key.revoked} precision="minutes" />
			</>
		);
	}
	return key.expires ? <Time at={key.expires} precision="minutes" /> : <span className="quiet">never</span>;
}

function useDialog() {
	const dialog = useRef<HTMLDialogElement>(null);
	useEffect(() => dialog.current?.showModal(), []);
	return dialog;
}

function NewKey({ close, wasFirst }: { close: () => void; wasFirst: boolean }) {
	const dialog = useDialog();
	const client = useQueryClient();
	const [isFirst] = useState(wasFirst);
	const [name, setName] = useState("");
	const [scopes, setScopes] = useState<readonly (typeof SCOPES)[number][]>(isFirst ? ["admin"] : ["ingest"]);
	const [expires, setExpires] = useState("");
	const make = useMutation({
		mutationKey: SIGNING_IN,
		mutationFn: async () => {
			await client.cancelQueries({ queryKey: ME });
			const ends = expires.trim();
			const body = { name: name.trim(), scopes: [...scopes], ...(ends && { expires: ends }) };
			const made = await answered(api.POST("/api/v1/auth/keys", { body }));
			// From the first key on everybody has to sign in: the reader is, with it. If that fails they still see the key.
			if (isFirst) await answered(api.POST("/api/v1/auth/session", { body: { key: made.key } })).catch(() => undefined);
			return made;
		},
	});
	const made = make.data;
	function submit(event: FormEvent) {
		event.preventDefault();
		make.mutate();
	}
	return (
		<dialog ref={dialog} className="help key-dialog" onClose={close} aria-label="New API key">
			{made ? (
				<div className="made">
					<h2>
						The key <Line text={made.name} most={100} />
					</h2>
					<p>It is shown this once: copy it now.</p>
					<code className="secret">{made.key}</code>
					<div className="dialog-foot">
						<Copy text={made.key} label="Copy the key" />
						<button type="button" className="primary" onClick={() => dialog.current?.close()}>
							Done
						</button>
					</div>
				</div>
			) : (
				<form onSubmit={submit}>
					<h2>New API key</h2>
					{isFirst && (
						<p className="warning">
							It is the first one: from now on everybody needs a key. This page is signed in with it; keep it well, it
							may do everything.
						</p>
					)}
					<label>
						Name
						<input
							required
							maxLength={100}
							value={name}
							placeholder="the agent in eu-central-1"
							onChange={(event) => setName(event.target.value)}
						/>
					</label>
					<fieldset>
						<legend>It may</legend>
						{SCOPES.map((scope) => (
							<label key={scope} className="choice">
								<input
									type="checkbox"
									checked={scopes.includes(scope)}
									disabled={isFirst && scope === "admin"}
									onChange={(event) =>
										setScopes(event.target.checked ? [...scopes, scope] : scopes.filter((each) => each !== scope))
									}
								/>
								<b>{scope}</b> <span className="quiet">{MEANING[scope]}</span>
							</label>
						))}
					</fieldset>
					<label>
						Ends after
						<input
							value={expires}
							placeholder="never; or 12h, 30d, 4w"
							onChange={(event) => setExpires(event.target.value)}
						/>
					</label>
					{make.isError && (
						<p className="wrong" role="alert">
							{make.error.message}
						</p>
					)}
					<div className="dialog-foot">
						<button type="button" onClick={() => dialog.current?.close()}>
							Cancel
						</button>
						<button type="submit" className="primary" disabled={make.isPending || scopes.length === 0 || !name.trim()}>
							Make the key
						</button>
					</div>
				</form>
			)}
		</dialog>
	);
}

function Revoke({ of: key, isOwn, close }: { of: Key; isOwn: boolean; close: () => void }) {
	const dialog = useDialog();
	const client = useQueryClient();
	const revoke = useMutation({
		mutationFn: () => answered(api.DELETE("/api/v1/auth/keys/{key_id}", { params: { path: { key_id: key.id } } })),
		onSuccess: () => {
			void client.invalidateQueries({ queryKey: KEYS });
			void client.invalidateQueries({ queryKey: ["me"] });
			dialog.current?.close();
		},
	});
	return (
		<dialog ref={dialog} className="help key-dialog" onClose={close} aria-label="Revoke a key">
			<h2>
				Revoke <Line text={key.name} most={100} />?
			</h2>
			<p>Whoever has it is refused within 5 seconds. That cannot be undone.</p>
			{isOwn && <p className="warning">You are signed in with it: you are out, too.</p>}
			{revoke.isError && (
				<p className="wrong" role="alert">
					{revoke.error.message}
				</p>
			)}
			<div className="dialog-foot">
				<button type="button" onClick={() => dialog.current?.close()}>
					Keep it
				</button>
				<button type="button" className="danger" disabled={revoke.isPending} onClick={() => revoke.mutate()}>
					Revoke
				</button>
			</div>
		</dialog>
	);
}
