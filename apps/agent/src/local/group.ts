import { readFile } from 'node:fs/promises';

/** Reads the text of /etc/group. Injected, so that tests need no such group. */
export type ReadGroups = () => Promise<string>;

export const readEtcGroup: ReadGroups = async () => await readFile('/etc/group', 'utf8');

function* entries(text: string): Generator<{ readonly name: string; readonly gid: number }> {
  for (const line of text.split('\n')) {
    const [name, , gid] = line.split(':');
    if (name !== undefined && name !== '' && gid !== undefined && /^\d+$/.test(gid)) yield { name, gid: Number(gid) };
  }
}

/** The number of a group in a text like /etc/group's. */
export function groupId(text: string, name: string): number | undefined {
  for (const entry of entries(text)) if (entry.name === name) return entry.gid;
  return undefined;
}

/** The name of a group by its number. */
export function groupName(text: string, gid: number): string | undefined {
  for (const entry of entries(text)) if (entry.gid === gid) return entry.name;
  return undefined;
}
