import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { onTestFinished } from 'vitest';
import type { TestContext } from 'vitest';
import { find } from '../../build/host/tools.js';

const NAMES = ['chromium', 'chromium-browser', 'chrome', 'google-chrome'];

/** The browser of this machine, until the test is over. Where there is none, the test says that it was not run. */
export async function browserOf(context: TestContext): Promise<Browser> {
  const program = NAMES.map((name) => find(name)).find((path) => path !== undefined);
  if (program === undefined) {
    console.warn(`NOT CHECKED: ${context.task.name} (no Chromium on this machine: apt-get install chromium)`);
    context.skip('there is no Chromium on this machine');
  }
  const browser = await chromium.launch({
    executablePath: program,
    // The sandbox of Chromium refuses to run as root.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  onTestFinished(() => browser.close());
  return browser;
}

/** A page of a file, with what it complained of, and what it asked of anybody but its own file. */
export async function pageOf(
  browser: Browser,
  path: string,
  colorScheme: 'light' | 'dark' = 'light',
): Promise<{ readonly page: Page; readonly complaints: readonly string[] }> {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 1000 } });
  const page = await context.newPage();
  const complaints: string[] = [];
  const own = pathToFileURL(path).href;
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (request.url() !== own) complaints.push(`asks for ${request.url()}`);
  });
  await page.goto(own);
  return { page, complaints };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds serious or critical in a page. */
export async function seriousOf(page: Page): Promise<readonly string[]> {
  // Evaluated by the debugger: the page's own policy lets no other script in.
  const found: unknown = await page.evaluate(
    `${AXE}; axe.run().then(({ violations }) => violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => id + ': ' + nodes.slice(0, 3).map(({ html }) => html).join(' ')))`,
  );
  return found as readonly string[];
}
