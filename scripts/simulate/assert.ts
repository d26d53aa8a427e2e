/** Something that must hold does not: the simulation ends. */
class BrokenInvariant extends Error {}

export function assert(holds: boolean, message: string): void {
  if (!holds) throw new BrokenInvariant(message);
}
