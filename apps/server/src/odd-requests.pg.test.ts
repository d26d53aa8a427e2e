import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { askOddly, faultOf, oddRequest } from './test/odd-requests.ts';
import { startTestServer, TOPLEVEL, type TestServer } from './test/test-server.ts';

// Bytes that are no HTTP at all are the sockets' tests. Whatever is asked, and whatever else is asked meanwhile, the answer
// is the server's own word on it, soon, and never "I failed".

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await server.enrol('ada', TOPLEVEL);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

test('whatever is asked is answered, never with a failure of the server, and never with what is secret', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(oddRequest, { minLength: 1, maxLength: 12 }), async (requests) => {
      const answers = await Promise.all(requests.map(async (odd) => faultOf(odd, await askOddly(server.port, server.token, odd))));
      expect(answers).toEqual(requests.map(() => undefined));
    }),
    { numRuns: Math.max(80, (fc.readConfigureGlobal().numRuns ?? 0) / 5) },
  );
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(server.lines.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
