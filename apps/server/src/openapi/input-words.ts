import { nearest } from '@floe/model';
import { shortLine, unknownKey, valueText } from '@floe/protocol';
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
  if (isUnknown) return `${shortLine(path)}: ${unknownKey(nearest(path, known)[0], known)}`;
  const [mistyped] = nearest(path, otherKeys(input, known));
  return mistyped === undefined ? `${path}: is missing` : `${shortLine(mistyped)}: ${unknownKey(path, known)}`;
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
