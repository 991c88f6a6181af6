// Opens the studio page, lets it go live by itself, and prints what the browser says it sent: one JSON document.
// usage: node go-live.mjs URL SECONDS

import { setTimeout as sleep } from "node:timers/promises";
import { close, open } from "./browser.mjs";

const LIVE_LIMIT_MS = 90_000;
const POLL_MS = 50;

const [url, seconds] = process.argv.slice(2);
const browser = await open();

try {
  const errors = [];
  const { page } = browser;
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
  await close(browser);
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
