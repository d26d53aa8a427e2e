import {
  hasArrived,
  isLastWord,
  NOTHING_OBSERVED,
  pendingStone,
  resolve,
  stateAfterTrial,
  wentAfterTrial,
  type HostName,
  type HostSituation,
  type KnownHost,
  type ReleaseRef,
  type SteppingStone,
  type StorePath,
} from '@floe/model';
import { lastWordOf, type FleetHost, type HostPresence, type HostRow, type Quarantine, type StoredReport, type Trial } from '@floe/store';

/** What the fleet has for all of its hosts, of what a host's answer is made from. */
export interface OfFleet {
  readonly isPromoted: (host: HostName) => boolean;
  readonly revert: HostSituation['revert'];
  readonly sequenceOf: (toplevel: StorePath) => number | undefined;
  readonly ordersOf: (host: StoredHost) => Pick<HostSituation, 'pin' | 'hold' | 'stops' | 'ordered'>;
  /** Another one when what people ordered is another, by a deed or by the time. */
  readonly key: number;
}

/** Of a host that said nothing yet. */
export function newRow(host: HostName, repositoryId: string): HostRow {
  const unsaid = { epoch: 0, observed: NOTHING_OBSERVED, state: 'IDLE', isConnected: false, acceptedSequence: 0, reportSeq: 0 } as const;
  return { host, repositoryId, ...unsaid };
}

/**
 * A host as the store in memory has it. What was read is kept until something of it changes: a server looks at thousands of hosts again and
 * again, and at most looks little is new.
 */
export class StoredHost {
  /** As the last complete rollout that had it left it. */
  left: KnownHost | undefined;
  /** By the revision of its rollout. */
  timeZone: string | undefined;
  /** Another one with each change, so that nobody has to copy what was read. */
  #row: HostRow;
  readonly #stones: SteppingStone[] = [];
  #stable: ReleaseRef | undefined;
  #rollout: ReleaseRef | undefined;
  readonly #quarantines: Map<StorePath, Quarantine>;
  readonly #acknowledged = new Set<StorePath>();
  /** The newest one, also when it has ended. */
  #trial: (Trial & { readonly isOpen: boolean }) | undefined;
  #read: { readonly each: FleetHost; readonly key: number } | undefined;

  /** `quarantines`: those of its name, which stay when it is forgotten. */
  constructor(row: HostRow, quarantines: Map<StorePath, Quarantine>) {
    this.#row = row;
    this.#quarantines = quarantines;
  }

  get row(): HostRow {
    return this.#row;
  }

  get stable(): ReleaseRef | undefined {
    return this.#stable;
  }

  get rollout(): ReleaseRef | undefined {
    return this.#rollout;
  }

  write(changed: Partial<HostRow>): void {
    this.#read = undefined;
    this.#row = { ...this.#row, ...changed };
  }

  /** Another one, which is that of its directive, too. */
  #nextEpoch(): number {
    const epoch = this.#row.epoch + 1;
    const { desired } = this.#row;
    this.write({ epoch, desired: desired && { ...desired, epoch } });
    return epoch;
  }

  /** A person has it try again what it rolled back. */
  retry(toplevel: StorePath): number {
    this.#quarantines.delete(toplevel);
    this.#acknowledged.delete(toplevel);
    const epoch = this.#nextEpoch();
    this.write({ retryEpoch: epoch });
    return epoch;
  }

  beginTrial(trial: Omit<Trial, 'id' | 'epoch'>): Trial['id'] {
    const epoch = this.#nextEpoch();
    this.#trial = { ...trial, id: `trial-${epoch}`, epoch, isOpen: true };
    return this.#trial.id;
  }

  endTrial(id: Trial['id']): boolean {
    if (this.#trial?.id !== id || !this.#trial.isOpen) return false;
    this.#trial = { ...this.#trial, isOpen: false };
    this.#nextEpoch();
    return true;
  }

  /** The agent accepted what a person had it try again, or something later. */
  #endRetry(epoch: number): Pick<HostRow, 'retryEpoch'> {
    const { retryEpoch } = this.#row;
    return { retryEpoch: retryEpoch !== undefined && epoch >= retryEpoch ? undefined : retryEpoch };
  }

  /** Another machine, or the same one again: what the agent before it said is forgotten. */
  enrol(publicKey: string, at: number): HostRow {
    // An administrator shut it out, and lets another one in under its name.
    if (this.#row.revokedAt !== undefined) this.left = undefined;
    const unsaid = { observed: NOTHING_OBSERVED, state: 'IDLE', stateToplevel: undefined, acceptedSequence: 0, reportSeq: 0 } as const;
    this.write({ publicKey, enrolledAt: at, revokedAt: undefined, retryEpoch: undefined, isConnected: false, sessionId: undefined, ...unsaid });
    return this.#row;
  }

  /** Everything of it has the other name from now on. */
  rename(host: HostName, at: number): void {
    const named = (release: ReleaseRef | undefined): ReleaseRef | undefined => release && { ...release, host };
    this.write({ host, enrolledAt: at, isConnected: false, sessionId: undefined });
    this.#stable = named(this.#stable);
    this.#rollout = named(this.#rollout);
    this.#trial = this.#trial && { ...this.#trial, host };
    this.left = this.left && { ...this.left, host };
    const stones = this.#stones.splice(0).map((stone) => ({ ...stone, host }));
    this.#stones.push(...stones);
  }

  /** A database that is gone may have told it more than this one: the log knows of what it accepted. */
  #before({ epoch, sequence, stateToplevel }: HostPresence, newestSequence: number): Partial<HostRow> {
    const row = this.#row;
    const told = Math.max(row.toldSequence ?? 0, row.desired?.sequence ?? 0);
    const tried = this.#trial?.isOpen === true ? this.#trial.toplevel : undefined;
    const expected = tried ?? row.desired?.toplevel;
    const isOther = epoch > row.epoch || (epoch === row.epoch && expected !== undefined && stateToplevel !== expected);
    const next = isOther ? epoch + 1 : row.epoch;
    return {
      acceptedSequence: sequence,
      ...(sequence > told && sequence <= newestSequence ? { toldSequence: sequence } : {}),
      epoch: next,
      desired: row.desired && { ...row.desired, epoch: next },
    };
  }

  connect(presence: HostPresence, newestSequence: number): HostRow {
    const { sessionId, system, observed, state: told, stateToplevel, epoch, reportSeq, at } = presence;
    const state = stateAfterTrial({ state: told, subject: stateToplevel, epoch }, { trial: this.#trial, epoch: this.#row.epoch });
    const said = { sessionId, system, observed, state, stateToplevel, lastSeenAt: at };
    const series = reportSeq < this.#row.reportSeq ? { reportSeq: 0 } : {};
    this.write({ isConnected: true, ...said, ...series, ...this.#before(presence, newestSequence), ...this.#endRetry(epoch) });
    return this.#row;
  }

  disconnect(at: number): void {
    this.write({ isConnected: false, lastSeenAt: at });
  }

  report({ host, seq, epoch, state, toplevel, observed, receivedAt }: StoredReport, sequence: number | undefined): void {
    const row = this.#row;
    const trial = this.#trial;
    if (seq <= row.reportSeq) return;
    const subject = toplevel ?? undefined;
    const isEndedNow = trial?.isOpen === true && isLastWord(trial, { state, subject, epoch });
    const went = wentAfterTrial(row.went, { state, subject, epoch }, { trial, epoch: row.epoch });
    const counts = stateAfterTrial({ state, subject, epoch }, { trial, epoch: row.epoch });
    const said = { state: counts, stateToplevel: subject, observed, lastSeenAt: receivedAt };
    this.write({ reportSeq: seq, ...said, went, ...this.#endRetry(epoch) });
    if (isEndedNow) this.endTrial(trial.id);
    if (state !== 'ROLLED_BACK' || subject === undefined || this.#quarantines.has(subject)) return;
    this.#quarantines.set(subject, { host, toplevel: subject, sequence, reason: 'it does not work', at: receivedAt });
  }

  setRollout(release: ReleaseRef | undefined, timeZone: string | undefined): void {
    this.#read = undefined;
    this.#rollout = release;
    this.timeZone = timeZone;
  }

  setStable(release: ReleaseRef): void {
    this.#read = undefined;
    this.#stable = release;
  }

  addStone(stone: SteppingStone): void {
    this.#read = undefined;
    this.#stones.push(stone);
  }

  acknowledge(toplevel: StorePath): void {
    this.#read = undefined;
    this.#acknowledged.add(toplevel);
  }

  read(ofFleet: OfFleet): FleetHost {
    const isRingPromoted = ofFleet.isPromoted(this.#row.host);
    const read = this.#read;
    if (read?.key === ofFleet.key && read.each.situation.isRingPromoted === isRingPromoted) return read.each;
    const each = this.#make(ofFleet, isRingPromoted);
    this.#read = { each, key: ofFleet.key };
    return each;
  }

  #make({ revert, ordersOf, sequenceOf }: OfFleet, isRingPromoted: boolean): FleetHost {
    const { stable, row } = this;
    const rollout = stable !== undefined && this.#rollout !== undefined && this.#rollout.sequence < stable.sequence ? undefined : this.#rollout;
    const { desired, host } = row;
    const directed = desired && { id: desired.releaseId, host, sequence: desired.sequence, toplevel: desired.toplevel, permit: desired.permit };
    const quarantined = new Set(this.#quarantines.keys());
    const told = { directed, revert, floor: row.toldSequence ?? 0 };
    const trial = this.#trial?.isOpen === true ? this.#trial : undefined;
    const situation = { ...ordersOf(this), trial, ...told, isRingPromoted, rollout, stable, quarantined, stone: this.#pendingStone() };
    const failed = {
      quarantines: [...this.#quarantines.values()],
      acknowledged: new Set(this.#acknowledged),
      wentSequence: row.went && sequenceOf(row.went.toplevel),
    };
    const ofRollout = rollout === undefined ? {} : { timeZone: this.timeZone };
    return { row, situation, desired: resolve(situation), trial, ...failed, desiredCommit: undefined, ...ofRollout };
  }

  #pendingStone(): SteppingStone | undefined {
    if (this.#stones.length === 0) return undefined;
    const lastWord = lastWordOf(this.#row);
    return pendingStone(this.#stones, { floor: this.#row.toldSequence ?? 0, hasArrived: (toplevel) => hasArrived(lastWord, toplevel) });
  }
}
