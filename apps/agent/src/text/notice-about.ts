import { AgentState, Timestamp } from '@floe/protocol';
import * as v from 'valibot';
import { StoredWaitFacts } from './wait-facts.ts';

/** The actions that a notice offers; each is a request of the same name. */
export const NOTICE_ACTIONS = ['later', 'now', 'rollback'] as const;
export type NoticeAction = (typeof NOTICE_ACTIONS)[number];

export const NOTICE_TOPICS = [
  'asked',
  'download',
  'waiting',
  'put-off',
  'restart',
  'updated',
  'trial',
  'failed',
  'stuck',
  'going-back',
  'went-back',
] as const;

/** What a notice is made of, so that each desktop can say it in its user's language and time zone. */
export const NoticeAbout = v.object({
  topic: v.picklist(NOTICE_TOPICS),
  state: AgentState,
  code: v.nullable(v.string()),
  wait: v.nullable(StoredWaitFacts),
  trialEndsAt: v.nullable(Timestamp),
  /** The administrator who asks for it. */
  asker: v.nullable(v.object({ by: v.string(), reason: v.string() })),
});
export type NoticeAbout = v.InferOutput<typeof NoticeAbout>;
