import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync, Visitor } from 'vite';

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** Texts of the code with three words or more, each as what matches it, whatever is put into it. */
function sentencesIn(file: string, text: string): RegExp[] {
  const found: RegExp[] = [];
  const note = (parts: readonly string[]): void => {
    if (parts.join('x').trim().split(/\s+/).length >= 3) found.push(new RegExp(parts.map(escaped).join('[^]*?')));
  };
  new Visitor({
    Literal(node) {
      if (typeof node.value === 'string') note([node.value]);
    },
    TemplateLiteral(node) {
      note(node.quasis.map(({ value }) => value.cooked ?? ''));
    },
  }).visit(parseSync(file, text).program);
  return found;
}

/** The sentences of the code in some of a folder's files that are in none of those that were heard. */
export function unheard(dir: string, isOne: (file: string) => boolean, heard: ReadonlySet<string>): string[] {
  const all = [...heard];
  return globSync('*.ts', { cwd: dir })
    .filter((file) => !file.endsWith('.test.ts') && isOne(file))
    .toSorted()
    .flatMap((file) => sentencesIn(file, readFileSync(join(dir, file), 'utf8')).map((sentence) => ({ file, sentence })))
    .filter(({ sentence }) => !all.some((each) => sentence.test(each)))
    .map(({ file, sentence }) => `${file}: ${sentence.source}`);
}
