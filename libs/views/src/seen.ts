/** So many characters of what was seen tell it from what comes after it. */
const SEEN_CHARACTERS = 12;

/** The option of a command that decides about nothing but what was seen. The id may begin with a dash. */
export function seenOption(seen: string): string {
  return `--seen=${seen.slice(0, SEEN_CHARACTERS)}`;
}

/** The command line that accepts a commit that is held. */
export function acceptCommand({ commit, seen }: { readonly commit: string; readonly seen?: string | undefined }): string {
  return ['floe accept', commit, ...(seen === undefined ? [] : [seenOption(seen)]), '--reason "…"'].join(' ');
}
