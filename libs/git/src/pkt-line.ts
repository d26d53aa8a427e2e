/** One item of the stream: a line's bytes, a flush or another marker, or the end. */
export type Packet = Buffer | 'flush' | 'end';

/** The stream does not consist of pkt-lines, or ends within one. */
export class PacketError extends Error {
  /** True when the stream ended too early; false when it is not git's protocol. */
  readonly isCutShort: boolean;
  constructor(message: string, isCutShort: boolean) {
    super(message);
    this.isCutShort = isCutShort;
  }
}

/** Encodes a line: its length in four hex digits, then its bytes (git: gitprotocol-common). */
export function encodePacket(text: string): string {
  return `${(4 + Buffer.byteLength(text)).toString(16).padStart(4, '0')}${text}`;
}

/** A packet as it was read, to forward it. */
export function frame(packet: Exclude<Packet, 'end'>): Buffer {
  if (packet === 'flush') return Buffer.from('0000');
  return Buffer.concat([Buffer.from((4 + packet.length).toString(16).padStart(4, '0')), packet]);
}

/** Reads pkt-lines from a stream. Holds one line (64 KiB) and one chunk, however long the stream is. */
export class PacketReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#chunks = body[Symbol.asyncIterator]();
  }

  async next(): Promise<Packet> {
    if (!(await this.#fill(4))) {
      if (this.#rest.length === 0) return 'end';
      throw new PacketError('the answer ends within a length', true);
    }
    const digits = this.#rest.toString('latin1', 0, 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new PacketError('the answer does not consist of pkt-lines', false);
    const length = Number.parseInt(digits, 16);
    if (length < 4) {
      // 0001 and 0002 belong to protocol 2, which is not requested.
      if (length !== 0) throw new PacketError(`a pkt-line of length ${digits}`, false);
      this.#rest = this.#rest.subarray(4);
      return 'flush';
    }
    if (!(await this.#fill(length))) throw new PacketError('the answer ends within a line', true);
    const packet = this.#rest.subarray(4, length);
    this.#rest = this.#rest.subarray(length);
    return packet;
  }

  /** What follows the packets that were read, as it is. */
  async *rest(): AsyncGenerator<Uint8Array, void> {
    if (this.#rest.length > 0) yield this.#rest;
    for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next()) yield next.value;
  }

  async #fill(length: number): Promise<boolean> {
    while (this.#rest.length < length) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return false;
      this.#rest = this.#rest.length === 0 ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.concat([this.#rest, value]);
    }
    return true;
  }
}
