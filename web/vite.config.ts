import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Where `npm run dev` finds a gateway. */
const gateway = process.env.CASTGATE_URL ?? "http://127.0.0.1:3001";

export default defineConfig({
  root: here("studio"),
  resolve: { alias: { "@castgate/client": here("client/src/index.ts") } },
  build: {
    outDir: here("dist"),
    emptyOutDir: true,
    target: "es2022",
    // The gateway's content security policy has no place for inlined scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
  worker: { format: "es" },
  server: { proxy: { "/api": gateway, "/whip": gateway, "/whep": gateway } },
  test: {
    root: here("."),
    include: ["client/test/**/*.test.ts", "studio/**/*.test.ts"],
    environment: "node",
  },
});
