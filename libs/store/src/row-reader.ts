import {
  boundedTime,
  COMMIT_SHA_FORM,
  MAX_COUNTER,
  MAX_DURATION_MS,
  MAX_TIME_MS,
  STORE_PATH_FORM,
  storableText,
  type CommitSha,
  type StorePath,
} from '@floe/model';
import * as v from 'valibot';

/**
 * Reads one row, and never throws: an invalid column gets a harmless value, and is named. So one bad row among a thousand reports
 * its own error, and the others are read.
 */
export class RowReader {
  readonly #unreadable: string[] = [];

  /** What is wrong with the row, for people; undefined: it is readable. */
  get problem(): string | undefined {
    if (this.#unreadable.length === 0) return undefined;
    return `its row in the database cannot be read: ${this.#unreadable.join(', ')}`;
  }

  counter(column: string, value: number): number {
    return Number.isSafeInteger(value) && value >= 0 && value <= MAX_COUNTER ? value : this.#instead(column, 0);
  }

  /** A time outside the bounds becomes the nearest bound, because its presence matters: e.g. that a host is revoked. */
  time(column: string, value: number): number {
    return Number.isSafeInteger(value) && value >= 0 && value <= MAX_TIME_MS ? value : this.#instead(column, boundedTime(value));
  }

  durationOrNone(column: string, value: number | null): number | undefined {
    if (value === null) return undefined;
    return value >= 0 && value <= MAX_DURATION_MS ? value : this.#instead(column, undefined);
  }

  timeOrNone(column: string, value: number | null): number | undefined {
    return value === null ? undefined : this.time(column, value);
  }

  counterOrNone(column: string, value: number | null): number | undefined {
    return value === null ? undefined : this.counter(column, value);
  }

  path(column: string, value: StorePath | null): StorePath | undefined {
    if (value === null) return undefined;
    return STORE_PATH_FORM.test(value) && value.length <= 300 ? value : this.#instead(column, undefined);
  }

  commit(column: string, value: CommitSha | null): CommitSha | undefined {
    if (value === null) return undefined;
    return COMMIT_SHA_FORM.test(value) ? value : this.#instead(column, undefined);
  }

  one<Option extends string>(column: string, value: Option, options: readonly Option[], instead: Option): Option {
    return options.includes(value) ? value : this.#instead(column, instead);
  }

  /** Text of programs: short, printable ASCII. */
  word(column: string, value: string | null): string | undefined {
    if (value === null) return undefined;
    return /^[\x20-\x7E]{0,64}$/.test(value) ? value : this.#instead(column, undefined);
  }

  /** A name of a known form, which bounds its length. */
  form(column: string, value: string | null, form: RegExp): string | undefined {
    if (value === null) return undefined;
    return form.test(value) ? value : this.#instead(column, undefined);
  }

  /** A text is cut and cleaned, which does not count as an error. */
  text(value: string | null): string | undefined {
    return value === null ? undefined : storableText(value);
  }

  /** A jsonb column. */
  json<Schema extends v.GenericSchema>(column: string, value: unknown, schema: Schema): v.InferOutput<Schema> | undefined {
    if (value === null) return undefined;
    const parsed = v.safeParse(schema, value);
    return parsed.success ? parsed.output : this.#instead(column, undefined);
  }

  /** A jsonb column, by what reads it: undefined, it cannot be read. */
  column<Value>(column: string, value: unknown, read: (value: unknown) => Value | undefined): Value | undefined {
    return value === null ? undefined : (read(value) ?? this.#instead(column, undefined));
  }

  #instead<Value>(column: string, value: Value): Value {
    this.#unreadable.push(column);
    return value;
  }
}
