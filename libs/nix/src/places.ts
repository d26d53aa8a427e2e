import { describePlace, type DescribePlace } from './failure.ts';
import type { FlakeSource } from './flake-source.ts';
import type { FailureLog, Place } from './internal-json.ts';

/** Whether a location is outside of the fleet's own files. */
export function isElsewhere({ file }: Place, source: FlakeSource): boolean {
  return !isBelow(file, source.path);
}

/**
 * Describes locations so that a file of an input is not mistaken for one of the repository: with the input's name, and the last
 * location in the fleet's own files on the call path.
 */
export function describePlaces(source: FlakeSource, log: FailureLog): DescribePlace {
  const own = log.messages.flatMap(({ calls }) => calls).find((call) => !isElsewhere(call, source));
  return (place) => {
    if (!isElsewhere(place, source)) return describePlace(place);
    const input = source.inputs?.find(({ storePath }) => storePath !== undefined && isBelow(place.file, storePath));
    const there = `${describePlace(place)} ${input === undefined ? 'outside of the repository' : `in the input ${input.name}`}`;
    return own === undefined ? there : `${there}, used at ${describePlace(own)}`;
  };
}

function isBelow(file: string, folder: string): boolean {
  return file.startsWith(`${folder}/`);
}
