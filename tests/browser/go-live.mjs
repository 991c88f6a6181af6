// Opens the studio page, lets it go live by itself, and prints what the browser says it sent: one JSON document.
// usage: node go-live.mjs URL SECONDS

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const LIVE_LIMIT_MS = 30_000;
const POLL_MS = 50;

const FLAGS = [
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  // A page that nobody looks at is slowed down otherwise.
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
  // Nothing goes beyond loopback.
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-quic",
  "--no-first-run",
  "--disable-gpu",
];

const [url, seconds] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "castgate-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  chromiumSandbox: false,
  args: FLAGS,
  viewport: { width: 1280, height: 800 },
});

try {
  const errors = [];
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.goto(url);
  const atLive = await untilLive(page);
  await sleep(Number(seconds) * 1000);
  const atEnd = await page.evaluate(() => window.castgate.stats());
  const state = await page.evaluate(() => window.castgate.state());
  await page.evaluate(() => window.castgate.stop());
  process.stdout.write(`${JSON.stringify({ atLive, atEnd, state, errors, address: page.url() })}\n`);
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
}

/** The statistics at the moment when all destinations take media. */
async function untilLive(page) {
  const deadline = Date.now() + LIVE_LIMIT_MS;
  for (;;) {
    const state = await page.evaluate(() => window.castgate?.state());
    const destinations = state?.broadcast?.destinations ?? [];
    if (destinations.length > 0 && destinations.every((destination) => destination.state === "live")) {
      return page.evaluate(() => window.castgate.stats());
    }
    if (Date.now() > deadline) throw new Error(`not live: ${JSON.stringify(state)}`);
    await sleep(POLL_MS);
  }
}
