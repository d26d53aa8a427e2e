import { createHash } from 'node:crypto';

const BEFORE = ',"chain":"';
const AFTER = '"}';
const HASH_CHARACTERS = 64;
const TAIL_CHARACTERS = BEFORE.length + HASH_CHARACTERS + AFTER.length;

/** A line of an export, taken apart. */
export interface ChainedLine {
  /** Its JSON without the hash. */
  readonly body: string;
  /** As the line says. */
  readonly hash: string;
}

/** The hash of a line whose JSON is `body`, behind the line with the hash `previous`; '' for the first. */
export function lineHash(previous: string, body: string): string {
  return createHash('sha256').update(`${previous}\n${body}`).digest('hex');
}

/**
 * An object as a line of an export: JSON in ASCII, whose last field is the hash of that JSON and of the line before. Nothing in it can steer a
 * terminal, and no program that writes it elsewhere changes its bytes.
 */
export function chainedLine(previous: string, value: object): { readonly line: string; readonly hash: string } {
  const body = asciiJson(value);
  const hash = lineHash(previous, body);
  return { line: `${body.slice(0, -1)}${BEFORE}${hash}${AFTER}`, hash };
}

/** Undefined: it does not end as {@link chainedLine} has it. */
export function parseChained(line: string): ChainedLine | undefined {
  const tail = line.slice(-TAIL_CHARACTERS);
  const hash = tail.slice(BEFORE.length, -AFTER.length);
  if (line.length <= TAIL_CHARACTERS || !tail.startsWith(BEFORE) || !tail.endsWith(AFTER) || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
  return { body: `${line.slice(0, -TAIL_CHARACTERS)}}`, hash };
}

function asciiJson(value: object): string {
  return JSON.stringify(value).replaceAll(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
