import { shownText } from './text.ts';
import type { TreeEntry } from './path-changes.ts';

/** A line of a Nix file that uses the flake itself: its commit or date, the path of its files, or all of it, as a registry has it. */
export interface SelfMention {
  readonly kind: 'commit' | 'files' | 'whole';
  /** Safe to show. */
  readonly path: string;
  readonly line: number;
}

const SELF = String.raw`\b(?:inputs\s*\.\s*)?self`;
const COMMIT = '(?:rev|shortRev|dirtyRev|dirtyShortRev|revCount|lastModified|lastModifiedDate)';
const FORMS: readonly (readonly [SelfMention['kind'], RegExp])[] = [
  ['commit', new RegExp(String.raw`${SELF}\s*\.\s*(?:sourceInfo\s*\.\s*)?${COMMIT}\b`)],
  ['commit', new RegExp(String.raw`\binherit\s*\(\s*(?:inputs\s*\.\s*)?self\s*\)[^;]{0,200}\b${COMMIT}\b`)],
  ['files', new RegExp(String.raw`\$\{\s*(?:inputs\s*\.\s*)?self\s*\}`)],
  ['files', new RegExp(String.raw`${SELF}\s*(?:\.\s*(?:outPath|narHash)\b|\+\s*["/])`)],
  ['whole', /=\s*(?:inputs\s*\.\s*)?self\s*;/],
  ['whole', /\b(?:registry|nixPath)\b.{0,200}\b(?:inputs|self)\b/],
];

const MAX_FILES = 20_000;
const MAX_FILE_BYTES = 256 * 1024;
const MAX_LINE_CHARACTERS = 1_000;
const MAX_MENTIONS = 50;
const MAX_PATH_CHARACTERS = 200;

export interface MentionDeps {
  readonly tree: (oid: string) => Promise<readonly TreeEntry[]>;
  readonly blob: (oid: string) => Promise<Buffer>;
}

/** The lines of a tree's Nix files that look so. Nothing is decided by them: they only say where to look. */
export async function findSelfMentions({ tree, blob }: MentionDeps, root: string): Promise<readonly SelfMention[]> {
  const found: SelfMention[] = [];
  const queue = [{ oid: root, prefix: '' }];
  let files = 0;
  for (const { oid, prefix } of queue) {
    for (const entry of await tree(oid)) {
      files += 1;
      if (files > MAX_FILES || found.length >= MAX_MENTIONS) return found;
      const path = `${prefix}${entry.path}`;
      if (entry.type === 'tree') queue.push({ oid: entry.oid, prefix: `${path}/` });
      else if (entry.type === 'blob' && path.endsWith('.nix') && entry.mode !== '120000') found.push(...mentionsIn(await blob(entry.oid), path));
    }
  }
  return found.slice(0, MAX_MENTIONS);
}

function mentionsIn(bytes: Buffer, path: string): SelfMention[] {
  if (bytes.length > MAX_FILE_BYTES) return [];
  return bytes
    .toString('utf8')
    .split('\n')
    .flatMap((text, index): SelfMention[] => {
      const code = text.slice(0, MAX_LINE_CHARACTERS).replace(/(?:^|\s)#.*/s, '');
      const form = FORMS.find(([, expression]) => expression.test(code));
      return form === undefined ? [] : [{ kind: form[0], path: shownText(path, MAX_PATH_CHARACTERS), line: index + 1 }];
    });
}
