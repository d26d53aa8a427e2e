import { writeFile } from 'node:fs/promises';
import { execInTest } from '@floe/runtime';
import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another, newKernel, type LabHost, type LabMachine } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';
import { LOGIN_HOST, Road } from './road.ts';
import { isProved, LOGIN } from './strangers.ts';

const { isReady, why } = await isLabReady();

const NUMBER = 13;
const BRIDGE = `floe-lab${NUMBER}`;
const NETWORK = `10.77.${100 + NUMBER}`;
const NETWORK_6 = `fd77:${NUMBER}:`;
const GUESTS = ['ada', 'bob', 'cyd', 'dan'] as const;
const addressOf = (name: string): string => `${NETWORK}.${10 + GUESTS.findIndex((each) => each === name)}`;

/** The name of server and cache, by which each machine finds them itself. */
const NAME = 'floe.lab.test';
const hostsFile = (...addresses: readonly string[]): string => addresses.map((address) => `${address} ${NAME}\n`).join('');
/** With an address of IPv6, too. */
const dual = (name: string): string =>
  `[Match]\nName=host0\n[Network]\nAddress=${addressOf(name)}/24\nAddress=${NETWORK_6}:10/64\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nIPv6DuplicateAddressDetection=0\n`;
const machine = (host: LabHost, files: LabMachine['files'] = {}): LabMachine => ({
  ...host,
  files: { '/etc/hosts': hostsFile(`${NETWORK}.1`), ...files },
});

const CANNOT_DOWNLOAD = 'The update cannot be reached from this network: if there is a login page, please log in.';
/** A server that is missed is missed soon. The machines know no router, so the first day does not count. */
const SOON_MISSED_S = 2;
const HOST = { policy: { reboot: { when: 'idle' } }, settings: { FLOE_SERVER_LIMIT_SECONDS: String(SOON_MISSED_S) } };
/** Within this the agent looks whether its server was missed for too long. */
const LOOK_S = 6;
const MB = 1_000_000;

describe.skipIf(!isReady)(`networks that lead elsewhere${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let road: Road;
  let proxyUrl: string;
  beforeAll(async () => {
    road = new Road();
    lab = await LabFleet.create(
      NUMBER,
      {
        ada: machine(HOST),
        bob: machine(HOST),
        cyd: machine(HOST),
        dan: machine({}, { '/etc/hosts': hostsFile(`${NETWORK_6}:1`, `${NETWORK}.1`), '/etc/systemd/network/10-host0.network': dual('dan') }),
      },
      {
        between: async ({ serverUrl, cacheUrl, address }) => {
          for (const each of [`${NETWORK}.2/24`, `${NETWORK_6}:1/64`]) await execInTest('ip', ['address', 'add', each, 'dev', BRIDGE, 'nodad']);
          proxyUrl = `http://${address}:${await road.openProxy()}`;
          return { serverUrl: `http://${NAME}:${await road.openTo(serverUrl)}`, cacheUrl: `http://${NAME}:${await road.openTo(cacheUrl)}` };
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

  const resolves = async (name: string, ...addresses: readonly string[]): Promise<void> =>
    await writeFile(lab.guest(name).path('/etc/hosts'), hostsFile(...addresses));

  /** It runs and starts the new system, which the server could not confirm, for longer than a server may be missed; and says so. */
  async function isKept(name: string, wanted: string, who: RegExp): Promise<void> {
    await eventually(
      `${name} keeps the new system`,
      async () => {
        const { state, detail, since = 0 } = (await lab.journal(name)) ?? {};
        if (state === 'ROLLING_BACK' || state === 'ROLLED_BACK') throw new Error(`${name} went back: ${detail?.code} ${detail?.message}`);
        if (state === 'SUCCEEDED') expect(detail).toMatchObject({ code: 'SERVER_AWAY', message: expect.stringMatching(who) as string });
        return state === 'SUCCEEDED' && Date.now() - since > (SOON_MISSED_S + 2 * LOOK_S) * 1000 ? true : undefined;
      },
      { explain: async () => await lab.guest(name).log() },
    );
    expect(await lab.machine(name)).toEqual({ current: wanted, profile: wanted, default: wanted });
    await lab.says(name, 'knows who answers', ({ server }) => server?.connected === false && who.test(server.stranger ?? ''));
    const status = await lab.agentCommand(name, 'status');
    expect(status).toMatch(/^Your computer is up to date\.\nIt is not connected to its server/);
    expect(status).toContain(LOGIN);
    expect(await lab.agentCommand(name, 'status --verbose')).toMatch(who);
  }

  async function isHome(name: string, wanted: string): Promise<void> {
    await isProved(lab, name, wanted);
    await lab.told(name, 'is in sync', ({ standing, detail }) => standing === 'in-sync' && detail === null);
    expect(await lab.agentCommand(name, 'status')).not.toContain(LOGIN);
  }

  /** Somebody answers in the middle of the download; the agent says so, and goes on by itself when they do not any more. */
  async function downloadsLater(name: string, host: LabHost, who: RegExp, change: { lead: () => void; comeHome: () => void }): Promise<void> {
    const guest = lab.guest(name);
    await guest.slowDown('8mbit');
    const { old, wanted } = await lab.change(name, { ...host, ballast: 2 * MB });
    await lab.reaches(name, 'DOWNLOADING');
    change.lead();
    await eventually(
      `${name} says that it cannot download`,
      async () => ((await lab.journal(name))?.detail?.code === 'CACHE_NOT_REACHED' ? true : undefined),
      { explain: async () => await guest.log() },
    );
    expect((await lab.journal(name))?.detail?.message).toMatch(who);
    const status = await lab.agentCommand(name, 'status');
    expect(status).toContain(CANNOT_DOWNLOAD);
    expect((await lab.machine(name)).current).toBe(old);
    change.comeHome();
    await guest.slowDown('1gbit');
    await isHome(name, wanted);
  }

  describe('each machine in a network of its own', { concurrent: true }, () => {
    test('a captive portal that redirects after a switch, answers with a page after a restart, and in the middle of a download', async () => {
      const portal = /a captive portal or a proxy answered/;
      const home = (): void => road.leadTo(addressOf('ada'), 'whom-it-asks');
      await lab.pauseAt('ada', 'test-activated');
      const first = await lab.change('ada', another(HOST));
      await lab.isAt('ada', 'test-activated');
      road.leadTo(addressOf('ada'), 'redirect');
      await lab.goOn('ada', 'test-activated');
      await isKept('ada', first.wanted, portal);
      expect((await lab.journal('ada'))?.detail?.message).toContain(`a redirect to ${LOGIN_HOST}`);
      home();
      await isHome('ada', first.wanted);
      noteOutcome({ fault: 'a captive portal redirects', where: 'VERIFYING', outcome: 'new system, kept; proved after the login' });

      await lab.pauseAt('ada', 'boot-start');
      const second = await lab.change('ada', newKernel(HOST));
      await lab.isAt('ada', 'boot-start');
      road.leadTo(addressOf('ada'), 'page');
      await lab.goOn('ada', 'boot-start');
      await isKept('ada', second.wanted, portal);
      home();
      await isHome('ada', second.wanted);
      noteOutcome({ fault: 'a captive portal answers with a page', where: 'BOOT_VERIFYING', outcome: 'new system, kept; proved after the login' });

      await downloadsLater('ada', { ...HOST, kernel: lab.host('ada').kernel ?? '' }, portal, {
        lead: () => road.leadTo(addressOf('ada'), 'page'),
        comeHome: home,
      });
      noteOutcome({ fault: 'a captive portal answers with a page', where: 'DOWNLOADING', outcome: 'said; new system after the login' });
    });

    test('a name server that lies: another host answers', async () => {
      await lab.pauseAt('bob', 'test-activated');
      const { wanted } = await lab.change('bob', another(HOST));
      await lab.isAt('bob', 'test-activated');
      road.giveAway(`${NETWORK}.2`);
      await resolves('bob', `${NETWORK}.2`);
      await lab.goOn('bob', 'test-activated');
      await isKept('bob', wanted, /a page of its own/);
      await resolves('bob', `${NETWORK}.1`);
      await isHome('bob', wanted);
      noteOutcome({ fault: 'DNS lies, and a stranger answers', where: 'VERIFYING', outcome: 'new system, kept; proved once DNS is right' });
    });

    test('a proxy that answers 502 after a switch, and in the middle of a download', async () => {
      const proxied = { ...HOST, settings: { ...HOST.settings, NODE_USE_ENV_PROXY: '1', HTTP_PROXY: proxyUrl, http_proxy: proxyUrl } };
      const before = await lab.change('cyd', another(proxied));
      await isHome('cyd', before.wanted);
      const refuses = /a proxy answered, which does not get through \(status 502\)|answers with status 502/;
      const lead = (): void => road.leadTo(addressOf('cyd'), 'bad-gateway');
      const comeHome = (): void => road.leadTo(addressOf('cyd'), 'whom-it-asks');
      await lab.pauseAt('cyd', 'test-activated');
      const { wanted } = await lab.change('cyd', another(proxied));
      await lab.isAt('cyd', 'test-activated');
      lead();
      await lab.goOn('cyd', 'test-activated');
      await isKept('cyd', wanted, refuses);
      comeHome();
      await isHome('cyd', wanted);
      noteOutcome({ fault: 'a proxy answers 502', where: 'VERIFYING', outcome: 'new system, kept; proved once the proxy gets through' });
      await downloadsLater('cyd', proxied, refuses, { lead, comeHome });
      noteOutcome({ fault: 'a proxy answers 502', where: 'DOWNLOADING', outcome: 'said; new system once the proxy gets through' });
    });

    test('a network with IPv6 only, and one with IPv4 only, of a server that has both', async () => {
      const guest = lab.guest('dan');
      await lab.pauseAt('dan', 'test-activated');
      const first = await lab.change('dan', another());
      await lab.isAt('dan', 'test-activated');
      await guest.sh('ip -4 address flush dev host0');
      await lab.goOn('dan', 'test-activated');
      await isHome('dan', first.wanted);
      const second = await lab.change('dan', another());
      await isHome('dan', second.wanted);
      await lab.pauseAt('dan', 'test-activated');
      const third = await lab.change('dan', another());
      await lab.isAt('dan', 'test-activated');
      await guest.sh(`ip -6 address flush dev host0; ip address add ${addressOf('dan')}/24 dev host0`);
      await lab.goOn('dan', 'test-activated');
      await isHome('dan', third.wanted);
      // An address of IPv6 from which nothing is reached.
      await guest.sh(`ip address add ${NETWORK_6}:10/64 dev host0 nodad`);
      await execInTest('ip', ['address', 'delete', `${NETWORK_6}:1/64`, 'dev', BRIDGE]);
      await lab.pauseAt('dan', 'test-activated');
      const fourth = await lab.change('dan', another());
      await lab.isAt('dan', 'test-activated');
      await lab.goOn('dan', 'test-activated');
      await isHome('dan', fourth.wanted);
      noteOutcome({ fault: 'IPv6 that leads nowhere, beside IPv4', where: 'DOWNLOADING, VERIFYING', outcome: 'new system' });
      noteOutcome({ fault: 'a network with IPv6 only, then with IPv4 only', where: 'DOWNLOADING, VERIFYING', outcome: 'new system' });
    });
  });
});
