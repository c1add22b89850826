// What the scripts that drive the dashboard share. Environment: SCREENSHOTS (a folder; optional).
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const { SCREENSHOTS } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// Clicks a control that leads to another page and waits for that page, so that nothing is read from
// the old one.
async function follow(page, button) {
  await Promise.all([page.waitForNavigation(), button.click()]);
}

/** No serious finding of axe-core. */
async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const found = serious.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`,
  );
  assert.deepEqual(found, [], name);
}

async function shoot(page, name) {
  if (SCREENSHOTS)
    await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

module.exports = { accessible, follow, shoot };
