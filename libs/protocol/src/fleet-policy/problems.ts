import { nearest, oneLine } from '@floe/model';
import type * as v from 'valibot';

/** Where a value is: `rings[1].soak` is `['rings', 1, 'soak']`. */
export type Path = readonly (string | number)[];

const MAX_VALUE_CHARACTERS = 60;
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
        /^[A-Za-z_][A-Za-z0-9_'-]*$/.test(part) && part.length <= MAX_KEY_CHARACTERS ? part : cut(JSON.stringify(part), MAX_KEY_CHARACTERS);
      return index === 0 ? shown : `.${shown}`;
    })
    .join('');
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : 'the list';
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0 ? '{}' : 'the set';
  if (typeof value === 'string') return cut(JSON.stringify(value), MAX_VALUE_CHARACTERS);
  return String(value);
}

function cut(text: string, maxCharacters: number): string {
  const line = oneLine(text);
  return line.length <= maxCharacters ? line : `${line.slice(0, maxCharacters - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
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

/**
 * Unknown and missing keys, and lists in the place of sets, each with its path. The schema itself would stop at the first unknown
 * key of a set, takes an empty list for a set, and does not suggest what was meant.
 */
export function shapeProblems(schema: v.GenericSchema, data: unknown): readonly string[] {
  return problemsOf(schema, data, []);
}

function problemsOf(shape: Shape, data: unknown, path: Path): readonly string[] {
  if (shape.wrapped !== undefined) return data === null ? [] : problemsOf(shape.wrapped, data, path);
  if (typeof data !== 'object' || data === null) return [];
  if (shape.type === 'union') {
    // At most one of the options is a set, and none is a list.
    const set = shape.options?.find(({ type }) => type === 'strict_object');
    return set === undefined || Array.isArray(data) ? [] : problemsOf(set, data, path);
  }
  if (shape.item !== undefined) {
    const { item } = shape;
    return Array.isArray(data) ? data.flatMap((each, index) => problemsOf(item, each, [...path, index])) : [];
  }
  const isSet = shape.entries !== undefined || shape.value !== undefined;
  if (isSet && Array.isArray(data)) return [problem(path, data, 'is a list: write a set, { … }')];
  return Object.entries(data).flatMap(([key, each]) => keyProblems(shape, key, each, [...path, key]));
}

/** Names that JavaScript gives a meaning: the schema skips them in silence. */
const IMPOSSIBLE_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

function keyProblems({ entries, value }: Shape, key: string, data: unknown, path: Path): readonly string[] {
  if (entries !== undefined) {
    const known = Object.hasOwn(entries, key) ? entries[key] : undefined;
    if (known !== undefined) return problemsOf(known, data, path);
    const [meant] = nearest(key, Object.keys(entries));
    const advice = meant === undefined ? `the keys here are ${Object.keys(entries).join(', ')}` : `did you mean ${meant}?`;
    return [`${pathText(path)}: unknown key; ${advice}`];
  }
  if (value === undefined) return [];
  return IMPOSSIBLE_KEYS.has(key) ? [`${pathText(path)}: this name is not possible here`] : problemsOf(value, data, path);
}

/** The sentences for an issue of the schema; none: {@link shapeProblems} has told it. `inside`: where the issue's own path begins. */
export function issueProblems(issue: v.BaseIssue<unknown>, inside: Path = []): readonly string[] {
  const path = [...inside, ...(issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))];
  // Where a set may be written instead, and is, what is wrong in it is told.
  const inner = issue.type === 'union' ? (issue.issues ?? []).filter((each) => each.path !== undefined) : [];
  if (inner.length > 0 && !Array.isArray(issue.input)) return inner.flatMap((each) => issueProblems(each, path));
  const said = issueProblem(issue, path);
  return said === undefined ? [] : [said];
}

function issueProblem(issue: v.BaseIssue<unknown>, path: Path): string | undefined {
  const last = issue.path?.at(-1);
  if (issue.type === 'strict_object' && last?.origin === 'key') {
    return issue.expected === 'never' || Array.isArray(last.input) ? undefined : `${pathText(path)}: is missing`;
  }
  if (issue.type === 'strict_object') return problem(path, issue.input, 'is not a set, { … }');
  // The name of an attribute: it is the last part of the path.
  if (last?.origin === 'key') return `${pathText(path)}: ${issue.message}`;
  return problem(path, issue.input, issue.message);
}
