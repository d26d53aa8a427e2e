import { stripVTControlCharacters } from 'node:util';
import * as v from 'valibot';

/** Numbers of Nix's activities and results (nix: src/libutil/logging.hh; the same in 2.8 and 2.26). */
export const ACTIVITY = { copyPath: 100, fileTransfer: 101, realise: 102, copyPaths: 103, builds: 104, build: 105 } as const;
export const RESULT = { buildLogLine: 101, progress: 105, setExpected: 106 } as const;

const Position = v.optional(v.nullable(v.string()));
const Coordinate = v.optional(v.nullable(v.number()));
const LogEvent = v.variant('action', [
  v.object({
    action: v.literal('msg'),
    level: v.number(),
    msg: v.string(),
    raw_msg: v.optional(v.string()),
    file: Position,
    line: Coordinate,
    column: Coordinate,
  }),
  v.object({ action: v.literal('start'), id: v.number(), type: v.number(), text: v.optional(v.string(), '') }),
  v.object({ action: v.literal('stop'), id: v.number() }),
  v.object({ action: v.literal('result'), id: v.number(), type: v.number(), fields: v.array(v.union([v.number(), v.string()])) }),
]);
/** One line of `--log-format internal-json`. */
export type LogEvent = v.InferOutput<typeof LogEvent>;

const PREFIX = '@nix ';

/** Reads one line of standard error; undefined for what is not of the format (a crash, a warning of the collector). */
export function parseLogLine(line: string): LogEvent | undefined {
  if (!line.startsWith(PREFIX)) return undefined;
  try {
    const parsed = v.safeParse(LogEvent, JSON.parse(line.slice(PREFIX.length)));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

/** An error that Nix reported, without colours. */
export interface NixMessage {
  readonly text: string;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

const KEPT_LINES = 20;

/** Gathers from the log what explains a failure: errors, the ends of build logs, lines outside the format. */
export class FailureLog {
  readonly messages: NixMessage[] = [];
  /** What builders printed, the last lines. */
  readonly buildLines: string[] = [];
  /** Lines outside the format, the last ones. */
  readonly plainLines: string[] = [];

  /** Takes one line of standard error, parsed already when the caller needs it too. */
  add(line: string, event: LogEvent | undefined = parseLogLine(line)): void {
    if (event === undefined) {
      if (line.trim() !== '') keepLast(this.plainLines, stripVTControlCharacters(line));
    } else if (event.action === 'msg' && event.level === 0) {
      const text = stripVTControlCharacters(event.raw_msg ?? event.msg).replace(/^error:\s*/, '');
      this.messages.push({ text, file: event.file ?? undefined, line: event.line ?? undefined, column: event.column ?? undefined });
    } else if (event.action === 'msg' && event.level === 1) {
      keepLast(this.plainLines, stripVTControlCharacters(event.raw_msg ?? event.msg));
    } else if (event.action === 'result' && event.type === RESULT.buildLogLine && typeof event.fields[0] === 'string') {
      keepLast(this.buildLines, stripVTControlCharacters(event.fields[0]));
    }
  }
}

function keepLast(lines: string[], line: string): void {
  lines.push(line);
  if (lines.length > KEPT_LINES) lines.shift();
}
