import { LargeFleet, untilStatus } from './large-fleet.ts';
import { memoryOf, type Figure, type Progress } from './measure.ts';

const MIB = 1_024 ** 2;
const FEW = 10;

/** Resident memory of the shipped server on Postgres, after two revisions were told to everyone. */
export async function benchResident(count: number, progress: Progress): Promise<Figure[]> {
  const figure = async (hosts: number, aim: number): Promise<Figure> => {
    const floe = (await residentBytes(hosts, progress)) / MIB;
    return { what: `(j) server with ${hosts} agents, resident`, unit: 'MiB', floe, floor: 0, compare: 'alone', aim };
  };
  return [await figure(FEW, 100), await figure(count, 400)];
}

async function residentBytes(count: number, progress: Progress): Promise<number> {
  await using fleet = await LargeFleet.create(count, progress);
  await fleet.start();
  await fleet.connect();
  for (const round of [1, 2]) {
    await fleet.publish();
    await untilStatus(fleet.agents, ({ acknowledged }) => acknowledged === round * count);
    await fleet.server.untilRest();
  }
  return (await memoryOf(fleet.server.pid)).rss;
}
