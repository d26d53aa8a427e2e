import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isEndedRevision, REVISION_STATES, ROLLOUT_STATES, type RevisionState, type RolloutState } from '@floe/model';
import { revisionView } from '@floe/views/fixtures';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeHome, refusal, run, startServer, type Answer, type Run } from './test/harness.ts';

const PATH = `/nix/store/${'a'.repeat(32)}-system`;
const ID = '5d7f0c9e-0000-4000-8000-000000000001';
const ANSWER = { outcome: 'done', message: 'Systems for 1 host are released soon.', id: ID };

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>> | undefined;
let file: string;
beforeAll(async () => {
  home = await makeHome();
  file = join(home.folder, 'systems.json');
  await writeFile(file, JSON.stringify({ ada: PATH }));
});
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});
afterAll(async () => await home[Symbol.asyncDispose]());

type View = Readonly<Record<string, unknown>>;
const waiting: View = { id: ID, state: 'WAITING', by: 'ci', at: 1, commit: null, hosts: 1, result: '', revision: null };

/** A server on which what was submitted looks so, one look after another; the last one stays. */
async function serving(views: readonly (View | 'away')[], stdin = ''): Promise<(...argv: string[]) => Promise<Run>> {
  const left = [...views];
  const look: Answer = (_request, response) => {
    const view = left.length > 1 ? left.shift() : left[0];
    response.writeHead(view === 'away' ? 502 : 200, { 'content-type': 'application/json' });
    response.end(view === 'away' ? '' : JSON.stringify(view));
  };
  server = await startServer({ 'POST /api/releases': { json: ANSWER }, [`GET /api/releases/${ID}`]: look });
  const env = { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  return async (...argv) => await run(argv, env, { stdin: Readable.from([stdin]) });
}

const released = (state: RevisionState, rollout?: RolloutState, over: View = {}): View => {
  const view = revisionView({ state });
  const shown = rollout === undefined || view.rollout === null ? null : { ...view.rollout, state: rollout, description: '1 of 1 hosts' };
  return { ...waiting, state: 'TAKEN', revision: { ...view, rollout: shown, ...over } };
};

describe('floe release submit', () => {
  test('sends the file and says what became of it', async () => {
    const floe = await serving([waiting, { ...waiting, result: 'the cache does not answer' }, released('PUBLISHED', 'ROLLING')]);
    const { code, stdout, stderr } = await floe('release', 'submit', file, '--commit', 'C'.repeat(40));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Systems for 1 host are released soon\.\nrevision #\d+ \(\w+\) is released: see its rollout/);
    expect(stderr).toContain('the cache does not answer');
    expect(server?.seen[0]).toEqual({
      method: 'POST',
      path: '/api/releases',
      body: { systems: [{ host: 'ada', storePath: PATH }], commit: 'c'.repeat(40) },
    });
  });

  test('takes a deploy.json from the standard input; one with a script that is not run only when that is said', async () => {
    const agents = { agents: { ada: PATH }, rollbackScript: { 'x86_64-linux': PATH } };
    const floe = await serving([released('PUBLISHED')], JSON.stringify(agents));
    const refused = await floe('release', 'submit', '-');
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/rollbackScript, which Floe does not run.*--ignore-rollback-script/) as string,
    });
    expect(server?.seen).toEqual([]);
    expect(await floe('release', 'submit', '-', '--ignore-rollback-script')).toMatchObject({ code: 0 });
  });

  test('ends with 1 when the server refuses the file, and names the entries', async () => {
    const floe = await serving([{ ...waiting, state: 'REFUSED', result: 'ada: it is nowhere' }]);
    expect(await floe('release', 'submit', file)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('nothing is released:\nada: it is nowhere') as string,
    });
  });

  test('ends with 5 for a host that is not known', async () => {
    server = await startServer({ 'POST /api/releases': refusal(404, 'HOST_UNKNOWN', 'there is no host ada') });
    const env = { FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
    expect(await run(['release', 'submit', file], env)).toMatchObject({ code: 5, stderr: expect.stringContaining('there is no host ada') as string });
  });

  test.each([
    ['a file that is not there', ['nothing.json'], /cannot be read/],
    ['a part of a commit', [`--commit=abc1234`, 'x'], /the whole id/],
    ['no file', [], /missing required argument/],
  ])('is told wrong: %s', async (_what, argv, why) => {
    const floe = await serving([waiting]);
    expect(await floe('release', 'submit', ...argv)).toMatchObject({ code: 2, stderr: expect.stringMatching(why) as string });
    expect(server?.seen).toEqual([]);
  });
});

describe('floe release submit --wait', () => {
  test('shows the rollout at each change, over a server that is away for a moment, and ends with 0 when it is complete', async () => {
    const rolling = released('PUBLISHED', 'ROLLING');
    const floe = await serving([waiting, released('EVALUATING'), rolling, 'away', rolling, released('PUBLISHED', 'COMPLETE')]);
    const { code, stdout, stderr } = await floe('release', 'submit', file, '--wait');
    expect(code).toBe(0);
    expect(stderr.split('the rollout ').length - 1).toBe(2);
    expect(stderr).toContain('trying again');
    expect(stdout).toMatch(/the rollout of revision #\d+ \(\w+\) is complete: 1 of 1 hosts/);
  });

  test.each<[View, RegExp]>([
    [{ ...waiting, state: 'REFUSED', result: 'ada: it is nowhere' }, /ada: it is nowhere\nNo host was told anything/],
    ...REVISION_STATES.filter((state) => isEndedRevision(state) && state !== 'PUBLISHED').map((state): [View, RegExp] => [
      released(state, undefined, { error: 'why' }),
      state === 'SUPERSEDED' ? /: why\nThere is nothing to do/ : /revision #\d+ .*: why\nNo host was told anything/,
    ]),
    [released('PUBLISHED', 'PAUSED'), /is paused, and needs a person: .*\n.*"floe rollout" says why.*do not repeat the job/],
    [released('PUBLISHED', 'ABORTED'), /was aborted: .*\n.*Submit or push a fix/],
    [released('PUBLISHED', 'SUPERSEDED'), /was superseded by .*\nThere is nothing to do/],
  ])('ends with 1 when it comes to nothing, and says what to do', async (view, words) => {
    const floe = await serving([waiting, view]);
    expect(await floe('release', 'submit', file, '--wait')).toMatchObject({ code: 1, stdout: expect.stringMatching(words) as string });
  });

  test.each(ROLLOUT_STATES.filter((state) => !['COMPLETE', 'PAUSED', 'ABORTED', 'SUPERSEDED'].includes(state)))(
    'goes on while it is %s',
    async (state) => {
      const floe = await serving([released('PUBLISHED', state), released('PUBLISHED', 'COMPLETE')]);
      expect(await floe('release', 'submit', file, '--wait')).toMatchObject({ code: 0, stdout: expect.stringContaining('is complete') as string });
    },
  );

  test('prints one document as JSON', async () => {
    const floe = await serving([waiting, released('PUBLISHED', 'ROLLING'), released('PUBLISHED', 'PAUSED')]);
    const { code, stdout, stderr } = await floe('release', 'submit', file, '--wait', '--json');
    expect([code, stderr]).toEqual([1, '']);
    expect(JSON.parse(stdout)).toMatchObject({ id: ID, outcome: 'failed', server: { state: 'TAKEN' } });
  });
});
