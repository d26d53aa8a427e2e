import type { HostName } from '@floe/model';
import { open, RenameStatement, type TrustedKey } from '@floe/protocol';
import { verifySignature, type Logger } from '@floe/runtime';
import type { LoggedStatements } from './statement-log.ts';

/** The renames of the statement log, in order: whose a name and what was signed for it are now. */
export class LoggedRenames {
  readonly all: readonly RenameStatement[];

  constructor(all: readonly RenameStatement[]) {
    this.all = all;
  }

  /** Those that one of these keys signed. */
  static read(access: LoggedStatements['access'], trusted: readonly TrustedKey[], logger: Logger): LoggedRenames {
    return new LoggedRenames(
      access.flatMap((entry) => {
        if (entry.kind !== 'rename') return [];
        const opened = open(entry.envelope, 'floe/rename', RenameStatement, trusted, verifySignature);
        if (opened.kind === 'opened') return [opened.statement];
        logger.warn('a rename in the statement log is not trusted', { host: entry.statement.host, why: opened.message });
        return [];
      }),
    );
  }

  /** The name that the host has now for which a release of this sequence was signed. */
  nameNow(host: HostName, sequence: number): HostName {
    return this.all.reduce((name, each) => (each.formerHost === name && sequence <= each.sequence ? each.host : name), host);
  }

  /** The earlier names, with the names that they led to in the end. */
  aliases(): ReadonlyMap<HostName, RenameStatement> {
    const found = new Map<HostName, RenameStatement>();
    for (const each of this.all) {
      for (const [former, led] of found) if (led.host === each.formerHost) found.set(former, { ...led, host: each.host });
      found.delete(each.host);
      found.set(each.formerHost, each);
    }
    return found;
  }

  /** Whoever had this name then has another one, or was followed by who has. */
  isOver(host: HostName, at: number): boolean {
    return this.all.some((each) => each.formerHost === host && each.renamedAt > at);
  }

  /** The names for which the releases of this host may be signed. */
  namesOf(host: HostName): ReadonlySet<HostName> {
    const names = new Set([host]);
    for (const each of this.all.toReversed()) if (names.has(each.host)) names.add(each.formerHost);
    return names;
  }
}
