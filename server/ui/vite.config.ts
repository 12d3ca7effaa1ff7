import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Lays a compressed copy beside each text file, which the server hands out as it is. */
function compressed(): Plugin {
	return {
		name: "compressed",
		apply: "build",
		generateBundle: {
			order: "post",
			handler(_, bundle) {
				for (const [name, file] of Object.entries(bundle)) {
					if (!/\.(js|css|svg)$/.test(name)) continue;
					const source = file.type === "chunk" ? file.code : file.source;
					this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(source, { level: 9 }) });
				}
			},
		},
	};
}

/** Where `npm run dev` finds the API: a running `vectadb serve`. */
const api = process.env.VECTADB_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
	plugins: [react(), compressed()],
	server: { host: "127.0.0.1", proxy: { "/api": api, "/health": api, "/schema": api } },
	build: {
		outDir: "../src/vectadb_server/page",
		emptyOutDir: true,
		target: "es2022",
		// The policy lets nothing in but files of this server: no data: URLs.
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		reportCompressedSize: false,
	},
});
