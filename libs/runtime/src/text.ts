/**
 * A URL or path without trailing slashes. Not by a regular expression: `/\/+$/` starts again at every slash, and takes quadratic
 * time for a text with many slashes elsewhere.
 */
export function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}

/**
 * JSON without control characters and invisible characters, which still parses to the same value. JSON.stringify escapes C0
 * control characters, but not DEL, the C1 ones (U+009B begins a command like ESC [), line separators, and characters that reorder
 * text or are invisible. Logs and answers contain foreign text.
 */
export function escapeSteering(json: string): string {
  return json.replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufff9-\ufffb\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/gu,
    escaped,
  );
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`).join('');
}
