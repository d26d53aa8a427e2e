import { createHmac } from 'node:crypto';
import { FloeError, Secret, type SecretSource } from '@floe/runtime';
import { startHttpReceiver, startSmtpReceiver, type HttpReceiver, type SmtpReceiver } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTransport } from 'nodemailer';
import { emailOf } from './email.ts';
import { prepare, type Message } from './message.ts';
import { send } from './send.ts';
import type { TargetAddress } from './target.ts';
import { signWebhook } from './webhook.ts';

const NOW = 1_790_000_000_000;
const SECRET = 'a-secret-that-nobody-else-has';
const MESSAGE: Message = {
  id: 'rollout-paused:1:2',
  kind: 'rollout-paused',
  at: NOW,
  title: 'The rollout of 3f9c2ab1d0 is paused',
  lines: ['Fix the web server', '1 host failed: ada (the check web did not pass)'],
  url: 'https://floe.example.org/#/revisions/3f9c2ab1d0',
  commit: '3f9c2ab1d0e4c5b6a7988b9cadbecfd0e1f20314',
  events: ['rollout-paused:1:2'],
};

let http: HttpReceiver;
let smtp: SmtpReceiver;
beforeAll(async () => {
  http = await startHttpReceiver();
  smtp = await startSmtpReceiver();
});
afterAll(async () => {
  await http[Symbol.asyncDispose]();
  await smtp[Symbol.asyncDispose]();
});
beforeEach(() => {
  http.received.length = 0;
  smtp.received.length = 0;
  smtp.logins.length = 0;
  http.answer = (response) => void response.end();
});

function secretOf(text: string): SecretSource {
  return { setting: 'FLOE_NOTIFY_FILE', read: async () => await Promise.resolve(new Secret(text)) };
}
const webhook = (): TargetAddress => ({ kind: 'webhook', url: `${http.url}/hook?token=in-the-url`, secret: secretOf(SECRET) });
const slack = (): TargetAddress => ({ kind: 'slack', url: secretOf(`${http.url}/services/${SECRET}`) });
const matrix = (): TargetAddress => ({ kind: 'matrix', homeserver: http.url, room: '!ops:example.org', token: secretOf(SECRET) });
const email = (more: Partial<Extract<TargetAddress, { kind: 'email' }>> = {}): TargetAddress => ({
  kind: 'email',
  host: '127.0.0.1',
  port: smtp.port,
  security: 'none',
  from: 'Floe <floe@example.org>',
  to: ['ops@example.org', 'ada@example.org'],
  login: undefined,
  ...more,
});
const OVER_HTTP = [
  ['webhook', webhook],
  ['slack', slack],
  ['matrix', matrix],
] as const;

async function sent(target: TargetAddress, message: Message = MESSAGE, signal = new AbortController().signal) {
  return await send(target, message, { now: NOW, signal });
}

/** Texts as somebody writes them who wants more than to be read. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '<!channel>',
          '@channel',
          '@here',
          '@room',
          '@all',
          '<@U123>',
          '<https://evil.example|here>',
          '[here](https://evil.example)',
          '```',
          '`',
          '*',
          '_',
          '~',
          '&lt;',
          '&',
          '<script>alert(1)</script>',
          '</code></pre>',
          '"><img src=x>',
          '\r\n',
          '\n',
          '\r',
          '\0',
          '\u202e',
          '\u001b[31m',
          'Bcc: evil@example.org',
          '\r\nBcc: evil@example.org\r\n',
          '\n.\n',
          '\r\n.\r\nMAIL FROM:<evil@example.org>\r\n',
          '=?utf-8?B?QmNj?=',
          '\ud800',
          '😀',
          'ü',
        ),
        fc.string({ unit: 'grapheme', maxLength: 8 }),
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join('')),
);
const hostileMessage = fc.record({ title: hostile, lines: fc.array(hostile, { maxLength: 4 }) }).map((texts): Message => ({ ...MESSAGE, ...texts }));

describe('a webhook', () => {
  test('is JSON that its signature covers, with the time', async () => {
    expect(await sent(webhook())).toEqual({ kind: 'sent', answer: 'HTTP 200' });
    const [{ method, headers, body, path } = expect.fail()] = http.received;
    expect([method, path]).toEqual(['POST', '/hook?token=in-the-url']);
    expect(JSON.parse(body)).toMatchObject({
      id: MESSAGE.id,
      kind: 'rollout-paused',
      title: MESSAGE.title,
      text: MESSAGE.lines.join('\n'),
      host: null,
    });
    // As docs/notifications.md says.
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
    expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', SECRET).update(signed).digest('base64')}`);
    expect(headers['webhook-timestamp']).toBe(`${NOW / 1000}`);
  });

  test('has the published example signature of the specification', () => {
    // The example of its first library: a secret with the prefix is base64.
    const facts = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1_614_265_330, body: '{"test": 2432232314}' };
    expect(signWebhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', facts)).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  test('carries any text, without what steers a terminal', async () => {
    await fc.assert(
      fc.asyncProperty(hostileMessage, async (message) => {
        http.received.length = 0;
        expect((await sent(webhook(), message)).kind).toBe('sent');
        const { text, title } = JSON.parse(http.received[0]?.body ?? '') as { text: string; title: string };
        expect([text.replaceAll('\n', ''), title].join('')).not.toMatch(/[\p{Cc}\u202e]/u);
      }),
      { numRuns: 40 },
    );
  });
});

test('Slack gets no mention, no link and no markup out of any text', async () => {
  await fc.assert(
    fc.asyncProperty(hostileMessage, async (message) => {
      http.received.length = 0;
      expect((await sent(slack(), message)).kind).toBe('sent');
      const { text, link_names } = JSON.parse(http.received[0]?.body ?? '') as { text: string; link_names: boolean };
      expect(link_names).toBe(false);
      // The only thing in angle brackets is our own link, at the end.
      expect(text.endsWith(`\n<${MESSAGE.url}>`)).toBe(true);
      const own = text.slice(0, -(MESSAGE.url.length + 2));
      expect(own).not.toMatch(/[<>]/);
      expect(own).not.toMatch(/@[\w.-]/);
      // Untrusted lines stay inside of one block of code.
      const fences = own.split('```').length - 1;
      expect([0, 2]).toContain(fences);
      expect(own.split('```')[1] ?? '').not.toContain('`');
      if (fences === 2) expect(own.endsWith('\n```\n')).toBe(true);
    }),
    { numRuns: 100 },
  );
});

test('a room of Matrix gets no mention and no markup out of any text, and each message once', async () => {
  await fc.assert(
    fc.asyncProperty(hostileMessage, async (message) => {
      http.received.length = 0;
      expect((await sent(matrix(), message)).kind).toBe('sent');
      const [{ method, path, headers, body } = expect.fail()] = http.received;
      expect([method, headers.authorization]).toEqual(['PUT', `Bearer ${SECRET}`]);
      expect(path).toMatch(/^\/_matrix\/client\/v3\/rooms\/!ops%3Aexample\.org\/send\/m\.room\.message\/[0-9a-f]{64}$/);
      const content = JSON.parse(body) as { body: string; formatted_body: string; msgtype: string; 'm.mentions': unknown };
      expect(content).toMatchObject({ msgtype: 'm.notice', 'm.mentions': {} });
      expect(content.body).not.toMatch(/@[\w.-]/);
      const tags = content.formatted_body.match(/<[^>]*>/g) ?? [];
      for (const tag of tags)
        expect(['<strong>', '</strong>', '<pre>', '<code>', '</code>', '</pre>', '<p>', `<a href="${MESSAGE.url}">`, '</a>', '</p>']).toContain(tag);
    }),
    { numRuns: 100 },
  );
  await sent(matrix());
  await sent(matrix());
  await sent(matrix(), { ...MESSAGE, id: 'another' });
  const transactions = http.received.slice(-3).map(({ path }) => path.split('/').at(-1));
  expect(transactions[0]).toBe(transactions[1]);
  expect(transactions[2]).not.toBe(transactions[0]);
});

describe('e-mail', () => {
  test('goes to all, and is recognised when it is repeated', async () => {
    expect((await sent(email())).kind).toBe('sent');
    await sent(email());
    const [first = expect.fail(), second = expect.fail()] = smtp.received;
    expect(first).toMatchObject({ from: 'floe@example.org', to: ['ops@example.org', 'ada@example.org'] });
    expect(first.raw).toContain('Subject: [floe] The rollout of 3f9c2ab1d0 is paused');
    expect(first.raw).toContain('Auto-Submitted: auto-generated');
    expect(first.raw).toContain('the check web did not pass');
    const id = (raw: string) => /^Message-ID: (\S+)/im.exec(raw)?.[1];
    expect(id(first.raw)).toMatch(/^<[0-9a-f]{32}@example\.org>$/);
    expect(id(first.raw)).toBe(id(second.raw));
  });

  function expectHeaders(raw: string): void {
    const allowed = /^(From|To|Subject|Message-ID|Auto-Submitted|Date|MIME-Version|Content-Type|Content-Transfer-Encoding):/i;
    const headers = raw.slice(0, raw.indexOf('\r\n\r\n')).split(/\r\n(?![ \t])/);
    for (const header of headers) expect(header).toMatch(allowed);
    expect(new Set(headers.map((header) => header.split(':')[0]?.toLowerCase())).size).toBe(headers.length);
  }

  test('has no header out of any text', async () => {
    const composer = createTransport({ streamTransport: true, buffer: true });
    await fc.assert(
      fc.asyncProperty(hostileMessage, async (message) => {
        const from = 'floe@example.org';
        const composed = await composer.sendMail({ ...emailOf(prepare(message), from), from, to: ['ops@example.org'] });
        expectHeaders((composed.message as Buffer).toString('utf8').replaceAll(/\r?\n/g, '\r\n'));
      }),
      { numRuns: 100 },
    );
  });

  test('has no recipient and no second message out of any text', async () => {
    await fc.assert(
      fc.asyncProperty(hostileMessage, async (message) => {
        smtp.received.length = 0;
        expect((await sent(email(), message)).kind).toBe('sent');
        expect(smtp.received).toHaveLength(1);
        const [{ raw, to, from } = expect.fail()] = smtp.received;
        expect([from, to]).toEqual(['floe@example.org', ['ops@example.org', 'ada@example.org']]);
        expectHeaders(raw);
      }),
      { numRuns: 6 },
    );
  });

  test('sends a password only over TLS, and to nobody whose certificate is not trusted', async () => {
    const login = { user: 'floe', password: secretOf(SECRET) };
    // It offers no STARTTLS, as somebody in between would have it look.
    expect(await sent(email({ security: 'starttls', login }))).toMatchObject({ kind: 'failed' });
    await using tls = await startSmtpReceiver({ disabledCommands: [] });
    expect(await sent(email({ security: 'starttls', port: tls.port, login }))).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/certificate/i) as string,
    });
    expect([...smtp.logins, ...tls.logins, ...smtp.received, ...tls.received]).toEqual([]);
    // Where the administrator wants it in clear, it is.
    expect((await sent(email({ login }))).kind).toBe('sent');
    expect(smtp.logins).toEqual([`floe:${SECRET}`]);
  });

  test('that a server refuses says why', async () => {
    await using full = await startSmtpReceiver({ onRcptTo: (_address, _session, done) => done(new Error('the mailbox is full')) });
    expect(await sent(email({ port: full.port }))).toEqual({ kind: 'failed', reason: expect.stringContaining('the mailbox is full') as string });
  });
});

describe.each(OVER_HTTP)('a target of the kind %s', (_kind, target) => {
  test.each([301, 302, 303, 307, 308])('that redirects with %i fails, and nothing goes elsewhere', async (status) => {
    await using elsewhere = await startHttpReceiver();
    http.answer = (response) => void response.writeHead(status, { location: `${elsewhere.url}/` }).end();
    expect(await sent(target())).toMatchObject({ kind: 'failed', reason: expect.stringContaining('redirect') as string });
    expect(elsewhere.received).toEqual([]);
  });

  test('that fails says so, with the beginning of its answer', async () => {
    http.answer = (response) => void response.writeHead(500).end('the disk is full');
    expect(await sent(target())).toEqual({ kind: 'failed', reason: 'answered HTTP 500: the disk is full' });
  });

  test('that wants to be left alone is, for an hour at most', async () => {
    http.answer = (response) => void response.writeHead(429, { 'retry-after': '30' }).end();
    expect(await sent(target())).toMatchObject({ kind: 'failed', afterMs: 30_000 });
    http.answer = (response) => void response.writeHead(429, { 'retry-after': '999999' }).end();
    expect(await sent(target())).toMatchObject({ kind: 'failed', afterMs: 3_600_000 });
  });

  test('that repeats a secret does not show it', async () => {
    http.answer = (response, { path, headers }) =>
      void response.writeHead(400).end(`you sent ${http.url}${path} ${String(headers.authorization)} ${SECRET}`);
    const outcome = await sent(target());
    expect(JSON.stringify(outcome)).not.toContain(`${http.url}/services/${SECRET}`);
    if (_kind !== 'slack') expect(JSON.stringify(outcome)).not.toContain(SECRET);
  });

  test('that answers without end is not listened to', async () => {
    http.answer = (response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
        if (!response.destroyed) response.once('drain', more);
      };
      response.writeHead(200);
      more();
    };
    const outcome = await sent(target());
    expect(outcome.kind).toBe('sent');
    expect(JSON.stringify(outcome).length).toBeLessThan(1_000);
  });

  test('that hangs up, or does not answer until we stop, has failed', async () => {
    http.answer = (response) => void response.destroy();
    expect(await sent(target())).toMatchObject({ kind: 'failed', reason: expect.stringContaining('could not be reached') as string });
    const stopping = new AbortController();
    http.answer = () => stopping.abort();
    expect(await sent(target(), MESSAGE, stopping.signal)).toEqual({ kind: 'failed', reason: 'did not answer in time' });
  });
});

test('a secret that cannot be read is a failure that names its setting', async () => {
  const secret = {
    setting: 'the secret of ops',
    read: async () => await Promise.reject(new FloeError('SECRET_UNREADABLE', 'the secret of ops: the file is empty', { retryable: true })),
  };
  expect(await sent({ kind: 'webhook', url: http.url, secret })).toEqual({ kind: 'failed', reason: 'the secret of ops: the file is empty' });
  expect(http.received).toEqual([]);
});

test('a mail server that does not answer until we stop has failed', async () => {
  const stopping = new AbortController();
  await using silent = await startSmtpReceiver({ onConnect: () => stopping.abort() });
  expect(await sent(email({ port: silent.port }), MESSAGE, stopping.signal)).toEqual({ kind: 'failed', reason: 'did not answer in time' });
});
