import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { isLabReady, type GuestFile } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openSshKey } from '../../apps/agent/src/test/openssh-key.ts';
import { another, newKernel, type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady();

const TOKEN = '/var/lib/lab/token';
const KEY = '/persist/etc/ssh/ssh_host_ed25519_key';
const BY_KEY: LabHost = { settings: { FLOE_IDENTITY_KEY_FILE: KEY } };

const newKey = (): GuestFile => ({ text: openSshKey(randomBytes(32)), mode: 0o600 });

describe.skipIf(!isReady)(`machines that forget${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(14, {
      ada: {},
      bob: {},
      cyd: {},
      dan: { ...BY_KEY, files: { [KEY]: newKey() } },
      eve: { ...BY_KEY, files: { [KEY]: newKey(), '/etc/fstab': 'tmpfs /var/lib/floe-agent tmpfs mode=700 0 0\n' } },
    });
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** Starts it again, without power in between, as a machine that lost this meanwhile. */
  async function restartWithout(name: string, lost: readonly ('state' | 'token' | 'machine-id')[]): Promise<void> {
    const guest = lab.guest(name);
    await guest.cutPower();
    if (lost.includes('state')) await rm(guest.path('/var/lib/floe-agent'), { recursive: true });
    if (lost.includes('token')) await rm(guest.path(TOKEN));
    if (lost.includes('machine-id')) await writeFile(guest.path('/etc/machine-id'), `${randomBytes(16).toString('hex')}\n`);
    await guest.start();
  }

  /** The agent runs on, says at the machine why it is shut out and what to do, and the server knows of it. */
  async function isShutOut(name: string, code: string, whatToDo: RegExp, problem: RegExp): Promise<void> {
    await lab.says(name, `says ${code}`, ({ server }) => server?.refusal?.code === code);
    const status = await lab.agentCommand(name, 'status');
    expect(status).toContain(`It gets no updates until an administrator helps (${code}).`);
    const verbose = await lab.agentCommand(name, 'status --verbose');
    expect(verbose).toMatch(/^server +.*, not connected/m);
    expect(verbose).toMatch(/^refused +/m);
    expect(verbose).toMatch(whatToDo);
    const { isConnected } = await lab.told(name, 'has a problem', (host) => problem.test(host.problem ?? ''));
    expect(isConnected).toBe(false);
    await isOneRun(name);
  }

  /** No restart loop. */
  async function isOneRun(name: string): Promise<void> {
    expect(await lab.guest(name).sh('systemctl show floe-agent --property=NRestarts,ActiveState')).toBe('NRestarts=0\nActiveState=active');
  }

  /** An administrator makes a new token for it, and puts it where the agent looks. */
  async function isEnrolledAgain(name: string): Promise<void> {
    const { token } = await lab.fleet.enrolmentToken(name);
    await writeFile(lab.guest(name).path(TOKEN), token);
    const { wanted } = await lab.change(name, another());
    await lab.runs(name, wanted);
    await lab.told(name, 'has no problem', ({ standing, problem }) => standing === 'in-sync' && problem === null);
    expect(await lab.agentCommand(name, 'status')).not.toContain('administrator');
    await isOneRun(name);
  }

  describe('each in its way', { concurrent: true }, () => {
    test('a machine id that is new at each start', async () => {
      await restartWithout('ada', ['machine-id']);
      await isShutOut('ada', 'HOST_CLONED', /floe enrol ada/, /two machines|machine id/);
      await isEnrolledAgain('ada');
      noteOutcome({
        fault: 'the machine id is new at each start',
        where: 'after a start',
        outcome: 'shut out, and says why; new system after "floe enrol"',
      });
    });

    test.each([
      ['bob', 'its state, with a token that was used', ['state']],
      ['cyd', 'its state and its token', ['state', 'token']],
    ] as const)('%s loses %s', async (name, what, lost) => {
      await restartWithout(name, lost);
      await isShutOut(name, 'HOST_KEY_UNKNOWN', new RegExp(`floe enrol ${name}`), new RegExp(`an agent with another key knocks as ${name}`));
      await isEnrolledAgain(name);
      noteOutcome({ fault: `a machine loses ${what}`, where: 'after a start', outcome: 'shut out, and says why; new system after "floe enrol"' });
    });

    test('a machine that loses all but its SSH key, at each start, is itself', async () => {
      const guest = lab.guest('dan');
      await rm(guest.path(TOKEN));
      for (const lost of [['state', 'machine-id'], ['machine-id'], ['state']] as const) {
        await restartWithout('dan', lost);
        const { wanted } = await lab.change('dan', another(BY_KEY));
        await lab.runs('dan', wanted);
        await lab.told('dan', 'has no problem', ({ standing, problem }) => standing === 'in-sync' && problem === null);
        expect(await lab.agentCommand('dan', 'status')).not.toContain('administrator');
        await isOneRun('dan');
      }
      noteOutcome({ fault: 'a machine loses all but its SSH key', where: 'after each start', outcome: 'connected; new system' });

      await rm(guest.path('/var/lib/floe-agent'), { recursive: true });
      await guest.sh(`mv ${KEY} ${KEY}.away; systemctl restart floe-agent`);
      await lab.says('dan', 'misses its key', ({ server }) => server?.refusal?.code === 'IDENTITY_KEY_MISSING');
      expect(await lab.agentCommand('dan', 'status --verbose')).toContain(`there is no ${KEY}`);
      await isOneRun('dan');
      await guest.sh(`mv ${KEY}.away ${KEY}`);
      await lab.told('dan', 'is itself again', ({ standing, isConnected }) => standing === 'in-sync' && isConnected);
      noteOutcome({ fault: "the machine's key file comes late", where: 'after a start', outcome: 'waited for, and says so; connected' });
    });

    test('a machine with its state in memory takes what needs no restart, and says why it takes no other', async () => {
      const guest = lab.guest('eve');
      expect(await guest.sh('findmnt --noheadings --output FSTYPE /var/lib/floe-agent')).toBe('tmpfs');
      await rm(guest.path(TOKEN));
      await guest.cutPower();
      await guest.start();
      const first = await lab.change('eve', another(BY_KEY));
      await lab.runs('eve', first.wanted);
      await lab.change('eve', newKernel(BY_KEY));
      const { detail } = await lab.told('eve', 'takes no restart', (host) => host.detail?.code === 'STATE_FORGETS');
      expect(detail?.message).toContain('this machine forgets the state folder of floe-agent at each start');
      expect((await lab.machine('eve')).default).toBe(first.wanted);
      await isOneRun('eve');
      noteOutcome({
        fault: 'the state folder is in memory',
        where: 'after a start; before a restart',
        outcome: 'connected; restart refused, and said',
      });
    });
  });
});
