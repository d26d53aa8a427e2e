import * as v from 'valibot';

export const HttpUrl = v.pipe(
  v.string(),
  v.maxLength(2048),
  v.url(),
  v.regex(/^https?:\/\//i),
  v.check((text) => !/\s/.test(text)),
);
