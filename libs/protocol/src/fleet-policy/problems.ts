import { nearest } from '@floe/model';
import * as v from 'valibot';
import { shortLine, unknownKey, valueText } from '../value-words.ts';
import { TIME_ZONE_PROBLEM, timeZoneProblem } from './cron-form.ts';

/** Where a value is: `rings[1].soak` is `['rings', 1, 'soak']`. */
export type Path = readonly (string | number)[];

const MAX_KEY_CHARACTERS = 80;

/** "rings[1].soak: "lots" is not a duration such as 30m". */
export function problem(path: Path, value: unknown, what: string): string {
  return `${pathText(path)}: ${valueText(value)} ${what}`;
}

/** As Nix writes it: `rings[1].soak`, `budgets."role=dns"`. */
export function pathText(path: Path): string {
  if (path.length === 0) return 'floe';
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`;
      const shown =
        /^[A-Za-z_][A-Za-z0-9_'-]*$/.test(part) && part.length <= MAX_KEY_CHARACTERS ? part : shortLine(JSON.stringify(part), MAX_KEY_CHARACTERS);
      return index === 0 ? shown : `.${shown}`;
    })
    .join('');
}

/** What a valibot schema is made of, as far as {@link shapeProblems} needs it. */
interface Shape {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Shape>>;
  readonly item?: Shape;
  readonly value?: Shape;
  readonly wrapped?: Shape;
  readonly options?: readonly Shape[];
}

/** What to write for a key that must not be missing. */
const EXAMPLES: Readonly<Record<string, string>> = { name: '"canary"', duration: '"2h"', timeZone: '"Europe/Berlin"', percent: '10' };

/** For so many mistakes, as many as a policy's message lists, it is said what may be meant: a hostile policy has thousands. */
const MAX_COMPARED = 20;
/** Whether there is one left of {@link MAX_COMPARED}. */
type MayCompare = () => boolean;

/**
 * One sentence for each mistake in data that people write: its path, its value, and what to write. `path`: where the data is. `parsed`: what
 * the schema says of the data, if it was asked before.
 */
export function schemaProblems(
  schema: v.GenericSchema,
  data: unknown,
  path: Path = [],
  { issues = [] }: { readonly issues?: readonly v.BaseIssue<unknown>[] | undefined } = v.safeParse(schema, data),
): readonly string[] {
  let left = MAX_COMPARED;
  const mayCompare = (): boolean => {
    left -= 1;
    return left >= 0;
  };
  const ofShape = shapeProblems(schema, data, path, mayCompare);
  return [...new Set([...ofShape, ...issues.flatMap((issue) => issueProblems(issue, path, mayCompare))])];
}

/**
 * Unknown and missing keys, and what is in the place of a set. The schema itself would stop at the first unknown key of a set, takes an
 * empty list for a set, and does not suggest what was meant.
 */
function shapeProblems(shape: Shape, data: unknown, path: Path, mayCompare: MayCompare): readonly string[] {
  const { wrapped, item, entries, value } = shape;
  if (wrapped !== undefined) return data === null && shape.type === 'nullable' ? [] : shapeProblems(wrapped, data, path, mayCompare);
  if (shape.type === 'union') {
    // At most one of the options is a set, and none is a list.
    const set = shape.options?.find(({ type }) => type === 'strict_object');
    return set === undefined || !isSet(data) ? [] : shapeProblems(set, data, path, mayCompare);
  }
  if (item !== undefined) return Array.isArray(data) ? data.flatMap((each, index) => shapeProblems(item, each, [...path, index], mayCompare)) : [];
  if (entries === undefined && value === undefined) return [];
  if (Array.isArray(data)) return [`${pathText(path)}: ${data.length === 0 ? '[]' : '[ … ]'} is a list: write a set, { … }${keysOf(entries)}`];
  if (isSet(data)) return entries === undefined ? namedProblems(value, data, path, mayCompare) : entryProblems(entries, data, path, mayCompare);
  // The message of other sets says what they are made of.
  return entries === undefined ? [] : [problem(path, data, `is not a set, { … }${keysOf(entries)}`)];
}

function isSet(data: unknown): data is object {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

function keysOf(entries: Shape['entries']): string {
  return entries === undefined ? '' : `; the keys here are ${Object.keys(entries).join(', ')}`;
}

function entryProblems(entries: Readonly<Record<string, Shape>>, data: object, path: Path, mayCompare: MayCompare): readonly string[] {
  const meant = new Set<string>();
  const found = Object.entries(data).flatMap(([key, each]) => {
    const inner = [...path, key];
    const known = Object.hasOwn(entries, key) ? entries[key] : undefined;
    if (known !== undefined) return shapeProblems(known, each, inner, mayCompare);
    const [first] = mayCompare() ? nearest(key, Object.keys(entries)) : [];
    if (first !== undefined) meant.add(first);
    return [`${pathText(inner)}: ${unknownKey(first, Object.keys(entries))}`];
  });
  // What is only mistyped is not missing as well.
  const missing = Object.keys(entries).filter((key) => entries[key]?.type !== 'optional' && !Object.hasOwn(data, key) && !meant.has(key));
  return [...found, ...missing.map((key) => `${pathText([...path, key])}: is missing: write ${key} = ${EXAMPLES[key] ?? '…'};`)];
}

/** Names that JavaScript gives a meaning: the schema skips them in silence. */
const IMPOSSIBLE_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

/** Of a set whose names are a person's own. */
function namedProblems(value: Shape | undefined, data: object, path: Path, mayCompare: MayCompare): readonly string[] {
  return Object.entries(data).flatMap(([key, each]) => {
    const inner = [...path, key];
    if (IMPOSSIBLE_KEYS.has(key)) return [`${pathText(inner)}: this name is not possible here: give another one`];
    return value === undefined ? [] : shapeProblems(value, each, inner, mayCompare);
  });
}

/** The sentences for an issue of the schema; none: {@link shapeProblems} has told it. `inside`: where the issue's own path begins. */
function issueProblems(issue: v.BaseIssue<unknown>, inside: Path, mayCompare: MayCompare): readonly string[] {
  const path = [...inside, ...(issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))];
  // Where a set may be written instead, and is, what is wrong in it is told.
  const inner = issue.type === 'union' ? (issue.issues ?? []).filter((each) => each.path !== undefined) : [];
  if (inner.length > 0 && !Array.isArray(issue.input)) return inner.flatMap((each) => issueProblems(each, path, mayCompare));
  const said = issueProblem(issue, path, mayCompare);
  return said === undefined ? [] : [said];
}

function issueProblem(issue: v.BaseIssue<unknown>, path: Path, mayCompare: MayCompare): string | undefined {
  if (issue.type === 'strict_object') return undefined;
  // A list in the place of a set has no names that mean anything.
  if (issue.path?.some(({ type, input }) => type === 'object' && Array.isArray(input)) === true) return undefined;
  if (issue.type === 'record' && Array.isArray(issue.input)) return undefined;
  // The name of an attribute: it is the last part of the path.
  if (issue.path?.at(-1)?.origin === 'key') return `${pathText(path)}: ${issue.message}`;
  const { input, message } = issue;
  const isZone = message === TIME_ZONE_PROBLEM && typeof input === 'string';
  return problem(path, input, isZone && mayCompare() ? timeZoneProblem(input) : message);
}
