import type { HostStanding, HostView } from '@floe/protocol';
import { words } from './text.ts';

/** A standing in words that fit behind any number: "3 waiting", "1 kept by user". */
export function standingName(standing: HostStanding): string {
  return standing === 'local-override' ? 'kept by user' : words(standing);
}

/** Where one host stands, in words: "in sync", "waiting for a restart", "kept by its user". */
export function standingWords({ standing, state }: Pick<HostView, 'standing' | 'state'>): string {
  if (standing === 'local-override') return 'kept by its user';
  return standing === 'waiting' && state === 'BOOT_STAGED' ? 'waiting for a restart' : words(standing);
}

/** Why a host that nobody has to look after is not on what it was told, in its agent's words; null for all others. */
export function reasonToWait({ standing, detail }: Pick<HostView, 'standing' | 'detail'>): string | null {
  return standing === 'waiting' || standing === 'local-override' ? (detail?.message ?? null) : null;
}
