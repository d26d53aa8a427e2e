import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hideSecrets } from './hide-secrets.ts';

test('a secret is not seen in any form in which an answer may repeat it', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 8, unit: 'grapheme-ascii' }), fc.string(), fc.string(), (secret, before, after) => {
      const login = `\0floe\0${secret}`;
      const forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), Buffer.from(login).toString('base64')];
      for (const form of forms) {
        const shown = hideSecrets(`${before}${form}${after}`, [secret, login]);
        // What stands beside it may be the secret's own letters, but not the form.
        expect(shown).not.toContain(form);
        expect(shown).toContain('[redacted]');
      }
    }),
  );
});
