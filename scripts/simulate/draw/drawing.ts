/** A text of the drawing, with the place that it takes. */
export interface Label {
  readonly words: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface TextStyle {
  readonly size?: number;
  readonly color?: string;
  readonly isBold?: boolean;
  readonly anchor?: 'start' | 'middle' | 'end';
}

const INK = '#26323f';

/** How wide a text is at most: fonts differ, and wide letters are rare. */
export function widthOf(words: string, { size = 12, isBold = false }: TextStyle = {}): number {
  return words.length * size * (isBold ? 0.61 : 0.57);
}

/** The words, cut off at so many pixels. */
export function fitting(words: string, width: number, style: TextStyle = {}): string {
  if (widthOf(words, style) <= width) return words;
  const count = Math.floor(width / widthOf('x', style)) - 1;
  return count < 1 ? '' : `${words.slice(0, count).trimEnd()}…`;
}

/** The parts of an SVG, in the order in which they are drawn, and where its texts are. */
export class Drawing {
  readonly labels: Label[] = [];
  /** What the legend explains, by the `of` of what is drawn. */
  readonly explained = new Set<string>();
  readonly #parts: string[] = [];
  readonly #width: number;

  constructor(width: number) {
    this.#width = width;
  }

  text(x: number, y: number, words: string, style: TextStyle = {}): void {
    if (words === '') return;
    const label = placeOf(x, y, words, style);
    this.labels.push(label);
    const { size = 12, color = INK, isBold = false, anchor = 'start' } = style;
    const weight = isBold ? ' font-weight="bold"' : '';
    this.#parts.push(`<text x="${px(x)}" y="${px(y)}" font-size="${size}" fill="${color}" text-anchor="${anchor}"${weight}>${escaped(words)}</text>`);
  }

  /** Draws the text unless it would lie on another one, or touch it. False: it was left out. */
  textIfFree(x: number, y: number, words: string, style: TextStyle = {}): boolean {
    const place = placeOf(x, y, words, style);
    if (place.left < 0 || place.right > this.#width || this.labels.some((other) => overlap(withGap(place), other))) return false;
    this.text(x, y, words, style);
    return true;
  }

  /** `of`: what it stands for, which the legend explains; `title`: said where the pointer rests. */
  rect(
    box: { x: number; y: number; width: number; height: number },
    fill: string,
    more: { of?: string; title?: string; stroke?: string } = {},
  ): void {
    const of = more.of === undefined ? '' : ` data-of="${more.of}"`;
    const stroke = more.stroke === undefined ? '' : ` stroke="${more.stroke}"`;
    const place = `x="${px(box.x)}" y="${px(box.y)}" width="${px(Math.max(0, box.width))}" height="${px(box.height)}"`;
    const title = more.title === undefined ? '' : `<title>${escaped(more.title)}</title>`;
    this.#parts.push(`<rect ${place} fill="${fill}"${of}${stroke}>${title}</rect>`);
  }

  shape(points: readonly (readonly [number, number])[], attributes: string, kind: 'polygon' | 'polyline' = 'polygon'): void {
    this.#parts.push(`<${kind} points="${points.map(([x, y]) => `${px(x)},${px(y)}`).join(' ')}" ${attributes}/>`);
  }

  line(from: readonly [number, number], to: readonly [number, number], attributes: string): void {
    this.#parts.push(`<line x1="${px(from[0])}" y1="${px(from[1])}" x2="${px(to[0])}" y2="${px(to[1])}" ${attributes}/>`);
  }

  explain(of: string): void {
    this.explained.add(of);
  }

  toSvg(height: number): string {
    const size = `width="${this.#width}" height="${px(height)}" viewBox="0 0 ${this.#width} ${px(height)}"`;
    const hatch = (id: string, color: string): string =>
      `<pattern id="${id}" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="8" height="8" fill="${color}" fill-opacity="0.16"/><line x1="0" y1="0" x2="0" y2="8" stroke="${color}" stroke-width="3" stroke-opacity="0.35"/></pattern>`;
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="DejaVu Sans, Arial, sans-serif">`,
      `<defs>${hatch('weekend', '#33475b')}${hatch('holiday', '#7a3fb5')}</defs>`,
      `<rect width="${this.#width}" height="${px(height)}" fill="#fff"/>`,
      ...this.#parts,
      '</svg>\n',
    ].join('\n');
  }
}

export function overlap(one: Label, other: Label): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

/** "10" beside "11" would read as "1011". */
function withGap(place: Label): Label {
  return { ...place, left: place.left - 3, right: place.right + 3 };
}

function placeOf(x: number, y: number, words: string, style: TextStyle): Label {
  const { size = 12, anchor = 'start' } = style;
  const width = widthOf(words, style);
  const left = x - (anchor === 'end' ? width : anchor === 'middle' ? width / 2 : 0);
  return { words, left, right: left + width, top: y - size * 0.8, bottom: y + size * 0.25 };
}

function px(value: number): string {
  return value.toFixed(1);
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
