import { eventually, isLabReady } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Desktop } from './desktop.ts';
import { another, type LabHost } from './hosts.ts';
import { LabFleet } from './lab-fleet.ts';
import { noteOutcome } from './outcomes.ts';

const { isReady, why } = await isLabReady('desktop');

/** Opens for a minute in four years: it is closed. */
const CLOSED: LabHost = {
  policy: { windows: [{ cron: '0 0 29 2 *', durationMinutes: 1, timeZone: 'UTC' }] },
  settings: { FLOE_SOCKET_GROUP: 'ada' },
};
const THREE_DAYS_MS = 72 * 3600_000;
const GERMAN = '--setenv=LANG=de_DE.UTF-8 --setenv=TZ=Europe/Berlin --setenv=PATH=/usr/bin:/bin';

describe.skipIf(!isReady)(`notices on a desktop${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  let ada: Desktop;
  beforeAll(async () => {
    lab = await LabFleet.create(12, { bea: { ...CLOSED, suite: 'desktop' } });
    ada = new Desktop(lab.guest('bea'));
    await ada.login();
    await ada.prepareDaemon();
    const notify = await lab.programOf('bea');
    await ada.start('notify', `${GERMAN} ${notify} notify`);
  });
  afterEach(async () => {
    await lab.restingAreTidy();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** Waits until a notice is shown, and takes a picture of it. */
  const shows = async (title: string, picture: string): Promise<void> => {
    await eventually(`the desktop shows "${title}"`, async () => ((await ada.shown()).at(-1)?.startsWith(`${title}|`) ? true : undefined), {
      explain: async () =>
        `${(await ada.shown()).join('\n')}\n${await ada.run('journalctl --user --no-pager --lines=30')}\n${await lab.guest('bea').log()}`,
    });
    await ada.picture(picture);
  };

  test('a daemon that comes late, or restarts, shows what stands, in the language and time zone of the user', async () => {
    const { wanted } = await lab.change('bea', another(CLOSED));
    await lab.told('bea', 'waits', ({ detail, stateToplevel }) => detail?.code === 'WINDOW_CLOSED' && stateToplevel === wanted);
    await eventually('the notice could not be shown', async () =>
      (await lab.guest('bea').sh('journalctl --no-pager')).includes('dunst.service is masked') ? true : undefined,
    );
    await ada.startDaemon();
    await shows('Eine Aktualisierung ist bereit', '1-late-daemon');
    // At the deadline, which summer time can move.
    const clock = new Intl.DateTimeFormat('de-DE', { timeStyle: 'short', timeZone: 'Europe/Berlin' });
    const asked = Array.from({ length: 4 }, (_each, minutes) => clock.format(Date.now() + THREE_DAYS_MS - minutes * 60_000)).join('|');
    expect((await ada.shown()).at(-1)).toMatch(new RegExp(`wird am [A-Z]\\w+ um (?:${asked}) Uhr aktualisiert\\.$`));
    noteOutcome({ fault: 'the notification daemon comes late', where: 'DEFERRED', outcome: 'the notice is shown, in German' });

    await ada.stopDaemon();
    await ada.forgetShown();
    await ada.startDaemon();
    await shows('Eine Aktualisierung ist bereit', '2-restarted-daemon');
    noteOutcome({ fault: 'the notification daemon restarts', where: 'DEFERRED', outcome: 'the notice is shown again' });
  });

  test('"Later" says until when, and does not ask again at once', async () => {
    await ada.choose('Später');
    await lab.told('bea', 'is put off', ({ detail }) => detail?.code === 'LATER');
    await shows('Die Aktualisierung wurde verschoben', '3-later');
    noteOutcome({ fault: 'a user chooses "Later" on the desktop', where: 'DEFERRED', outcome: 'put off, and said until when' });
  });

  test('"Go back" is a click on the notice: it asks once, and says that it is done', async () => {
    const { current: old } = await lab.machine('bea');
    await lab.agentCommand('bea', 'now');
    await shows('Ihr Computer wurde aktualisiert', '4-updated');
    await ada.click();
    await shows('Zurückkehren?', '5-question');
    expect((await lab.machine('bea')).current).not.toBe(old);
    await ada.choose('Zurückkehren');
    await shows('Ihr Computer ist zurückgekehrt', '6-went-back');
    expect((await lab.machine('bea')).current).toBe(old);
    expect((await ada.shown()).filter((line) => line.startsWith('Zurückkehren?'))).toHaveLength(1);
    noteOutcome({ fault: 'a user clicks on the notice to go back', where: 'SUCCEEDED', outcome: 'asked once; old system, and said' });
  });
});
