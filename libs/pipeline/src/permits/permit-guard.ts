import type { HostName } from '@floe/model';
import { HostReport, open, ReleaseStatement, storedEnvelope, type PermitStatement, type SignedWord, wordDiffers } from '@floe/protocol';
import { verifySignature, type Clock } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import type { KeyReleaser, Releaser } from '../releaser.ts';
import { judgeWord, type OperatorKeys } from './operator-keys.ts';
import type { newestLoggedOf } from '../statements/newest-releases.ts';
import type { RecordedStable } from './recorded-stable.ts';
import type { UsedWords } from './used-words.ts';

/** Permits that nobody signed for are for directives that are sent now, which are good for a day. Twice that, for clocks and what waits. */
const MOST_AHEAD_MS = 48 * 3600 * 1000;

export interface PermitGuardDeps {
  readonly operatorKeys: OperatorKeys;
  readonly recorded: Pick<RecordedStable, 'newestOf'>;
  /** The key of a host, as this builder saw it first. */
  readonly keyOf: (host: HostName) => Promise<string | undefined>;
  /** What was released last for a host of these names, by this builder's own log. */
  readonly newestOf: (names: readonly HostName[]) => ReturnType<typeof newestLoggedOf>;
  readonly usedWords: Pick<UsedWords, 'use'>;
  /** Whether the database calls it stable, and this builder's log is to tell so within seconds. */
  readonly isToBeLogged: (release: ReleaseStatement) => Promise<boolean>;
  readonly store: StorePart<{ hostStatements: 'ofHost' }>;
  readonly clock: Pick<Clock, 'now'>;
}

const NEXT = 'sign it: floe pin HOST COMMIT --reason "…" --sign-with KEY';

/**
 * The releaser, with people's keys before its permits. Alone it signs one only to the host's stable release, by what this builder knows itself:
 * its own log calls no newer release of the host stable, and the host's own key signed that it came to run that one. All others need the word
 * of an operator, which is good for one directive. A trial takes a host back, too, so it is of the newest release alone. `once` needs no guard: what it
 * signs again keeps the end, or the sequence, that it has.
 */
export function guardedReleaser(own: KeyReleaser, deps: PermitGuardDeps): Releaser {
  return {
    ...own,
    async permit(release, statement, word) {
      const opened = open(release, 'floe/release', ReleaseStatement, own.keys, verifySignature);
      if (opened.kind === 'refused') return { refused: `the release is not this builder's: ${opened.message}` };
      const to = opened.statement;
      if (statement.onlyFor === undefined) return { refused: 'its agent is from before permits were signed for one directive: update it' };
      if (word !== undefined) {
        const judged = await judgeUse(deps, word, to, { ...statement, onlyFor: statement.onlyFor });
        return 'refused' in judged ? judged : await own.permit(release, statement, word, judged.who);
      }
      const why = await whyNotStable(deps, to, statement);
      if (why === undefined) return await own.permit(release, statement);
      return why === LATER ? undefined : { refused: `${why}, so an operator has to ${NEXT}` };
    },
    async trial(host, release, times) {
      const opened = open(release, 'floe/release', ReleaseStatement, own.keys, verifySignature);
      if (opened.kind === 'refused') return { refused: `the release is not this builder's: ${opened.message}` };
      const { sequence, host: of } = opened.statement;
      const newest = await deps.newestOf([host, of]);
      if (newest === undefined || sequence >= newest.sequence) return await own.trial(host, release, times);
      return { refused: `with keys of operators nobody has a host try what is older than its newest release, which is #${newest.sequence}: ${NEXT}` };
    },
  };
}

/** Whose word it is, if it is about exactly this permit, and was used for no other directive. */
async function judgeUse(
  { operatorKeys, usedWords, newestOf, clock }: PermitGuardDeps,
  signed: SignedWord,
  to: ReleaseStatement,
  statement: PermitStatement & { readonly onlyFor: NonNullable<PermitStatement['onlyFor']> },
): Promise<{ readonly who: string } | { readonly refused: string }> {
  const verdict = await judgeWord(operatorKeys, signed, clock.now());
  if (verdict.kind === 'refused') return { refused: `what an operator signed does not count: ${verdict.why}; ${NEXT}` };
  const { word, who } = verdict;
  const { actor, reason } = statement;
  const difference = wordDiffers(word, { ...to, actor, reason });
  if (difference !== undefined) return { refused: `an operator signed for another ${difference}` };
  // After a rename the machine has its earlier name until it runs a system of the new one.
  const isOfIt = word.host === statement.host || (word.host === to.host && to.formerHost === statement.host);
  if (!isOfIt) return { refused: `an operator signed for another host: ${word.host}` };
  if (statement.floor > word.floor)
    return { refused: `the host was told ${statement.floor} since an operator signed that it leaves ${word.floor}; ${NEXT}` };
  // What the host was told is the server's word alone. Of the same revision it may have been signed again.
  const newest = await newestOf([statement.host, to.host]);
  if (newest !== undefined && newest.sequence > to.sequence && (newest.issuedAt ?? Infinity) > word.issuedAt)
    return { refused: `revision #${newest.sequence} was built for the host since an operator signed; ${NEXT}` };
  if (statement.expiresAt > word.until) return { refused: 'the permit would be good for longer than what an operator signed' };
  const { machineId, epoch } = statement.onlyFor;
  if (machineId !== statement.machineId) return { refused: 'the permit names two machines' };
  return (await usedWords.use(signed.statement, { machineId, epoch }))
    ? { who }
    : { refused: `what an operator signed was used for another directive already; ${NEXT}` };
}

/** Its rollout was completed a moment ago. */
const LATER = Symbol('later');

/** Undefined: the release is the stable one of the host, as far as this builder knows itself. */
async function whyNotStable(
  { recorded, keyOf, isToBeLogged, store, clock }: PermitGuardDeps,
  to: ReleaseStatement,
  { host, machineId, expiresAt, onlyFor }: PermitStatement,
): Promise<string | typeof LATER | undefined> {
  if (to.purpose !== undefined) return 'it is a system that no commit has';
  if (onlyFor?.machineId !== machineId) return 'the permit names two machines';
  if (expiresAt > clock.now() + MOST_AHEAD_MS) return 'the permit would be good for more than two days';
  // Asked before the log is read: what is no more to be logged is in it.
  const isToCome = await isToBeLogged(to);
  const stable = await recorded.newestOf([host, to.host]);
  const isIt = (['repository', 'ref', 'sequence', 'toplevel'] as const).every((key) => stable?.[key] === to[key]);
  if (!isIt && (stable?.sequence ?? -1) < to.sequence && isToCome) return LATER;
  if (stable === undefined) return `nothing is known to be stable on ${host}`;
  if (!isIt) return `revision #${to.sequence} is not what is stable on ${host}, which is #${stable.sequence}`;
  const publicKey = (await keyOf(host)) ?? (await keyOf(to.host));
  if (publicKey === undefined) return `the key of ${host} is not known`;
  const hasRunIt = (await store.hostStatements.ofHost(host)).some(({ envelope }) => isProof(envelope, { publicKey, machineId, to }));
  return hasRunIt ? undefined : `${host} itself did not sign, by the key that is known, that it came to run revision #${to.sequence}`;
}

/** The host's own word that it came to run exactly this release. */
function isProof(envelope: string, { publicKey, machineId, to }: { publicKey: string; machineId: string; to: ReleaseStatement }): boolean {
  const stored = storedEnvelope(envelope);
  if (stored?.type !== 'floe/report') return false;
  const opened = open(stored, 'floe/report', HostReport, [{ keyId: stored.keyId, publicKey }], verifySignature);
  if (opened.kind !== 'opened') return false;
  const { state, isTrial, release, toplevel, machineId: of } = opened.statement;
  if (state !== 'SUCCEEDED' || isTrial || of !== machineId || toplevel !== to.toplevel) return false;
  return (['repository', 'ref', 'commit', 'sequence', 'toplevel'] as const).every((key) => release?.[key] === to[key]);
}
