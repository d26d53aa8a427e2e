import { closeSync, openSync, readSync } from 'node:fs';
import {
  createSettingsReader,
  MAX_TIMER_MS,
  Secret,
  secretFile,
  shortened,
  type Env,
  type SecretSource,
  type SettingsReader as PlainReader,
} from '@floe/runtime';
import * as v from 'valibot';
import { nameSettings, type Program } from './setting-names.ts';

/** Reads settings from environment variables, and from the files that they name; it collects what is wrong with them. */
export interface SettingsReader extends PlainReader {
  readonly count: (name: string, fallback: number, unit: string) => number;
  /** The same times `factor`, where it is set. */
  readonly optional: (name: string, factor: number, unit: string) => number | undefined;
  /** What is in the file; undefined: it cannot be read, which is noted. */
  readonly readText: (name: string, path: string) => string | undefined;
  readonly readSecret: (name: string) => Secret | undefined;
  /** The secret in the file that the setting names, or in the one at `path`. `problemOf` says what is wrong with its content. */
  readonly secretSource: (name: string, path?: string, problemOf?: (text: string) => string | undefined) => SecretSource | undefined;
  readonly problem: (message: string) => void;
  readonly program: Program;
  /** Rewrites a message to use the setting names of this installation. */
  readonly nameSettings: (message: string) => string;
  /** What was wrong so far, and the files with secrets that were named. */
  readonly problems: readonly string[];
  readonly secretFiles: readonly string[];
}

const MAX_PROBLEM_CHARACTERS = 600;
/** Larger than any key or URL, and than the keys of hundreds of people. */
const MAX_FILE_BYTES = 1024 ** 2;
// The maximum of a timer in seconds; in MiB more than any machine has.
const Count = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number), v.minValue(1), v.maxValue(Math.floor(MAX_TIMER_MS / 1000)));

export function openSettings(env: Env, program: Program, readFile: (path: string) => string = readSmallFile): SettingsReader {
  const configuredBy = env['FLOE_CONFIGURED_BY'];
  const problems: string[] = [];
  const secretFiles: string[] = [];
  const problem = (text: string): void => void problems.push(oneLine(nameSettings(text, configuredBy, program)));
  const plain = createSettingsReader(env, problem);
  const { value, checked } = plain;

  function readText(name: string, path: string): string | undefined {
    try {
      const text = readFile(path).trim();
      if (text !== '') return text;
      problem(`${name}: the file ${shortened(path)} is empty`);
    } catch (error) {
      problem(`${name}: the file ${shortened(path)} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
    }
    return undefined;
  }
  function readSecret(name: string, path = value(name)): Secret | undefined {
    if (path === undefined) return undefined;
    secretFiles.push(path);
    const text = readText(name, path);
    return text === undefined ? undefined : new Secret(text);
  }
  /** Read now, so that a mistake is reported at the start, and read again for each use. */
  function secretSource(name: string, path = value(name), problemOf?: (text: string) => string | undefined): SecretSource | undefined {
    const secret = path === undefined ? undefined : readSecret(name, path);
    if (path === undefined || secret === undefined) return undefined;
    const wrong = problemOf?.(secret.reveal());
    if (wrong !== undefined) problem(`${name}: the file ${shortened(path)} ${wrong}`);
    return secretFile(path, nameSettings(name, configuredBy, program));
  }
  function count(name: string, fallback: number, unit: string): number {
    return checked(name, Count, fallback, `a whole number of ${unit}, from 1 to 2147483`);
  }
  return {
    ...plain,
    count,
    optional: (name, factor, unit) => (value(name) === undefined ? undefined : factor * count(name, 1, unit)),
    readText,
    readSecret,
    secretSource,
    problem,
    program,
    nameSettings: (message) => nameSettings(message, configuredBy, program),
    problems,
    secretFiles,
  };
}

/** A device, such as a disk, is not read to its end. */
function readSmallFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) read = readSync(file, bytes, length, bytes.length - length, null);
    if (length > MAX_FILE_BYTES) throw Object.assign(new Error('too large'), { code: `more than ${MAX_FILE_BYTES} bytes` });
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(file);
  }
}

/** A problem is one line, whatever it quotes. */
function oneLine(problem: string): string {
  const visible = problem.replaceAll(/\p{C}/gu, '\uFFFD');
  return visible.length <= MAX_PROBLEM_CHARACTERS ? visible : `${visible.slice(0, MAX_PROBLEM_CHARACTERS)}…`;
}
