import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Releaser } from '@floe/pipeline';
import {
  CLOSE_CODES,
  DIRECTIVE_TREE,
  type Envelope,
  EnvelopeText,
  FreshnessStatement,
  jsonAround,
  MAX_IN_TREE,
  parseWord,
  peekStored,
  ReleaseStatement,
  sealDirectives,
  sealJson,
  type Directive,
  type OneDirective,
  type SealedDirective,
  type PermitStatement,
  type Urgency,
} from '@floe/protocol';
import { FloeError, isAboutSubject, isFloeError, sha256, type Logger, type Signer, type Troubles } from '@floe/runtime';
import type { Deploy, DirectiveRow, HostRow, SavedHostStatement, StorePart } from '@floe/store';
import type { WelcomedSession } from './agents/session.ts';
import type { ServerClock } from './server-clock.ts';

/** A directive is for one connection; this only bounds how long a stalled one stays good. */
const DIRECTIVE_LIFETIME_MS = 24 * 3600 * 1000;

export interface DirectiveDeps {
  readonly store: StorePart<{ hosts: 'saveDirectives'; releases: 'toOffer'; hostStatements: 'save' }>;
  readonly clock: Pick<ServerClock, 'now' | 'latest'>;
  readonly serverSigner: Signer;
  /** Has permits and the like signed. */
  readonly releaser: Pick<Releaser, 'permit' | 'once'>;
  readonly logger: Pick<Logger, 'warn'>;
  readonly troubles: Pick<Troubles, 'note' | 'end'>;
}

/** A connected agent, and what its host should run. */
export interface Addressee {
  readonly session: WelcomedSession;
  readonly desired: NonNullable<HostRow['desired']>;
  /** The highest sequence that it was told, or accepted. */
  readonly floor: number;
  /** The signed release, where it is none of the fleet's: a trial. */
  readonly envelope?: string | undefined;
  /** It came to run that release already. */
  readonly runsIt?: boolean | undefined;
  /** A person had the host try again what it rolled back or refused. */
  readonly isRetry: boolean;
  /** A person asks for it at once. */
  readonly deploy?: Deploy | undefined;
}

/** A directive that is to be signed and sent. */
interface Ready {
  readonly addressee: Addressee;
  readonly row: DirectiveRow;
  readonly json: string;
  readonly permit: Envelope | undefined;
}

/**
 * Sends connected agents their desired release, each once per epoch and connection. An agent recognises a repeated epoch. Returns what
 * was sent.
 */
export async function offerDirectives(deps: DirectiveDeps, repositoryId: string, addressees: readonly Addressee[]): Promise<readonly DirectiveRow[]> {
  const { store, clock, logger, serverSigner, releaser, troubles } = deps;
  const untold = addressees.filter((each) => each.session.offered(each.desired.epoch, each.desired.releaseId) === 'no' && !isTooOld(each));
  for (const { session, desired } of addressees) {
    if (session.offered(desired.epoch, desired.releaseId) !== 'overtaken') continue;
    // The agent says in its next hello which epoch it accepted, and the database continues above it.
    logger.warn('the database no longer has the directive that this host got; the host connects again', { host: session.host, epoch: desired.epoch });
    session.close(CLOSE_CODES.restarting, 'directive unknown to the database');
  }
  if (untold.length === 0) return [];
  const { releases: stored, freshness } = await store.releases.toOffer(
    repositoryId,
    untold.flatMap(({ desired, envelope }) => (envelope === undefined ? [desired.releaseId] : [])),
  );
  const releases = new Map(stored.map(({ id, envelope, isSubmitted }) => [id, { envelope: EnvelopeText.of(envelope), isSubmitted }]));
  // Without it an agent only knows less of how old the news is; it is signed again every hour.
  const stated = peekStored(freshness, FreshnessStatement);
  const fresh = stated === undefined ? undefined : EnvelopeText.of(freshness);

  const sent: DirectiveRow[] = [];
  const permits: SavedHostStatement[] = [];
  const send = (some: readonly Ready[]): void => {
    for (const [{ addressee, row, permit }, envelope] of sealed(serverSigner, some)) {
      if (!addressee.session.offer(row.epoch, row.releaseId, envelope)) continue;
      sent.push(row);
      if (permit !== undefined) permits.push(savedPermit(addressee, permit, row.issuedAt));
    }
  };
  let gathered: Ready[] = [];
  // The agent judges by the newest date that the release key signed, if its clock and the server's are behind that.
  const asOf = stated?.asOf ?? 0;
  for (const addressee of untold) {
    const { session, desired, isRetry, envelope, deploy } = addressee;
    const known = releases.get(desired.releaseId);
    if (known?.isSubmitted === true && !session.capabilities.has('submitted')) continue;
    const perDirective = envelope === undefined ? (known?.isSubmitted === true ? known.envelope : undefined) : EnvelopeText.of(envelope);
    const release = perDirective === undefined ? known?.envelope : await signedOnce(releaser, perDirective, addressee);
    if (release === undefined || !understands(session, release)) continue;
    const issuedAt = clock.now();
    // By the time that the agent was told when it connected, however the clock was set since.
    const expiresAt = clock.latest() + DIRECTIVE_LIFETIME_MS;
    const permitted = permitFor(addressee, release, { issuedAt, expiresAt: Math.max(expiresAt, asOf + DIRECTIVE_LIFETIME_MS) });
    if (permitted === undefined) troubles.end(GOING_BACK, session.host);
    const permit = permitted && (await permitOf(deps, release, permitted, addressee));
    // Without it the agent would refuse; the host is looked at again when it is signed.
    if (permitted !== undefined && permit === undefined) continue;
    const directive: Omit<Directive, 'release' | 'permit' | 'freshness'> = {
      version: 1,
      host: session.calledAs,
      machineId: session.machineId,
      epoch: desired.epoch,
      mode: desired.isOnlyStaged === true ? 'stage' : 'activate',
      isRetry,
      ...(deploy?.epoch === desired.epoch && session.capabilities.has('urgent') ? { urgent: urgencyOf(deploy) } : {}),
      issuedAt,
      expiresAt,
      nonce: session.nonce,
    };
    const envelopes = {
      release,
      permit: permit && EnvelopeText.from(permit),
      freshness: stated !== undefined && isOfBranch(release, stated) ? fresh : undefined,
    };
    const row = { host: session.host, epoch: desired.epoch, releaseId: desired.releaseId, mode: directive.mode, issuedAt };
    gathered.push({ addressee, row, json: jsonAround(directive, envelopes), permit });
    if (gathered.length < MAX_IN_TREE) continue;
    send(gathered);
    gathered = [];
    // Signing and sending to thousands takes seconds: heartbeats and reports go on meanwhile.
    await nextTurn();
  }
  send(gathered);
  const tried = new Set(untold.flatMap(({ desired, envelope }) => (envelope === undefined ? [] : [desired.releaseId])));
  await store.hosts.saveDirectives(sent.filter(({ releaseId }) => !tried.has(releaseId)));
  // For an export: why a host runs something older, in the words of the release key.
  if (permits.length > 0) await store.hostStatements.save(permits);
  return sent;
}

/** One signature for all whose agents know trees, and one for each other. */
function sealed(signer: Signer, some: readonly Ready[]): readonly (readonly [Ready, SealedDirective])[] {
  const knowsTrees = ({ addressee }: Ready): boolean => addressee.session.capabilities.has(DIRECTIVE_TREE);
  const inTree = some.filter(knowsTrees);
  const envelopes = sealDirectives(
    signer,
    inTree.map(({ json }) => json),
    sha256,
  );
  const together = new Map(inTree.map((each, index) => [each, envelopes[index]]));
  return some.map((each) => [each, together.get(each) ?? sealJson(signer, 'floe/directive', each.json)] as const);
}

const GOING_BACK = 'going back to an older release';

/** Undefined: it is not signed; why stands on the host, unless it runs that release already. One that cannot be checked stops none of the others. */
async function permitOf(
  { releaser, troubles }: Pick<DirectiveDeps, 'releaser' | 'troubles'>,
  release: EnvelopeText,
  statement: PermitStatement,
  { session: { host }, desired, runsIt }: Addressee,
): Promise<Envelope | undefined> {
  let why: unknown;
  try {
    const permit = await releaser.permit(release.envelope, statement, desired.permit?.word);
    if (permit === undefined) return undefined;
    if (!('refused' in permit)) {
      troubles.end(GOING_BACK, host);
      return permit;
    }
    why = new FloeError('PERMIT_REFUSED', permit.refused);
  } catch (error) {
    // A full disk, or an unreadable file of the builder's, holds up no other host; a database that does not answer concerns all.
    if (!isAboutSubject(error) && !isFloeError(error, 'SIGNERS_UNCHECKED')) throw error;
    why = error;
  }
  if (runsIt !== true) troubles.note(GOING_BACK, host, why);
  return undefined;
}

function savedPermit({ session: { host }, desired: { epoch } }: Addressee, permit: Envelope, at: number): SavedHostStatement {
  return { host, kind: 'permit', epoch, seq: at, publicKey: permit.keyId, envelope: JSON.stringify(permit), at };
}

/** What the release key signs again, for this directive alone; undefined: it does not, or not yet. */
async function signedOnce(releaser: DirectiveDeps['releaser'], release: EnvelopeText, addressee: Addressee): Promise<EnvelopeText | undefined> {
  const signed = await releaser.once(addressee.session.host, release.envelope, onlyFor(addressee));
  return signed === undefined || 'refused' in signed ? undefined : EnvelopeText.from(signed);
}

/** Agents refuse one that is of another branch than the release: a testing branch, or what the tracked one or the repository was called before. */
function isOfBranch(release: EnvelopeText, { repository, ref }: FreshnessStatement): boolean {
  const said = release.texts('repository', 'ref');
  return said.repository === repository && said.ref === ref;
}

/** It is to go below what it was told, and its agent would refuse that. */
function isTooOld({ session, desired, floor }: Addressee): boolean {
  return needsPermit(desired, floor) && !session.capabilities.has('permit');
}

/** A release that names the machine's earlier name: an agent from before machines could be renamed would refuse it. Its host says so. */
export function understands({ capabilities }: Pick<WelcomedSession, 'capabilities'>, release: EnvelopeText): boolean {
  return capabilities.has('rename') || release.texts('formerHost').formerHost === undefined;
}

function needsPermit({ permit, sequence }: Addressee['desired'], floor: number): boolean {
  return permit !== undefined && sequence < floor;
}

/** What the release key signs for one directive only. Undefined: its agent is from before that. */
function onlyFor({ session, desired }: Addressee): OneDirective | undefined {
  const { machineId, bootId, capabilities } = session;
  return capabilities.has('once') ? { machineId, bootId, epoch: desired.epoch } : undefined;
}

/** Made again for each connection, from what is stored, and good on that one alone. It names the release by what the release says. */
function permitFor(addressee: Addressee, release: EnvelopeText, times: Pick<PermitStatement, 'issuedAt' | 'expiresAt'>): PermitStatement | undefined {
  const { session, desired, floor } = addressee;
  const { permit } = desired;
  if (permit === undefined || !needsPermit(desired, floor)) return undefined;
  const statement = peekStored(release.json, ReleaseStatement);
  if (statement === undefined) return undefined;
  const { repository, ref, sequence, toplevel } = statement;
  const { calledAs: host, machineId, nonce } = session;
  const only = onlyFor(addressee);
  // Never good for longer than what an operator signed.
  const until = permit.word === undefined ? undefined : parseWord(permit.word.statement)?.until;
  const expiresAt = Math.min(times.expiresAt, until ?? times.expiresAt);
  return {
    version: 1,
    repository,
    ref,
    host,
    machineId,
    sequence,
    toplevel,
    floor,
    actor: permit.by,
    reason: permit.reason,
    issuedAt: times.issuedAt,
    expiresAt,
    nonce,
    ...(only === undefined ? {} : { onlyFor: only }),
  };
}

function urgencyOf({ level, by, reason, expiresAt }: Deploy): Urgency {
  return { level, by, reason, until: expiresAt };
}
