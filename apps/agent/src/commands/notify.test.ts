import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, exec, silentLogger } from '@floe/runtime';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeRequests, notice } from '../test/fake-requests.ts';
import { ManualClock } from '../test/manual-clock.ts';
import { pathWithOnly } from '../test/programs.ts';
import { until } from '../test/until.ts';
import { createAgentClient } from './client.ts';
import { notifyArguments } from './desktop.ts';
import { ENGLISH, languageOf, type Language } from '../text/words/languages.ts';
import { runNotify, type NotifyEnd } from './notify.ts';
import { serveUserSocket, type UserSocket } from '../local/socket.ts';

/** Plays notify-send: writes down how it was called, and does what the file `mode` says until it is told what to choose. */
const NOTIFY_SEND = `#!/bin/sh
case $1 in --version) echo "notify-send $(cat "$DIR/version")"; exit;; esac
called() { echo "$*" >> "$DIR/calls"; }
mode=$(cat "$DIR/mode")
case $mode in
  none) called "$@"; echo "no notification server" >&2; echo 0; exit 1;;
  plain) called "$@"; echo 7; case "$*" in *--action=*) echo "Actions are not supported" >&2; exit 1;; *) exit 0;; esac;;
esac
[ ! -e "$DIR/comes" ] || mv "$DIR/comes" "$DIR/owner"
echo 42
called "$@"
case "$*" in *--action=*) ;; *) exit 0;; esac
while [ ! -e "$DIR/choice" ]; do sleep 0.02; done
cat "$DIR/choice"; rm "$DIR/choice"
`;

/** Plays busctl: says who shows notifications, and what that can, and writes down all else. */
const BUSCTL = `#!/bin/sh
case $* in *GetNameOwner*) cat "$DIR/owner" 2>/dev/null && echo >> "$DIR/asked-after"; exit;; *GetCapabilities*) cat "$DIR/capabilities" 2>/dev/null; exit;; esac
echo "busctl $*" >> "$DIR/calls"
`;

let dir: string;
let path: string;
let requests: FakeRequests;
let socket: UserSocket;
let stopping: AbortController;
let clock: ManualClock;
let running: Promise<NotifyEnd>;
let log: string[];
let language: Language;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-notify-'));
  path = join(dir, 'socket');
  await pathWithOnly(dir, ['cat', 'mv', 'rm', 'sleep']);
  await Promise.all([writeFile(join(dir, 'notify-send'), NOTIFY_SEND), writeFile(join(dir, 'busctl'), BUSCTL)]);
  await Promise.all([chmod(join(dir, 'notify-send'), 0o755), chmod(join(dir, 'busctl'), 0o755), writeFile(join(dir, 'calls'), '')]);
  await mode('actions');
  await writeFile(join(dir, 'version'), '0.8.4');
  requests = new FakeRequests();
  stopping = new AbortController();
  clock = new ManualClock();
  log = [];
  language = ENGLISH;
  socket = await serve();
});
afterEach(async () => {
  stopping.abort();
  await running;
  await socket[Symbol.asyncDispose]();
  // What was started for a notice may still write.
  await rm(dir, { recursive: true, maxRetries: 20 });
});

async function serve(): Promise<UserSocket> {
  return await serveUserSocket({ path, group: undefined, handlers: requests, logger: silentLogger });
}
async function mode(text: 'actions' | 'plain' | 'none'): Promise<void> {
  await writeFile(join(dir, 'mode'), text);
}
/** What is pressed; '': it is closed. At once, as the other side may look while a file is written. */
async function choose(action: string): Promise<void> {
  await writeFile(join(dir, 'pressed'), action);
  await rename(join(dir, 'pressed'), join(dir, 'choice'));
}
async function calls(): Promise<string[]> {
  return (await readFile(join(dir, 'calls'), 'utf8')).split('\n').filter((line) => line !== '');
}
/** Lets time pass until it is so: several sleep by the clock, and one may begin to sleep only after it moved. */
async function comesWithTime(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await clock.passed(20_000);
}
async function called(count: number): Promise<string[]> {
  let seen: string[] = [];
  await until(() => {
    void calls().then((lines) => (seen = lines));
    return seen.length >= count;
  });
  return await calls();
}
function start(): void {
  running = runNotify(
    {
      client: createAgentClient({ socketPath: path, signal: stopping.signal }),
      exec,
      // No notify-send but the one of this test.
      env: { PATH: dir, DIR: dir },
      clock,
      random: () => 0.5,
      logger: createLogger({ level: 'info', write: (line) => log.push(line) }),
      language,
    },
    stopping.signal,
  );
}

it('shows a notice with its actions, and does what is chosen', async () => {
  requests.say(notice('one'));
  start();
  const [call] = await called(1);
  expect(call).toContain('--app-name=Floe');
  expect(call).toContain('--expire-time=0 --action=later=Later --action=now=Now --action=default=Now -- A new system is ready It switches at 18:00');
  expect(call).not.toContain('--replace-id');
  await choose('later\n');
  await until(() => requests.asked.length === 1);
  expect(requests.asked).toEqual([['later', undefined]]);
  requests.say(notice('two', { kind: 'switched', actions: ['rollback'] }));
  // What was answered is gone from the screen.
  expect((await called(2))[1]).not.toContain('--replace-id');
  await choose('rollback\n');
  // It is asked once.
  expect((await called(3))[2]).toContain('--action=rollback=Go back --action=no=Cancel --action=default=Go back -- Go back?');
  expect(requests.asked).toHaveLength(1);
  await choose('rollback\n');
  await until(() => requests.asked.length === 2);
  expect(requests.asked[1]).toBe('rollback');
});

it('does nothing when the notification is closed, and only logs what is refused', async () => {
  requests.nowAnswer = { kind: 'refused', code: 'NOTHING_WAITS', message: 'nothing waits' };
  requests.say(notice('one'));
  start();
  await called(1);
  await choose('');
  await until(() => !existsSync(join(dir, 'choice')));
  requests.say(notice('two'));
  await called(2);
  await choose('now\n');
  await until(() => log.join().includes('nothing waits'));
  // The person sees it, too.
  expect((await called(3))[2]).toMatch(/--print-id -- A new system is ready No update waits any more\.$/);
  expect(requests.asked).toEqual(['now']);
});

it.each([
  ['no', []],
  ['', []],
  ['default', ['now']],
  ['now', ['now']],
])('a click on the notice itself asks first: after "%s" it asks the agent for %j', async (answer, asked) => {
  requests.say(notice('one'));
  start();
  await called(1);
  await choose('default\n');
  expect((await called(2))[1]).toContain('--action=now=Now --action=no=Cancel --action=default=Now -- Begin now?');
  expect(requests.asked).toEqual([]);
  await choose(`${answer}\n`);
  await until(() => !existsSync(join(dir, 'choice')));
  if (asked.length > 0) expect((await called(3))[2]).toContain('It begins now.');
  requests.say(notice('two'));
  expect((await called(asked.length > 0 ? 4 : 3)).at(-1)).toContain('A new system is ready It switches');
  expect(requests.asked).toEqual(asked);
});

it('replaces a notice that waits, shows each once, and takes away what does not matter any more', async () => {
  requests.say(notice('one'));
  start();
  await called(1);
  requests.say(notice('one'));
  requests.say(notice('two', { actions: [] }));
  expect((await called(2))[1]).toMatch(/--replace-id=42 -- /);
  requests.say(null);
  expect((await called(3))[2]).toBe(
    'busctl --user call org.freedesktop.Notifications /org/freedesktop/Notifications org.freedesktop.Notifications CloseNotification u 42',
  );
  expect(requests.asked).toEqual([]);
});

it('outlives the agent, and does not repeat itself afterwards', async () => {
  requests.say(notice('one'));
  start();
  await called(1);
  await socket[Symbol.asyncDispose]();
  await clock.passed(5_000);
  await until(() => log.join().includes('floe-agent cannot be reached'));
  socket = await serve();
  await clock.passed(60_000);
  await until(() => socket.followerCount() === 1);
  requests.say(notice('two'));
  expect(await called(2)).toHaveLength(2);
  expect(log.filter((line) => line.includes('cannot be reached'))).toHaveLength(1);
});

async function owner(name: string): Promise<void> {
  await writeFile(join(dir, 'owner'), `{"type":"s","data":["${name}"]}`);
}

it('shows again what stands when another notification server has come, and nothing that was closed', async () => {
  await owner(':1.5');
  requests.say(notice('one'));
  start();
  await called(1);
  await clock.passed(20_000);
  await owner(':1.9');
  await comesWithTime(async () => (await calls()).length >= 2);
  // It does not know the numbers of the last one.
  expect((await calls())[1]).not.toContain('--replace-id');
  await choose('');
  await until(() => !existsSync(join(dir, 'choice')));
  requests.say(notice('two', { actions: [] }));
  expect(await called(3)).toHaveLength(3);
  await owner(':1.10');
  await comesWithTime(async () => (await calls()).length >= 4);
  expect((await calls())[3]).toContain('A new system is ready');
});

it.each([
  ['restarts', 'at once', '0.8.4'],
  ['restarts', 'at once', '0.8.3'],
  ['ends, and another comes', '', '0.8.4'],
])('knows a notification server that came with the notice: when it %s, the notice is shown again (%s, %s)', async (_what, how, version) => {
  await writeFile(join(dir, 'version'), version);
  // Nobody showed notifications when it was looked; who does now has the name by the time of the answer.
  await writeFile(join(dir, 'comes'), '{"type":"s","data":[":1.5"]}');
  requests.say(notice('one'));
  start();
  const before = version === '0.8.3' ? 2 : 1;
  await called(before);
  await until(() => existsSync(join(dir, 'asked-after')));
  if (how === '') {
    await rm(join(dir, 'owner'));
    // As notify-send does when the server closes all that it shows.
    await choose('');
    await until(() => !existsSync(join(dir, 'choice')));
  }
  await owner(':1.9');
  // Who answered may be told later than the next look.
  await comesWithTime(async () => (await calls()).length >= 2 * before);
  expect((await calls()).at(-1)).toContain('--action=later=Later');
});

it('shows what nobody could be shown when a notification server comes after all', async () => {
  await mode('none');
  requests.say(notice('one', { actions: [] }));
  start();
  await comesWithTime(async () => (await calls()).length >= 4 && requests.listeners.size === 1 && socket.followerCount() === 0);
  expect(await calls()).toHaveLength(4);
  await mode('actions');
  await owner(':1.5');
  await comesWithTime(() => socket.followerCount() === 1);
});

it('finds out the number of a notification first, where notify-send says it only at its end', async () => {
  await writeFile(join(dir, 'version'), '0.8.3');
  requests.say(notice('one'));
  start();
  const [first, second] = await called(2);
  expect(first).not.toContain('--action');
  expect(second).toContain('--replace-id=42 --expire-time=0 --action=later=Later');
  requests.say(notice('two'));
  expect((await called(3))[2]).toContain('--replace-id=42 --expire-time=0');
});

it('shows without actions where the desktop has none', async () => {
  await mode('plain');
  requests.say(notice('one'));
  start();
  const [, second] = await called(2);
  expect(second).toContain('--replace-id=7 -- A new system');
  expect(socket.followerCount()).toBe(1);
});

it('shows again what stands on a desktop without actions, too', async () => {
  await mode('plain');
  await owner(':1.5');
  requests.say(notice('one'));
  start();
  await called(2);
  // Looks go on: nobody could close it.
  await comesWithTime(async () => (await readFile(join(dir, 'asked-after'))).length >= 5);
  await owner(':1.9');
  await comesWithTime(async () => (await calls()).length >= 4);
  expect((await calls())[2]).not.toContain('--replace-id');
});

it.each([
  [undefined, 'Backup &amp; &lt;b&gt;restore'],
  [['actions', 'body-markup'], 'Backup &amp; &lt;b&gt;restore'],
  [['actions'], 'Backup & <b>restore'],
])('shows signs as they are on a desktop that can %j', async (capabilities, body) => {
  if (capabilities !== undefined) await writeFile(join(dir, 'capabilities'), JSON.stringify({ type: 'as', data: [capabilities] }));
  requests.say(notice('one', { body: 'Backup & <b>restore' }));
  start();
  expect((await called(1))[0]).toMatch(new RegExp(` ${body}$`));
});

it('only logs where nothing can be shown, so that people are told in another way, until something can', async () => {
  await mode('none');
  requests.say(notice('one'));
  start();
  // Right after a login the desktop may not be ready: it tries again for a while.
  await comesWithTime(() => log.join().includes('It switches at 18:00'));
  expect(await calls()).toHaveLength(8);
  expect(log.join()).toContain('no notification server');
  await until(() => requests.listeners.size === 1 && socket.followerCount() === 0);
  await mode('actions');
  requests.say(notice('two', { actions: [] }));
  await until(() => socket.followerCount() === 1);
});

it('does without notify-send', async () => {
  await rm(join(dir, 'notify-send'));
  requests.say(notice('one'));
  start();
  await comesWithTime(() => log.join().includes('notify-send is not there'));
  await until(() => requests.listeners.size === 1 && socket.followerCount() === 0);
});

it('speaks the language of the session, where the agent says what it is about', async () => {
  language = languageOf({ LANG: 'de_DE.UTF-8' });
  const wait = { what: 'download' as const, codes: ['METERED'], startsAt: null, latestAt: null, programs: [] };
  const about = { topic: 'download' as const, state: 'DEFERRED' as const, code: 'METERED', wait, trialEndsAt: null, asker: null };
  requests.say(notice('one', { title: 'There is an update', actions: ['now'], about }));
  start();
  expect((await called(1))[0]).toMatch(
    /--action=now=Hier herunterladen --action=default=Hier herunterladen -- Es gibt eine Aktualisierung Eine Aktualisierung wird in einem anderen Netz heruntergeladen/,
  );
  requests.say(notice('two', { title: 'From a newer agent' }));
  expect((await called(2))[1]).toContain('--action=later=Später --action=now=Jetzt --action=default=Jetzt -- From a newer agent');
});

describe('the command line', () => {
  it('marks up nothing that is not meant so, and has no options in texts', () => {
    const words = notifyArguments(notice('x', { title: '--help\nme', body: 'a <b> & c\\n\nd', kind: 'put-back' }), {
      buttons: [],
      replaced: 3,
      hasMarkup: true,
    });
    expect(words).toEqual([
      '--app-name=Floe',
      '--icon=system-software-update',
      '--urgency=critical',
      '--print-id',
      '--replace-id=3',
      '--',
      '--help me',
      'a &lt;b&gt; &amp; c\\\\n\nd',
    ]);
  });
});
