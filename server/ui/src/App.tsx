/** The frame around all views, and which path shows which. */
import { lazy, Suspense, useEffect } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { useKeys } from "./shared/keys";
import { type Theme, usePreferences } from "./shared/preferences";
import { SignOut, useMe } from "./shared/session";
import { Boundary, Empty, Loading } from "./shared/states";
// What nearly everybody sees first comes with the frame, not after it.
import Traces from "./views/traces/Traces";

const loadTrace = () => import("./views/trace/Trace");
const TraceView = lazy(loadTrace);
const Search = lazy(() => import("./views/search/Search"));
const Live = lazy(() => import("./views/live/Live"));
const Overview = lazy(() => import("./views/overview/Overview"));
const Status = lazy(() => import("./views/status/Status"));
const SignIn = lazy(() => import("./views/sign-in/SignIn"));

/** The server knows these paths, too (`routes/page.py`): a view can be opened by its address. */
const VIEWS: [path: string, label: string, key: string][] = [
	["/traces", "Traces", "1"],
	["/search", "Search", "2"],
	["/live", "Live", "3"],
	["/overview", "Overview", "4"],
	["/status", "Health", "5"],
];

export function App() {
	const [path, navigate] = useLocation();
	const current = VIEWS.find(([start]) => path.startsWith(start));
	useEffect(() => {
		document.title = current ? `${current[1]} · VectaDB` : "VectaDB";
		// On a telephone not all of them are on screen.
		document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
	}, [current]);
	useEffect(() => {
		// What is clicked first is there by then.
		const timer = setTimeout(() => void loadTrace().catch(() => undefined), 500);
		return () => clearTimeout(timer);
	}, []);
	const { data: me } = useMe();
	const isStranger = me?.keys_needed === true && !me.scopes.includes("read") && !me.scopes.includes("admin");
	useKeys(VIEWS.map(([to, label, key]) => ({ key, does: label, run: () => navigate(to) })));
	return (
		<>
			<a className="skip" href="#main">
				Skip to the content
			</a>
			<header className="top">
				<Link href="/traces" className="brand">
					VectaDB
				</Link>
				<nav aria-label="Views">
					{VIEWS.map(([to, label]) => (
						<Link key={to} href={to} aria-current={current?.[0] === to ? "page" : undefined}>
							{label}
						</Link>
					))}
				</nav>
				<Choices />
			</header>
			<main id="main" tabIndex={-1}>
				<Boundary key={path}>
					<Suspense fallback={<Loading />}>{isStranger && path !== "/sign-in" ? <SignIn stay /> : <Views />}</Suspense>
				</Boundary>
			</main>
		</>
	);
}

function Views() {
	return (
		<Switch>
			<Route path="/">
				<Redirect to="/traces" replace />
			</Route>
			<Route path="/traces" component={Traces} />
			<Route path="/traces/:id">{({ id }) => <TraceView key={id} id={id} />}</Route>
			<Route path="/search" component={Search} />
			<Route path="/live" component={Live} />
			<Route path="/overview" component={Overview} />
			<Route path="/status" component={Status} />
			<Route path="/sign-in">
				<SignIn />
			</Route>
			<Route>
				<Empty title="There is no such view">
					<p>
						<Link href="/traces">Traces</Link> is where to begin.
					</p>
				</Empty>
			</Route>
		</Switch>
	);
}

const NEXT: Record<Theme, Theme> = { auto: "dark", dark: "light", light: "auto" };
const SIGNS: Record<Theme, string> = { auto: "◑", dark: "☾", light: "☀" };

function Choices() {
	const { theme, zone, setTheme, setZone } = usePreferences();
	return (
		<div className="choices">
			<SignOut />
			<button
				type="button"
				title="Times in your zone, or in UTC"
				onClick={() => setZone(zone === "utc" ? "local" : "utc")}
			>
				{zone === "utc" ? "UTC" : "Local"}
			</button>
			<button
				type="button"
				title={`Colours: ${theme}`}
				aria-label={`Colours: ${theme}`}
				onClick={() => setTheme(NEXT[theme])}
			>
				{SIGNS[theme]}
			</button>
			<button
				type="button"
				title="Keys"
				aria-label="Keys"
				onClick={() => window.dispatchEvent(new KeyboardEvent("keydown", { key: "?" }))}
			>
				?
			</button>
		</div>
	);
}
