// Opens the studio page and obeys: one command a line on standard input, one JSON document a line as its answer.
// usage: node studio.mjs URL
// commands: state, stats, reload (the tab), crash (kills the page's process, then loads it again), resize WIDTHxHEIGHT (the
// canvas), monitor (what the page itself sees of what the gateway receives), stop, quit

import { readFile, readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { close, open } from "./browser.mjs";

const [url] = process.argv.slice(2);
const { origin } = new URL(url);
// Browsers take other addresses than loopback's for insecure, whatever network they are in.
const browser = await open([`--unsafely-treat-insecure-origin-as-secure=${origin}`]);
let { page } = browser;
await page.goto(url);

const commands = {
  state: () => page.evaluate(() => window.castgate?.state() ?? null),
  stats: () => page.evaluate(() => window.castgate?.stats() ?? null),
  async reload() {
    await page.reload();
  },
  async crash() {
    const crashed = page.waitForEvent("crash");
    const killed = await killRenderers();
    await crashed;
    // A person clicks "reload" on the sad tab.
    const session = await browser.context.newCDPSession(page);
    await session.send("Page.reload");
    return { killed };
  },
  resize(size) {
    const [width, height] = size.split("x").map(Number);
    return page.evaluate((wanted) => window.castgate.resize(wanted), { width, height });
  },
  monitor: () => page.evaluate(() => window.castgate.monitor()),
  stop: () => page.evaluate(() => window.castgate.stop()),
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "quit") break;
    const [command, ...words] = line.split(" ");
    let answer;
    try {
      answer = { done: (await commands[command](...words)) ?? null };
    } catch (error) {
      answer = { failed: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
} finally {
  await close(browser);
  // Whoever gave the commands may keep the pipe open.
  process.stdin.destroy();
}

/** Kills the pages' processes among those that this one has started, as a lack of memory would. */
async function killRenderers() {
  const processes = await Promise.all((await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(describe));
  const parents = new Map(processes.map(({ id, parent }) => [id, parent]));
  const isOurs = (id) => id !== undefined && (parents.get(id) === process.pid || isOurs(parents.get(id)));
  const renderers = processes.filter(
    ({ id, command }) => isOurs(id) && command.includes("--type=renderer") && !command.includes("--extension-process"),
  );
  for (const { id } of renderers) process.kill(id, "SIGKILL");
  return renderers.length;
}

async function describe(name) {
  try {
    const stat = await readFile(`/proc/${name}/stat`, "utf8");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return { id: Number(name), parent, command: await readFile(`/proc/${name}/cmdline`, "utf8") };
  } catch {
    // It has ended meanwhile.
    return { id: Number(name), parent: undefined, command: "" };
  }
}
