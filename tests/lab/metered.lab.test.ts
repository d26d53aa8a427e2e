import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { another } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady('desktop');

const HOST = { policy: { metered: 'wait', deadlineHours: 72 } };
const HELD =
  /^An update will be downloaded on another network, as this one may cost money\. "Download here" downloads it on this one\. It does so on [A-Z][a-z]+day at \d\d:\d\d at the latest\.\nTo download it here: floe-agent now\.\n/;

describe.skipIf(!isReady)(`a network that may cost money${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(17, { gus: { ...HOST, suite: 'desktop' } });
    // NetworkManager takes the telephone's way out for the machine's own; the server is beside the machine.
    await lab
      .guest('gus')
      .sh(
        [
          'systemctl start NetworkManager',
          'ip link add telephone type veth peer name antenna',
          'ip link set antenna up',
          'nmcli device set telephone managed yes',
          'nmcli connection add type ethernet ifname telephone con-name telephone ipv4.method manual ipv4.addresses 192.168.77.2/24 ipv4.gateway 192.168.77.1 ipv6.method disabled',
        ].join('\n'),
      );
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** As a user says it in the settings of the desktop. */
  async function costs(isMetered: boolean): Promise<void> {
    const guest = lab.guest('gus');
    await guest.sh(`nmcli connection modify telephone connection.metered ${isMetered ? 'yes' : 'no'}; nmcli --wait 20 connection up telephone`);
    const metered = 'busctl get-property org.freedesktop.NetworkManager /org/freedesktop/NetworkManager org.freedesktop.NetworkManager Metered';
    await eventually('NetworkManager says so', async () => ((await guest.sh(metered)) === `u ${isMetered ? 1 : 2}` ? true : undefined));
  }

  async function isHeld(wanted: string): Promise<void> {
    await lab.told('gus', 'waits', ({ detail, stateToplevel }) => detail?.code === 'METERED' && stateToplevel === wanted);
    expect((await lab.journal('gus'))?.state).toBe('DEFERRED');
    expect(await lab.agentCommand('gus', 'status')).toMatch(HELD);
    expect(await lab.guest('gus').has(wanted)).toBe(false);
  }

  test('a download is held there, in words of its own, until the network costs nothing or a user has it downloaded', async () => {
    await costs(true);
    const first = await lab.change('gus', another(HOST));
    await isHeld(first.wanted);
    await costs(false);
    await lab.runs('gus', first.wanted);
    noteOutcome({ fault: 'a network that costs money', where: 'DOWNLOADING', outcome: 'held, in words of its own; new system in another network' });

    await costs(true);
    const second = await lab.change('gus', another(HOST));
    await isHeld(second.wanted);
    expect(await lab.agentCommand('gus', 'now')).toBe('Your computer downloads the update now.');
    await eventually('it is downloaded', async () => ((await lab.journal('gus'))?.impact != null ? true : undefined), {
      explain: async () => await lab.guest('gus').log(),
    });
    await lab.says('gus', 'waits again', ({ state }) => state === 'DEFERRED');
    expect(await lab.agentCommand('gus', 'status')).toMatch(/^Your computer will update when it is on a network that is not metered\./);
    expect((await lab.machine('gus')).current).toBe(first.wanted);
    expect(await lab.agentCommand('gus', 'now')).toMatch(/^It begins\./);
    await lab.runs('gus', second.wanted);
    noteOutcome({
      fault: 'a network that costs money, and "now" twice',
      where: 'DOWNLOADING, DEFERRED',
      outcome: 'downloaded there, then new system',
    });
  });
});
