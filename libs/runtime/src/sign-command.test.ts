import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exec } from './exec.ts';
import { commandSigner } from './sign-command.ts';
import { generateKeyPem, signerFromPem, verifySignature } from './signing.ts';

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'floe-sign-'))));
afterAll(() => rmSync(dir, { recursive: true }));

const [pem, otherPem] = [generateKeyPem(), generateKeyPem()];
const { publicKey } = signerFromPem('release-1', pem);
/** Enough for a program to start on a busy machine, where it is not meant to hang. */
const PATIENCE_MS = 60_000;
let scripts = 0;

/** A program in Node: `body` has what it read, and signs of either key. */
function program(body: string): string {
  const path = join(dir, `signer-${(scripts += 1)}`);
  const keys = `const own = createPrivateKey(${JSON.stringify(pem)}), other = createPrivateKey(${JSON.stringify(otherPem)});`;
  writeFileSync(
    path,
    `#!${process.execPath}
const { createPrivateKey, sign: signWith } = require('node:crypto');
${keys}
const sign = (bytes, key = own) => signWith(null, bytes, key);
const write = (...parts) => { for (const each of parts) process.stdout.write(each); };
const input = [];
process.stdin.on('data', (chunk) => input.push(chunk)).on('end', () => { const bytes = Buffer.concat(input); ${body} });
`,
  );
  chmodSync(path, 0o755);
  return path;
}

function signerOf(body: string, timeoutMs = PATIENCE_MS) {
  return commandSigner('release-1', { command: [program(body)], publicKey }, { exec, env: { PATH: process.env['PATH'] }, timeoutMs });
}

const GOOD = ['write(sign(bytes));', "write(sign(bytes).toString('base64') + '\\n');", "console.error('asked the token'); write(sign(bytes));"];
/** What a signer does wrong, and what its error says. `hangs`: until it is ended. */
const BAD = [
  { body: '', why: /wrote 0 bytes that are no signature/ },
  { body: 'write(sign(bytes, other));', why: /another key, or other bytes/ },
  { body: "write(sign(Buffer.from('something else')));", why: /another key, or other bytes/ },
  { body: 'write(Buffer.alloc(64));', why: /another key, or other bytes/ },
  { body: 'write(sign(bytes), sign(bytes));', why: /128 bytes that are no signature/ },
  { body: "write(sign(bytes).toString('hex'));", why: /128 bytes that are no signature/ },
  { body: "write('Signed: ', sign(bytes).toString('base64'));", why: /no signature/ },
  { body: 'write(sign(bytes).subarray(0, 63));', why: /63 bytes that are no signature/ },
  { body: "write(sign(bytes)); console.error('no such slot\\u001b[31m'); process.exitCode = 3;", why: /status 3.*It said: no such slot \[31m$/ },
  { body: 'for (;;) write(Buffer.alloc(1 << 16));', why: /wrote more than a signature/ },
  { body: 'process.kill(process.pid, "SIGKILL");', why: /was killed \(SIGKILL\)/ },
  { body: 'setInterval(() => {}, 1e6);', why: /no signature within 2 s/, hangs: true },
  { body: 'process.on("SIGTERM", () => {}); write(sign(bytes)); setInterval(() => {}, 1e6);', why: /no signature within 2 s/, hangs: true },
];

test.each(GOOD)('what a command signs is taken: %s', async (body) => {
  const signer = signerOf(body);
  const bytes = Buffer.from([0, 255, 10, 13, 128]);
  expect(verifySignature(publicKey, bytes, await signer.sign(bytes))).toBe(true);
});

test.each(BAD)('what a command does wrong gives no signature, and a reason: $body', { timeout: 2 * PATIENCE_MS }, async ({ body, why, hangs }) => {
  const signing = Promise.resolve(signerOf(body, hangs === true ? 2_000 : PATIENCE_MS).sign(Buffer.from('bytes')));
  await expect(signing).rejects.toMatchObject({ code: 'SIGN_COMMAND_FAILED', retryable: true, message: expect.stringMatching(why) as string });
});

test('a command that fills memory is ended', { timeout: 2 * PATIENCE_MS }, async () => {
  const signing = signerOf('const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1));').sign(Buffer.from('bytes'));
  // Where the kernel holds the limit it is ended by that; elsewhere its own allocation may fail first.
  await expect(signing).rejects.toMatchObject({
    code: 'SIGN_COMMAND_FAILED',
    retryable: true,
    message: expect.stringMatching(/MiB of memory|was killed|status/) as string,
  });
});

test('a command that is not there, or may not be run, is named', async () => {
  const nothing = join(dir, 'nothing');
  for (const path of [nothing, dir]) {
    const signer = commandSigner('release-1', { command: [path], publicKey }, { exec, env: {} });
    await expect(signer.sign(Buffer.from('x'))).rejects.toMatchObject({
      code: 'SIGN_COMMAND_FAILED',
      retryable: true,
      message: expect.stringContaining(path) as string,
    });
  }
});

test('it gets the bytes, its arguments and the given environment, and nothing else', async () => {
  const path = program(
    "if (process.argv[2] !== 'a b' || Object.keys(process.env).some((name) => !['ONLY', 'EXECUTION_ID'].includes(name))) process.exitCode = 9; else write(sign(bytes));",
  );
  const signer = commandSigner('release-1', { command: [path, 'a b'], publicKey }, { exec, env: { ONLY: 'this' } });
  expect(verifySignature(publicKey, Buffer.from('x'), await signer.sign(Buffer.from('x')))).toBe(true);
});

test('whatever a row of signers does, each signature that is given is right, and few run at once', { timeout: 4 * PATIENCE_MS }, async () => {
  const running = join(dir, 'running');
  rmSync(running, { recursive: true, force: true });
  const count = `const fs = require('node:fs'); const at = ${JSON.stringify(running)} + '/' + process.pid; fs.mkdirSync(${JSON.stringify(running)}, { recursive: true }); fs.writeFileSync(at, ''); process.on('exit', () => fs.rmSync(at));`;
  const behaviour = fc.constantFrom(...GOOD, ...BAD.filter(({ hangs }) => hangs !== true).map(({ body }) => body));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 2_000 }), behaviour), { minLength: 1, maxLength: 8 }),
      async (asked) => {
        // The first byte that it reads says what it does.
        const cases = asked.map(([, body], index) => `case ${index}: ${body} break;`).join('\n');
        const signer = signerOf(`${count} switch (bytes[0]) { ${cases} }`);
        let most = 0;
        const watch = setInterval(() => {
          try {
            most = Math.max(most, readdirSync(running).filter((pid) => existsSync(`/proc/${pid}`)).length);
          } catch {
            // Nothing has run yet.
          }
        }, 5);
        const results = await Promise.allSettled(asked.map(async ([bytes], index) => await signer.sign(Buffer.from([index, ...bytes]))));
        clearInterval(watch);
        rmSync(running, { recursive: true, force: true });
        expect(most).toBeLessThanOrEqual(4);
        for (const [index, result] of results.entries()) {
          const [bytes = new Uint8Array(), body = ''] = asked[index] ?? [];
          expect(result.status).toBe(GOOD.includes(body) ? 'fulfilled' : 'rejected');
          if (result.status === 'fulfilled') expect(verifySignature(publicKey, Buffer.from([index, ...bytes]), result.value)).toBe(true);
        }
      },
    ),
    { numRuns: Number(process.env['FLOE_FUZZ_RUNS'] ?? 3) },
  );
});
