import type { HostName } from '@floe/model';
import { Envelope, seal, type Directive } from '@floe/protocol';
import type { Clock, Signer } from '@floe/runtime';
import type { HostRow, Store } from '@floe/store';
import * as v from 'valibot';
import type { AgentSession } from './agents/session.ts';

/** A directive is for one connection; this only bounds how long a stalled one stays good. */
const DIRECTIVE_LIFETIME_MS = 24 * 3600 * 1000;

const StoredEnvelope = v.pipe(v.string(), v.parseJson(), Envelope);

/**
 * Tells a connected agent its desired release, once per epoch and connection. Says nothing when the host has no
 * desired release. The agent takes a repeat of an epoch that it knows for what it is.
 */
export async function offerDirective(
  deps: { readonly store: Store; readonly clock: Clock; readonly serverSigner: Signer },
  session: AgentSession,
  row: HostRow,
): Promise<boolean> {
  const { desired } = row;
  if (desired === undefined || session.offeredEpoch >= desired.epoch) return false;
  const release = await deps.store.releases.byId(desired.releaseId);
  if (release === undefined) return false;
  const freshness = await deps.store.releases.freshness(row.repositoryId);
  const issuedAt = deps.clock.now();
  const directive: Directive = {
    version: 1,
    host: session.host,
    machineId: session.machineId,
    epoch: desired.epoch,
    mode: 'activate',
    isRetry: row.state === 'ROLLED_BACK' && row.stateToplevel === desired.toplevel,
    release: v.parse(StoredEnvelope, release.envelope),
    ...(freshness === undefined ? {} : { freshness: v.parse(StoredEnvelope, freshness) }),
    issuedAt,
    expiresAt: issuedAt + DIRECTIVE_LIFETIME_MS,
    nonce: session.nonce,
  };
  session.offeredEpoch = desired.epoch;
  session.socket.send({ type: 'directive', envelope: seal(deps.serverSigner, 'floe/directive', directive) });
  await deps.store.hosts.saveDirective({ host: session.host, epoch: desired.epoch, releaseId: desired.releaseId, mode: directive.mode, issuedAt });
  return true;
}

/** True when the agent may start the activation that it is staged for: its directive is still the newest. */
export async function mayActivate(store: Store, host: HostName, epoch: number): Promise<boolean> {
  const row = await store.hosts.get(host);
  return row?.desired?.epoch === epoch && row.revokedAt === undefined && row.clonedAt === undefined;
}
