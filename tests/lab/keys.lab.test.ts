import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

/** A key as docs/operate.md makes one: the file, and its public part in base64. */
function newKey(): { readonly pem: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64'),
  };
}

// "Changing keys" of docs/operate.md, step by step.
describe.skipIf(!isReady)(`keys change through git${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'floe-keys-'));
    lab = await LabFleet.create(8, { ada: another() });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  });

  const keyFile = (name: string): string => join(lab.fleet.dir, 'server/keys', name);
  /** Puts a key file in the place of the server's. */
  async function change(file: string, text: string): Promise<void> {
    await lab.fleet.server.stop();
    await writeFile(keyFile(file), text, { mode: 0o600 });
    await lab.fleet.startServer();
  }
  async function pinned(settings: Readonly<Record<string, string>>): Promise<string> {
    const { wanted } = await lab.change('ada', another({ settings }));
    await lab.runs('ada', wanted);
    return wanted;
  }

  test.each([
    ['release', 'FLOE_TRUSTED_RELEASE_KEYS', 'release.pem'],
    ['server', 'FLOE_TRUSTED_SERVER_KEYS', 'server.pem'],
  ])('the %s key, under its old name', async (name, variable, file) => {
    const old = lab.trusted(variable);
    const oldPem = await readFile(keyFile(file), 'utf8');
    const { pem, publicKey } = newKey();
    const fresh = `${name}-1:${publicKey}`;

    await pinned({ [variable]: `${old} ${fresh}` });
    await change(file, pem);
    // From here on it is the new key that is believed, and it alone.
    const running = await pinned({ [variable]: fresh });
    noteOutcome({ fault: `change of the ${name} key`, where: 'all', outcome: 'new system, by the new key' });

    await change(file, oldPem);
    const push = await lab.change('ada', another({ settings: { [variable]: fresh } }));
    await lab.logs('ada', `${name === 'release' ? 'RELEASE' : 'DIRECTIVE'}_SIGNATURE_WRONG`);
    expect(await lab.machine('ada')).toEqual({ current: running, profile: running, default: running });
    noteOutcome({ fault: `signed by the earlier ${name} key`, where: 'OFFERED', outcome: 'refused, nothing changed' });
    await change(file, pem);
    await lab.killAgent('ada');
    lab.trust({ [variable]: fresh });
    if (name === 'server') await lab.runs('ada', push.wanted);
    else await pinned({});
  });

  test("the cache's key", async () => {
    const variable = 'FLOE_TRUSTED_PUBLIC_KEYS';
    const [secret, open] = [join(dir, 'cache.secret'), join(dir, 'cache.pub')];
    const made = await execInTest('nix-store', ['--generate-binary-cache-key', 'floe-2', secret, open]);
    expect(made.exitCode, made.stderr).toBe(0);
    const fresh = (await readFile(open, 'utf8')).trim();

    await pinned({ [variable]: `${lab.trusted(variable)} ${fresh}` });
    await lab.fleet.server.stop();
    const store = `file://${join(lab.fleet.dir, 'server/cache')}`;
    const signed = await execInTest('nix', [
      '--extra-experimental-features',
      'nix-command',
      'store',
      'sign',
      '--store',
      store,
      '--key-file',
      secret,
      '--all',
    ]);
    expect(signed.exitCode, signed.stderr).toBe(0);
    await writeFile(keyFile('cache.secret'), await readFile(secret, 'utf8'), { mode: 0o600 });
    await lab.fleet.startServer();
    await pinned({ [variable]: fresh });
    noteOutcome({ fault: "change of the cache's key", where: 'all', outcome: 'new system, by the new key' });
  });
});
