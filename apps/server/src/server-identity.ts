import { createHash, randomUUID } from 'node:crypto';
import { access, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { TrustedKey } from '@floe/protocol';
import { FloeError, readBootId, type Clock, type Logger, type Signer } from '@floe/runtime';
import type { PlainStore } from '@floe/store';

/** Interval of the server's beats, in ms. */
export const BEAT_MS = 3_000;
/** A server without a beat for this long is dead: several beats, plus the time that a database may hang. */
const DEAD_MS = 12_000;
const LOOK_MS = 500;

export interface KeyFiles {
  /** Undefined: a builder of its own process has it. */
  readonly releaseKey: string | undefined;
  readonly serverKey: string;
}

/**
 * Checked before keys are created: a database whose hosts trust other keys is useless for this server, because its hosts would
 * refuse everything signed by new keys. Throws `FloeError('SERVER_FOREIGN')`. `takeOverFrom`: the release key that an
 * administrator wants to replace.
 */
export async function refuseForeignDatabase(store: PlainStore, files: KeyFiles, takeOverFrom: string | undefined): Promise<void> {
  const known = await store.server.keys();
  if (known === undefined || known.releaseKey === takeOverFrom) return;
  const missing: string[] = [];
  for (const path of [files.releaseKey, files.serverKey]) if (path !== undefined && !(await isThere(path))) missing.push(path);
  if (missing.length > 0) throw foreign(known, `${missing.join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing here`);
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

function foreign(known: { readonly releaseKey: string; readonly serverKey: string }, difference: string): FloeError {
  return new FloeError(
    'SERVER_FOREIGN',
    `the database belongs to the server with the release key ${known.releaseKey}, and ${difference}: its hosts would refuse what this server signs. ` +
      `For a server of its own set another DATABASE_URL; after a restore or a move put that server's keys/ into the data folder; ` +
      `to give the database and its hosts to this server's keys, which every host must then be told by hand, start it with FLOE_TAKE_OVER_FROM=${known.releaseKey}`,
    { data: { releaseKey: known.releaseKey, serverKey: known.serverKey } },
  );
}

/** Identifies the data folder in this boot of this machine: a copy of it, here or elsewhere, has another identity. */
async function placeOf(dataDir: string): Promise<string> {
  const boot = await readBootId().catch(() => hostname());
  const { dev, ino } = await stat(dataDir);
  return createHash('sha256').update(`${boot} ${dev} ${ino}`).digest('hex').slice(0, 32);
}

export interface Claim {
  readonly process: string;
  /** The latest time ever recorded by a server of this database. */
  readonly clockHigh: number;
}

/**
 * Claims the database for this process: one server at a time uses it. A second one, even with a copy of the keys, waits until it
 * knows whether the first is alive. Throws `FloeError('SERVER_RUNNING')` if it is, and `FloeError('SERVER_FOREIGN')` if the
 * database belongs to other keys.
 */
export async function claimDatabase(
  deps: {
    readonly store: PlainStore;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly releaseKeys: readonly TrustedKey[];
    readonly serverSigner: Signer;
  },
  options: { readonly dataDir: string; readonly takeOverFrom: string | undefined },
  signal: AbortSignal,
): Promise<Claim> {
  const { store, clock, logger } = deps;
  const releaseKey = deps.releaseKeys[0]?.publicKey ?? '';
  const serverKey = deps.serverSigner.publicKey;
  const known = await store.server.keys();
  const wanted = {
    releaseKey,
    serverKey,
    place: await placeOf(options.dataDir),
    process: randomUUID(),
    description: `process ${process.pid} on ${hostname()}, data folder ${options.dataDir}`,
    now: clock.now(),
    mayReplaceKeys: known !== undefined && known.releaseKey === options.takeOverFrom,
  };
  let first: { readonly beats: number; readonly at: number } | undefined;
  for (;;) {
    const isDead = first !== undefined && clock.monotonic() - first.at > DEAD_MS;
    const claimed = await store.server.claim({ ...wanted, deadBeats: isDead ? first?.beats : undefined });
    if (claimed.kind === 'claimed') {
      for (const key of claimed.changedKeys)
        logger.warn('this server signs with another key than before: hosts that do not trust it yet refuse what it signs', { key });
      return { process: wanted.process, clockHigh: claimed.clockHigh };
    }
    if (claimed.kind === 'foreign') throw foreign(claimed, `this one has ${releaseKey}`);
    if (first === undefined) {
      first = { beats: claimed.beats, at: clock.monotonic() };
      logger.info('another server used this database; checking whether it is alive', { other: claimed.description, forMs: DEAD_MS });
    } else if (claimed.beats !== first.beats) {
      throw new FloeError(
        'SERVER_RUNNING',
        `another floe-server works on this database (${claimed.description}), and only one may: stop it, or set another DATABASE_URL`,
        { data: { other: claimed.description } },
      );
    }
    await clock.sleep(LOOK_MS, signal);
    if (signal.aborted) throw new FloeError('STOPPED', 'floe-server was stopped while it waited for the database');
  }
}
