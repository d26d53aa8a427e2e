import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';
import { LOGIN_HOST, Road } from './road.ts';
import { isProved, LOGIN } from './strangers.ts';

const { isReady, why } = await isLabReady();

const NUMBER = 18;
const NETWORK = `10.77.${100 + NUMBER}`;
const [HAL, IVY] = [`${NETWORK}.10`, `${NETWORK}.11`];
const NAME = 'floe.lab.test';
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const MB = 1_000_000;
/** A server that is missed at home is missed soon. */
const HOST = { settings: { FLOE_SERVER_LIMIT_SECONDS: '2' } };

async function makeCertificate(dir: string, of: string): Promise<{ readonly key: string; readonly cert: string }> {
  const [key, cert] = [join(dir, `${of}.key`), join(dir, `${of}.pem`)];
  const names = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`];
  const made = await execInTest('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...names]);
  expect(made.exitCode, made.stderr).toBe(0);
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
}

describe.skipIf(!isReady)(`portals before a server with https${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let road: Road;
  beforeAll(async () => {
    const dir = await mkdtemp(join(tmpdir(), 'floe-tls-'));
    const [itself, stranger] = await Promise.all([makeCertificate(dir, 'server'), makeCertificate(dir, 'portal')]);
    await rm(dir, { recursive: true });
    road = new Road();
    const files = { '/etc/hosts': `${NETWORK}.1 ${NAME}\n`, [AUTHORITIES]: itself.cert };
    lab = await LabFleet.create(
      NUMBER,
      { hal: { ...HOST, files }, ivy: { ...HOST, files } },
      {
        between: async ({ serverUrl, cacheUrl, address }) => {
          await road.openPlain(80, address);
          const port = async (url: string): Promise<number> => await road.openTo(url, { itself, stranger });
          return { serverUrl: `https://${NAME}:${await port(serverUrl)}`, cacheUrl: `https://${NAME}:${await port(cacheUrl)}` };
        },
      },
    );
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
    await road[Symbol.asyncDispose]();
  });

  async function isKept(name: string, wanted: string, who: RegExp): Promise<void> {
    await lab.reaches(name, 'SUCCEEDED');
    expect((await lab.journal(name))?.detail).toMatchObject({ code: 'SERVER_AWAY', message: expect.stringMatching(who) as string });
    expect(await lab.machine(name)).toEqual({ current: wanted, profile: wanted, default: wanted });
    await lab.says(name, 'knows who answers', ({ server }) => server?.connected === false && who.test(server.stranger ?? ''));
    expect(await lab.agentCommand(name, 'status')).toContain(LOGIN);
    expect(await lab.agentCommand(name, 'status --verbose')).toMatch(who);
  }

  /** Changes it, and somebody else answers from the switch on. */
  async function changeInto(name: string, address: string, answer: 'drops-https' | 'page'): Promise<{ old: string; wanted: string }> {
    await lab.pauseAt(name, 'test-activated');
    const { old, wanted } = await lab.change(name, another(HOST));
    await lab.isAt(name, 'test-activated');
    road.leadTo(address, answer);
    await lab.goOn(name, 'test-activated');
    return { old, wanted };
  }

  describe('each machine in a network of its own', { concurrent: true }, () => {
    test('a portal that drops what is encrypted, and one that answers with a certificate of its own', async () => {
      const dropped = await changeInto('hal', HAL, 'drops-https');
      await isKept('hal', dropped.wanted, new RegExp(`a redirect to ${LOGIN_HOST}`));
      road.leadTo(HAL, 'whom-it-asks');
      await isProved(lab, 'hal', dropped.wanted);
      noteOutcome({ fault: 'a captive portal drops https', where: 'VERIFYING', outcome: 'new system, kept; proved after the login' });

      const posed = await changeInto('hal', HAL, 'page');
      await isKept('hal', posed.wanted, /a captive portal answered, or this machine does not trust the server's authority/);
      road.leadTo(HAL, 'whom-it-asks');
      await isProved(lab, 'hal', posed.wanted);
      noteOutcome({
        fault: 'a captive portal has a certificate of its own',
        where: 'VERIFYING',
        outcome: 'new system, kept; proved after the login',
      });

      await lab.guest('hal').slowDown('8mbit');
      const { wanted } = await lab.change('hal', { ...HOST, ballast: 2 * MB });
      await lab.reaches('hal', 'DOWNLOADING');
      road.leadTo(HAL, 'drops-https');
      await eventually(
        'hal says that it cannot download',
        async () => ((await lab.journal('hal'))?.detail?.code === 'CACHE_NOT_REACHED' ? true : undefined),
        { explain: async () => await lab.guest('hal').log() },
      );
      expect(await lab.agentCommand('hal', 'status')).toContain(
        'An update cannot be downloaded now. The update cannot be reached from this network: if there is a login page, please log in.',
      );
      road.leadTo(HAL, 'whom-it-asks');
      await lab.guest('hal').slowDown('1gbit');
      await isProved(lab, 'hal', wanted);
      noteOutcome({ fault: 'a captive portal drops https', where: 'DOWNLOADING', outcome: 'said; new system after the login' });
    });

    test('a portal in the network that the machine knows counts after a while: the machine goes back, blames nothing, and goes on after the login', async () => {
      // By its router, a network is known again.
      await lab.guest('ivy').sh(`ip route add default via ${NETWORK}.1`);
      const { old, wanted } = await changeInto('ivy', IVY, 'drops-https');
      await lab.logs('ivy', `"state":"SUCCEEDED".*a redirect to ${LOGIN_HOST}`);
      await lab.logs('ivy', '"state":"ROLLING_BACK".*SERVER_MISSED');
      await lab.reaches('ivy', 'STAGED');
      expect((await lab.machine('ivy')).current).toBe(old);
      expect((await lab.journal('ivy'))?.quarantined).not.toContain(wanted);
      road.leadTo(IVY, 'whom-it-asks');
      await isProved(lab, 'ivy', wanted);
      noteOutcome({
        fault: 'a captive portal at home',
        where: 'SUCCEEDED',
        outcome: 'old system after a while, not blamed; new one after the login',
      });
    });
  });
});
