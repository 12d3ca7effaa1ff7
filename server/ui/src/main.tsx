import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import "./styles/base.css";
import "./styles/shared.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { ApiError } from "./api/client";
import { KeysProvider } from "./shared/keys";
import { PreferencesProvider } from "./shared/preferences";
import { list } from "./views/traces/query";

/** What may be over in a second is asked again; what was refused would be refused again. */
function worthAgain(failures: number, error: Error): boolean {
	return (
		failures < 3 && error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status === 503)
	);
}

const client = new QueryClient({
	defaultOptions: {
		queries: {
			retry: worthAgain,
			retryDelay: 1000,
			staleTime: 5_000,
			refetchOnWindowFocus: false,
			networkMode: "always",
		},
	},
});

// Asked for now, the list is there when the frame has been drawn: the view itself would ask only then.
if (["/", "/traces"].includes(location.pathname)) {
	void client.prefetchInfiniteQuery(list(Object.fromEntries(new URLSearchParams(location.search))));
}

const root = document.getElementById("page");
if (root === null) throw new Error("index.html has no #page");
createRoot(root).render(
	<QueryClientProvider client={client}>
		<PreferencesProvider>
			<KeysProvider>
				<App />
			</KeysProvider>
		</PreferencesProvider>
	</QueryClientProvider>,
);
