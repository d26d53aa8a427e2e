import { vi } from 'vitest';

/** Waits until `isSo`, which a busy machine may keep from being so for a while. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitUntil(isSo, { timeout: 40_000, interval: 5 });
}
