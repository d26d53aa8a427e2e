/**
 * A URL or path without the slashes at its end. Not by a regular expression: `/\/+$/` starts anew at every slash, and
 * takes time that grows with the square of a text that has many of them elsewhere.
 */
export function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}

/**
 * JSON that steers no terminal and hides nothing, and still parses to the same. JSON.stringify escapes C0 control characters,
 * but leaves DEL, the C1 ones (U+009B begins a command as ESC [ does), line separators, and the marks that reorder text or are
 * not seen as they are; logs and answers hold what others wrote.
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
