import { storableText } from '@floe/model';
import * as v from 'valibot';
import { NO_EVAL_CACHE, tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import type { ReadLimits } from './evaluate-flake.ts';
import { folderOf } from './flake-address.ts';

/** What a flake's `nixConfig` asks for, and Nix's settings on this server lack. */
export interface LackingSettings {
  /** Caches that are not asked here. */
  readonly substituters: readonly string[];
  /** Keys that are not trusted here. */
  readonly keys: readonly string[];
  readonly features: readonly string[];
}

const NOTHING: LackingSettings = { substituters: [], keys: [], features: [] };
const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_OF_A_KIND = 20;
const MAX_CHARACTERS = 300;

/** Only texts are passed on. What flake.nix says there is plain data: Nix takes nothing else. */
const ASKED = `let
  config = (import (folder + "/flake.nix")).nixConfig or { };
  texts = value: if builtins.isList value then builtins.filter builtins.isString value else if builtins.isString value then [ value ] else [ ];
  all = names: builtins.concatMap (name: texts (config.\${name} or [ ])) names;
in
{
  substituters = all [ "substituters" "extra-substituters" "trusted-substituters" "extra-trusted-substituters" ];
  keys = all [ "trusted-public-keys" "extra-trusted-public-keys" ];
  features = all [ "experimental-features" "extra-experimental-features" ];
}`;

const Texts = v.pipe(
  v.array(v.string()),
  v.transform((texts) => [...new Set(texts.flatMap((text) => wordsOf(text)))]),
);
const Answer = v.object({ substituters: Texts, keys: Texts, features: Texts });

/**
 * What `nixConfig` in flake.nix asks for, and this server's Nix lacks. Nothing of it is ever taken from a flake. Nothing where Nix does not answer: a flake
 * that cannot be read has its own error.
 */
export async function lackingSettings(command: RepositoryCommand, flakeUrl: string, limits: ReadLimits): Promise<LackingSettings> {
  const expression = `${folderOf(flakeUrl)} ${ASKED}`;
  const asked = await command.run('nix', ['eval', '--json', ...NO_EVAL_CACHE, '--expr', expression], {
    ...limits,
    timeoutMs: TIMEOUT_MS,
    maxStdoutBytes: MAX_ANSWER_BYTES,
  });
  const wanted = asked.isOk ? tryParseAnswer(Answer, asked.result.stdout) : undefined;
  if (wanted === undefined || Object.values(wanted).every((texts) => texts.length === 0)) return NOTHING;
  // Not as JSON: there, an older Nix numbers the features.
  const { result, isOk } = await command.run('nix', ['show-config'], { timeoutMs: TIMEOUT_MS, signal: limits.signal });
  if (!isOk) return NOTHING;
  const lines = result.stdout.split('\n');
  const has = (name: string): string[] => {
    const start = `${name} = `;
    return wordsOf(lines.find((line) => line.startsWith(start))?.slice(start.length) ?? '');
  };
  const lacking = (texts: readonly string[], own: readonly string[], form: (text: string) => string): string[] => {
    const known = new Set(own.map(form));
    return texts
      .filter((text) => !known.has(form(text)))
      .slice(0, MAX_OF_A_KIND)
      .map((text) => storableText(text, MAX_CHARACTERS));
  };
  return {
    substituters: lacking(wanted.substituters, has('substituters'), cacheOf),
    keys: lacking(wanted.keys, has('trusted-public-keys'), (key) => key),
    features: lacking(wanted.features, has('experimental-features'), (feature) => feature),
  };
}

/** The same cache may be written with a priority, or with a slash at its end. */
function cacheOf(url: string): string {
  return url.replace(/\?.*$/, '').replace(/\/$/, '');
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
