// Opens pages that take part in rooms with the unmodified clients of the dialects, several in one browser, and obeys: one
// JSON document a line on standard input, one a line as its answer.
// usage: node rooms.mjs
// commands: {"page": NAME, "verb": VERB, "options": {...}}; the verbs open ({"clients": "newest" or "old"}), reload,
// errors and close are the page's, join, journal, troubles and break those of window.room, all others the participant's.
// The words state and quit stand alone.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { close, open } from "./browser.mjs";

/** Which packages of npm a page has. */
const CLIENTS = {
  newest: {},
  old: { "mediasoup-client": "mediasoup-client-3.7", "socket.io-client": "socket.io-client-4.0" },
};

const bundles = Object.fromEntries(
  await Promise.all(
    Object.entries(CLIENTS).map(async ([name, alias]) => {
      const built = await build({
        entryPoints: [new URL("rooms/page.mjs", import.meta.url).pathname],
        alias,
        bundle: true,
        format: "esm",
        define: { global: "globalThis" },
        logLevel: "error",
        write: false,
      });
      return [name, built.outputFiles[0].text];
    }),
  ),
);

// The pages come from elsewhere than the gateway, as those of the studios do.
const server = createServer((request, response) => {
  const [, name, file] = request.url.split("/");
  if (file === "page.js" && bundles[name]) {
    response.setHeader("content-type", "text/javascript").end(bundles[name]);
  } else {
    response
      .setHeader("content-type", "text/html")
      .end('<!doctype html><title>room</title><script type="module" src="page.js"></script>');
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await open(["--disable-features=WebRtcHideLocalIpsWithMdns"]);
const pages = new Map();

const ofPages = {
  async open(name, { clients = "newest" } = {}) {
    const page = await browser.context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    pages.set(name, { page, errors });
    await page.goto(`${origin}/${clients}/`);
    await page.waitForFunction(() => window.room !== undefined);
  },
  async reload(name) {
    const { page } = pages.get(name);
    await page.reload();
    await page.waitForFunction(() => window.room !== undefined);
  },
  async close(name) {
    await pages.get(name).page.close();
    pages.delete(name);
  },
  errors: (name) => pages.get(name).errors,
};
const ofRoom = ["join", "journal", "troubles", "break"];

async function obey({ page: name, verb, options }) {
  if (verb in ofPages) return ofPages[verb](name, options);
  const { page } = pages.get(name);
  return page.evaluate(
    ([isRoom, called, given]) => (isRoom ? window.room[called](given) : window.room.do(called, given)),
    [ofRoom.includes(verb), verb, options],
  );
}

try {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "quit") break;
    let answer;
    try {
      answer = { done: line === "state" ? [...pages.keys()] : ((await obey(JSON.parse(line))) ?? null) };
    } catch (error) {
      answer = { failed: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
} finally {
  await close(browser);
  server.close();
  // Whoever gave the commands may keep the pipe open.
  process.stdin.destroy();
}
