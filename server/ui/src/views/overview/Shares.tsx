/** Tools, agents or models of a stretch of time: the busiest first, or those that failed most. */
import { Link } from "wouter";
import type { Share } from "../../api/client";
import { allTokens, cost, count, duration, short } from "../../shared/format";
import { Line } from "../../shared/inert";
import { useUrlState } from "../../shared/url";

const SHOWN = 10;
const ORDERS = [
	["count", "Busiest"],
	["errors", "Most failing"],
	["slow", "Slowest"],
] as const;
type Order = (typeof ORDERS)[number][0];

const BY: Record<Order, (share: Share) => number> = {
	count: (share) => share.count,
	errors: (share) => share.errors,
	slow: (share) => share.latency_ms.p95 ?? 0,
};

interface Props {
	title: string;
	/** What is counted. */
	what: string;
	shares: readonly Share[];
	href: (name: string, more?: Record<string, string>) => string;
}

export function Shares({ title, what, shares, href }: Props) {
	const [params, change] = useUrlState();
	const name = `${title.toLowerCase()}_by`;
	const order = ORDERS.find(([each]) => each === params[name])?.[0] ?? "count";
	const sorted = [...shares].sort((a, b) => BY[order](b) - BY[order](a)).slice(0, SHOWN);
	const hasTokens = shares.some((share) => allTokens(share.tokens) !== null);
	const most = Math.max(1, ...sorted.map((share) => share.count));
	return (
		<section className="share" aria-label={title}>
			<header>
				<h2>{title}</h2>
				{shares.length > 0 && (
					<select
						aria-label={`Order of ${title}`}
						value={order}
						onChange={(event) => change({ [name]: event.target.value === "count" ? null : event.target.value })}
					>
						{ORDERS.map(([each, label]) => (
							<option key={each} value={each}>
								{label}
							</option>
						))}
					</select>
				)}
			</header>
			{shares.length === 0 ? (
				<p className="quiet">None in this time</p>
			) : (
				<table>
					<thead>
						<tr>
							<th scope="col">Name</th>
							<th scope="col" className="numeric">
								{what}
							</th>
							<th scope="col" className="numeric">
								failed
							</th>
							<th scope="col" className="numeric">
								p95
							</th>
							{hasTokens && (
								<>
									<th scope="col" className="numeric wide">
										tokens
									</th>
									<th scope="col" className="numeric wide">
										cost
									</th>
								</>
							)}
						</tr>
					</thead>
					<tbody>
						{sorted.map((share) => (
							<tr key={share.name}>
								<th scope="row">
									<Link href={href(share.name)}>
										<Line text={share.name} most={80} />
									</Link>
									<progress max={most} value={share.count} aria-hidden="true" />
								</th>
								<td className="numeric">{count(share.count)}</td>
								<td className="numeric">
									{share.errors > 0 ? (
										<Link href={href(share.name, { status: "error" })} className="status-error">
											{count(share.errors)}
										</Link>
									) : (
										<span className="quiet">0</span>
									)}
								</td>
								<td className="numeric">{duration(share.latency_ms.p95)}</td>
								{hasTokens && (
									<>
										<td className="numeric wide">{short(allTokens(share.tokens))}</td>
										<td className="numeric wide">{cost(share.cost_usd)}</td>
									</>
								)}
							</tr>
						))}
					</tbody>
				</table>
			)}
			{shares.length > SHOWN && <p className="quiet">of {count(shares.length)}</p>}
		</section>
	);
}
