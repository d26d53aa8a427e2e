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
 * JSON that steers no terminal. JSON.stringify escapes C0 control characters, but leaves DEL, the C1 ones (U+009B begins
 * a command as ESC [ does) and the marks that reorder text as they are, and logs and answers hold what others wrote.
 */
export function escapeSteering(json: string): string {
  return json.replaceAll(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
