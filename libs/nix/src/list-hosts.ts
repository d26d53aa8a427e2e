import { HOST_NAME_FORM, storableText, type HostName } from '@floe/model';
import { FloeError, nixString } from '@floe/runtime';
import * as v from 'valibot';
import { mapOf } from './map-of.ts';
import { tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import { evaluateFlake, whyNot, type ReadLimits } from './evaluate-flake.ts';
import { attributePath, OTHER_HOSTS_ATTRIBUTES } from './hosts-attribute.ts';

export interface HostList {
  readonly hosts: readonly HostName[];
  /** Names of hosts in the flake that are not valid host names; they are left out. Only the first of many. */
  readonly invalid: readonly string[];
  /** Names that differ from another only in case, which DNS does not distinguish: all of them are left out. */
  readonly clashing: readonly HostName[];
  /** The flake has an output `floe`. */
  readonly hasPolicy: boolean;
}

/** One line of Nix can define any number of hosts, and each takes a row and a process. Ten times the largest fleet that was measured. */
const MAX_HOSTS = 10_000;
const MAX_INVALID = 20;
const MAX_NAMED = 12;

function expressionFor(attribute: string): string {
  const path = attributePath(attribute);
  return `{ hosts = if flake ? ${path} then builtins.attrNames flake.${path} else null; hasPolicy = flake ? floe; }`;
}

/** What else the flake has: its outputs, and how many hosts are at other places. One that cannot be read has none. */
const INSTEAD = `{
  outputs = builtins.attrNames (removeAttrs flake [ "_type" "inputs" "lastModified" "lastModifiedDate" "narHash" "outPath" "outputs" "rev" "revCount" "shortRev" "sourceInfo" "submodules" ]);
  found = builtins.listToAttrs (map (place: {
    name = builtins.concatStringsSep "." place;
    value =
      let
        step = set: name: if builtins.isAttrs set && set ? \${name} then set.\${name} else null;
        tried = builtins.tryEval (let at = builtins.foldl' step flake place; in if builtins.isAttrs at then builtins.length (builtins.attrNames at) else 0);
      in
      if tried.success then tried.value else 0;
  }) [ ${OTHER_HOSTS_ATTRIBUTES.map((place) => `[ ${place.split('.').map(nixString).join(' ')} ]`).join(' ')} ]);
}`;
const Instead = v.object({ outputs: v.array(v.string()), found: mapOf(v.number()) });
const Answer = v.object({ hosts: v.nullable(v.array(v.string())), hasPolicy: v.boolean() });

/**
 * The names in the flake's `nixosConfigurations`, or where the setting says that the hosts are, without evaluating any host. Throws FLAKE_INVALID (missing, not
 * parseable), FLAKE_HAS_NO_HOSTS, and what `evaluateFlake` throws.
 */
export async function listHosts(command: RepositoryCommand, flakeUrl: string, limits: ReadLimits): Promise<HostList> {
  const listed = await evaluateFlake(command, flakeUrl, { ...limits, what: 'reading the flake', expression: expressionFor(command.hostsAttribute) });
  if (!listed.isOk)
    throw new FloeError('FLAKE_INVALID', whyNot(listed, limits, 'listing its hosts', `${command.hostsFile ?? 'the flake'} cannot be read`));
  const answer = tryParseAnswer(Answer, listed.result.stdout);
  if (answer === undefined) throw new FloeError('FLAKE_INVALID', `the names in ${command.hostsAttribute} are not a list of names`);
  const { hosts: names, hasPolicy } = answer;
  if (names === null || names.length === 0) {
    const attribute = command.hostsAttribute;
    const missing = names === null ? `the flake has no output ${attribute}` : `${attribute} of ${command.hostsFile ?? 'the flake'} is empty`;
    const instead = await whatItHas(command, flakeUrl, limits);
    throw new FloeError('FLAKE_HAS_NO_HOSTS', `${missing}: ${instead ?? 'add one attribute per host, named as the host'}`);
  }
  if (names.length > MAX_HOSTS)
    throw new FloeError('FLAKE_INVALID', `${command.hostsAttribute} has ${names.length} names: ${MAX_HOSTS} hosts are the most`);
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

/** Where the flake has hosts instead, or what it has at all, for people; undefined: that is not known, or nothing. */
async function whatItHas(command: RepositoryCommand, flakeUrl: string, limits: ReadLimits): Promise<string | undefined> {
  const asked = await evaluateFlake(command, flakeUrl, { ...limits, what: 'reading the flake', expression: INSTEAD });
  const answer = asked.isOk ? tryParseAnswer(Instead, asked.result.stdout) : undefined;
  if (answer === undefined) return undefined;
  const { outputs, found } = answer;
  const place = OTHER_HOSTS_ATTRIBUTES.find((each) => each !== command.hostsAttribute && (found.get(each) ?? 0) > 0);
  if (place !== undefined) {
    const names = `${found.get(place)} ${found.get(place) === 1 ? 'name' : 'names'}`;
    return `it has ${place} with ${names}. If these are the hosts, set evaluate.attribute of the server to ${place} (FLOE_EVALUATE_ATTRIBUTE)`;
  }
  // Only its makeHive makes hosts of it.
  if (outputs.includes('colmena'))
    return 'it has colmena: add colmenaHive = colmena.lib.makeHive self.outputs.colmena, with colmena as an input, and set evaluate.attribute of the server to colmenaHive.nodes (FLOE_EVALUATE_ATTRIBUTE)';
  if (outputs.length === 0) return undefined;
  const some = outputs.slice(0, MAX_NAMED).map((name) => storableText(name, 100));
  return `it has ${some.join(', ')}${outputs.length > MAX_NAMED ? ', …' : ''}. Add one attribute per host, named as the host, or set evaluate.attribute of the server to where they are (FLOE_EVALUATE_ATTRIBUTE)`;
}
