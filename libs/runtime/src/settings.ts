import * as v from 'valibot';

/** Environment variables, as `process.env` has them. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Reads the settings of a program. Problems are collected, with what to do, so that all are reported together. */
export interface SettingsReader {
  /** Trimmed; undefined when it is empty. */
  readonly value: (name: string) => string | undefined;
  /** The text parsed by `schema`; `fallback` when it is not set, or invalid. `what` describes a valid value. */
  readonly checked: <T>(name: string, schema: v.GenericSchema<string, T>, fallback: T, what: string) => T;
  /** The same for a required setting. Undefined only when a problem was reported. */
  readonly required: <T>(name: string, schema: v.GenericSchema<string, T>, what: string) => T | undefined;
}

/** How much of a wrong value is shown. */
const MAX_SHOWN_CHARACTERS = 80;

/** Reads settings from `env`, and reports problems to `note`. */
export function createSettingsReader(env: Env, note: (problem: string) => void): SettingsReader {
  function value(name: string): string | undefined {
    const text = env[name]?.trim();
    return text === '' ? undefined : text;
  }
  function checked<T>(name: string, schema: v.GenericSchema<string, T>, fallback: T, what: string): T {
    const text = value(name);
    if (text === undefined) return fallback;
    const parsed = v.safeParse(schema, text);
    if (parsed.success) return parsed.output;
    note(`${name} is "${shortened(text)}": set it to ${what}`);
    return fallback;
  }
  return {
    value,
    checked,
    required: <T>(name: string, schema: v.GenericSchema<string, T>, what: string): T | undefined => {
      if (value(name) === undefined) note(`${name} is missing: set it to ${what}`);
      return checked<T | undefined>(name, schema, undefined, what);
    },
  };
}

/** A value as a message shows it. */
export function shortened(text: string): string {
  return text.length <= MAX_SHOWN_CHARACTERS ? text : `${text.slice(0, MAX_SHOWN_CHARACTERS)}…`;
}
