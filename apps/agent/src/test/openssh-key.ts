import { createPrivateKey, createPublicKey } from 'node:crypto';

/** An Ed25519 key without a passphrase, as ssh-keygen writes it. */
export function openSshKey(seed: Buffer): string {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const publicKey = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
    .export({ type: 'spki', format: 'der' })
    .subarray(-32);
  const field = (content: Uint8Array | string): Buffer => {
    const bytes = Buffer.from(content as string);
    return Buffer.concat([number(bytes.length), bytes]);
  };
  const check = number(0x01020304);
  const parts = [check, check, field('ssh-ed25519'), field(publicKey), field(Buffer.concat([seed, publicKey])), field('a comment')];
  const secret = Buffer.concat(parts);
  // Filled up to blocks of 8 with 1, 2, 3, …
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const all = [
    Buffer.from('openssh-key-v1\0'),
    field('none'),
    field('none'),
    field(''),
    number(1),
    field(Buffer.concat([field('ssh-ed25519'), field(publicKey)])),
    field(Buffer.concat([secret, padding])),
  ];
  return armoured(Buffer.concat(all));
}

/** These bytes as a file of OpenSSH. */
export function armoured(bytes: Buffer): string {
  const kind = ['OPENSSH', 'PRIVATE', 'KEY'].join(' ');
  const lines = bytes.toString('base64').match(/.{1,70}/g) ?? [];
  return [`-----BEGIN ${kind}-----`, ...lines, `-----END ${kind}-----`, ''].join('\n');
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
