import type { AgentDetail, AgentEvent } from '@floe/model';

/** What a report's log may hold, in characters. */
export const MAX_LOG_CHARACTERS = 12_000;

/**
 * Each takes time in proportion to the text, whatever that is: no pattern begins with a repetition (it would be tried from
 * each place of a long run), and what follows a repetition is not in it.
 */
const SECRETS: readonly [RegExp, string][] = [
  // https://user:password@host
  [/(:\/\/)[^\s/@:]*:[^\s/@]+@/g, '$1***@'],
  // https://token@host
  [/(\bhttps?:\/\/)[^\s/?#]+@/gi, '$1***@'],
  // token=…, password: …, Authorization: Bearer …
  [/\b(authorization\s*[:=]\s*(?:bearer|basic)\s+)\S+/gi, '$1***'],
  [/((?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key)["']?\s*[:=]\s*)(?:"[^"]*"|'[^']*'|[^\s"',;]+)/gi, '$1***'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, '*** private key ***'],
  [/\b(?:gh[pousr]_|github_pat_|glpat-|floe_|AKIA)[A-Za-z0-9_-]{8,}/g, '***'],
];

/** A text without what looks like a secret. */
function redact(text: string): string {
  return SECRETS.reduce((rest, [pattern, replacement]) => rest.replace(pattern, replacement), text);
}

/** The end of a program's output, without what looks like a secret. Redacted first: a secret that is cut is not recognised. */
export function lastWords(text: string, maxCharacters: number): string {
  return redact(text.trim()).slice(-maxCharacters);
}

/** The event without secrets in its texts, which are stored, reported and shown. They quote programs that failed. */
export function redactedEvent(event: AgentEvent): AgentEvent {
  if ('detail' in event) return { ...event, detail: redactedDetail(event.detail) };
  if ('note' in event && event.note !== null) return { ...event, note: redactedDetail(event.note) };
  if ('wait' in event && event.wait !== null) return { ...event, wait: { ...event.wait, detail: redactedDetail(event.wait.detail) } };
  return event;
}

function redactedDetail({ code, message, wait }: AgentDetail): AgentDetail {
  return { code, message: redact(message), ...(wait === undefined ? {} : { wait: { ...wait, programs: wait.programs.map(redact) } }) };
}

/** The last lines of a log, without what looks like a secret, as they leave the machine. */
export function redactedTail(log: string): string {
  const clean = redact(log.trim());
  if (clean.length <= MAX_LOG_CHARACTERS) return clean;
  const tail = clean.slice(-MAX_LOG_CHARACTERS);
  return `…\n${tail.slice(tail.indexOf('\n') + 1)}`;
}
