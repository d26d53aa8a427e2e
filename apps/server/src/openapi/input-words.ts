import { nearest, oneLine } from '@floe/model';
import type { BaseIssue, GenericSchema } from 'valibot';

/** What an input can be instead, for each kind of schema without words of its own. */
const KINDS: Readonly<Record<string, string>> = {
  string: 'is not a text',
  number: 'is not a number',
  boolean: 'is neither true nor false',
  array: 'is not a list',
  object: 'is not a set of keys and values',
  strict_object: 'is not a set of keys and values',
};
const MAX_VALUE_CHARACTERS = 60;
/** So many keys that are not known are looked at, and no longer ones: a body may have hundreds of thousands. */
const MAX_OTHER_KEYS = 50;
const MAX_OTHER_CHARACTERS = 64;
/** With those that are known. */
const MAX_KEYS = 100;

/** What a library of schemas says of one mistake. */
interface Issue {
  readonly message: string;
  readonly path?: readonly unknown[] | undefined;
}

/** What is wrong with an input of a route: its path, its value, and what is known instead. The library's own words are about types. */
export function inputProblem(schema: GenericSchema, issue: Issue): string {
  if (!isDetailed(issue)) return issue.message;
  const path = (issue.path ?? []).map(({ key }) => String(key)).join('.');
  const isOurs = !(issue.message.startsWith('Invalid ') && issue.message.endsWith(`eceived ${issue.received}`));
  if (isOurs) return path === '' ? issue.message : `${path}: ${issue.message}`;
  const last = issue.path?.at(-1);
  if (last?.origin === 'key') {
    const isTop = issue.path?.length === 1;
    return keyProblem({ known: isTop ? keysOf(schema) : [], path, isUnknown: issue.expected === 'never', input: last.input });
  }
  const said = KINDS[issue.type] ?? `is not possible: it must be ${issue.expected ?? 'another value'}`;
  return `${path === '' ? 'the request' : path}: ${valueText(issue.input)} ${said}`;
}

function isDetailed(issue: Issue): issue is BaseIssue<unknown> {
  return 'received' in issue && 'type' in issue && 'expected' in issue;
}

interface WrongKey {
  readonly known: readonly string[];
  readonly path: string;
  /** Else it is missing. */
  readonly isUnknown: boolean;
  readonly input: unknown;
}

/** Where a key is missing, another one may be meant to be it. */
function keyProblem({ known, path, isUnknown, input }: WrongKey): string {
  const [mistyped] = isUnknown ? [] : nearest(path, otherKeys(input, known));
  if (mistyped !== undefined) return `${shown(mistyped)}: unknown key; did you mean ${path}?`;
  if (!isUnknown) return `${path}: is missing`;
  const [meant] = nearest(path, known);
  const advice = known.length === 0 ? 'leave it out' : `the keys here are ${known.join(', ')}`;
  return `${shown(path)}: unknown key; ${meant === undefined ? advice : `did you mean ${meant}?`}`;
}

/** Listing the keys of a large body takes as long as reading it, and each key that is missing asks for them. */
const firstKeys = new WeakMap<object, readonly string[]>();

function otherKeys(input: unknown, known: readonly string[]): readonly string[] {
  if (typeof input !== 'object' || input === null) return [];
  const first = firstKeys.get(input) ?? Object.keys(input).slice(0, MAX_KEYS);
  firstKeys.set(input, first);
  return first.filter((key) => !known.includes(key) && key.length <= MAX_OTHER_CHARACTERS).slice(0, MAX_OTHER_KEYS);
}

function keysOf(schema: GenericSchema): readonly string[] {
  return 'entries' in schema && typeof schema.entries === 'object' && schema.entries !== null ? Object.keys(schema.entries) : [];
}

/** A value of a request, in a sentence. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return 'the list';
  return typeof value === 'object' && value !== null ? 'the set' : shown(JSON.stringify(value) ?? String(value));
}

function shown(text: string): string {
  const line = oneLine(text);
  return line.length <= MAX_VALUE_CHARACTERS ? line : `${line.slice(0, MAX_VALUE_CHARACTERS - 1)}…`;
}
