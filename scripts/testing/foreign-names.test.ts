import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

// The names of hosts, inputs, attributes and headers are chosen by others, and may be `constructor` or `__proto__`. Maps with
// such keys are safe: `mapOf` in libs/nix parses one from JSON. `v.record` silently drops such keys.

const ROOT = join(import.meta.dirname, '../..');
/** Files where a record is right: its keys are Nix's, GitHub's or Floe's own words, or names that are never looked up. */
const RECORDS: Readonly<Record<string, string>> = {
  'libs/nix/src/find-system.ts': 'the names of files in a folder of the store, of which only the presence of known ones is asked',
  'libs/nix/src/flake-lock.ts': 'attributes of one input, which fetchTree defines',
  'libs/nix/src/derivations.ts': 'store paths, and variables of which only known ones are read',
  'libs/nix/src/missing.ts': 'store paths',
  'libs/protocol/src/fleet-policy/schema.ts': 'labels by host name, whose form allows no such key',
  'libs/pipeline/src/builder/inputs-config.ts': 'settings by git host, which are only listed',
  'libs/store/src/policy-column.ts': 'labels by host, which are looked up as own properties only',
  'apps/server/src/probes/ask-prometheus.ts': 'labels of a series, which are only written out',
  'libs/forge/src/github-failure.ts': 'HTTP headers, which become Headers at once',
};

const files = globSync('{apps,libs}/*/src/**/*.{ts,tsx}', { cwd: ROOT }).filter((file) => !/\.test\.tsx?$|\/(test|testkit|fixtures)/.test(file));

describe('names that other people choose', () => {
  it('are keys of Maps: a record is used only where its keys are known', () => {
    const using = files.filter((file) =>
      /\bv\.(?:(?:loose|strict)?[rR]ecord|looseObject|objectWithRest)(?:Async)?\(|import \{[^}]*\brecord\b[^}]*\} from 'valibot'/.test(
        readFileSync(join(ROOT, file), 'utf8'),
      ),
    );
    expect(using.toSorted()).toEqual(Object.keys(RECORDS).toSorted());
  });
});
