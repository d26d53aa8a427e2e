import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '@floe/runtime';
import * as v from 'valibot';
import type { Kind } from './kinds.ts';

/** The result of one run of a kind. */
export interface Played {
  readonly kind: string;
  readonly seed: number;
  readonly tests: number;
  readonly failures: readonly { readonly file: string; readonly test: string; readonly message: string; readonly replay: string }[];
  readonly tookMs: number;
}

/** vitest's JSON report, which has the format of Jest. */
const Report = v.object({
  numTotalTests: v.number(),
  testResults: v.array(
    v.object({
      name: v.string(),
      status: v.string(),
      message: v.optional(v.string(), ''),
      assertionResults: v.array(v.object({ fullName: v.string(), status: v.string(), failureMessages: v.optional(v.nullable(v.array(v.string()))) })),
    }),
  ),
});

const EXTRA_MS = 20 * 60_000;

/** Runs the kind's tests once with `seed`. `onLine` gets their output. */
export async function play(
  kind: Kind,
  seed: number,
  options: { readonly root: string; readonly runs: number; readonly onLine: (line: string) => void },
): Promise<Played> {
  const { root, runs } = options;
  const folder = join(root, '.tools/fuzz');
  mkdirSync(folder, { recursive: true });
  const reportFile = join(folder, 'report.json');
  rmSync(reportFile, { force: true });
  const settings = kind.name === 'campaign' ? kind.env(seed) : { FLOE_FUZZ_SEED: String(seed), FLOE_FUZZ_RUNS: String(runs), ...kind.env(seed) };
  const startedAt = performance.now();
  const result = await exec('vitest', ['run', '--reporter=json', `--outputFile=${reportFile}`, ...kind.files], {
    cwd: root,
    env: { ...process.env, ...settings },
    timeoutMs: EXTRA_MS,
    onStderrLine: options.onLine,
  });
  const tookMs = performance.now() - startedAt;
  const replayOf = (file: string): string =>
    `${Object.entries(settings)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')} npm test -- ${file}`;
  const logFile = join(folder, `${kind.name}-${seed}.log`);
  const report = v.safeParse(v.pipe(v.string(), v.parseJson(), Report), readIfThere(reportFile));
  if (!report.success) {
    writeFileSync(logFile, `${result.stdout}\n${result.stderr}`);
    const why = result.end === 'exited' ? `vitest ended with ${result.exitCode}` : `vitest was ${result.end}`;
    return {
      kind: kind.name,
      seed,
      tests: 0,
      tookMs,
      failures: [{ file: kind.files.join(' '), test: why, message: logFile, replay: replayOf(kind.files.join(' ')) }],
    };
  }
  const failures = report.output.testResults.flatMap((file) => {
    const path = file.name.replace(`${root}/`, '');
    const failed = file.assertionResults.filter(({ status }) => status === 'failed');
    const messages = failed.map(({ fullName, failureMessages }) => ({ test: fullName, message: failureMessages?.join('\n') ?? '' }));
    // A file that fails as a whole (a leak, an import error) has no failed test.
    if (file.status === 'failed' && messages.length === 0) messages.push({ test: 'the file as a whole', message: file.message });
    return messages.map((each) => ({ file: path, ...each, replay: replayOf(path) }));
  });
  if (failures.length > 0) writeFileSync(logFile, failures.map(({ file, test, message }) => `${file}: ${test}\n${message}`).join('\n\n'));
  return { kind: kind.name, seed, tests: report.output.numTotalTests, failures, tookMs };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
