import type { HostName } from '@floe/model';
import { CLOSE_CODES } from '@floe/protocol';
import type { Store } from '@floe/store';
import { eventually, startPostgres } from '@floe/testkit';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { noBuilder, startTestServer, TestAgent } from './test/test-server.ts';

test('a commit that is evaluated again between two reads of one look is not told as complete', async () => {
  let reopened: string | undefined;
  /** `floe evaluate` comes right before the evaluations are read. */
  const wrapStore = (store: Store): Store => {
    const evaluationsOf: Store['revisions']['evaluationsOf'] = async (ids) => {
      const id = ids.find((each) => each === reopened);
      reopened = undefined;
      if (id !== undefined) await store.revisions.reopen(id, Date.now());
      return await store.revisions.evaluationsOf(ids);
    };
    const revisions = new Proxy(store.revisions, { get: (target, name) => (name === 'evaluationsOf' ? evaluationsOf : Reflect.get(target, name)) });
    return new Proxy(store, { get: (target, name) => (name === 'revisions' ? revisions : Reflect.get(target, name)) });
  };
  const env = { FLOE_GITHUB_REPOSITORY: 'ice/fleet', FLOE_GITHUB_TOKEN_FILE: '/token', FLOE_GITHUB_API_URL: 'http://127.0.0.1:9' };
  await using server = await startTestServer({ wrapStore, env, runPipeline: noBuilder });
  const { store } = server.context;
  await server.enrol('ada');
  const revision = await publishCommit(server, { ada: system('one') });
  const rolloutState = async () =>
    (await store.revisions.list(server.repository.id, 9)).find((each) => each.revision.id === revision.id)?.rollout?.state;
  await eventually('its rollout goes on', async () => ((await rolloutState()) === 'ROLLING' ? true : undefined));
  reopened = revision.id;
  await store.hosts.retry('ada' as HostName, system('one'));
  await eventually('it was evaluated again', async () => ((await store.revisions.get(revision.id))?.state === 'EVALUATING' ? true : undefined));
  // A later look has shown the state after that, so that the torn one is over.
  await eventually('the page shows it', async () => {
    const { revision: shown } = (await (await server.request('/api/fleet')).json()) as { revision: { state: string } };
    return shown.state === 'EVALUATING' ? true : undefined;
  });
  const next = await publishCommit(server, { ada: system('two') });
  await eventually('the next one is told', async () =>
    (await store.hosts.get('ada' as HostName))?.desired?.sequence === next.sequence ? true : undefined,
  );
  expect(await rolloutState()).not.toBe('COMPLETE');
});

test('a connected host is told its release after the database lost what it was told before', async () => {
  await using database = await startPostgres();
  await using server = await startTestServer({ runPipeline: noBuilder, env: { DATABASE_URL: database.url } });
  const { store } = server.context;
  const address = new URL(database.url);
  const beside = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  try {
    const ada = await server.enrol('ada');
    await publishCommit(server, { ada: system('one') });
    await using agent = await TestAgent.welcome(server.url, ada);
    await agent.next('directive');
    const told = (): number => agent.messages.filter(({ type }) => type === 'directive').length;
    const before = (await store.hosts.get(ada.host))?.epoch ?? 0;
    for (let again = 1; again <= 3; again += 1) {
      await store.hosts.retry(ada.host, system('one'));
      await eventually('it is told again', () => (told() > again ? true : undefined));
    }
    // The standby that took over lacks the last writes.
    await beside`update hosts set epoch = ${before}, retry_epoch = null where host = 'ada'`;
    await publishCommit(server, { ada: system('two') });
    expect((await agent.closed).code).toBe(CLOSE_CODES.restarting);
    await using back = await TestAgent.welcome(server.url, ada, { epoch: before + 3, bootId: 'boot-1' });
    await back.next('directive');
    expect((await store.hosts.get(ada.host))?.epoch).toBeGreaterThan(before + 3);
  } finally {
    await beside.end();
  }
});
