import { ACTIVITY, RESULT, type LogEvent } from './internal-json.ts';

/** The progress of a download. Totals grow while Nix finds out what it needs. */
export interface DownloadProgress {
  readonly donePaths: number;
  readonly totalPaths: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Reported again when this share of the total was added. */
const STEP = 0.01;

/** Sums the activities of Nix's log like its own progress bar. Reports about a hundred times, and at the end. */
export function createProgressMeter(onProgress: ((progress: DownloadProgress) => void) | undefined): (event: LogEvent) => void {
  if (onProgress === undefined) return () => undefined;
  const copying = new Map<number, number>();
  const types = new Map<number, number>();
  let finishedBytes = 0;
  let donePaths = 0;
  let totalPaths = 0;
  let totalBytes = 0;
  let told = -1;

  function tell(isSure: boolean): void {
    let doneBytes = finishedBytes;
    for (const bytes of copying.values()) doneBytes += bytes;
    const share = totalBytes === 0 ? donePaths : doneBytes / totalBytes;
    if (!isSure && Math.abs(share - told) < STEP) return;
    told = share;
    onProgress?.({ donePaths, totalPaths, doneBytes, totalBytes: Math.max(totalBytes, doneBytes) });
  }

  return (event) => {
    if (event.action === 'start') {
      types.set(event.id, event.type);
    } else if (event.action === 'stop') {
      finishedBytes += copying.get(event.id) ?? 0;
      copying.delete(event.id);
      if (types.get(event.id) === ACTIVITY.realise) tell(true);
      types.delete(event.id);
    } else if (event.action === 'result') {
      const type = types.get(event.id);
      const [first, second] = event.fields;
      if (typeof first !== 'number' || typeof second !== 'number') return;
      if (event.type === RESULT.progress && type === ACTIVITY.copyPath) copying.set(event.id, first);
      else if (event.type === RESULT.progress && type === ACTIVITY.copyPaths) [donePaths, totalPaths] = [first, second];
      else if (event.type === RESULT.setExpected && type === ACTIVITY.realise && first === ACTIVITY.copyPath) totalBytes = second;
      else return;
      tell(false);
    }
  };
}
