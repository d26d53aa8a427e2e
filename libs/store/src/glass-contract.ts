import type { Word } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** Of a revision: what people said about the floor of the server's settings. */
export interface Glass {
  /** Its policy is below the floor of the server's settings: who asked to let it pass. Undefined: it is not, or was not looked at. */
  readonly glass?: readonly Word[] | undefined;
  /** When enough of them had asked. */
  readonly glassAt?: Timestamp | undefined;
  /** The floor that they were asked about, as `noteBelowFloor` was told; undefined: from before this was recorded. */
  readonly glassFloor?: string | undefined;
}

export interface GlassStore {
  /**
   * The policy of the revision is below the floor of the server's settings: people may ask to let it pass. `floor` identifies the floor. What
   * people said about another one counts no more.
   */
  noteBelowFloor(id: string, floor: string): Promise<void>;
  /**
   * Somebody asks to let a revision pass that was refused for the floor, once each. With the word of as many people as are needed it is
   * looked at again, from the start. 'stale': it does not wait for that.
   */
  breakGlass(id: string, word: Word, needed: 1 | 2): Promise<'stale' | 'repeated' | 'waits' | 'broken'>;
}
