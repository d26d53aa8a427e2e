import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Generators that are run together. */
export interface Kind {
  readonly name: string;
  readonly files: readonly string[];
  /** Environment variables besides the seed and the number of runs. */
  readonly env: (seed: number) => Readonly<Record<string, string>>;
}

const CAMPAIGN_PHASES = 8;

/** The kind of a test file with generators: the first whose pattern its path matches. */
const KINDS: readonly (readonly [name: string, form: RegExp])[] = [
  ['campaign', /^tests\/campaign\//],
  ['sockets', /socket|listen|frames|apps\/server\/src\/(?:agents|http)\//],
  ['thieves', /thie|steal|sandbox/],
  ['data', /schemas|libs\/(?:store|protocol|pipeline)\//],
  ['git', /libs\/git\//],
  ['properties', /./],
];

/** A test that takes its cases from a seed: fast-check's, or its own seed from the environment. */
const HAS_GENERATOR = /from 'fast-check'|FLOE_(?:FUZZ|CAMPAIGN)_SEED|fuzzSeed/;
/** Without generators, but with a long list of attacks. */
const ATTACKS = /thieves/;

/** Every test file that generates its cases. New ones are found automatically. */
export function findKinds(root: string): Kind[] {
  const files = globSync('{apps,libs,tests,scripts}/**/*.test.ts', { cwd: root, exclude: (path) => path === 'node_modules' })
    .filter((file) => !file.includes('node_modules') && (ATTACKS.test(file) || HAS_GENERATOR.test(readFileSync(join(root, file), 'utf8'))))
    .toSorted();
  const kindOf = (file: string): string | undefined => KINDS.find(([, form]) => form.test(file))?.[0];
  return KINDS.map(([name]) => ({
    name,
    files: files.filter((file) => kindOf(file) === name),
    env: (seed: number) => (name === 'campaign' ? { FLOE_CAMPAIGN_SEED: String(seed), FLOE_CAMPAIGN_PHASES: String(CAMPAIGN_PHASES) } : {}),
  })).filter((kind) => kind.files.length > 0);
}
