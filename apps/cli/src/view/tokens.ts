import type { NewTokenResponse, TokenView } from '@floe/protocol';
import { printableLine } from '@floe/model';
import { ago, duration } from '@floe/views';
import { clockTime } from './clock-time.ts';
import { formatTable, type Cell, type View } from './terminal.ts';

/** A new token, the only time that it is shown. */
export function formatNewToken({ name, role, token, expiresAt }: NewTokenResponse, serverUrl: string, { now, style }: View): string {
  const end = expiresAt === null ? 'It has no end' : `It ends on ${clockTime(expiresAt)}, in ${duration(Math.max(0, expiresAt - now))}`;
  return `The token of ${style('strong', name)} (${role}), which is not shown again:

  ${style('strong', printableLine(token))}

${end}. Whoever has it logs in with: floe login ${printableLine(serverUrl)}; or signs in with it on the page.`;
}

/** One line per token. */
export function formatTokens(tokens: readonly TokenView[], view: View): string {
  const { now } = view;
  const rows = tokens.map(({ name, role, person, forgeLogin, signer, lastUsedAt, expiresAt, createdAt, createdBy }): Cell[] => {
    const isOver = expiresAt !== null && expiresAt <= now;
    return [
      { text: name },
      role === null ? { text: 'unreadable', tone: 'bad' } : { text: role },
      { text: person ?? name },
      { text: forgeLogin ?? '' },
      { text: signer ?? '' },
      { text: lastUsedAt === null ? 'never' : ago(lastUsedAt, now) },
      expiresAt === null
        ? { text: 'never' }
        : { text: isOver ? `ended ${ago(expiresAt, now)}` : `in ${duration(expiresAt - now)}`, ...(isOver ? { tone: 'bad' as const } : {}) },
      { text: `${clockTime(createdAt)}${createdBy === null ? '' : ` by ${createdBy}`}` },
    ];
  });
  return formatTable(['NAME', 'ROLE', 'PERSON', 'FORGE LOGIN', 'SIGNS AS', 'USED', 'ENDS', 'MADE'], rows, view, []);
}
