import type { HostName, ReleaseRef } from '@floe/model';
import { judgeWord, type OperatorKeyFile, type WordVerdict } from '@floe/pipeline';
import { parseWord, peekStored, ReleaseStatement, wordDiffers, type SignedWord, type WayBack } from '@floe/protocol';
import type { Clock, Exec } from '@floe/runtime';
import type { Repository, StorePart } from '@floe/store';

/** Whose word takes hosts back, as far as this server knows: the builder has the last word. */
export interface Operators {
  /** Checks the signature; undefined: only the builder can. */
  readonly judge: ((word: SignedWord) => Promise<WordVerdict>) | undefined;
}

/** `builder`: it is a process of its own. */
export function operatorsOf(
  { operatorKeys, builder }: { readonly operatorKeys: OperatorKeyFile | undefined; readonly builder: object | undefined },
  { clock, exec }: { readonly clock: Pick<Clock, 'now'>; readonly exec: Exec },
): Operators | undefined {
  if (operatorKeys === undefined) return undefined;
  return { judge: builder === undefined ? async (word) => await judgeWord({ ...operatorKeys, exec }, word, clock.now()) : undefined };
}

export interface WayBackDeps {
  readonly store: StorePart<{ releases: 'toOffer' }>;
  readonly repository: Pick<Repository, 'id'>;
  /** Undefined: as far as this server knows, nobody has to sign. */
  readonly operators: Operators | undefined;
}

type About = Omit<WayBack, 'needsWord'>;

/** What a person signs who has the host brought back from `floor` to the release. */
export async function wayBackOf(
  { store, repository }: WayBackDeps,
  host: HostName,
  { release: { id, sequence, toplevel }, floor, actor }: { readonly release: ReleaseRef; readonly floor: number; readonly actor: string },
): Promise<About | undefined> {
  const { releases } = await store.releases.toOffer(repository.id, [id]);
  const said = peekStored(releases[0]?.envelope, ReleaseStatement);
  return said && { repository: said.repository, ref: said.ref, host, commit: said.commit, sequence, toplevel, floor, actor };
}

/** Why the word is not for this; undefined: it is. A builder that does not take it all the same says so later, on the host. */
export async function whyNotFor(
  { operators }: Pick<WayBackDeps, 'operators'>,
  signed: SignedWord,
  { floor, ...about }: About,
  { reason, now }: { readonly reason: string; readonly now: number },
): Promise<string | undefined> {
  const word = parseWord(signed.statement);
  if (word === undefined) return 'it is not of a form that this version knows';
  const difference = wordDiffers(word, { ...about, reason });
  if (difference !== undefined) return `it is for another ${difference}`;
  if (word.host !== about.host) return `it is for another host: ${word.host}, not ${about.host}`;
  if (word.floor < floor) return `the host was told #${floor} since`;
  if (word.until <= now) return 'it has ended';
  const verdict = await operators?.judge?.(signed);
  return verdict?.kind === 'refused' ? verdict.why : undefined;
}
