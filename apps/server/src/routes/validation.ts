import type { Context } from 'hono';
import { refuse } from '../http-error.ts';

/** For `sValidator`: a request of the wrong form is answered 400, with every problem named. */
export function orRefuse(
  result: { readonly success: boolean; readonly error?: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] },
  c: Context,
) {
  if (result.success) return undefined;
  const problems = (result.error ?? []).map((issue) => {
    const path = (issue.path ?? []).map((part) => String(typeof part === 'object' && part !== null && 'key' in part ? part.key : part)).join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  return refuse(c, 400, 'REQUEST_INVALID', problems.join('; '));
}
