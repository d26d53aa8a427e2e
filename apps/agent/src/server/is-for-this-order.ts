import type { Directive, OneDirective } from '@floe/protocol';

/**
 * Whether what the release key signed was signed for this very directive. So a stolen server key cannot use it again: the agent takes each epoch
 * once, and a journal that was restored to an older day, which would take an epoch again, is of another start of the machine.
 */
export function isForThisOrder(
  onlyFor: OneDirective | undefined,
  { machineId, epoch }: Pick<Directive, 'machineId' | 'epoch'>,
  bootId: string,
): boolean {
  return onlyFor !== undefined && onlyFor.machineId === machineId && onlyFor.epoch === epoch && onlyFor.bootId === bootId;
}
