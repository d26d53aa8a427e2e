import { exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let fleet: TestFleet;
let head: string;

beforeAll(async () => {
  fleet = await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings });
  fleet.forge.announces = false;
  await fleet.startServer();
  head = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const MAIN = 'refs/heads/main';

async function answerOf(sending: Promise<Response>): Promise<{ status: number; text: string }> {
  const response = await sending;
  return { status: response.status, text: await response.text() };
}

describe('POST /webhooks/github', () => {
  it('takes a signed push once, and says so of a repeat', async () => {
    const first = await answerOf(fleet.forge.deliver({ ref: MAIN, after: head }, { id: 'delivery-1' }));
    expect(first).toMatchObject({ status: 202 });
    const again = await answerOf(fleet.forge.deliver({ ref: MAIN, after: head }, { id: 'delivery-1' }));
    expect(again).toMatchObject({ status: 200, text: expect.stringContaining('already taken') as string });
    // The id is not signed: under another one it is the same delivery.
    const replayed = await answerOf(fleet.forge.deliver({ ref: MAIN, after: head }, { id: 'delivery-of-a-recorder' }));
    expect(replayed).toMatchObject({ status: 200, text: expect.stringContaining('already taken') as string });
    expect((await fleet.settled(head)).sha).toBe(head);
  });

  it.each([
    ['a missing signature', (headers: Record<string, string>) => delete headers['x-hub-signature-256'], 401, 'signature'],
    ['a signature of another form', (headers: Record<string, string>) => (headers['x-hub-signature-256'] = 'sha256=00'), 401, 'signature'],
    ['a missing delivery id', (headers: Record<string, string>) => delete headers['x-github-delivery'], 400, 'x-github-delivery'],
  ])('refuses %s', async (_name, change, status, message) => {
    const refused = await answerOf(fleet.forge.deliver({ ref: MAIN, after: head }, { tamper: ({ headers }) => void change(headers) }));
    expect(refused.status).toBe(status);
    expect(refused.text.toLowerCase()).toContain(message);
  });

  it('refuses a wrong secret and a changed body', async () => {
    expect(await answerOf(fleet.forge.deliver({ ref: MAIN, after: head }, { secret: 'guessed' }))).toMatchObject({ status: 401 });
    const changed = fleet.forge.deliver(
      { ref: MAIN, after: head },
      { tamper: (request) => (request.body = request.body.replace(head, '0'.repeat(39) + '1')) },
    );
    expect(await answerOf(changed)).toMatchObject({ status: 401 });
  });

  it('refuses a body over the limit before reading it all', async () => {
    const refused = await answerOf(
      fleet.forge.deliver({ ref: MAIN, after: head }, { tamper: (request) => (request.body = `${request.body}${' '.repeat(26 * 1024 * 1024)}`) }),
    );
    expect(refused).toMatchObject({ status: 413, text: expect.stringContaining('BODY_TOO_LARGE') as string });
  });

  it('refuses a push of a repository that it does not track, and names the one it does', async () => {
    const body = (text: string): string => text.replaceAll('family/fleet', 'family/recipes');
    const refused = await answerOf(fleet.forge.deliver({ ref: MAIN, after: head }, { change: body }));
    expect(refused).toMatchObject({ status: 404, text: expect.stringContaining('REPOSITORY_UNKNOWN') as string });
  });

  it('stores a push of another branch, and of the deleted branch, and does nothing for them', async () => {
    expect(await answerOf(fleet.forge.deliver({ ref: 'refs/heads/drafts', after: head }))).toMatchObject({
      status: 202,
      text: expect.stringContaining('refs/heads/main') as string,
    });
    expect(await answerOf(fleet.forge.deliver({ ref: MAIN, before: head }))).toMatchObject({ status: 202 });
    expect((await fleet.fleetView()).revision).toMatchObject({ sha: head, sequence: 1 });
  });

  it('answers a ping', async () => {
    const pong = fleet.forge.deliver({ ref: MAIN, after: head }, { tamper: ({ headers }) => (headers['x-github-event'] = 'ping') });
    expect(await answerOf(pong)).toMatchObject({ status: 200, text: expect.stringContaining('pong') as string });
  });

  it('answers anything else with a precise error', async () => {
    expect((await fetch(`${fleet.serverUrl}/webhooks/github`)).status).toBe(405);
    expect((await fetch(`${fleet.serverUrl}/webhooks/gitlab`, { method: 'POST' })).status).toBe(404);
    const noJson = fleet.forge.deliver({ ref: MAIN, after: head }, { change: () => 'hello' });
    expect(await answerOf(noJson)).toMatchObject({ status: 400 });
  });
});
