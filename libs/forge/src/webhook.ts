import type { CommitSha } from '@floe/protocol';
import type { Secret } from '@floe/runtime';

export interface WebhookDelivery {
  /** The webhook's secret, or several while it is being changed: a signature by any of them is accepted. */
  readonly secret: Secret | readonly Secret[];
  readonly headers: { get(name: string): string | null };
  /** The raw body: the signature is over these bytes. */
  readonly rawBody: Uint8Array;
}

export interface Push {
  readonly kind: 'push';
  readonly deliveryId: string;
  /** The same for each repeat of this delivery, and for nothing else that the forge sends. */
  readonly repeatKey: string;
  /** `refs/heads/…` or `refs/tags/…` */
  readonly ref: string;
  /** Undefined when the ref is new. */
  readonly before: CommitSha | undefined;
  /** Undefined when the ref was deleted. */
  readonly after: CommitSha | undefined;
  readonly isDeleted: boolean;
  /** The forge's claim; libs/git checks it itself. */
  readonly isForced: boolean;
  /** Who moved the ref, by the login at the forge ({@link forgeLogin}); undefined: it is not one account that can be named. */
  readonly pusher: string | undefined;
  /** Its SSH address is empty where the forge names none. */
  readonly repository: { readonly fullName: string; readonly cloneUrl: string; readonly sshUrl: string };
}

export type WebhookRefusalCode =
  | 'SIGNATURE_MISSING'
  | 'SIGNATURE_MALFORMED'
  | 'SIGNATURE_WRONG'
  | 'BODY_EMPTY'
  | 'BODY_NOT_UTF8'
  | 'BODY_NOT_JSON'
  | 'BODY_FORM_ENCODED'
  | 'EVENT_MISSING'
  | 'DELIVERY_ID_MISSING'
  | 'PAYLOAD_INVALID';

export interface WebhookRefusal {
  readonly kind: 'refused';
  /** The HTTP status of the answer. */
  readonly status: 400 | 401 | 415 | 422;
  readonly code: WebhookRefusalCode;
  /** What is wrong and what to do. Forges show it to the administrator in the list of deliveries. */
  readonly message: string;
}

export type WebhookOutcome =
  | Push
  /** Somebody tries the webhook. */
  | { readonly kind: 'ping'; readonly deliveryId: string }
  /** From the forge, but not used. */
  | { readonly kind: 'ignored'; readonly deliveryId: string; readonly event: string }
  | WebhookRefusal;

/** Reads the webhooks of one forge. */
export interface WebhookReader {
  /** What can be judged from the headers, before the body is read: the refusal; undefined: the body decides. */
  readonly judgeHeaders: (headers: WebhookDelivery['headers']) => WebhookRefusal | undefined;
  /**
   * Judges a delivery; checks who sent it before anything in the body. Input never makes it throw; throws
   * `FloeError('WEBHOOK_SECRET_MISSING')` without a secret.
   */
  readonly parse: (delivery: WebhookDelivery) => Promise<WebhookOutcome>;
}
