import { NOTIFICATION_KINDS } from '@floe/model';
import * as v from 'valibot';
import { Counter, DurationMs, list, prose, Timestamp, word } from './bounds.ts';

const MAX_TARGETS = 64;
const NAME_RULE = 'a name is 1 to 32 lower-case letters, digits and -, as in the settings of the server';

/** The name of a target of notifications. */
export const TargetName = v.pipe(v.string(), v.maxLength(32, NAME_RULE), v.regex(/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/, NAME_RULE));

/** One line of `GET /api/notifications`: where notifications go. Without what is secret. */
export const NotificationTargetView = v.object({
  name: word(32),
  kind: word(32),
  /** In words: who gets them. */
  destination: prose(16_384),
  /** What it is told of. */
  events: list(v.picklist(NOTIFICATION_KINDS), NOTIFICATION_KINDS.length),
  /** When it last took a message. */
  lastSentAt: v.nullable(Timestamp),
  /** How many events it is still to be sent. */
  waiting: Counter,
  /** Why nothing can be sent to it. */
  problem: v.nullable(v.object({ message: prose(), since: Timestamp })),
});
export type NotificationTargetView = v.InferOutput<typeof NotificationTargetView>;
export const NotificationTargetViews = list(NotificationTargetView, MAX_TARGETS);

/** `POST /api/notifications/:name/test`: what became of the message. `answer`: what the target said, or why it could not be sent. */
export const NotificationTested = v.object({ isSent: v.boolean(), answer: prose(4096), tookMs: DurationMs });
export type NotificationTested = v.InferOutput<typeof NotificationTested>;
