/** How many evaluations run at the same time: one per core, fewer when memory is short; at least one. All in bytes. */
export function estimateConcurrency(cores: number, freeMemory: number, memoryPerEvaluation: number): number {
  return Math.max(1, Math.min(cores, Math.floor(freeMemory / memoryPerEvaluation)));
}
