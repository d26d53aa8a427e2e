import { open, ReleaseStatement, seal, type Envelope, type OneDirective, type PermitStatement, type TrustedKey } from '@floe/protocol';
import { verifySignature, type Signer } from '@floe/runtime';
import { sealTrial } from './trial-branches/seal-trial.ts';

/** How long a trial lasts, and the latest time that was ever signed for hosts. */
export type TrialTimes = Parameters<typeof sealTrial>[2];

/**
 * What the server asks of the holder of the release key. It answers by envelopes: whoever has a releaser can verify releases, and have signed
 * what a directive needs, and never reaches the key. Undefined: it cannot be signed, or not yet; then a hint about the host comes when it can.
 */
export interface Releaser {
  /** By which releases are verified. */
  readonly keys: readonly TrustedKey[];
  /** The permit to go below what the host was told. */
  permit(statement: PermitStatement): Promise<Envelope | undefined>;
  /** A trial, or a submitted system, for one directive: signed again as it is stored, for `onlyFor`. */
  once(release: Envelope, onlyFor: OneDirective | undefined): Promise<Envelope | undefined>;
  /** The same system as one that is only to be tried. */
  trial(release: ReleaseStatement, times: TrialTimes): Promise<Envelope | undefined>;
}

/** The releaser of the process that holds the key. */
export function releaserOf(signer: Signer): Releaser {
  return {
    keys: [{ keyId: signer.keyId, publicKey: signer.publicKey }],
    permit: async (statement) => await Promise.resolve(seal(signer, 'floe/permit', statement)),
    async once(release, onlyFor) {
      const stored = open(release, 'floe/release', ReleaseStatement, [signer], verifySignature);
      // What is stored is not of this release key.
      if (stored.kind !== 'opened') return undefined;
      const statement = { ...stored.statement, ...(onlyFor === undefined ? {} : { onlyFor }) } satisfies ReleaseStatement;
      return await Promise.resolve(seal(signer, 'floe/release', statement));
    },
    trial: async (release, times) => await Promise.resolve(sealTrial(signer, release, times)),
  };
}
