// Goes from the link of each alert to what failed, in headless Chromium, as the person on call
// does: signed out, and in three clicks at most. Environment: EDGE (the edge's URL), TOKEN, ALERTS
// (JSON: for each alert its name, the link's path, the issuer that its page lists, and what else
// the page says), CHROMIUM (the path of the program).
"use strict";
const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");
const { accessible, follow, shoot } = require("./page.cjs");

const { EDGE, TOKEN, ALERTS, CHROMIUM } = process.env;

async function main() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  try {
    for (const alert of JSON.parse(ALERTS)) await answer(browser, alert);
  } finally {
    await browser.close();
  }
}

async function answer(browser, { name, link, issuer, says }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  let clicks = 1; // The link in the alert.
  await page.goto(EDGE + link);
  assert.match(page.url(), /sign-in\?to=/, name);
  await page.getByLabel("Token").fill(TOKEN);
  await follow(page, page.getByRole("button", { name: "Sign in" }));
  clicks += 1;
  assert.equal(page.url(), EDGE + link);
  assert.equal(await page.locator("h1").innerText(), name);
  const shown = await page.locator("main").innerText();
  for (const fact of ["Clients get", "Outage", "To do"]) {
    const text = await page.locator("dt", { hasText: fact }).locator("+ dd").innerText();
    assert.ok(text.length > 3, `${name}: ${fact}`);
  }
  for (const text of says) assert.match(shown, new RegExp(text), name);
  await accessible(page, name);
  if (name === "CrlFailing") await shoot(page, "alert");
  if (issuer) {
    const row = page.locator("tbody tr", {
      has: page.getByRole("link", { name: issuer, exact: true }),
    });
    assert.equal(await row.count(), 1, `${name}: ${issuer} is not in ${shown}`);
    assert.match(await row.locator('[data-label="Since"]').innerText(), /ago/, name);
    await follow(page, row.getByRole("link"));
    clicks += 1;
    assert.equal(await page.locator("h1").innerText(), issuer);
    await page.getByRole("button", { name: "Refresh now" }).waitFor();
  }
  assert.ok(clicks <= 3, `${name}: ${clicks} clicks`);
  await context.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
