import { HOST_NAME_FORM, type HostName } from '@floe/model';
import { FloeError } from '@floe/runtime';
import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { evaluateFlake, whyNot, type ReadLimits } from './evaluate-flake.ts';

export interface HostList {
  readonly hosts: readonly HostName[];
  /** Names in `nixosConfigurations` that are not valid host names; they are left out. Only the first of many. */
  readonly invalid: readonly string[];
  /** Names that differ from another only in case, which DNS does not distinguish: all of them are left out. */
  readonly clashing: readonly HostName[];
  /** The flake has an output `floe`. */
  readonly hasPolicy: boolean;
}

/** One line of Nix can define any number of hosts, and each takes a row and a process. Ten times the largest fleet that was measured. */
const MAX_HOSTS = 10_000;
const MAX_INVALID = 20;
const EXPRESSION =
  '{ hosts = if flake ? nixosConfigurations then builtins.attrNames flake.nixosConfigurations else null; hasPolicy = flake ? floe; }';
const Answer = v.object({ hosts: v.nullable(v.array(v.string())), hasPolicy: v.boolean() });

/**
 * The names in the flake's `nixosConfigurations`, without evaluating any host. Throws FLAKE_INVALID (missing, not
 * parseable), FLAKE_HAS_NO_HOSTS, and what `evaluateFlake` throws.
 */
export async function listHosts(command: RepositoryCommand, flakeUrl: string, limits: ReadLimits): Promise<HostList> {
  const listed = await evaluateFlake(command, flakeUrl, { ...limits, what: 'reading the flake', expression: EXPRESSION });
  if (!listed.isOk) throw new FloeError('FLAKE_INVALID', whyNot(listed, limits, 'listing its hosts', 'the flake cannot be read'));
  const answer = tryParseAnswer(Answer, listed.result.stdout);
  if (answer === undefined) throw new FloeError('FLAKE_INVALID', 'the names in nixosConfigurations are not a list of names');
  const { hosts: names, hasPolicy } = answer;
  if (names === null)
    throw new FloeError('FLAKE_HAS_NO_HOSTS', 'the flake has no output nixosConfigurations: add one attribute per host, named as the host');
  if (names.length === 0)
    throw new FloeError('FLAKE_HAS_NO_HOSTS', 'nixosConfigurations of the flake is empty: add one attribute per host, named as the host');
  if (names.length > MAX_HOSTS)
    throw new FloeError('FLAKE_INVALID', `nixosConfigurations has ${names.length} names: ${MAX_HOSTS} hosts are the most`);
  const valid = names.filter((name): name is HostName => HOST_NAME_FORM.test(name));
  const byName = Map.groupBy(valid, (name) => name.toLowerCase());
  const isAlone = (name: HostName): boolean => byName.get(name.toLowerCase())?.length === 1;
  return {
    hosts: valid.filter(isAlone),
    invalid: names.filter((name) => !HOST_NAME_FORM.test(name)).slice(0, MAX_INVALID),
    clashing: valid.filter((name) => !isAlone(name)),
    hasPolicy,
  };
}
