import type { SecretSource } from '@floe/runtime';

/** Where notifications go, and what is needed to send them there. */
export type TargetAddress =
  /** JSON, signed with the secret. */
  | { readonly kind: 'webhook'; readonly url: string; readonly secret: SecretSource }
  /** Slack's incoming webhooks, and what takes the same. The URL itself is the secret. */
  | { readonly kind: 'slack'; readonly url: SecretSource }
  | { readonly kind: 'matrix'; readonly homeserver: string; readonly room: string; readonly token: SecretSource }
  | {
      readonly kind: 'email';
      readonly host: string;
      readonly port: number;
      /** `tls` from the first byte, or `starttls`, which is required; `none` sends everything in clear. */
      readonly security: 'tls' | 'starttls' | 'none';
      readonly from: string;
      readonly to: readonly string[];
      readonly login: { readonly user: string; readonly password: SecretSource } | undefined;
    };
export const TARGET_KINDS = ['webhook', 'slack', 'matrix', 'email'] as const satisfies readonly TargetAddress['kind'][];
