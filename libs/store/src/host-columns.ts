import {
  MAX_COUNTER,
  MAX_DURATION_MS,
  MAX_STORE_PATH_CHARACTERS,
  STORE_PATH_FORM,
  storableText,
  type Observed,
  type StageTimings,
  type StorePath,
} from '@floe/model';

// The jsonb columns of a host, as the schemas of `rows.ts` read them, and by hand: a look reads thousands of hosts, and the schemas would take
// half of its time. Undefined: it cannot be read. `host-columns.test.ts` compares both.

const STAGES = ['downloadMs', 'activateMs', 'verifyMs', 'commitMs', 'rollbackMs'] as const satisfies readonly (keyof StageTimings)[];

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isPath(value: unknown): value is StorePath {
  return typeof value === 'string' && value.length <= MAX_STORE_PATH_CHARACTERS && STORE_PATH_FORM.test(value);
}

export function readObserved(value: unknown): Observed | undefined {
  if (!isObject(value)) return undefined;
  const { current, booted } = value;
  if ((current !== null && !isPath(current)) || (booted !== null && !isPath(booted))) return undefined;
  const profile = readProfile(value['profile']);
  return profile === undefined ? undefined : { current, booted, profile };
}

function readProfile(value: unknown): Observed['profile'] | undefined {
  if (value === null) return null;
  if (!isObject(value)) return undefined;
  const { generation, toplevel } = value;
  const isCounter = typeof generation === 'number' && Number.isInteger(generation) && generation >= 0 && generation <= MAX_COUNTER;
  return isCounter && isPath(toplevel) ? { generation, toplevel } : undefined;
}

export function readCapabilities(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > 64) return undefined;
  const names: readonly unknown[] = value;
  return names.every((name) => typeof name === 'string') ? names.map((name) => storableText(name, 64)) : undefined;
}

export function readTimings(value: unknown): StageTimings | undefined {
  if (!isObject(value)) return undefined;
  const timings: { -readonly [Stage in keyof StageTimings]: StageTimings[Stage] } = {};
  for (const stage of STAGES) {
    if (!(stage in value)) continue;
    const took = value[stage];
    if (took !== undefined && !(typeof took === 'number' && took >= 0 && took <= MAX_DURATION_MS)) return undefined;
    timings[stage] = took;
  }
  return timings;
}
