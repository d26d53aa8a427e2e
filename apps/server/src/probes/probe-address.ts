import type { RingCounts } from '@floe/model';
import type { SecretSource } from '@floe/runtime';

/** Something outside that says whether all is well. An administrator configured it: no commit can make the server ask an address. */
export type ProbeAddress =
  /** A request that is signed with the secret, as messages to webhooks are. */
  | { readonly kind: 'webhook'; readonly url: string; readonly secret: SecretSource }
  /** A query whose every value has to be within the bounds. */
  | {
      readonly kind: 'prometheus';
      readonly url: string;
      readonly query: string;
      readonly max: number | undefined;
      readonly min: number | undefined;
      readonly login: { readonly user: string; readonly password: SecretSource } | undefined;
    };
export const PROBE_KINDS = ['webhook', 'prometheus'] as const satisfies readonly ProbeAddress['kind'][];

/** What is asked about. */
export interface ProbeQuestion {
  /** Another one each time. ASCII. */
  readonly id: string;
  /** The probe's name. */
  readonly probe: string;
  /** Undefined: it is asked as a test, about nothing. */
  readonly about:
    | {
        readonly commit: string;
        readonly ring: string;
        /** The hosts of the ring, by how far they are. */
        readonly hosts: RingCounts;
      }
    | undefined;
}
