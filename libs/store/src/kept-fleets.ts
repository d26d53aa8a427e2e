import { HOST_NAME_FORM, type HostName } from '@floe/model';
import type { Database } from './database.ts';
import { readFleet } from './fleet.ts';
import { readMarks, type FleetMarks } from './fleet-marks.ts';
import type { Fleet, FleetHost } from './records.ts';
import type { LeftOutRows } from './unreadable.ts';

/** A smaller fleet is read sooner than it is compared. */
const WORTH_HOSTS = 200;
/** Whatever the marks say, all is read again this often: what decides and is in none of them is at most so old. */
const FULL_MS = 60_000;

interface Kept {
  readonly readAt: number;
  readonly marks: FleetMarks;
  readonly fleet: Fleet;
}

/**
 * Reads large fleets without reading again what is as it was: steering looks at all hosts every few seconds, and between two looks few
 * of them change. What is true is in the database: each look compares marks of all rows that decide, taken before the rows are read.
 */
export class KeptFleets {
  readonly #worthHosts: number;
  readonly #kept = new Map<string, Kept>();

  constructor(worthHosts = WORTH_HOSTS) {
    this.#worthHosts = worthHosts;
  }

  /** All hosts of the repository. */
  async read(db: Database, query: { readonly repositoryId: string; readonly now: number }, leftOut: LeftOutRows): Promise<Fleet> {
    const { repositoryId, now } = query;
    const kept = this.#kept.get(repositoryId);
    if (kept === undefined && this.#worthHosts > 0) {
      const fleet = await readFleet(db, query, leftOut);
      if (fleet.hosts.length < this.#worthHosts) return fleet;
    }
    const marks = await readMarks(db, query);
    const age = kept === undefined ? Infinity : now - kept.readAt;
    const some = kept !== undefined && age >= 0 && age < FULL_MS ? await updated(db, { kept, marks, query }) : undefined;
    const fleet = some ?? (await readFleet(db, query, leftOut));
    if (fleet.hosts.length < this.#worthHosts) this.#kept.delete(repositoryId);
    else this.#kept.set(repositoryId, { readAt: some === undefined ? now : (kept?.readAt ?? now), marks, fleet });
    return fleet;
  }
}

interface Update {
  readonly kept: Kept;
  readonly marks: FleetMarks;
  readonly query: { readonly repositoryId: string; readonly now: number };
}

/** What was kept, with the hosts that changed read again; undefined: more has changed than some hosts. */
async function updated(db: Database, { kept, marks, query }: Update): Promise<Fleet | undefined> {
  if (kept.marks.general !== marks.general || kept.marks.byHost.size !== marks.byHost.size) return undefined;
  const names: HostName[] = [];
  for (const [host, mark] of marks.byHost) {
    const before = kept.marks.byHost.get(host);
    if (before === mark) continue;
    if (before === undefined || !HOST_NAME_FORM.test(host)) return undefined;
    names.push(host as HostName);
  }
  if (names.length === 0) return kept.fleet;
  if (names.length > marks.byHost.size / 2) return undefined;
  const { rollout, hosts } = await readFleet(db, { ...query, names });
  // Something happened since the marks were taken.
  if (rollout?.id !== kept.fleet.rollout?.id || rollout?.version !== kept.fleet.rollout?.version || hosts.length !== names.length) return undefined;
  const fresh = new Map<HostName, FleetHost>(hosts.map((each) => [each.row.host, each]));
  return { ...kept.fleet, hosts: kept.fleet.hosts.map((each) => fresh.get(each.row.host) ?? each) };
}
