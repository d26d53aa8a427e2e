/** A Nix string literal: nothing in `text` can end it or start an interpolation. */
export function nixString(text: string): string {
  return `"${text.replaceAll(/["\\$]/g, String.raw`\$&`)}"`;
}
