/**
 * An answer without the secrets: what was sent one may repeat it, and everyone who may read sees answers. Also in the forms in which a secret was
 * sent, or in which an answer may quote it: in JSON, in a URL, in base64 (of a login, give the whole that was encoded). Somebody who has the
 * secret and wants to show it can still write it otherwise.
 */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  // The longest first: one may be a part of another.
  const forms = secrets
    .filter((secret) => secret !== '')
    .flatMap(formsOf)
    .toSorted((a, b) => b.length - a.length);
  return forms.reduce((before, form) => before.replaceAll(form, '[redacted]'), text);
}

function formsOf(secret: string): readonly string[] {
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), Buffer.from(secret).toString('base64')];
}
