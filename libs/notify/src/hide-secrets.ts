/** What was sent a secret may repeat it, and what it answers is shown to everyone who may read. */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((before, secret) => before.replaceAll(secret, '[redacted]'), text);
}
