import { exec, Spawner, type Exec } from '@floe/runtime';
import { median, type Figure, type Progress } from './measure.ts';

const MIB = 1_024 ** 2;
/** As much as a server with the embedded database and a thousand hosts. */
const HELD_MIB = 800;

/** For how long the start of a program holds up the process that wants it: by the spawner, and by itself, in turns. */
export async function benchSpawner(rounds: number, progress: Progress): Promise<Figure[]> {
  await using spawner = new Spawner();
  const held = Buffer.alloc(HELD_MIB * MIB, 1);
  const heldUp = async (start: Exec): Promise<number> => {
    const from = performance.now();
    const running = start('true', [], { timeoutMs: 60_000 });
    const ms = performance.now() - from;
    await running;
    return ms;
  };
  const times: { readonly floe: number; readonly floor: number }[] = [];
  for (let round = 0; round <= rounds; round++) times.push({ floe: await heldUp(spawner.exec), floor: await heldUp(exec) });
  // The first one starts the spawner.
  const warm = times.slice(1);
  progress(`(k) ${rounds} starts each, beside ${held.length / MIB} MiB`);
  return [
    {
      what: `(k) start of a program beside ${HELD_MIB} MiB`,
      unit: 'ms',
      floe: median(warm.map(({ floe }) => floe)),
      floor: median(warm.map(({ floor }) => floor)),
      compare: 'ratio',
      aim: 0.1,
    },
  ];
}
