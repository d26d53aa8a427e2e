/** What a report's log may hold, in characters. */
export const MAX_LOG_CHARACTERS = 12_000;

const SECRETS: readonly [RegExp, string][] = [
  // https://user:password@host
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@:]+:[^\s/@]+@/gi, '$1***@'],
  // token=…, password: …, Authorization: Bearer …
  [/\b(authorization\s*[:=]\s*(?:bearer|basic)\s+)\S+/gi, '$1***'],
  [/\b([\w-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key)["']?\s*[:=]\s*["']?)[^\s"',;]+/gi, '$1***'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, '*** private key ***'],
  [/\b(?:gh[pousr]_|github_pat_|glpat-|floe_|AKIA)[A-Za-z0-9_-]{8,}/g, '***'],
];

/** The last lines of a log, without what looks like a secret: it leaves the machine. */
export function redactedTail(log: string): string {
  const clean = SECRETS.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), log.trim());
  if (clean.length <= MAX_LOG_CHARACTERS) return clean;
  const tail = clean.slice(-MAX_LOG_CHARACTERS);
  return `…\n${tail.slice(tail.indexOf('\n') + 1)}`;
}
