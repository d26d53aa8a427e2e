import {
  NO_ORDERS,
  standingStops,
  type Freeze,
  type HostName,
  type HostSituation,
  type LabelStop,
  type OrderedQuarantine,
  type ReleaseRef,
  type RolloutOrders,
  type StoredAnswer,
  type StorePath,
} from '@floe/model';
import type { AskedAnswer, NewRolloutOrder, Pin, PinKind, ProbeOfRing } from '@floe/store';

type FleetOrders = Pick<typeof NO_ORDERS, 'freeze' | 'stops'>;

/** What people ordered, and what probes answered, as the store in memory has it. */
export class MemoryOrders {
  readonly #now: () => number;
  #freeze: Freeze | undefined;
  #stops: readonly LabelStop[] = [];
  readonly #pins = new Map<HostName, Map<PinKind, Pin & { readonly release: ReleaseRef }>>();
  readonly #ordered = new Map<HostName, Map<StorePath, OrderedQuarantine>>();
  readonly #answers = new Map<string, { readonly probe: ProbeOfRing; claim: number; answer: StoredAnswer | undefined }>();

  /** When something of it ends by itself. */
  #ends: readonly number[] = [];
  #version = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Another one when what is ordered of hosts is another, also because its time is over. */
  get version(): number {
    const now = this.#now();
    if (this.#ends.some((end) => end <= now)) this.#changed();
    return this.#version;
  }

  #changed(end?: number): void {
    const now = this.#now();
    this.#version += 1;
    this.#ends = [...this.#ends, ...(end === undefined ? [] : [end])].filter((each) => each > now);
  }

  /** Asked of the fleet: they outlive each rollout. */
  ofFleet(): FleetOrders {
    return { freeze: this.#freeze, ...(this.#stops.length === 0 ? {} : { stops: this.#stops }) };
  }

  ofHost(host: HostName, labels: readonly string[]): Pick<HostSituation, 'pin' | 'hold' | 'stops' | 'ordered'> {
    const now = this.#now();
    const pins = this.#pins.get(host);
    const releaseOf = (kind: PinKind): ReleaseRef | undefined => {
      const pin = pins?.get(kind);
      return pin === undefined || (pin.expiresAt ?? Infinity) <= now ? undefined : pin.release;
    };
    const stops = standingStops({ stops: this.#stops }, now).filter(({ label }) => labels.includes(label));
    const ordered = this.#ordered.get(host);
    const others = { ...(stops.length === 0 ? {} : { stops }), ...(ordered === undefined ? {} : { ordered }) };
    return { pin: releaseOf('pin'), hold: releaseOf('hold'), ...others };
  }

  freeze(freeze: Freeze): void {
    this.#freeze = freeze;
  }

  unfreeze(seen: Freeze): boolean {
    const isIt = this.#freeze?.at === seen.at;
    if (isIt) this.#freeze = undefined;
    return isIt;
  }

  ban(host: HostName, toplevel: StorePath, order: OrderedQuarantine): void {
    this.#changed();
    const ordered = this.#ordered.get(host) ?? new Map<StorePath, OrderedQuarantine>();
    this.#ordered.set(host, ordered.set(toplevel, order));
  }

  lift(host: HostName, toplevel: StorePath): boolean {
    this.#changed();
    return this.#ordered.get(host)?.delete(toplevel) ?? false;
  }

  stop(stop: LabelStop): void {
    this.#changed(stop.until);
    this.#stops = [...this.#stops.filter(({ label }) => label !== stop.label), stop];
  }

  start({ label, at }: LabelStop): boolean {
    this.#changed();
    const left = this.#stops.filter((each) => each.label !== label || each.at !== at);
    const isEnded = left.length < this.#stops.length;
    this.#stops = left;
    return isEnded;
  }

  pin(pin: Pin, release: ReleaseRef): void {
    this.#changed(pin.expiresAt);
    const pins = this.#pins.get(pin.host) ?? new Map<PinKind, Pin & { readonly release: ReleaseRef }>();
    this.#pins.set(pin.host, pins.set(pin.kind, { ...pin, release }));
  }

  /** What was said of the host outlives its row. */
  forget(host: HostName): void {
    this.#changed();
    this.#pins.delete(host);
  }

  rename(from: HostName, to: HostName): void {
    this.#changed();
    const pins = this.#pins.get(from);
    this.#pins.delete(from);
    this.#pins.delete(to);
    const moved = [...(pins ?? [])].map(([kind, pin]) => [kind, { ...pin, host: to, release: { ...pin.release, host: to } }] as const);
    if (pins !== undefined) this.#pins.set(to, new Map(moved));
    const ordered = new Map([...(this.#ordered.get(from) ?? []), ...(this.#ordered.get(to) ?? [])]);
    this.#ordered.delete(from);
    if (ordered.size > 0) this.#ordered.set(to, ordered);
  }

  answersOf(rolloutId: string): readonly StoredAnswer[] {
    return [...this.#answers.values()].flatMap(({ probe, answer }) => (probe.rolloutId === rolloutId && answer !== undefined ? [answer] : []));
  }

  claim(probe: ProbeOfRing): number {
    const known = this.#answers.get(keyOf(probe)) ?? { probe, claim: 0, answer: undefined };
    known.claim += 1;
    this.#answers.set(keyOf(probe), known);
    return known.claim;
  }

  answer(probe: ProbeOfRing, claim: number, asked: AskedAnswer): boolean {
    const known = this.#answers.get(keyOf(probe));
    if (known?.claim !== claim) return false;
    const { name, ring } = probe;
    const tries = asked.verdict === 'unknown' ? (known.answer?.isAcknowledged === true ? 1 : (known.answer?.tries ?? 0) + 1) : 0;
    known.answer = { ...asked, name, ring, number: (known.answer?.number ?? 0) + 1, tries, isAcknowledged: false };
    return true;
  }

  /** A person saw these answers. */
  acknowledge(rolloutId: string, answers: NonNullable<NewRolloutOrder['answers']>): void {
    for (const { number, ...probe } of answers) {
      const known = this.#answers.get(keyOf({ ...probe, rolloutId }));
      if (known?.answer?.number === number) known.answer = { ...known.answer, isAcknowledged: true };
    }
  }
}

function keyOf({ rolloutId, ring, name }: ProbeOfRing): string {
  return `${rolloutId} ${ring} ${name}`;
}

/** What people want of a rollout, with one word more. */
export function ordersWith(
  orders: RolloutOrders,
  { kind, by, role, reason, at, subject, binds, loosens, person }: Omit<NewRolloutOrder, 'version'>,
): RolloutOrders {
  const said = { by, role, reason, at };
  switch (kind) {
    case 'approve':
      return { ...orders, approvals: [...orders.approvals, { ...said, ring: subject ?? 0, person, binds, loosens }] };
    case 'resume':
      return { ...orders, resume: { ...said, of: subject ?? 0 } };
    case 'abort':
      return { ...orders, abort: { ...said, isRevert: subject === 1 } };
    case 'hotfix':
      // With the words of those who want it now.
      return { ...orders, hotfix: { ...said, now: [...(orders.hotfix?.now ?? []), ...(subject === 1 ? [said] : [])] } };
    default:
      return orders;
  }
}
