import type { FloeError } from '@floe/runtime';

/**
 * The message, and at the end of its first line the server's code, by which docs/incidents.md names it. What the CLI says by itself has no such
 * code, nor has what the message names already.
 */
export function errorText({ message, data }: Pick<FloeError, 'message' | 'data'>): string {
  const { serverCode } = data;
  if (typeof serverCode !== 'string' || message.includes(serverCode)) return message;
  const [first = '', ...rest] = message.split('\n');
  return [`${first} (${serverCode})`, ...rest].join('\n');
}
