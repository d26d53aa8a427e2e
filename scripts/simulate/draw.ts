import { DAY, isWorkday, START } from './fleet-days.ts';
import type { RevisionStory, Sample, Simulation } from './simulation.ts';
import { describeMs, summarize, timeTo } from './summary.ts';

const WIDTH = 1_400;
const LEFT = 70;
const RIGHT = 20;
const TOP = 118;
const FLEET_HEIGHT = 360;
const STRIP_TOP = TOP + FLEET_HEIGHT + 46;
const STRIP_HEIGHT = 26;
const TABLE_TOP = STRIP_TOP + STRIP_HEIGHT + 62;
const ROW_HEIGHT = 19;

const LAYERS = [
  { of: 'newest', color: '#2f9e62', label: 'run the newest revision' },
  { of: 'changing', color: '#f0a830', label: 'change right now' },
  { of: 'older', color: '#c9d3de', label: 'run an older one (their turn has not come, or they are away)' },
  { of: 'failed', color: '#d64545', label: 'tried the newest and rolled back' },
] as const satisfies readonly { readonly of: keyof Sample; readonly color: string; readonly label: string }[];

const STATE_COLORS: Readonly<Record<string, string>> = {
  ROLLING: '#f0a830',
  SOAKING: '#f7d898',
  COMPLETE: '#2f9e62',
  PAUSED: '#d64545',
  WAITING_APPROVAL: '#9a86d1',
  READY: '#9a86d1',
};

/** The fleet over time, as one picture: what its hosts run, who is online, each revision, and what its rollout did. */
export function draw(simulation: Simulation): string {
  const { samples, stories, options } = simulation;
  const endX = WIDTH - RIGHT;
  const x = (at: number): number => LEFT + ((at - START) / (options.days * DAY)) * (endX - LEFT);
  const y = (count: number): number => TOP + FLEET_HEIGHT * (1 - count / options.hosts);
  const height = TABLE_TOP + 24 + stories.length * ROW_HEIGHT + 30;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="#26323f">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(LEFT, 28, `What ${options.hosts} hosts run, over ${options.days} days`, 'font-size="20" font-weight="bold"'),
    ...summarize(simulation)
      .lines.slice(1)
      .map((line, index) => text(LEFT, 48 + index * 16, line)),
    ...days(options.days, x),
    ...layers(samples, x, y),
    curve(samples, ({ online }) => online, x, y),
    ...axis(options.hosts, y),
    ...stories.flatMap((story) => mark(story, x)),
    ...legend(),
    ...strip(samples, x, options.days),
    ...table(stories),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

const round = (value: number): string => value.toFixed(1);

function text(x: number, y: number, words: string, more = ''): string {
  const safe = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${round(x)}" y="${round(y)}" ${more}>${safe}</text>`;
}

function days(count: number, x: (at: number) => number): string[] {
  return Array.from({ length: count }, (_, day) => {
    const at = START + day * DAY;
    const width = x(at + DAY) - x(at);
    const shade = isWorkday(day) ? '' : `<rect x="${round(x(at))}" y="${TOP}" width="${round(width)}" height="${FLEET_HEIGHT}" fill="#eef1f4"/>`;
    const name = new Date(at).toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', timeZone: 'UTC' });
    return `${shade}${width > 34 || day % 2 === 0 ? text(x(at) + 2, TOP + FLEET_HEIGHT + 15, name, 'font-size="10" fill="#68778a"') : ''}`;
  });
}

function layers(samples: readonly Sample[], x: (at: number) => number, y: (count: number) => number): string[] {
  let below = samples.map(() => 0);
  return LAYERS.map(({ of, color }) => {
    const above = samples.map((sample, index) => (below[index] ?? 0) + sample[of]);
    const top = samples.map(({ at }, index) => `${round(x(at))},${round(y(above[index] ?? 0))}`);
    const bottom = samples.map(({ at }, index) => `${round(x(at))},${round(y(below[index] ?? 0))}`).toReversed();
    below = above;
    return `<polygon points="${[...top, ...bottom].join(' ')}" fill="${color}" fill-opacity="0.9"/>`;
  });
}

function curve(samples: readonly Sample[], of: (sample: Sample) => number, x: (at: number) => number, y: (count: number) => number): string {
  const points = samples.map((sample) => `${round(x(sample.at))},${round(y(of(sample)))}`);
  return `<polyline points="${points.join(' ')}" fill="none" stroke="#26323f" stroke-width="1.2" stroke-dasharray="4 2"/>`;
}

function axis(hosts: number, y: (count: number) => number): string[] {
  return [0, 25, 50, 75, 100].map((percent) => {
    const at = y((hosts * percent) / 100);
    return `<line x1="${LEFT - 4}" x2="${LEFT}" y1="${round(at)}" y2="${round(at)}" stroke="#68778a"/>${text(LEFT - 8, at + 4, `${percent} %`, 'text-anchor="end"')}`;
  });
}

function mark({ at, sequence, isBad, isHotfix }: RevisionStory, x: (at: number) => number): string[] {
  const color = isBad ? '#d64545' : isHotfix ? '#1c62c4' : '#26323f';
  const lift = (sequence % 2) * 11;
  return [
    `<line x1="${round(x(at))}" x2="${round(x(at))}" y1="${TOP - 4}" y2="${TOP + FLEET_HEIGHT}" stroke="${color}" stroke-opacity="${isBad || isHotfix ? 0.9 : 0.35}"/>`,
    text(
      x(at),
      TOP - 7 - lift,
      `${sequence}`,
      `text-anchor="middle" font-size="10" fill="${color}"${isBad || isHotfix ? ' font-weight="bold"' : ''}`,
    ),
  ];
}

function legend(): string[] {
  const entries = LAYERS.map(({ color, label }) => [`<rect width="12" height="12" y="-10" fill="${color}"/>`, label] as const);
  const online = '<line x1="0" x2="14" y1="-4" y2="-4" stroke="#26323f" stroke-dasharray="4 2"/>';
  let at = LEFT;
  return [...entries, [online, 'online'] as const].map(([symbol, label]) => {
    const drawn = `<g transform="translate(${at} ${TOP + FLEET_HEIGHT + 36})">${symbol}${text(18, 0, label)}</g>`;
    at += 40 + label.length * 6.4;
    return drawn;
  });
}

/** What the newest rollout did, and at which ring it was. */
function strip(samples: readonly Sample[], x: (at: number) => number, count: number): string[] {
  const boxes = samples.flatMap(({ at, state }, index) => {
    const end = samples[index + 1]?.at ?? START + count * DAY;
    const color = state && STATE_COLORS[state];
    if (color === undefined) return [];
    return [`<rect x="${round(x(at))}" y="${STRIP_TOP}" width="${round(x(end) - x(at) + 0.3)}" height="${STRIP_HEIGHT}" fill="${color}"/>`];
  });
  let at = LEFT;
  const names = [
    ['ROLLING', 'rolling out'],
    ['SOAKING', 'soaking'],
    ['PAUSED', 'paused'],
    ['COMPLETE', 'complete'],
  ] as const;
  const explained = names.map(([state, label]) => {
    const drawn = `<g transform="translate(${at} ${STRIP_TOP + STRIP_HEIGHT + 18})"><rect width="12" height="12" y="-10" fill="${STATE_COLORS[state]}"/>${text(18, 0, label)}</g>`;
    at += 46 + label.length * 6.4;
    return drawn;
  });
  return [text(LEFT - 8, STRIP_TOP + 17, 'rollout', 'text-anchor="end"'), ...boxes, ...explained];
}

function table(stories: readonly RevisionStory[]): string[] {
  const columns = [LEFT, LEFT + 40, LEFT + 190, LEFT + 300, LEFT + 400, LEFT + 520, LEFT + 640, LEFT + 720, LEFT + 800, LEFT + 880];
  const row = (cells: readonly string[], y: number, more = ''): string =>
    cells.map((cell, index) => text(columns[index] ?? LEFT, y, cell, more)).join('');
  const head = ['no.', 'pushed', 'what', 'changes', 'began with it', 'run it', '50 %', '90 %', '99 %', 'its rollout was, when the next one came'];
  return [
    row(head, TABLE_TOP, 'font-weight="bold"'),
    ...stories.map((story, index) => {
      const pushed = new Date(story.at).toLocaleString('en-GB', {
        weekday: 'short',
        day: 'numeric',
        hour: '2-digit',
        minute: '2-digit',
        timeZone: 'UTC',
      });
      const kind = story.isBad ? 'BAD' : story.isHotfix ? 'urgent fix' : 'good';
      const times = [50, 90, 99].map((percent) => describeMs(timeTo(story, percent)));
      const cells = [
        `${story.sequence}`,
        pushed,
        kind,
        `${story.changed.size}`,
        `${story.tried.size}`,
        `${story.arrived.size}`,
        ...times,
        story.end ?? '',
      ];
      const color = story.isBad ? 'fill="#d64545"' : story.isHotfix ? 'fill="#1c62c4"' : '';
      return row(cells, TABLE_TOP + (index + 1) * ROW_HEIGHT, color);
    }),
  ];
}
