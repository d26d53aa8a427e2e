import type { Word } from '@floe/model';

export interface GlassStore {
  /** The policy of the revision is below the floor of the server's settings: people may ask to let it pass. */
  noteBelowFloor(id: string): Promise<void>;
  /**
   * Somebody asks to let a revision pass that was refused for the floor, once each. With the word of as many people as are needed it is
   * looked at again, from the start. 'stale': it does not wait for that.
   */
  breakGlass(id: string, word: Word, needed: 1 | 2): Promise<'stale' | 'repeated' | 'waits' | 'broken'>;
}
