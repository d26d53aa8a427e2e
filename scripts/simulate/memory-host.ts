import {
  hasArrived,
  pendingStone,
  resolve,
  type HostName,
  type HostSituation,
  type ReleaseRef,
  type SteppingStone,
  type StorePath,
} from '@floe/model';
import { lastWordOf, type FleetHost, type HostRow, type Quarantine } from '@floe/store';

type Changeable<Row> = { -readonly [Key in keyof Row]: Row[Key] };

/** What the fleet has for all of its hosts, of what a host's answer is made from. */
export interface OfFleet {
  readonly isPromoted: (host: HostName) => boolean;
  readonly revert: HostSituation['revert'];
  readonly sequenceOf: (toplevel: StorePath) => number | undefined;
  readonly ordersOf: (host: StoredHost) => Pick<HostSituation, 'pin' | 'hold' | 'stops' | 'ordered'>;
  /** Another one when what people ordered is another, by a deed or by the time. */
  readonly key: number;
}

/**
 * A host as the store in memory has it. What was read is kept until something of it changes: a server looks at thousands of hosts again and
 * again, and at most looks little is new.
 */
export class StoredHost {
  readonly labels: readonly string[];
  readonly timeZone: string | undefined;
  readonly #row: Changeable<HostRow>;
  readonly #stones: SteppingStone[] = [];
  #stable: ReleaseRef | undefined;
  #rollout: ReleaseRef | undefined;
  readonly #quarantines = new Map<StorePath, Quarantine>();
  readonly #acknowledged = new Set<StorePath>();
  #read: { readonly each: FleetHost; readonly key: number } | undefined;

  constructor(row: HostRow, labels: readonly string[], timeZone: string | undefined) {
    this.#row = row;
    this.labels = labels;
    this.timeZone = timeZone;
  }

  get row(): Readonly<HostRow> {
    return this.#row;
  }

  get stable(): ReleaseRef | undefined {
    return this.#stable;
  }

  get rollout(): ReleaseRef | undefined {
    return this.#rollout;
  }

  hasQuarantined(toplevel: StorePath): boolean {
    return this.#quarantines.has(toplevel);
  }

  write(changed: Partial<Changeable<HostRow>>): void {
    this.#read = undefined;
    Object.assign(this.#row, changed);
  }

  setRollout(release: ReleaseRef): void {
    this.#read = undefined;
    this.#rollout = release;
  }

  setStable(release: ReleaseRef): void {
    this.#read = undefined;
    this.#stable = release;
  }

  addStone(stone: SteppingStone): void {
    this.#read = undefined;
    this.#stones.push(stone);
  }

  quarantine(quarantine: Quarantine): void {
    this.#read = undefined;
    this.#quarantines.set(quarantine.toplevel, quarantine);
  }

  liftQuarantine(toplevel: StorePath): void {
    this.#read = undefined;
    this.#quarantines.delete(toplevel);
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
    const { stable, rollout } = this;
    const row = { ...this.#row };
    const { desired, host } = row;
    const directed = desired && { id: desired.releaseId, host, sequence: desired.sequence, toplevel: desired.toplevel, permit: desired.permit };
    const quarantined = new Set(this.#quarantines.keys());
    const told = { directed, revert, floor: row.toldSequence ?? 0 };
    const situation = { ...ordersOf(this), ...told, isRingPromoted, rollout, stable, quarantined, stone: this.#pendingStone() };
    const failed = {
      quarantines: [...this.#quarantines.values()],
      acknowledged: new Set(this.#acknowledged),
      wentSequence: row.went && sequenceOf(row.went.toplevel),
    };
    const ofRollout = rollout === undefined ? {} : { timeZone: this.timeZone };
    return { row, situation, desired: resolve(situation), ...failed, desiredCommit: undefined, ...ofRollout };
  }

  #pendingStone(): SteppingStone | undefined {
    if (this.#stones.length === 0) return undefined;
    const lastWord = lastWordOf(this.#row);
    return pendingStone(this.#stones, { floor: this.#row.toldSequence ?? 0, hasArrived: (toplevel) => hasArrived(lastWord, toplevel) });
  }
}
