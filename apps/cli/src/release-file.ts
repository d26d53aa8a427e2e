import { HostName, StorePath, type ReleaseSubmission } from '@floe/protocol';
import { MAX_HANDOVER_HOSTS } from '@floe/model';
import { describeError, FloeError } from '@floe/runtime';
import * as v from 'valibot';

/** So many entries are named in one message. */
const NAMED = 20;

/** What a file of hosts and store paths says. `hasRollbackScript`: it is for Cachix Deploy, and names a script that Floe does not run. */
export interface ReleaseFile {
  readonly systems: ReleaseSubmission['systems'];
  readonly hasRollbackScript: boolean;
}

/**
 * Reads `{ "HOST": "/nix/store/…" }`, or Cachix Deploy's `{ "agents": { … }, "rollbackScript": … }`. Throws `FloeError('USAGE')`, which names
 * each entry that is wrong.
 */
export function parseReleaseFile(text: string, name: string): ReleaseFile {
  const fail = (why: string, cause?: unknown): never => {
    throw new FloeError('USAGE', `${name}: ${why}`, cause === undefined ? {} : { cause });
  };
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    return fail(`it is not JSON: ${describeError(cause)}`, cause);
  }
  if (!isRecord(data)) return fail('it has to be an object of hosts and their store paths: { "web1": "/nix/store/…" }');
  const twice = repeatedKeys(text);
  if (twice.length > 0) return fail(lines(twice.map((key) => `${JSON.stringify(key)} is in it twice`)));
  const { agents } = data;
  // A host may be called "agents": then that is a text.
  const isForCachix = isRecord(agents);
  const others = isForCachix ? Object.keys(data).filter((key) => key !== 'agents' && key !== 'rollbackScript') : [];
  if (others.length > 0) return fail(`beside "agents" it has ${others.map((key) => JSON.stringify(key)).join(', ')}, which Floe does not know`);
  const entries = Object.entries(isForCachix ? agents : data);
  if (entries.length === 0) return fail('there is no host in it');
  if (entries.length > MAX_HANDOVER_HOSTS) return fail(`it has ${entries.length} hosts, of ${MAX_HANDOVER_HOSTS} at most`);
  const problems: string[] = [];
  const systems = entries.flatMap(([key, value]) => {
    const host = v.safeParse(HostName, key);
    const path = v.safeParse(StorePath, value);
    if (!host.success) problems.push(`${JSON.stringify(key)}: ${host.issues[0].message}`);
    if (!path.success)
      problems.push(`${JSON.stringify(key)}: ${JSON.stringify(value)?.slice(0, 300)} is no store path of a system: /nix/store/HASH-NAME`);
    return host.success && path.success ? [{ host: host.output, storePath: path.output }] : [];
  });
  if (problems.length > 0) return fail(lines(problems));
  return { systems, hasRollbackScript: isForCachix && hasScript(data['rollbackScript']) };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What names no script asks for nothing. */
function hasScript(value: unknown): boolean {
  return value !== undefined && value !== null && !(isRecord(value) && Object.keys(value).length === 0);
}

function lines(problems: readonly string[]): string {
  if (problems.length === 1) return problems[0] ?? '';
  return [...problems.slice(0, NAMED), ...(problems.length > NAMED ? [`and ${problems.length - NAMED} more`] : [])]
    .map((line) => `\n  ${line}`)
    .join('');
}

/** The keys that an object of the text has twice: JSON.parse would take the last one in silence. The text is valid JSON. */
function repeatedKeys(text: string): readonly string[] {
  const repeated = new Set<string>();
  const open: (Set<string> | undefined)[] = [];
  let last: string | undefined;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token === ':' && last !== undefined) {
      const key = JSON.parse(last) as string;
      if (open.at(-1)?.has(key) === true) repeated.add(key);
      open.at(-1)?.add(key);
    }
    last = token.startsWith('"') ? token : undefined;
  }
  return [...repeated];
}
