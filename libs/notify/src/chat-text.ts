/**
 * Chats look for names of people and rooms behind an @ (`@channel`, `@room`), also where nobody wrote an address. A zero-width space behind
 * it ends that, and is not seen.
 */
export function withoutMentions(text: string): string {
  return text.replaceAll('@', '@\u200b');
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** For HTML, in text and attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
