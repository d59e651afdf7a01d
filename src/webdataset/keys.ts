/**
 * The keys that a shard has had, as 64-bit hashes: 16 to 32 bytes a key, where a set of strings takes some hundred
 * and ends in an untyped error at 2^24. Two different keys of a million fall together with a chance of 3·10⁻⁸; the
 * later sample would then be skipped as repeated.
 */
import { ShardError } from '../errors.ts';

/** Samples in one shard. Shards have ten thousand; this bounds the set at 256 MiB. */
export const MAX_SAMPLES = 2 ** 24;

export class SeenKeys {
  size = 0;
  /** Pairs of words; `0, 0` is an empty place. */
  #table = new Uint32Array(2 * 4096);

  /** As many keys as `encode` gave. Throws `RangeError` where the bytes are not that. */
  static decode(bytes: Uint8Array): SeenKeys {
    if (bytes.length % 8 !== 0) throw new RangeError(`${bytes.length} bytes are no list of keys`);
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const keys = new SeenKeys();
    for (let at = 0; at < bytes.length; at += 8) keys.#put(words.getUint32(at), words.getUint32(at + 4));
    return keys;
  }

  /** Eight bytes a key, the same for the same keys whatever their order, to go on in another process. */
  encode(): Uint8Array<ArrayBuffer> {
    const places: number[] = [];
    for (let i = 0; i < this.#table.length; i += 2) {
      if (this.#table[i] !== 0 || this.#table[i + 1] !== 0) places.push(i);
    }
    places.sort((a, b) => this.#table[a] - this.#table[b] || this.#table[a + 1] - this.#table[b + 1]);
    const bytes = new Uint8Array(8 * places.length);
    const words = new DataView(bytes.buffer);
    for (const [i, place] of places.entries()) {
      words.setUint32(8 * i, this.#table[place]);
      words.setUint32(8 * i + 4, this.#table[place + 1]);
    }
    return bytes;
  }

  /** Adds a key; false where it was there. */
  add(key: string): boolean {
    if (this.size >= MAX_SAMPLES)
      throw new ShardError('unreadable', `more than ${MAX_SAMPLES} samples in one shard`);
    const [low, high] = hash(key);
    return this.#put(low, high);
  }

  #put(low: number, high: number): boolean {
    const place = find(this.#table, low, high);
    if (this.#table[place] !== 0 || this.#table[place + 1] !== 0) return false;
    this.#table[place] = low;
    this.#table[place + 1] = high;
    this.size += 1;
    if (this.size * 4 > this.#table.length) this.#grow();
    return true;
  }

  #grow(): void {
    const old = this.#table;
    const table = new Uint32Array(old.length * 2);
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] === 0 && old[i + 1] === 0) continue;
      const place = find(table, old[i], old[i + 1]);
      table[place] = old[i];
      table[place + 1] = old[i + 1];
    }
    this.#table = table;
  }
}

function find(table: Uint32Array, low: number, high: number): number {
  const mask = table.length / 2 - 1;
  let slot = low & mask;
  while (table[slot * 2] !== low || table[slot * 2 + 1] !== high) {
    if (table[slot * 2] === 0 && table[slot * 2 + 1] === 0) break;
    slot = (slot + 1) & mask;
  }
  return slot * 2;
}

/** Two multiply-and-rotate hashes over the UTF-16 units, finished as in MurmurHash3 (public domain). */
function hash(key: string): [number, number] {
  let low = 0x9747b28c;
  let high = 0x3c6ef372;
  for (let i = 0; i < key.length; i += 1) {
    const unit = key.charCodeAt(i);
    low = Math.imul(low ^ unit, 0xcc9e2d51);
    low = (low << 13) | (low >>> 19);
    high = Math.imul(high ^ unit, 0x1b873593);
    high = ((high << 17) | (high >>> 15)) + low;
  }
  const first = finish(low ^ key.length);
  const second = finish(high ^ Math.imul(key.length, 0x85ebca6b));
  return first === 0 && second === 0 ? [1, 1] : [first, second];
}

function finish(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
