/**
 * Writes members to a tar, bytes verbatim and nothing of the machine in it: mode 0644, uid and gid 0, mtime 0 unless
 * given. The same members give the same archive, byte for byte.
 *
 * A header is plain ustar where name and size fit; a name that is long or not ASCII, and a size from 8 GiB, go into a
 * pax header before it, as Python's tarfile writes them. The archive ends in two zero blocks, padded to 10,240 bytes.
 */
import { OutputError } from '../errors.ts';
import type { Sink } from '../io/bytes.ts';
import { BLOCK, encodeName, FIELD, padding, RECORD, USTAR_SIZE_LIMIT } from './format.ts';
import { isSafeMemberName } from './names.ts';

export interface MemberOptions {
  /** Whole seconds since the epoch, default 0. */
  mtime?: number;
}

/** What is collected before the sink is written to: headers are small and a write is not. */
const BUFFER = 1024 * 1024;

export class TarWriter {
  /** Bytes of the archive so far, without its end. */
  size = 0;
  readonly #sink: Sink;
  #buffer = new Uint8Array(BUFFER);
  #used = 0;
  /** The other buffer, which the sink may still be writing. */
  #spare: Uint8Array<ArrayBuffer> | undefined;
  #pending: Promise<void> | undefined;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /**
   * The bytes are copied: they are the caller's again when this resolves. Throws `OutputError` for a name that
   * `isSafeMemberName` refuses, and where the sink failed at this or an earlier member.
   */
  async add(name: string, bytes: Uint8Array, options: MemberOptions = {}): Promise<void> {
    if (!isSafeMemberName(name)) {
      throw new OutputError('a member name that is not safe to unpack is not written', { member: name });
    }
    const end = padding(bytes.length);
    await this.#write(memberHeader(name, bytes.length, options));
    await this.#write(bytes);
    if (end > 0) await this.#write(ZEROS.subarray(0, end));
  }

  /** Writes the end of the archive. Committing the sink is the caller's. */
  async finish(): Promise<void> {
    const used = (this.size + 2 * BLOCK) % RECORD;
    await this.#write(new Uint8Array(2 * BLOCK + (used === 0 ? 0 : RECORD - used)));
    await this.#flush();
    await this.#pending;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.size += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      if (this.#used === BUFFER) await this.#flush();
      const piece = bytes.subarray(at, at + BUFFER - this.#used);
      this.#buffer.set(piece, this.#used);
      this.#used += piece.length;
      at += piece.length;
    }
  }

  /** Hands the buffer to the sink, which writes it while the other one fills. */
  async #flush(): Promise<void> {
    await this.#pending;
    const full = this.#buffer.subarray(0, this.#used);
    this.#buffer = this.#spare ?? new Uint8Array(BUFFER);
    this.#spare = new Uint8Array(full.buffer);
    this.#used = 0;
    this.#pending = full.length > 0 ? this.#sink.write(full) : undefined;
    // A failure is thrown by whoever waits next; until then nobody does.
    this.#pending?.catch(() => undefined);
  }
}

const ZEROS = new Uint8Array(BLOCK);

/** How many bytes a member takes in an archive, header and padding included. */
export function memberLength(name: string, size: number): number {
  const isPlain = size < USTAR_SIZE_LIMIT && splitName(name) !== undefined;
  return (isPlain ? BLOCK : memberHeader(name, size).length) + size + padding(size);
}

/** The header blocks of a regular file: one, or three and more with pax. */
export function memberHeader(name: string, size: number, options: MemberOptions = {}): Uint8Array {
  const mtime = Math.max(0, Math.floor(options.mtime ?? 0));
  const split = splitName(name);
  if (split !== undefined && size < USTAR_SIZE_LIMIT) return block(split, '0', size, mtime);
  const records: [string, Uint8Array][] = [];
  // tarfile's convention for a name that is no UTF-8.
  if (split === undefined && !name.isWellFormed()) records.push(['hdrcharset', encodeName('BINARY')]);
  if (split === undefined) records.push(['path', encodeName(name)]);
  if (size >= USTAR_SIZE_LIMIT) records.push(['size', encodeName(String(size))]);
  const fallback = { prefix: '', name: asciiName(name).slice(0, FIELD.name[1]) };
  const own = block(split ?? fallback, '0', size < USTAR_SIZE_LIMIT ? size : 0, mtime);
  const pax = paxRecords(records);
  const whole = new Uint8Array(BLOCK + pax.length + padding(pax.length) + BLOCK);
  whole.set(block({ prefix: '', name: '././@PaxHeader' }, 'x', pax.length, 0));
  whole.set(pax, BLOCK);
  whole.set(own, whole.length - BLOCK);
  return whole;
}

/** ustar's two name fields, where the name is ASCII and can be split at a slash to fit; else `undefined`. */
function splitName(name: string): { prefix: string; name: string } | undefined {
  if (!/^[\0-\x7f]*$/.test(name)) return undefined;
  const nameLimit = FIELD.name[1] - FIELD.name[0];
  const prefixLimit = FIELD.prefix[1] - FIELD.prefix[0];
  if (name.length <= nameLimit) return { prefix: '', name };
  const slash = name.indexOf('/', name.length - nameLimit - 1);
  if (slash < 1 || slash > prefixLimit || slash === name.length - 1) return undefined;
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

function block(
  path: { prefix: string; name: string },
  flag: string,
  size: number,
  mtime: number,
): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const put = (field: readonly [number, number], text: string): void => {
    for (let i = 0; i < text.length; i += 1) bytes[field[0] + i] = text.charCodeAt(i);
  };
  put(FIELD.name, path.name);
  put(FIELD.mode, octal(0o644, FIELD.mode));
  put(FIELD.uid, octal(0, FIELD.uid));
  put(FIELD.gid, octal(0, FIELD.gid));
  put(FIELD.size, octal(size, FIELD.size));
  put(FIELD.mtime, octal(Math.min(mtime, 8 ** 11 - 1), FIELD.mtime));
  put(FIELD.checksum, ' '.repeat(8));
  put(FIELD.type, flag);
  put(FIELD.magic, 'ustar');
  put(FIELD.version, '00');
  put(FIELD.prefix, path.prefix);
  let sum = 0;
  for (let i = 0; i < BLOCK; i += 1) sum += bytes[i];
  put(FIELD.checksum, `${sum.toString(8).padStart(6, '0')}\0 `);
  return bytes;
}

/** Digits to fill the field but for its closing NUL. */
function octal(value: number, [start, end]: readonly [number, number]): string {
  return value.toString(8).padStart(end - start - 1, '0');
}

function paxRecords(records: [string, Uint8Array][]): Uint8Array {
  const pieces = records.map(([key, value]) => {
    // The length counts its own digits, which may add one.
    const rest = key.length + value.length + 3;
    let length = rest + String(rest).length;
    if (String(length).length > String(rest).length) length = rest + String(length).length;
    const record = new Uint8Array(length);
    const head = encodeName(`${length} ${key}=`);
    record.set(head);
    record.set(value, head.length);
    record[length - 1] = 0x0a;
    return record;
  });
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function asciiName(name: string): string {
  return name.replace(/[^\x20-\x7e]/gu, '?');
}
