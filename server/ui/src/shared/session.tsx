/** Who the reader is: what the API lets them do, and signing out. */
import { useIsMutating, useQuery, useQueryClient } from "@tanstack/react-query";
import { answered, api } from "../api/client";

export const ME = ["me"] as const;
/** What makes the first key and signs in with it: between the two, the server knows the reader no more. */
export const SIGNING_IN = ["signing in"] as const;

/** What the server says of the caller; undefined until it has. Asked again every minute: keys end. */
export function useMe() {
	const isBetween = useIsMutating({ mutationKey: SIGNING_IN }) > 0;
	return useQuery({
		enabled: !isBetween,
		queryKey: ME,
		queryFn: ({ signal }) => answered(api.GET("/api/v1/auth/me", { signal })),
		staleTime: 60_000,
		refetchInterval: 60_000,
	});
}

export function SignOut() {
	const { data: me } = useMe();
	const client = useQueryClient();
	if (!me?.signed_in) return null;
	async function leave() {
		await answered(api.DELETE("/api/v1/auth/session"));
		client.clear();
		// What the page still holds of what was read goes with it.
		window.location.assign("/sign-in");
	}
	return (
		<button type="button" title={`Signed in with the key ${me.key_name}`} onClick={() => void leave()}>
			Sign out
		</button>
	);
}
