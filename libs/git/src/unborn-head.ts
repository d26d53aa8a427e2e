import type { HttpClient } from 'isomorphic-git';

/** A pkt-line that names `head` as the server's HEAD (git: Documentation/gitprotocol-common). */
function headLine(head: string): string {
  const text = `${head} HEAD\n`;
  return `${(4 + text.length).toString(16).padStart(4, '0')}${text}`;
}

const FLUSH = '0000';

/**
 * A client for which the server's HEAD is `head` when it names none. isomorphic-git 1.44 throws away a whole fetch when
 * the server's HEAD is missing, which it is as long as it points to a branch that does not exist.
 */
export function withHead(http: HttpClient, head: string): HttpClient {
  return {
    async request(request) {
      const response = await http.request(request);
      if (!request.url.includes('/info/refs?') || response.body === undefined) return response;
      const chunks: Uint8Array[] = [];
      for await (const chunk of response.body) chunks.push(chunk);
      const listing = Buffer.concat(chunks).toString('latin1');
      const names = / HEAD[\0\n]/.test(listing) || !listing.endsWith(FLUSH);
      const named = names ? listing : `${listing.slice(0, -FLUSH.length)}${headLine(head)}${FLUSH}`;
      return { ...response, body: [Buffer.from(named, 'latin1')] as unknown as AsyncIterableIterator<Uint8Array> };
    },
  };
}
