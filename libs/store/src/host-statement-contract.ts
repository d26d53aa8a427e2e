import type { HostName } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** The newest signed report of a host; the one of a directive that ended; the permit of a directive. */
export const HOST_STATEMENT_KINDS = ['newest', 'end', 'permit'] as const;
export type HostStatementKind = (typeof HOST_STATEMENT_KINDS)[number];

export interface SavedHostStatement {
  readonly host: HostName;
  readonly kind: HostStatementKind;
  /** Of the directive; 0 of the newest report. */
  readonly epoch: number;
  /** Of two for one directive the one with the higher number stays; of equals the later one. */
  readonly seq: number;
  /** Whose signature it has. With another one than before, numbers begin again. */
  readonly publicKey: string;
  /** Its text. Whoever saves it has checked the signature. */
  readonly envelope: string;
  readonly at: Timestamp;
}

/** A statement as it is stored, and its place in the order of pages. */
export type ListedHostStatement = Pick<SavedHostStatement, 'host' | 'kind' | 'epoch' | 'publicKey' | 'envelope'>;

export interface HostStatementStore {
  /** Stores those that are not older than what is there, of hosts that are known. Of each host the newest few ends and permits stay. */
  save(batch: readonly SavedHostStatement[]): Promise<void>;
  /** Of one host. */
  ofHost(host: HostName): Promise<readonly ListedHostStatement[]>;
  /** By host, kind and epoch; `after`: the last one of the page before. */
  page(limit: number, after?: Pick<ListedHostStatement, 'host' | 'kind' | 'epoch'>): Promise<readonly ListedHostStatement[]>;
}
