import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

// A repository, a host and a cache write what a failed program says. Whoever searches in it lets them decide. (Standard
// output is an answer, and is read by its form.)

const ROOT = join(import.meta.dirname, '../../..');
const WHERE = ['libs/nix/src', 'libs/pipeline/src', 'libs/git/src', 'libs/forge/src', 'apps/server/src', 'apps/agent/src'];
const TEXTS = String.raw`(?:stderr|message|messages|text|texts|reason|plainLines|buildLines|raw_msg|description)`;
const SEARCHES = String.raw`(?:includes|match|search|indexOf|startsWith|endsWith)\(`;
const SEARCH = new RegExp(
  String.raw`\b(?:log|result|error|failure|cause|run|message|event)\??\.${TEXTS}\b[^;]*?\.(?:${SEARCHES}|some\()|\.test\((?:error|failure|cause|log|result|run|event)\??\.${TEXTS}|\.test\(reason\)`,
);

/** Where it is no decision about anybody, and why. */
const ALLOWED: Readonly<Record<string, string>> = {
  'libs/nix/src/evaluate.ts': 'asks for the places of messages, which Nix writes beside the text',
  'libs/nix/src/internal-json.ts': 'the format itself: what Nix puts before a text, which no repository can leave out',
  'apps/agent/src/server/connection.ts': 'a text that the agent itself made',
  'apps/agent/src/when/judge.ts': 'a text that the agent itself made',
};

test('nothing is decided by searching in what a program or a stranger said', async () => {
  const found: string[] = [];
  for (const folder of WHERE) {
    for (const entry of await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name).slice(ROOT.length + 1);
      if (!entry.isFile() || !path.endsWith('.ts') || path.includes('.test.') || path.includes('/test/') || path in ALLOWED) continue;
      const lines = (await readFile(join(ROOT, path), 'utf8')).split('\n');
      lines.forEach((line, index) => {
        if (SEARCH.test(line)) found.push(`${path}:${index + 1}: ${line.trim()}`);
      });
    }
  }
  expect(found).toEqual([]);
});

test('the search for it finds it', () => {
  for (const line of [
    'log.messages.some(({ text }) => /SQLite/i.test(text))',
    "first.log.messages.some(({ text }) => text.includes('program'))",
    "if (error.message.includes('ECONNREFUSED')) return;",
    'if (/full/.test(result.stderr)) return;',
  ]) {
    expect(SEARCH.test(line), line).toBe(true);
  }
});
