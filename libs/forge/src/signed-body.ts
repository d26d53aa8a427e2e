import { Webhooks } from '@octokit/webhooks';
import type { Secret } from '@floe/runtime';

/** Whether these 64 hex digits are the HMAC-SHA256 of the body, compared in constant time. */
export async function isSignedBody(hex: string, body: string, secret: Secret): Promise<boolean> {
  return await new Webhooks({ secret: secret.reveal() }).verify(body, `sha256=${hex}`);
}
