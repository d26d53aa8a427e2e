import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Power {
  readonly isOnBattery: boolean;
  /** Of all of the machine's batteries together; null: there is none, or the charge is unknown. */
  readonly chargePercent: number | null;
}

interface Supply {
  /** `Mains`, `USB`, `Battery`, … of the kernel's power supply class. */
  readonly type: string;
  readonly online: number | null;
  readonly status: string;
  readonly capacity: number | null;
  /** Capacity when full, as a weight for batteries of different size. */
  readonly size: number | null;
}

/** The machine's power source, by the kernel's files below `root`; null: unknown. */
export async function readPower(root: string): Promise<Power | null> {
  const folder = `${root}/sys/class/power_supply`;
  const names = await readdir(folder);
  const supplies = (await Promise.all(names.map(async (name) => await readSupply(join(folder, name))))).filter((each) => each !== null);
  const batteries = supplies.filter(({ type }) => type === 'Battery' || type === 'UPS');
  const isOnBattery = judgeSource(
    batteries,
    supplies.filter(({ type, online }) => type !== 'Battery' && type !== 'UPS' && online !== null),
  );
  return isOnBattery === null ? null : { isOnBattery, chargePercent: sumCharge(batteries) };
}

function judgeSource(batteries: readonly Supply[], external: readonly Supply[]): boolean | null {
  if (batteries.length === 0) return false;
  if (external.some(({ online }) => online !== 0)) return false;
  const states = new Set(batteries.map(({ status }) => status));
  if (states.has('Discharging')) return true;
  // Some machines have no file for their charger.
  if (states.has('Charging')) return false;
  if (external.length > 0) return true;
  return states.has('Full') || states.has('Not charging') ? false : null;
}

function sumCharge(batteries: readonly Supply[]): number | null {
  const known = batteries.filter((each): each is Supply & { capacity: number } => each.capacity !== null);
  if (known.length === 0) return null;
  const areSizesKnown = known.every(({ size }) => size !== null && size > 0);
  const weight = ({ size }: Supply): number => (areSizesKnown ? (size ?? 1) : 1);
  const total = known.reduce((sum, each) => sum + weight(each), 0);
  return Math.round(known.reduce((sum, each) => sum + each.capacity * weight(each), 0) / total);
}

/** Null for supplies that are not the machine's own: the battery of a mouse, a charging port, an empty bay. */
async function readSupply(folder: string): Promise<Supply | null> {
  const [type, scope, present, online, status, capacity, energy] = await Promise.all(
    ['type', 'scope', 'present', 'online', 'status', 'capacity', 'energy_full'].map(async (name) => await readWord(join(folder, name))),
  );
  if (type === undefined || scope === 'Device' || present === '0') return null;
  return { type, online: toNumber(online), status: status ?? '', capacity: toNumber(capacity), size: toNumber(energy) };
}

async function readWord(path: string): Promise<string | undefined> {
  // A driver may answer ENODEV and the like for a value that its device lacks: treated as no file.
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text?.trim();
}

function toNumber(text: string | undefined): number | null {
  if (text === undefined || text === '') return null;
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}
