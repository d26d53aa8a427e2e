import {
  open,
  ReleaseStatement,
  sealAsync,
  type Envelope,
  type OneDirective,
  type PermitStatement,
  type SignedWord,
  type TrustedKey,
} from '@floe/protocol';
import type { HostName } from '@floe/model';
import { verifySignature, type AsyncSigner } from '@floe/runtime';
import { sealTrial } from './testing-branches/seal-trial.ts';

/** How long a trial lasts, and the latest time that was ever signed for hosts. */
export type TrialTimes = Parameters<typeof sealTrial>[2];

/** `refused`: why it is not signed. Undefined: not yet; a hint about the host comes when it is, or it is asked again. */
export type SignedAnswer = Envelope | { readonly refused: string } | undefined;

const NOT_OURS = { refused: 'it is about no release that this builder signed' };

/**
 * What the server asks of the holder of the release key. It answers by envelopes: whoever has a releaser can verify releases, and have signed
 * what a directive needs, and never reaches the key. Each question is about a release that the key signed before, and no answer contains another
 * system.
 */
export interface Releaser {
  /** By which releases are verified. */
  readonly keys: readonly TrustedKey[];
  /** The permit to go below what the host was told, to this release; `word`: what an operator signed about it. */
  permit(release: Envelope, statement: PermitStatement, word?: SignedWord): Promise<SignedAnswer>;
  /** A trial, or a submitted system, for one directive: signed again as it is stored, for `onlyFor`. */
  once(host: HostName, release: Envelope, onlyFor: OneDirective | undefined): Promise<SignedAnswer>;
  /** The same system, of a release of the fleet, as one that is only to be tried. Of a trial there is no other: it would have no end. */
  trial(host: HostName, release: Envelope, times: TrialTimes): Promise<SignedAnswer>;
}

/** That of the process that holds the key. It alone can have a permit name who authorised it: that is never taken from the statement that is asked for. */
export interface KeyReleaser extends Releaser {
  permit(release: Envelope, statement: PermitStatement, word?: SignedWord, authorisedBy?: string): Promise<SignedAnswer>;
}

/** The releaser of the process that holds the key. */
export function releaserOf(signer: AsyncSigner): KeyReleaser {
  /** What the release says, if this key signed it. */
  function own(release: Envelope): ReleaseStatement | undefined {
    const opened = open(release, 'floe/release', ReleaseStatement, [signer], verifySignature);
    return opened.kind === 'opened' ? opened.statement : undefined;
  }
  return {
    keys: [{ keyId: signer.keyId, publicKey: signer.publicKey }],
    async permit(release, { authorisedBy: _claimed, ...asked }, _word, authorisedBy) {
      const to = own(release);
      const isForIt = (['repository', 'ref', 'sequence', 'toplevel'] as const).every((key) => to?.[key] === asked[key]);
      if (!isForIt) return NOT_OURS;
      const statement: PermitStatement = authorisedBy === undefined ? asked : { ...asked, authorisedBy };
      return await sealAsync(signer, 'floe/permit', statement);
    },
    async once(_host, release, onlyFor) {
      const stored = own(release);
      if (stored?.purpose === undefined) return NOT_OURS;
      const statement = { ...stored, ...(onlyFor === undefined ? {} : { onlyFor }) } satisfies ReleaseStatement;
      return await sealAsync(signer, 'floe/release', statement);
    },
    async trial(_host, release, times) {
      const stored = own(release);
      return stored !== undefined && stored.purpose === undefined ? await sealTrial(signer, stored, times) : NOT_OURS;
    },
  };
}
