/**
 * What was sent a secret may repeat it, and what it answers is shown to everyone who may read. Also in the forms in which it was sent, or
 * in which an answer may quote it: in JSON, in a URL, in base64 as in HTTP's Basic authentication (give `user:password` as one secret).
 */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  const forms = secrets.filter((secret) => secret !== '').flatMap(formsOf);
  // The longest first: one may be a part of another.
  return forms.toSorted((a, b) => b.length - a.length).reduce((before, form) => before.replaceAll(form, '[redacted]'), text);
}

function formsOf(secret: string): readonly string[] {
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), Buffer.from(secret).toString('base64')];
}
