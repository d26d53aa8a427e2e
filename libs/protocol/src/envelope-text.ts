import { Envelope, ENVELOPE_TYPES, parseStored } from './envelope.ts';

/** The form in which envelopes are written: base64 needs no escapes in JSON, nor do the names of keys that are usual. */
const BASE64 = '[A-Za-z0-9+/]*={0,2}';
const AS_WRITTEN = new RegExp(
  `^\\{"type":"(?:${ENVELOPE_TYPES.join('|')})","payload":"(${BASE64})","keyId":"[\\w.:@+/-]{1,128}","signature":"(${BASE64})"\\}$`,
);
const LONGEST = { payload: 64 * 1024, signature: 128 };

/** Of Node, as in `envelope.ts`. */
const { Buffer: bytesOf } = globalThis as unknown as { readonly Buffer: { from(text: string, encoding: 'base64'): { toString(): string } } };

/**
 * A stored envelope that goes into another statement as the text that it is: to parse it, to check it by a schema and to write it again takes
 * as long as to sign the statement.
 */
export class EnvelopeText {
  /** JSON of one envelope and of nothing else, whoever wrote the row: what it is put into says nothing more by it. */
  readonly json: string;
  readonly #payload: string;

  private constructor(json: string, payload: string) {
    this.json = json;
    this.#payload = payload;
  }

  /** Throws where the text is no envelope. */
  static of(text: unknown): EnvelopeText {
    const [json, payload = '', signature = ''] = (typeof text === 'string' ? AS_WRITTEN.exec(text) : undefined) ?? [];
    const isWhole = payload.length % 4 === 0 && signature.length % 4 === 0;
    if (json !== undefined && isWhole && payload.length <= LONGEST.payload && signature.length <= LONGEST.signature)
      return new EnvelopeText(json, payload);
    // Another order of its fields, or spaces.
    return EnvelopeText.from(parseStored(text));
  }

  static from(envelope: Envelope): EnvelopeText {
    return new EnvelopeText(JSON.stringify(envelope), envelope.payload);
  }

  get envelope(): Envelope {
    return JSON.parse(this.json) as Envelope;
  }

  /** The texts in these fields of what it says; undefined: it says no such text. Nothing else of it is checked. */
  texts<Name extends string>(...names: readonly Name[]): Partial<Record<Name, string>> {
    let said: unknown;
    try {
      said = JSON.parse(bytesOf.from(this.#payload, 'base64').toString());
    } catch {
      return {};
    }
    const found: Partial<Record<Name, string>> = {};
    if (typeof said !== 'object' || said === null) return found;
    for (const name of names) {
      const value: unknown = Reflect.get(said, name);
      if (typeof value === 'string') found[name] = value;
    }
    return found;
  }
}

/** JSON of `statement` with the envelopes as fields of it. Neither may be empty. */
export function jsonAround(statement: object, envelopes: Readonly<Record<string, EnvelopeText | undefined>>): string {
  const fields = Object.entries(envelopes).flatMap(([name, text]) => (text === undefined ? [] : [`"${name}":${text.json}`]));
  return `${JSON.stringify(statement).slice(0, -1)},${fields.join(',')}}`;
}
