import { createHash } from 'node:crypto';
import { stableJson } from './stable-json.ts';

/** What an entry of the audit log is made of. */
export interface AuditContent {
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: string;
  /** Of a refusal, the day. */
  readonly refusedOn: number | null;
}

/** What is hashed. Refusals are counted in their entry, with the last one's subject and text: those are not. */
export function auditContent({ at, actor, action, subject, detail, refusedOn }: AuditContent): string {
  return stableJson(refusedOn === null ? { at, actor, action, subject, detail } : { at, actor, action, refusedOn });
}

/** The hash of an entry behind the one with the hash `previous`; '' for the first. */
export function auditHash(previous: string, content: string): string {
  return createHash('sha256').update(`${previous}\n${content}`).digest('hex');
}
