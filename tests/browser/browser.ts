import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const AUDIT = readFileSync(new URL('page-audit.js', import.meta.url), 'utf8');
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** The browser that is installed; its own download is not used. */
export async function launchBrowser(): Promise<Browser> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const executablePath = NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error('Chromium was not found in PATH: install it (Debian: apt-get install chromium)');
  return await chromium.launch({ executablePath, args: ['--disable-gpu', '--disable-dev-shm-usage'] });
}

export interface OpenedPage extends AsyncDisposable {
  readonly page: Page;
  /** What the browser complained of: scripts that threw, refused styles, failed requests. */
  readonly complaints: string[];
  /** What people would stumble over; empty when all is well. */
  audit(): Promise<string[]>;
}

/** A page of its own, without cookies of others. */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<OpenedPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) complaints.push(`asks another server: ${request.url()}`);
  });
  await page.goto(url);
  return {
    page,
    complaints,
    audit: async () => await page.evaluate<string[]>(AUDIT),
    [Symbol.asyncDispose]: async () => await context.close(),
  };
}
