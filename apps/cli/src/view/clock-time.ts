/** Date and time of day where the reader is. */
export function clockTime(at: number): string {
  const date = new Date(at);
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(twoDigits).join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':')}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** To the minute: what a person waits for. */
export function minuteTime(at: number): string {
  return clockTime(at).slice(0, -3);
}
