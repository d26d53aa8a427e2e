import { oneLine } from '@floe/model';
import { ExportEnd, ExportLine, MAX_EXPORT_LINE, signedBytes, foreign, type ExportLineOf } from '@floe/protocol';
import { FloeError, lineHash, parseChained, verifySignature } from '@floe/runtime';
import * as v from 'valibot';
import { AuditChain } from './audit-chain.ts';
import { Facts } from './facts.ts';
import { Findings } from './findings.ts';
import { linesOf, type Line } from './lines.ts';
import type { PinnedKeys } from './pinned-keys.ts';
import { readAccess, readFreshness, readPermit, readRelease, readReport, readStable } from './read-statements.ts';

/** In which order the kinds come. */
const SECTIONS = [
  'header',
  'key',
  'host',
  'report',
  'permit',
  'stable',
  'freshness',
  'revision',
  'release',
  'access',
  'audit-head',
  'audit',
  'end',
] as const;
/** Reports and permits of a host are together. */
const SECTION_OF = new Map<string, number>(SECTIONS.map((kind, index) => [kind, kind === 'permit' ? SECTIONS.indexOf('report') : index]));
const BEGINNING = '{"kind":"header","format":"floe-export"';

/** An export as it was read: what its signed words say, and all that is wrong with it line by line. */
export interface ReadExport {
  readonly header: ExportLineOf<'header'> | undefined;
  readonly facts: Facts;
  readonly findings: Findings;
  /** False: it was cut off, so that what it lacks says nothing about the server. */
  readonly hasEnd: boolean;
  readonly lines: number;
  readonly auditEntries: number;
}

/** Reads an export once, line by line. Throws `FloeError('USAGE')` for what is none. */
export async function readExport(pieces: AsyncIterable<Uint8Array>, keys: PinnedKeys): Promise<ReadExport> {
  const reader = new ExportReader(keys);
  for await (const line of linesOf(pieces, MAX_EXPORT_LINE)) reader.take(line);
  return reader.end();
}

class ExportReader {
  readonly #keys: PinnedKeys;
  readonly #facts = new Facts();
  readonly #findings = new Findings();
  readonly #audit = new AuditChain(this.#findings);
  #header: ExportLineOf<'header'> | undefined;
  #line = 0;
  /** As the last line says it, whatever it should be. */
  #hash = '';
  #section = 0;
  #hasEnd = false;
  #lastSequence = Infinity;

  constructor(keys: PinnedKeys) {
    this.#keys = keys;
  }

  take({ text, isLong, isCut }: Line): void {
    this.#line += 1;
    const line = this.#line;
    const findings = this.#findings;
    if (line === 1 && !text.startsWith(BEGINNING))
      throw new FloeError('USAGE', 'this is no export of Floe: it does not begin as one (unpack it first, if it is compressed)');
    if (this.#hasEnd) return findings.bend(line, 'something follows the end');
    if (isLong) return findings.bend(line, `the line has more than ${MAX_EXPORT_LINE} characters`);
    if (isCut) findings.bend(line, 'the file ends in the middle of this line');
    const chained = parseChained(text);
    if (chained === undefined) return findings.bend(line, 'the line does not end with its hash: it was cut, changed or put in');
    const before = this.#hash;
    if (lineHash(before, chained.body) !== chained.hash)
      findings.bend(
        line,
        'the line does not follow from the one before: one of them was changed, or lines were removed, repeated, moved or put in here',
      );
    // From here on by what it says, so that what comes later is named for itself.
    this.#hash = chained.hash;
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), foreign(ExportLine)), chained.body);
    if (!parsed.success) return findings.bend(line, `the line cannot be read: ${oneLine(v.summarize(parsed.issues)).slice(0, 300)}`);
    this.#judgePlace(parsed.output);
    this.#read(parsed.output, before);
  }

  #judgePlace({ kind }: ExportLine): void {
    const section = SECTION_OF.get(kind) ?? this.#section;
    if (section < this.#section) this.#findings.bend(this.#line, `a line of the kind ${kind} is not where it belongs`);
    this.#section = Math.max(section, this.#section);
  }

  #read(value: ExportLine, before: string): void {
    const [line, facts, findings, keys] = [this.#line, this.#facts, this.#findings, this.#keys];
    const where = { line, keys, facts, findings };
    switch (value.kind) {
      case 'header':
        if (line !== 1) return findings.bend(line, 'a second beginning');
        this.#header = value;
        facts.at = value.at;
        facts.releasesFrom = value.releasesFrom;
        if (value.releasesFrom === 'database')
          findings.note(
            line,
            'the releases are those that the server still has, since its builder keeps the log: what was called stable is not here, and older releases may be missing',
          );
        return this.#audit.begin(value.at - value.keepAuditMs);
      case 'key': {
        const pinned = keys[value.role].find(({ keyId }) => keyId === value.keyId);
        if (pinned === undefined) return findings.note(line, `the server says it has the ${value.role} key ${value.keyId}, which is not pinned here`);
        if (!keys[value.role].some((key) => key.keyId === value.keyId && key.publicKey === value.publicKey))
          findings.bend(line, `the ${value.role} key ${value.keyId} of the export is another one than is pinned`);
        return undefined;
      }
      case 'host':
        if (facts.hosts.has(value.host)) return findings.bend(line, `${value.host} is here a second time`);
        facts.keep();
        facts.hosts.set(value.host, { line, publicKey: value.publicKey, isRevoked: value.revokedAt !== null, desired: value.desired });
        return undefined;
      case 'revision':
        if (value.sequence >= this.#lastSequence)
          findings.bend(line, `the commit with the sequence ${value.sequence} comes after that with ${this.#lastSequence}`);
        this.#lastSequence = value.sequence;
        facts.keep();
        facts.revisions.set(value.sequence, { line, commit: value.commit, isHandover: value.isHandover });
        return undefined;
      case 'report':
        return readReport(value, where);
      case 'permit':
        return readPermit(value, where);
      case 'stable':
        return readStable(value, where);
      case 'freshness':
        return readFreshness(value, where);
      case 'release':
        return readRelease(value, where);
      case 'access':
        return readAccess(value, where);
      case 'audit-head':
        return this.#audit.head(line, value, keys, facts);
      case 'audit':
        return this.#audit.take(line, value);
      case 'unreadable':
        return findings.bend(line, `the server could not read ${value.what}`);
      case 'end':
        return this.#readEnd(value, before);
    }
  }

  #readEnd({ keyId, signature, signed }: ExportLineOf<'end'>, before: string): void {
    const [line, findings] = [this.#line, this.#findings];
    this.#hasEnd = true;
    const keys = this.#keys.server.filter((key) => key.keyId === keyId);
    const bytes = signedBytes('floe/export', Buffer.from(signed));
    if (!keys.some((key) => verifySignature(key.publicKey, bytes, signature)))
      return findings.bend(line, `the end is not what a pinned server key signed (key ${keyId})`);
    const end = v.safeParse(v.pipe(v.string(), v.parseJson(), ExportEnd), signed);
    if (!end.success) return findings.bend(line, 'the signed end cannot be read: a newer Floe may have made it');
    if (end.output.lines !== line - 1) findings.bend(line, `the server signed ${end.output.lines} lines, and there are ${line - 1}`);
    if (end.output.hash !== before)
      findings.bend(line, 'the server signed another content than this: lines were changed, and their hashes made again');
    return undefined;
  }

  end(): ReadExport {
    if (this.#line === 0) throw new FloeError('USAGE', 'the export is empty');
    if (!this.#hasEnd) this.#findings.bend(this.#line, 'the export has no end: it was cut off, so it was only read line by line');
    const auditEntries = this.#audit.end();
    return { header: this.#header, facts: this.#facts, findings: this.#findings, hasEnd: this.#hasEnd, lines: this.#line, auditEntries };
  }
}
