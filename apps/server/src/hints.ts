import { setImmediate as nextTurn } from 'node:timers/promises';
import { releaseAhead } from '@floe/model';
import { EnvelopeText, jsonAround, sealJson, type StageHint } from '@floe/protocol';
import type { Signer } from '@floe/runtime';
import type { Fleet, StorePart } from '@floe/store';
import type { WelcomedSession } from './agents/session.ts';
import { understands } from './directives.ts';
import type { ServerClock } from './server-clock.ts';

/** A hint is for one connection. It is said again after this time, so that an agent keeps what it has downloaded. */
const HINT_LIFETIME_MS = 24 * 3600_000;
const YIELD_EVERY = 100;

export interface HintDeps {
  readonly store: StorePart<{ releases: 'toOffer' }>;
  readonly clock: Pick<ServerClock, 'now' | 'latest'>;
  readonly serverSigner: Signer;
}

/** A connected agent, and the release that it may download ahead. */
export interface Hinted {
  readonly session: WelcomedSession;
  readonly releaseId: string;
  readonly spreadMs: number;
}

/** The agents that are to be hinted at what comes next, and were not on this connection or lately. */
export function toHint(
  { rollout, hosts }: Fleet,
  session: (host: Fleet['hosts'][number]) => WelcomedSession | undefined,
  now: number,
): readonly Hinted[] {
  if (rollout === undefined || rollout.unreadable !== undefined) return [];
  const { spreadMs } = rollout.policy.downloads;
  return hosts.flatMap((each): Hinted[] => {
    const to = session(each);
    // An older agent would not understand it.
    if (to?.capabilities.has('stage') !== true) return [];
    const release = releaseAhead(each.situation, rollout);
    return release === undefined || to.isHinted(release.id, now - HINT_LIFETIME_MS) ? [] : [{ session: to, releaseId: release.id, spreadMs }];
  });
}

/** Hints connected agents at what they may download ahead. Nothing of it is stored: after a restart it is said again. */
export async function sendHints({ store, clock, serverSigner }: HintDeps, repositoryId: string, hinted: readonly Hinted[]): Promise<void> {
  if (hinted.length === 0) return;
  const { releases } = await store.releases.toOffer(
    repositoryId,
    hinted.map(({ releaseId }) => releaseId),
  );
  const envelopes = new Map(releases.map((release) => [release.id, EnvelopeText.of(release.envelope)]));
  let sent = 0;
  for (const { session, releaseId, spreadMs } of hinted) {
    const release = envelopes.get(releaseId);
    if (release === undefined || !understands(session, release)) continue;
    const issuedAt = clock.now();
    const hint: Omit<StageHint, 'release'> = {
      version: 1,
      host: session.calledAs,
      machineId: session.machineId,
      spreadMs,
      issuedAt,
      // By the time that the agent was told when it connected, however the clock was set since.
      expiresAt: clock.latest() + HINT_LIFETIME_MS,
      nonce: session.nonce,
    };
    session.hint(releaseId, issuedAt, sealJson(serverSigner, 'floe/stage', jsonAround(hint, { release })));
    sent += 1;
    if (sent % YIELD_EVERY === 0) await nextTurn();
  }
}
