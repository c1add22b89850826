// Drives the dashboard in headless Chromium as a person would, and checks what it shows and that it
// keeps its own Content-Security-Policy. Environment: EDGE (the edge's URL), TOKEN, VIEWER_TOKEN,
// ACCESS_OPERATOR and ACCESS_VIEWER (tokens of Cloudflare Access), CHROMIUM (the path of the
// program), SCREENSHOTS (a folder; optional).
"use strict";
const assert = require("node:assert/strict");
const { chromium } = require("playwright-core");
const { accessible, follow, shoot } = require("./page.cjs");

const { EDGE, TOKEN, VIEWER_TOKEN, CHROMIUM } = process.env;
const { ACCESS_OPERATOR, ACCESS_VIEWER } = process.env;

async function main() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  try {
    await look(browser);
    await passThroughAccess(browser);
    await visit(browser);
  } finally {
    await browser.close();
  }
}

// A viewer sees what an operator sees, and no button that acts.
async function look(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${EDGE}/dashboard`);
  await page.getByLabel("Token").fill(VIEWER_TOKEN);
  await follow(page, page.getByRole("button", { name: "Sign in" }));
  for (const [place, sight] of [
    ["/dashboard", "waits for trust"],
    ["/dashboard/actions", "refresh"],
    ["/dashboard/issuers/moved", "waits for trust"],
    ["/dashboard/issuers/lower", "that you may accept"],
    ["/dashboard/issuers/ended", "no longer lists this issuer"],
    ["/dashboard/issuers/ended/retire", "What will be removed"],
    ["/dashboard/issuers/changed/crls/full/changes", "removed"],
  ]) {
    await page.goto(EDGE + place);
    assert.ok((await page.locator("main").innerText()).includes(sight), `${place}: ${sight}`);
    const buttons = await page.getByRole("button").allInnerTexts();
    const acts = buttons.filter((name) => !["Filter", "Sign out"].includes(name));
    assert.deepEqual(acts, [], place);
  }
  await context.close();
}

// Behind Cloudflare Access nobody signs in, and no page of another site acts in somebody's name.
async function passThroughAccess(browser) {
  for (const [jwt, acts] of [
    [ACCESS_OPERATOR, true],
    [ACCESS_VIEWER, false],
  ]) {
    const headers = { "Cf-Access-Jwt-Assertion": jwt };
    const context = await browser.newContext({ extraHTTPHeaders: headers });
    const page = await context.newPage();
    const own = `${EDGE}/dashboard/issuers/well`;
    await page.goto(own);
    assert.equal(page.url(), own);
    await accessible(page, "behind Access");
    const refresh = page.getByRole("button", { name: "Refresh now" });
    assert.equal(await refresh.count(), acts ? 1 : 0);
    if (acts) {
      await follow(page, refresh);
      assert.match(await page.getByRole("status").innerText(), /published/);
    }
    const form = `<form method="post" action="${EDGE}/v1/refresh"><button>Win</button></form>`;
    await page.goto(`data:text/html,${encodeURIComponent(form)}`);
    await follow(page, page.getByRole("button", { name: "Win" }));
    const refused = acts ? /foreign_form/ : /token_not_allowed/;
    assert.match(await page.content(), refused);
    await context.close();
  }
}

async function visit(browser) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(EDGE)) complaints.push(`another host: ${request.url()}`);
  });

  // Without the right token there is no way in, and a wrong one gets an error.
  await page.goto(`${EDGE}/dashboard`);
  assert.match(page.url(), /\/dashboard\/sign-in$/);
  await accessible(page, "sign-in");
  await page.getByLabel("Token").fill("guess");
  await follow(page, page.getByRole("button", { name: "Sign in" }));
  assert.match(await page.getByRole("alert").innerText(), /does not open the dashboard/);
  assert.equal((await context.cookies()).length, 0);

  // Sign in by keyboard alone.
  await page.getByLabel("Token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${EDGE}/dashboard`);
  const [cookie] = await context.cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(TOKEN));
  assert.ok(!page.url().includes(TOKEN));

  // The first page: overall health, the most urgent CRLs first, refusals, waiting certificates.
  assert.match(await page.locator("h1").innerText(), /needs a look/);
  await page.getByText("waits for trust").first().waitFor();
  const rows = page.locator("table").first().locator("tbody tr");
  const order = await rows.locator("th").allInnerTexts();
  assert.ok(order.indexOf("hostile") < order.indexOf("well"), order.join());
  assert.ok((await page.locator("svg.bar").count()) > 0);
  await accessible(page, "home");
  await shoot(page, "dashboard");

  // Text from outside is escaped.
  const hostile = page.getByText("<script>alert(1)</script>").first();
  assert.ok(await hostile.isVisible());

  // Filters.
  await page.getByLabel("Id contains").fill("wel");
  await follow(page, page.getByRole("button", { name: "Filter" }));
  assert.deepEqual(await rows.locator("th").allInnerTexts(), ["well"]);
  await page.goto(`${EDGE}/dashboard/events`);
  await page.getByLabel("Outcome").selectOption("failed");
  await follow(page, page.getByRole("button", { name: "Filter" }));
  const outcomes = new Set(await page.locator("tbody tr .state").allInnerTexts());
  assert.deepEqual([...outcomes], ["failed"]);
  await accessible(page, "events");
  await shoot(page, "events");

  // An issuer's page: refresh, and see the result.
  await page.goto(`${EDGE}/dashboard/issuers/well`);
  const refresh = page.getByRole("button", { name: "Refresh now" });
  await follow(page, refresh);
  assert.match(await page.getByRole("status").innerText(), /published, number \d+/);
  await follow(page, refresh);
  assert.ok((await page.locator("figure polyline").count()) >= 1, "plots");
  await accessible(page, "issuer");
  await shoot(page, "issuer");

  // Trust a changed certificate.
  await page.goto(`${EDGE}/dashboard/issuers/moved`);
  await shoot(page, "trust");
  await follow(page, page.getByRole("button", { name: "Trust the changed certificate" }));
  assert.match(await page.getByRole("status").innerText(), /published/);
  assert.equal(await page.getByText("waits for trust").count(), 0);

  // Accept a CRL that was refused because its number is lower.
  await page.goto(`${EDGE}/dashboard/issuers/lower`);
  await accessible(page, "a CRL that may be accepted");
  await follow(page, page.getByRole("button", { name: /^Accept/ }));
  assert.match(await page.getByRole("status").innerText(), /published, number 8/);

  // What the last CRL changed, and all changes that are kept.
  await page.goto(`${EDGE}/dashboard/issuers/changed`);
  await follow(page, page.getByRole("link", { name: "What full changed since number 2" }));
  const changes = page.locator('[data-label="Change"]');
  assert.deepEqual(await changes.allInnerTexts(), ["removed"]);
  await accessible(page, "changes");
  await page.goBack();
  await follow(page, page.getByRole("link", { name: "All changes of full" }));
  await accessible(page, "all changes");
  assert.deepEqual(await changes.allInnerTexts(), ["added", "added", "removed"]);
  await page.getByRole("textbox", { name: "Since number" }).fill("0");
  await follow(page, page.getByRole("button", { name: "Filter" }));
  await follow(page, page.getByRole("link", { name: "Those since number 1" }));
  assert.equal(await changes.count(), 3);

  // Retire an issuer that the origin no longer lists: first what that removes, then the button.
  await page.goto(`${EDGE}/dashboard/issuers/ended`);
  await follow(page, page.getByRole("link", { name: "Retire it now…" }));
  const listed = page.locator("tbody tr");
  assert.match(await listed.innerText(), /full/);
  assert.match(await listed.locator('[data-label="SHA-256"]').innerText(), /[0-9a-f]{64}/);
  await accessible(page, "what will be removed");
  await shoot(page, "retire");
  await follow(page, page.getByRole("button", { name: "Retire full of ended" }));
  assert.match(await page.getByRole("status").innerText(), /Removed: full of ended/);
  await accessible(page, "what was removed");
  await page.goto(`${EDGE}/dashboard/actions`);
  const latest = page.locator("tbody tr").first();
  assert.match(await latest.innerText(), /retire/);
  assert.equal(await latest.locator('[data-label="Issuer"]').innerText(), "ended");
  await accessible(page, "actions");

  // The refresh of all issuers is a job: its bar, and at last its summary.
  await page.goto(`${EDGE}/dashboard`);
  await follow(page, page.getByRole("button", { name: "Refresh all issuers" }));
  await page.getByRole("progressbar", { name: "Refresh of all issuers" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Refresh all issuers" }).count(), 0);
  await accessible(page, "a refresh of all issuers");
  while ((await page.getByRole("progressbar").count()) > 0) {
    await page.waitForTimeout(500);
    await follow(page, page.getByRole("link", { name: "Update" }));
  }
  assert.match(await page.locator("section", { hasText: "Requested" }).innerText(), /published/);

  // In dark mode and on a phone, nothing is wider than the screen.
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 844 });
  for (const place of [
    "/dashboard",
    "/dashboard/events",
    "/dashboard/actions",
    "/dashboard/issuers/well",
    "/dashboard/issuers/changed/crls/full/changes",
  ]) {
    await page.goto(EDGE + place);
    const wide = await page.evaluate(
      () => document.documentElement.scrollWidth - window.innerWidth,
    );
    assert.ok(wide <= 0, `${place} is ${wide} pixels too wide`);
    await accessible(page, `${place} in the dark`);
  }
  await page.goto(`${EDGE}/dashboard`);
  await shoot(page, "phone");

  // A form from another page is refused.
  const forged = await page
    .evaluate(async (url) => (await fetch(url)).status, `${EDGE}/dashboard/style.css`)
    .catch(() => "refused");
  assert.equal(forged, "refused", "scripts may not connect anywhere");
  complaints.splice(
    0,
    complaints.length,
    ...complaints.filter(
      (text) => !/connect-src|Fetch API cannot load|Refused to connect/.test(text),
    ),
  );
  const answer = await context.request.post(`${EDGE}/dashboard/issuers/well/refresh`, {
    form: { form_token: "guess" },
  });
  assert.equal(answer.status(), 403);

  await follow(page, page.getByRole("button", { name: "Sign out" }));
  assert.match(page.url(), /sign-in$/);

  // After sign-in, a link to a page leads to that page.
  await page.goto(`${EDGE}/dashboard/events?outcome=failed`);
  assert.match(page.url(), /sign-in\?to=/);
  await page.getByLabel("Token").fill(TOKEN);
  await follow(page, page.getByRole("button", { name: "Sign in" }));
  assert.equal(page.url(), `${EDGE}/dashboard/events?outcome=failed`);

  // From an alert to what fails: its link, signing in, and the issuer.
  await follow(page, page.getByRole("button", { name: "Sign out" }));
  await page.goto(`${EDGE}/dashboard/alerts/CrlFailing`);
  await page.getByLabel("Token").fill(TOKEN);
  await follow(page, page.getByRole("button", { name: "Sign in" }));
  await follow(page, page.getByRole("link", { name: "hostile" }));
  assert.equal(page.url(), `${EDGE}/dashboard/issuers/hostile`);
  assert.deepEqual(complaints, []);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
