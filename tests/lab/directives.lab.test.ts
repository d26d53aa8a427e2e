import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDirective, seal, type Directive, type SealedDirective } from '@floe/protocol';
import { sha256, signerFromPem, verifySignature, type Signer } from '@floe/runtime';
import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LabFleet } from './lab-fleet.ts';
import { Meddler } from './meddler.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

describe.skipIf(!isReady)(`directives that may not be followed${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let meddler: Meddler;
  let server: Signer;
  let running = '';

  beforeAll(async () => {
    lab = await LabFleet.create(
      6,
      { ada: {} },
      {
        between: async ({ serverUrl, address }) => {
          meddler = await Meddler.start(serverUrl, address);
          return { serverUrl: meddler.url };
        },
      },
    );
    const [serverKey = ''] = lab.serverKeys;
    server = signerFromPem(serverKey.slice(0, serverKey.lastIndexOf(':')), await readFile(join(lab.fleet.dir, 'server/keys/server.pem'), 'utf8'));
    // Two systems that came through the meddler, who has heard what was said about each.
    for (const motd of ['first', 'second']) {
      const sha = await lab.push(motd, { ada: { etc: { motd } } });
      running = (await lab.published(sha)).get('ada') ?? '';
      await lab.runs('ada', running);
    }
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await meddler[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  function opened(envelope: SealedDirective | undefined): Directive {
    if (envelope === undefined) throw new Error('no directive was heard');
    const result = openDirective(envelope, [server], verifySignature, sha256);
    if (result.kind !== 'opened') throw new Error(result.message);
    return result.statement;
  }
  /** What a server whose key was stolen could say on this connection. */
  function forged(changes: Partial<Directive>): SealedDirective {
    const newest = opened(meddler.directives.at(-1));
    const now = Date.now();
    return seal(server, 'floe/directive', {
      ...newest,
      epoch: newest.epoch + 1,
      nonce: meddler.nonce,
      issuedAt: now,
      expiresAt: now + 3600_000,
      ...changes,
    });
  }

  async function refused(fault: string, envelope: SealedDirective, code: string): Promise<void> {
    const before = meddler.refusals.length;
    meddler.inject(envelope);
    const found = await eventually(`the machine refuses it`, () => meddler.refusals.slice(before)[0]);
    expect(found).toBe(code);
    expect(await lab.machine('ada')).toEqual({ current: running, profile: running, default: running });
    noteOutcome({ fault: `${fault} directive`, where: 'OFFERED', outcome: `refused (${code}), nothing changed` });
  }

  test('one that was heard on an earlier connection', async () => {
    const { connections } = meddler;
    const heard = meddler.directives.at(-1);
    await lab.killAgent('ada');
    await eventually('the machine is reconnected', () => (meddler.connections > connections ? true : undefined));
    if (heard === undefined) throw new Error('no directive was heard');
    await refused('replayed', heard, 'DIRECTIVE_REPLAYED');
  });

  test('one that has expired', async () => {
    const { connections } = meddler;
    await refused('expired', forged({ expiresAt: Date.now() - 1_000 }), 'DIRECTIVE_EXPIRED');
    // It asks for the time once more, by a new connection.
    await eventually('the machine is reconnected', () => (meddler.connections > connections ? true : undefined));
  });

  test('one with a release that is older than what was accepted', async () => {
    await refused('downgraded', forged({ release: opened(meddler.directives[0]).release }), 'SEQUENCE_LOWER');
  });

  test('one for another host', async () => {
    await refused('wrong-host', forged({ host: 'bob' as Directive['host'] }), 'WRONG_HOST');
  });
});
