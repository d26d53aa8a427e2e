import { HOST_NAME_FORM, type HostName } from '@floe/model';
import type { Database } from './database.ts';
import { readCurrent, readFleet } from './fleet.ts';
import { readMarks, type FleetMarks } from './fleet-marks.ts';
import { readNext } from './next-rollouts.ts';
import type { Fleet, FleetHost } from './records.ts';
import { resolveAgain } from './resolve-again.ts';
import type { LeftOutRows } from './unreadable.ts';

/** A smaller fleet is read sooner than it is compared. */
const WORTH_HOSTS = 200;
/**
 * Whatever the marks say, a look reads the next one of so many parts of the hosts again, when the last part is so old: what decides and
 * is in none of the marks is at most so many looks old. All at once would take as long as all other looks of a minute together.
 */
const PARTS = 50;
const PART_MS = 3_000;

interface Kept {
  readonly marks: FleetMarks;
  readonly fleet: Fleet;
  /** The part that was read last, and when. */
  readonly part: { readonly index: number; readonly readAt: number };
}

interface Query {
  readonly repositoryId: string;
  readonly now: number;
}

/**
 * Reads large fleets without reading again what is as it was: steering looks at all hosts every few seconds, and between two looks few
 * of them change. What is true is in the database: each look compares marks of all rows that decide, taken before the rows are read.
 */
export class KeptFleets {
  readonly #worthHosts: number;
  readonly #kept = new Map<string, Kept>();
  /** The repositories whose fleets were too small, when they were read last. */
  readonly #small = new Set<string>();

  constructor(worthHosts = WORTH_HOSTS) {
    this.#worthHosts = worthHosts;
  }

  /** All hosts of the repository. */
  async read(db: Database, query: Query, leftOut: LeftOutRows): Promise<Fleet> {
    const { repositoryId, now } = query;
    const isSmall = ({ hosts }: Fleet): boolean => hosts.length < this.#worthHosts;
    if (this.#small.has(repositoryId)) {
      const fleet = await readFleet(db, query, leftOut);
      if (!isSmall(fleet)) this.#small.delete(repositoryId);
      return fleet;
    }
    const kept = this.#kept.get(repositoryId);
    const marks = await readMarks(db, query);
    const known = kept === undefined ? undefined : await updated(db, { kept, marks, query });
    const next = known ?? { marks, fleet: await readFleet(db, query, leftOut), part: { index: 0, readAt: now } };
    if (isSmall(next.fleet)) {
      this.#kept.delete(repositoryId);
      this.#small.add(repositoryId);
    } else this.#kept.set(repositoryId, next);
    return next.fleet;
  }
}

/** What was kept, with the hosts that changed read again; undefined: more has changed than some hosts, and where the rollout is. */
async function updated(db: Database, of: { readonly kept: Kept; readonly marks: FleetMarks; readonly query: Query }): Promise<Kept | undefined> {
  const { kept, marks, query } = of;
  if (kept.marks.followed !== marks.followed || kept.marks.byHost.size !== marks.byHost.size) return undefined;
  const names = changedHosts(kept.marks, marks);
  if (names === undefined || names.size > marks.byHost.size / 2) return undefined;
  const part = partAt(kept, query.now);
  if (part !== kept.part) for (const name of hostsOf(kept.fleet, part.index)) names.add(name);
  else if (names.size === 0 && kept.marks.general === marks.general) return { ...kept, marks };
  const isNextAsked = kept.marks.general !== marks.general || part !== kept.part;
  const asked = { ...query, isNextAsked };
  const fresh = names.size === 0 ? { ...(await readCurrent(db, asked)), hosts: [] } : await readFleet(db, { ...asked, names: [...names] });
  const { rollout } = fresh;
  // Something happened since the marks were taken.
  if (rollout?.id !== kept.fleet.rollout?.id || fresh.hosts.length !== names.size) return undefined;
  const isMoved = rollout?.version !== kept.fleet.rollout?.version;
  const next = isNextAsked ? fresh.next : isMoved ? await readNext(db, query.repositoryId) : kept.fleet.next;
  const byName = new Map<HostName, FleetHost>(fresh.hosts.map((each) => [each.row.host, each]));
  const hosts = kept.fleet.hosts.map((each) => byName.get(each.row.host) ?? each);
  return { marks, part, fleet: { rollout, next, hosts: rollout === undefined ? hosts : resolveAgain(hosts, rollout) } };
}

/** Undefined: another host, or one that cannot be asked for by name. */
function changedHosts(before: FleetMarks, { byHost }: FleetMarks): Set<HostName> | undefined {
  const names = new Set<HostName>();
  for (const [host, mark] of byHost) {
    const last = before.byHost.get(host);
    if (last === mark) continue;
    if (last === undefined || !HOST_NAME_FORM.test(host)) return undefined;
    names.add(host as HostName);
  }
  return names;
}

/** The same object: none is due. A clock that was set back does not hold it up. */
function partAt({ part }: Kept, now: number): Kept['part'] {
  return Math.abs(now - part.readAt) < PART_MS ? part : { index: (part.index + 1) % PARTS, readAt: now };
}

function hostsOf({ hosts }: Fleet, part: number): readonly HostName[] {
  return hosts.filter((_, index) => index % PARTS === part).map(({ row }) => row.host);
}
