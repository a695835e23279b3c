// browser.mjs - a real Chromium, led line by line: JSON commands on standard input, one JSON answer each. Used by
// browser.py. Ends with its standard input.
//
//     node browser.mjs FOLDER [ARGUMENT...]     FOLDER/node_modules has playwright-core; arguments are Chromium's

import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {createInterface} from "node:readline";
import {join, resolve} from "node:path";

const require = createRequire(join(resolve(process.argv[2]), "package.json"));
const {chromium} = require("playwright-core");

const browser = await chromium.launch({executablePath: "/usr/bin/chromium", args: ["--no-sandbox", ...process.argv.slice(3)]});
const pages = new Map();
let count = 0;

function pageOf(command) {
  const found = pages.get(command.page);
  if (!found) {
    throw new Error(`there is no page ${command.page}`);
  }
  return found;
}

const COMMANDS = {
  // A page of its own, with nothing kept from others. What its console or its scripts object to is collected, failed
  // requests apart: a server that is stopped makes those.
  async open({width = 1200, height = 900, dark = false, trusting = false}) {
    const context = await browser.newContext({
      viewport: {width, height}, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce",
      ignoreHTTPSErrors: trusting});
    const page = await context.newPage();
    const entry = {page, context, complaints: [], requests: [], answers: [], failed: []};
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type()) && !message.text().startsWith("Failed to load resource")) {
        entry.complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => entry.complaints.push(error.message));
    page.on("request", (request) => entry.requests.push(request.url()));
    page.on("response", (response) => entry.answers.push(
      {url: response.url(), status: response.status(), fields: response.headers()}));
    page.on("requestfailed", (request) => entry.failed.push(`${request.url()}: ${request.failure()?.errorText}`));
    pages.set(++count, entry);
    return count;
  },
  async goto(command) {
    await pageOf(command).page.goto(command.url, {timeout: command.timeout});
  },
  // Several pages at once, each of them `rounds` times: gives, page by page, what the script said each time.
  async visit(command) {
    return Promise.all(command.pages.map(async (number) => {
      const {page} = pageOf({page: number});
      const told = [];
      for (let round = 0; round < command.rounds; round++) {
        await page.goto(command.urls[round % command.urls.length], {timeout: command.timeout});
        told.push(await page.evaluate(command.script));
      }
      return told;
    }));
  },
  // The first element of a selector, as playwright understands it.
  async text(command) {
    return pageOf(command).page.locator(command.selector).first().textContent({timeout: command.timeout});
  },
  async count(command) {
    return pageOf(command).page.locator(command.selector).count();
  },
  async wait(command) {
    await pageOf(command).page.locator(command.selector).first()
      .waitFor({state: command.state ?? "visible", timeout: command.timeout});
  },
  async click(command) {
    await pageOf(command).page.locator(command.selector).first().click({timeout: command.timeout});
  },
  async fill(command) {
    await pageOf(command).page.locator(command.selector).first().fill(command.value, {timeout: command.timeout});
  },
  async choose(command) {
    await pageOf(command).page.locator(command.selector).first().selectOption(command.value, {timeout: command.timeout});
  },
  async press(command) {
    await pageOf(command).page.keyboard.press(command.key);
  },
  // An expression in the page.
  async evaluate(command) {
    return pageOf(command).page.evaluate(command.script);
  },
  // Until the expression is true. playwright's own way needs eval, which the page's policy forbids.
  async until(command) {
    const deadline = Date.now() + command.timeout;
    while (!await pageOf(command).page.evaluate(command.script)) {
      if (Date.now() > deadline) {
        throw new Error("it never came true");
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  },
  // What of the rules of WCAG 2 (A and AA) and of good practice the page breaks, as axe sees it: one line for each rule.
  async violations(command) {
    const {page} = pageOf(command);
    await page.evaluate(`if (!window.axe) { ${readFileSync(require.resolve("axe-core/axe.min.js"), "utf8")} }`);
    return page.evaluate(async () => {
      const found = await window.axe.run(document, {resultTypes: ["violations"]});
      return found.violations.map((rule) => `${rule.id}: ` +
        rule.nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`).join("; "));
    });
  },
  async screenshot(command) {
    await pageOf(command).page.screenshot({path: command.path, fullPage: command.whole ?? true});
  },
  async complaints(command) {
    return pageOf(command).complaints;
  },
  async requests(command) {
    return pageOf(command).requests;
  },
  // Every answer that came, redirects too, and what never became one.
  async answers(command) {
    return pageOf(command).answers;
  },
  async failed(command) {
    return pageOf(command).failed;
  },
  async cookies(command) {
    const cookies = await pageOf(command).context.cookies();
    return Object.fromEntries(cookies.map((cookie) => [cookie.name, cookie.value]));
  },
  async close(command) {
    await pageOf(command).context.close();
    pages.delete(command.page);
  },
};

process.stdout.write("{\"ready\":true}\n");
for await (const line of createInterface({input: process.stdin})) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = {result: (await COMMANDS[command.do](command)) ?? null};
  } catch (error) {
    answer = {error: error.message};
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
