import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Envelope, peek, ReleaseStatement, type HostView } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import * as v from 'valibot';
import { HOSTS, type Host } from './plan.ts';
import type { World } from './world.ts';

// Audits the result from outside when all is quiet: links of folders, rows of the database, files of the statement log, statuses
// at the forge, and the kernel's view of the processes.

/** Limits that are normally not reached: a wait ends with its condition, on an idle machine within seconds. */
const QUIET_MS = 120_000;
const MAX_RSS_KIB = { server: 700_000, agent: 250_000 };

/** Values that must never decrease, by name. */
export type Heights = Map<string, number>;

/** Throws at the first violation. */
export async function audit(world: World, heights: Heights): Promise<void> {
  await auditHead(world);
  for (const host of HOSTS) await auditMachine(world, host);
  await auditRows(world);
  await auditStatements(world);
  await auditForge(world);
  await auditHeights(world, heights);
  await auditProcesses(world);
}

const ENDED: ReadonlySet<string> = new Set(['PUBLISHED', 'EVAL_FAILED', 'BUILD_FAILED', 'REJECTED']);

/** The newest commit was taken in and finished; a forced one first needs an administrator. */
async function auditHead(world: World): Promise<void> {
  const { fleet, truth } = world;
  const { sha, isOdd } = truth.head;
  const revision = await eventually(
    `the head ${sha.slice(0, 7)} has come to an end`,
    async () => {
      const view = await fleet.fleetView();
      if (view.repository.held?.commit === sha) {
        await fleet.request('/api/repository/accept', { method: 'POST', body: JSON.stringify({ commit: sha, reason: 'the campaign says so' }) });
        return undefined;
      }
      return view.revision?.sha === sha && ENDED.has(view.revision.state) ? view.revision : undefined;
    },
    { timeoutMs: QUIET_MS, everyMs: 200, explain: async () => JSON.stringify(await fleet.fleetView(), undefined, 1) },
  );
  const isWell = truth.hostsThatAre('good').length === HOSTS.length;
  if (isWell && !isOdd && revision.state !== 'PUBLISHED')
    throw new Error(`every host is well at the head, but it is ${revision.state}: ${revision.error}`);
  if (revision.state === 'REJECTED' && (!isOdd || revision.error === null)) throw new Error(`the head is REJECTED: ${revision.error}`);
}

/** The folder contains what was pushed, and the server reports the same. */
async function auditMachine(world: World, host: Host): Promise<void> {
  const { fleet, truth } = world;
  const allowed = truth.allowed(host);
  const text = await eventually(
    `${host} runs ${[...allowed].join(' or ')}`,
    async () => {
      const motd = await world.motd(host);
      const { current, profile } = await fleet.machine(host).observe();
      return motd !== undefined && allowed.has(motd) && current === profile ? motd : undefined;
    },
    { timeoutMs: QUIET_MS, everyMs: 200, explain: async () => `it runs ${await world.motd(host)}\n${await explain(world, host)}` },
  );
  if (truth.head.isOdd) return;
  truth.settled(host, text);
  const { state } = truth.head.tree[host];
  await eventually(
    `the server says of ${host} (${state}) what its folder holds`,
    async () => {
      const { current, profile } = await fleet.machine(host).observe();
      const view = await fleet.hostView(host);
      const isSame = view.observed.current === current && view.observed.profile?.toplevel === profile;
      const isRight = state === 'good' ? view.standing === 'in-sync' : isBelow(view, state);
      return isSame && isRight && view.isConnected ? true : undefined;
    },
    { timeoutMs: QUIET_MS, everyMs: 200, explain: async () => await explain(world, host) },
  );
}

/** A host that is not in sync with the head is reported as such. A host without a new release may have rolled back its last one. */
function isBelow({ standing }: HostView, state: 'broken' | 'unbuildable' | 'unhealthy'): boolean {
  if (state === 'unhealthy') return standing === 'rolled-back' || standing === 'behind';
  return standing === 'behind';
}

async function explain(world: World, host: Host): Promise<string> {
  const { fleet } = world;
  const tail = (log: string): string => log.split('\n').slice(-60).join('\n');
  return `${JSON.stringify(await fleet.hostView(host))}\n${tail(fleet.machine(host).agent.log())}\n--- server ---\n${tail(fleet.server.log())}`;
}

/** The rows agree with the folders and processes of the machines. */
async function auditRows(world: World): Promise<void> {
  for (const host of HOSTS) {
    await eventually(
      `the row of ${host} is true`,
      async () => {
        const [row] = await world.postgres.query(
          `select is_connected, observed -> 'profile' ->> 'toplevel' as profile from hosts where host = '${host}'`,
        );
        const { profile } = await world.fleet.machine(host).observe();
        return row?.['is_connected'] === world.process(host).isRunning && row['profile'] === profile ? true : undefined;
      },
      { timeoutMs: QUIET_MS, everyMs: 200, explain: async () => JSON.stringify(await world.postgres.query('select * from hosts')) },
    );
  }
}

const LoggedEnvelope = v.pipe(v.string(), v.parseJson(), Envelope);

/** Every release was signed and logged, and every signed statement is a release. */
async function auditStatements(world: World): Promise<void> {
  const rows = await world.postgres.query('select host, sequence, toplevel from releases');
  const released = rows.map(({ host, sequence, toplevel }) => `${String(host)} ${String(sequence)} ${String(toplevel)}`);
  const folder = join(world.fleet.dir, 'server/statements/releases');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json'));
  const signed = await Promise.all(
    names.map(async (name) => {
      const opened = peek(v.parse(LoggedEnvelope, await readFile(join(folder, name), 'utf8')), ReleaseStatement);
      if (opened.kind !== 'opened') throw new Error(`${name} in the log of statements: ${opened.message}`);
      return `${opened.statement.host} ${opened.statement.sequence} ${opened.statement.toplevel}`;
    }),
  );
  const unsigned = released.filter((release) => !signed.includes(release));
  if (unsigned.length > 0) throw new Error(`these releases have no signed statement: ${unsigned.join(', ')}`);
  // A statement is logged before its release is handed out, and its commit may be superseded in between.
  const overtaken = await world.postgres.query("select sequence from revisions where state = 'SUPERSEDED'");
  const sequences = new Set(overtaken.map(({ sequence }) => String(sequence)));
  const unreleased = signed.filter((statement) => !released.includes(statement) && !sequences.has(statement.split(' ')[1] ?? ''));
  if (unreleased.length > 0) throw new Error(`these statements were signed and never released: ${unreleased.join(', ')}`);
}

/** The forge shows the newest status of the outbox for each commit, and the right one for the head. */
async function auditForge(world: World): Promise<void> {
  const { fleet, truth, postgres } = world;
  const { sha, isOdd } = truth.head;
  const has = (state: 'broken' | 'unbuildable' | 'unhealthy'): boolean => truth.hostsThatAre(state).length > 0;
  const wanted = { 'floe/evaluate': has('broken'), 'floe/build': has('unbuildable'), 'floe/rollout': has('unhealthy') };
  const check = async (): Promise<string | undefined> => {
    const rows = await postgres.query('select sha, context, state, description, version, sent_version, due_at, last_error from status_outbox');
    for (const row of rows) {
      if (row['due_at'] !== null || row['version'] !== row['sent_version']) return `not sent yet: ${JSON.stringify(row)}`;
      const told = fleet.forge.statusOf(String(row['sha']), String(row['context']));
      if (told?.state !== row['state'] || told?.description !== row['description'])
        return `the forge has ${JSON.stringify(told)}, the outbox ${JSON.stringify(row)}`;
    }
    if (isOdd) return undefined;
    for (const [context, isFailure] of Object.entries(wanted)) {
      const told = fleet.forge.statusOf(sha, context);
      // Where nothing was evaluated or built there is no rollout.
      const isMissing = told === undefined && context === 'floe/rollout' && (has('broken') || has('unbuildable'));
      if (isMissing) continue;
      const isRight = isFailure
        ? told?.state !== 'success' && told?.state !== 'pending'
        : told?.state === 'success' || (told?.state === 'error' && has('broken'));
      if (told === undefined || !isRight)
        return `of the head's ${context} the forge has ${JSON.stringify(told)}, and a failure is ${isFailure ? '' : 'not '}right`;
    }
    return undefined;
  };
  await eventually('the forge knows how it stands', async () => ((await check()) === undefined ? true : undefined), {
    timeoutMs: QUIET_MS,
    everyMs: 200,
    explain: async () => `${await check()}\n${fleet.server.log().split('\n').slice(-60).join('\n')}`,
  });
}

/** Counters that only grow did not fall, whichever process was killed. */
async function auditHeights({ postgres }: World, heights: Heights): Promise<void> {
  const hosts = await postgres.query('select host, epoch, desired_sequence, report_series * 1000000000 + report_seq as reports from hosts');
  const others = await postgres.query(
    "select 'repository' as host, sequence, hint_count from repositories union all select 'log', max(sequence), count(*) from releases union all select 'history', max(id), count(*) from directives",
  );
  for (const { host, ...counters } of [...hosts, ...others]) {
    for (const [name, value] of Object.entries(counters)) {
      const key = `${name} of ${String(host)}`;
      const before = heights.get(key) ?? 0;
      if (Number(value) < before) throw new Error(`the ${key} fell from ${before} to ${String(value)}`);
      heights.set(key, Number(value));
    }
  }
}

/** No process crashed, logged an unexplained error, or used too much memory. */
async function auditProcesses(world: World): Promise<void> {
  for (const who of ['server', ...HOSTS] as const) {
    const { pid, isRunning } = world.process(who);
    if (!isRunning || pid === undefined) throw new Error(`${who} ended by itself:\n${world.process(who).log().split('\n').slice(-40).join('\n')}`);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const kib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    const limit = who === 'server' ? MAX_RSS_KIB.server : MAX_RSS_KIB.agent;
    if (kib > limit) throw new Error(`${who} holds ${kib} KiB, more than ${limit}`);
  }
  const complaints = world.logs.complaints().map(({ who, line }) => `${who}: ${line}`);
  if (complaints.length > 0) throw new Error(`no fault of the plan explains these:\n${complaints.slice(0, 20).join('\n')}`);
}
