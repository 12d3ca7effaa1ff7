/** Who called whom: spans of one kind and name are one node, with how often, how long, and how often in vain. */
import { useMemo } from "react";
import { counted, duration } from "../../shared/format";
import { oneLine } from "../../shared/inert";
import type { Row, Tree } from "./tree";

interface Node {
	key: string;
	row: Row;
	level: number;
	place: number;
	calls: number;
	failed: number;
	took: number;
}
interface Edge {
	from: Node;
	to: Node;
	calls: number;
}

const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [190, 50, 70, 18];
/** More nodes than a picture can tell anything with. */
const MOST = 150;

function graph(tree: Tree): { nodes: Node[]; edges: Edge[] } {
	const nodes = new Map<string, Node>();
	const edges = new Map<string, Edge>();
	const sizes: number[] = [];
	const keyOf = (row: Row) => `${row.span.kind} ${row.span.name}`;
	for (const row of tree.rows) {
		const key = keyOf(row);
		let node = nodes.get(key);
		if (!node) {
			if (nodes.size >= MOST) continue;
			const above = row.parent && nodes.get(keyOf(row.parent));
			const level = above ? above.level + 1 : 0;
			sizes[level] = (sizes[level] ?? 0) + 1;
			node = { key, row, level, place: (sizes[level] ?? 1) - 1, calls: 0, failed: 0, took: 0 };
			nodes.set(key, node);
		}
		node.calls++;
		node.took += row.to - row.from;
		if (row.span.status === "error") {
			// A click leads to the first that failed.
			if (node.failed === 0) node.row = row;
			node.failed++;
		}
		const from = row.parent && nodes.get(keyOf(row.parent));
		if (from) {
			const name = `${from.key}\n${key}`;
			const edge = edges.get(name) ?? { from, to: node, calls: 0 };
			edge.calls++;
			edges.set(name, edge);
		}
	}
	return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

export function Graph({ tree, select }: { tree: Tree; select: (span: string) => void }) {
	const { nodes, edges } = useMemo(() => graph(tree), [tree]);
	const width = Math.max(1, ...nodes.map((node) => node.level + 1)) * (WIDTH + GAP_X);
	const height = Math.max(1, ...nodes.map((node) => node.place + 1)) * (HEIGHT + GAP_Y) + 20;
	const x = (node: Node) => 10 + node.level * (WIDTH + GAP_X);
	const y = (node: Node) => 10 + node.place * (HEIGHT + GAP_Y);
	return (
		<div className="graph" tabIndex={0} role="region" aria-label="Graph of calls">
			<div className="graph-area" style={{ width, height }}>
				<svg width={width} height={height} aria-hidden="true">
					{edges.map(({ from, to, calls }) => {
						const [x1, y1, x2, y2] = [x(from) + WIDTH, y(from) + HEIGHT / 2, x(to), y(to) + HEIGHT / 2];
						const isBack = to.level <= from.level;
						const path = isBack
							? `M${x1} ${y1} C${x1 + 40} ${y1 + 44}, ${x2 - 40} ${y2 + 44}, ${x2} ${y2}`
							: `M${x1} ${y1} C${x1 + GAP_X / 2} ${y1}, ${x2 - GAP_X / 2} ${y2}, ${x2} ${y2}`;
						return (
							<g key={`${from.key}\n${to.key}`}>
								<path d={path} className="edge" style={{ strokeWidth: 1 + Math.min(3, Math.log10(calls)) }} />
								{calls > 1 && (
									<text x={x2 - 6} y={y2 - 5} textAnchor="end">
										×{calls}
									</text>
								)}
							</g>
						);
					})}
				</svg>
				{nodes.map((node) => (
					<button
						key={node.key}
						type="button"
						className={`graph-node kind-${node.row.span.kind} ${node.failed > 0 ? "has-failed" : ""}`}
						style={{ left: x(node), top: y(node), width: WIDTH, height: HEIGHT }}
						onClick={() => select(node.row.span.span_id)}
					>
						<bdi>{oneLine(node.row.span.name, 60)}</bdi>
						<span>
							{node.row.span.kind}, {counted(node.calls, "call")}, {duration(node.took)}
							{node.failed > 0 && <b className="status-error"> {node.failed} ✕</b>}
						</span>
					</button>
				))}
			</div>
		</div>
	);
}
