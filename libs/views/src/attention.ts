import type { HostStanding, HostView } from '@floe/protocol';

const CALLING: ReadonlySet<HostStanding> = new Set(['rolled-back', 'failed', 'drifted', 'quarantined']);

/** True when it does not get better without a person. A host that is away, not enrolled, or revoked on purpose needs nobody. */
export function needsAttention(host: Pick<HostView, 'standing' | 'isBehind' | 'trouble'>): boolean {
  return host.isBehind || host.trouble !== null || CALLING.has(host.standing);
}
