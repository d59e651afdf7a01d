/**
 * Members of a tar as they come by.
 *
 * Contract
 * - Input: any stream of chunks, split anywhere. Gzip is unpacked before (`io/gunzip.ts`).
 * - Memory: one chunk of the source, one extended header (at most 1 MiB), and the one member that the caller asks the
 *   bytes of, up to the cap it names. A member that is not read is skipped without copying. With a pool, members are
 *   not copied either: the chunks that `inUseFrom` says are in use are held.
 * - Formats: V7, ustar, pax (`x`, `g`; path, linkpath, size, mtime), GNU (long names `L`, `K`; base-256 numbers).
 * - GNU sparse files are yielded with type `sparse` and their raw data: they are not put together.
 * - End: a zero block, or the stream's end behind a whole member, as in Python's tarfile; what follows is ignored.
 *   One zero block alone and then another member is `corrupt`: tarfile would drop the rest without a word.
 * - Errors are `ShardError`: `empty` (no bytes), `not_a_tar` (the first block is no header), `truncated` (the stream
 *   ends inside a header, data or padding), `corrupt` (a later block is no header, or an extended one is broken).
 *   tarfile takes a bad header past the first for the end; here nothing ends silently.
 */
import { SampleError, ShardError, type ShardProblem } from '../errors.ts';
import type { ChunkPool } from '../io/pool.ts';
import { ByteReader } from '../io/reader.ts';
import {
  BLOCK,
  checksumHolds,
  decodeName,
  type Header,
  hasData,
  hasMagic,
  isZeroBlock,
  lookalike,
  MAX_EXTENDED_CHAIN,
  MAX_EXTENDED_HEADER,
  MAX_NAME,
  padding,
  quoteName,
  readHeader,
  SPARSE_MORE,
  type TarType,
} from './format.ts';
import { type Extension, parsePax } from './pax.ts';

export interface TarEntry {
  /** As in the archive, bytes that are no UTF-8 as lone surrogates (`format.ts`). Never a path to write to. */
  readonly name: string;
  readonly type: TarType;
  /** Bytes of data in the archive. */
  readonly size: number;
  /** Of the member's first header block, extended ones included but for global ones. */
  readonly offset: number;
  readonly dataOffset: number;
  /** Seconds since the epoch; 0 where the header has none that parses. */
  readonly mtime: number;
  readonly mode: number;
  readonly linkname: string;
  /**
   * The data, in a buffer of its own, or with a pool a part of the source's. To be asked for once, before the next entry. Throws `SampleError`
   * `member_too_large` where `size` is above `cap`, `ShardError` `truncated` where the stream ends first.
   */
  bytes(cap: number): Promise<Uint8Array>;
  /** With a pool, `bytes` where there is nothing to wait for; else `undefined`, and `bytes` is to be asked. */
  bytesNow(cap: number): Uint8Array | undefined;
}

export interface ReadTarOptions {
  /** For messages. */
  shard: string;
  signal?: AbortSignal;
  /** The stream's chunks come from here, and go back once the data in them is not in use; see `io/pool.ts`. */
  pool?: ChunkPool;
  /** Asked before each header: offset of the first byte that a caller still holds. To be given with `pool`. */
  inUseFrom?: () => number;
  /** Where in the archive the stream begins, before a member's header; default its start. */
  from?: TarPlace;
}

/** A place between members, from which an archive can be read without what lies before. */
export interface TarPlace {
  offset: number;
  /** Pax global headers in force there. */
  globals: Extension;
}

export async function* readTar(
  stream: AsyncIterable<Uint8Array>,
  options: ReadTarOptions,
): AsyncGenerator<TarEntry, void, undefined> {
  const members = openTar(stream, options);
  try {
    for (let entry = await members.next(); entry !== undefined; entry = await members.next()) yield entry;
  } finally {
    await members.close();
  }
}

/** As `readTar`, for who asks for one member after another, often without waiting. To be closed. */
export function openTar(stream: AsyncIterable<Uint8Array>, options: ReadTarOptions): TarMembers {
  const { shard, signal, pool, inUseFrom, from } = options;
  const reader = new ByteReader(stream, shard, signal, pool);
  reader.offset = from?.offset ?? 0;
  return new TarMembers(reader, shard, pool === undefined ? undefined : inUseFrom, from?.globals);
}

export class TarMembers {
  readonly #reader: ByteReader;
  readonly #shard: string;
  /** Of pax global headers, for every member after them; replaced and never changed. */
  #globals: Extension;
  /** Data and padding of the current member that nobody has read. */
  #unread = 0;

  readonly #inUseFrom: (() => number) | undefined;

  constructor(reader: ByteReader, shard: string, inUseFrom?: () => number, globals: Extension = {}) {
    this.#reader = reader;
    this.#shard = shard;
    this.#inUseFrom = inUseFrom;
    this.#globals = globals;
  }

  /** Pax global headers in force at the last member. */
  get globals(): Extension {
    return this.#globals;
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  /**
   * The next member where its header lies in the chunk at hand and is a plain one, as nearly all are; else
   * `undefined`, with nothing consumed, and `next` is to be asked. Waiting costs more than reading a header.
   */
  nextNow(): TarEntry | undefined {
    const block = this.#reader.peek(this.#unread, BLOCK);
    if (block === undefined || isZeroBlock(block) || !checksumHolds(block)) return undefined;
    const header = readHeader(block);
    if (!(header.size >= 0) || 'LKxXgS'.includes(header.flag)) return undefined;
    this.#reader.take(this.#unread + BLOCK);
    this.#unread = 0;
    if (this.#inUseFrom !== undefined) this.#reader.release(this.#inUseFrom());
    return this.#entryOf(header, this.#globals, this.#reader.offset - BLOCK);
  }

  async next(): Promise<TarEntry | undefined> {
    if (this.#inUseFrom !== undefined) this.#reader.release(this.#inUseFrom());
    await this.#skip(this.#unread);
    this.#unread = 0;
    // In the order met; the first one met has the last word, as tarfile applies them from the inside out.
    const extensions: Extension[] = [];
    let offset = this.#reader.offset;
    for (let chain = 0; chain <= MAX_EXTENDED_CHAIN; chain += 1) {
      const header = await this.#header(chain > 0);
      if (header === undefined) return undefined;
      if ('LKxXg'.includes(header.flag)) {
        const extension = await this.#extension(header);
        if (header.flag !== 'g') extensions.unshift(extension);
        else this.#globals = { ...this.#globals, ...extension };
        if (extensions.length === 0) offset = this.#reader.offset;
      } else {
        const extension =
          extensions.length === 0 ? this.#globals : Object.assign({}, this.#globals, ...extensions);
        return this.#entry(header, extension, offset);
      }
    }
    throw this.#error(
      'corrupt',
      `more than ${MAX_EXTENDED_CHAIN} extended headers before one member`,
      offset,
    );
  }

  async #entry(header: Header, extension: Extension, offset: number): Promise<TarEntry> {
    if (header.type === 'sparse') await this.#skipSparseMap(header);
    return this.#entryOf(header, extension, offset);
  }

  /** To be asked with the reader at the data. */
  #entryOf(header: Header, extension: Extension, offset: number): TarEntry {
    const isSparse = header.type === 'sparse' || (extension.sparse === true && header.type === 'file');
    const dataOffset = this.#reader.offset;
    const size = hasData(header.type) ? (extension.size ?? header.size) : 0;
    const said = extension.sparseName ?? extension.path ?? header.name;
    const name = header.type === 'directory' ? said.slice(0, withoutSlashes(said)) : said;
    this.#unread = size + padding(size);
    if (name.length > MAX_NAME)
      throw this.#error('corrupt', `a member name of ${name.length} characters`, offset);
    if (!Number.isSafeInteger(dataOffset + this.#unread)) {
      throw this.#error('corrupt', `member ${quoteName(name)} claims an impossible size`, offset);
    }
    return {
      name,
      type: isSparse ? 'sparse' : header.type,
      size,
      offset,
      dataOffset,
      mtime: finite(extension.mtime ?? header.mtime),
      mode: finite(header.mode),
      linkname: extension.linkpath ?? header.linkname,
      bytes: (cap) => this.#data(name, size, dataOffset, cap),
      bytesNow: (cap) => this.#dataNow(size, dataOffset, cap),
    };
  }

  #dataNow(size: number, dataOffset: number, cap: number): Uint8Array | undefined {
    if (this.#inUseFrom === undefined || size > cap || this.#reader.offset !== dataOffset) return undefined;
    const bytes = this.#reader.peek(0, size);
    if (bytes === undefined) return undefined;
    this.#reader.take(size);
    this.#unread -= size;
    return bytes;
  }

  async #data(name: string, size: number, dataOffset: number, cap: number): Promise<Uint8Array> {
    if (size > cap) {
      const details = { shard: this.#shard, offset: dataOffset };
      throw new SampleError(
        'member_too_large',
        `${quoteName(name)} has ${size} bytes, more than the cap of ${cap}`,
        details,
      );
    }
    if (this.#reader.offset !== dataOffset) throw new TypeError('a member is read once, before the next one');
    const isLent = this.#inUseFrom !== undefined;
    const bytes = await (isLent ? this.#reader.view(size) : this.#reader.read(size));
    this.#unread -= bytes.length;
    if (bytes.length < size) throw this.#cut(`inside the data of ${quoteName(name)}`);
    return bytes;
  }

  /** The next header, or `undefined` at the end. */
  async #header(inChain: boolean): Promise<Header | undefined> {
    const offset = this.#reader.offset;
    const block = await this.#reader.view(BLOCK);
    if (offset === 0 && block.length === 0) throw this.#error('empty', 'the file has no bytes', 0);
    if (offset === 0 && block.length < BLOCK) {
      throw this.#error(
        'not_a_tar',
        `the file has ${block.length} bytes, less than one tar block`,
        0,
        lookalike(block),
      );
    }
    if (block.length === 0 && !inChain) return undefined;
    if (block.length < BLOCK) throw this.#cut('inside a header');
    if (isZeroBlock(block)) {
      if (inChain) throw this.#error('corrupt', 'an extended header has no member behind it', offset);
      await this.#end(offset);
      return undefined;
    }
    if (!checksumHolds(block)) throw this.#badHeader(block, offset);
    const header = readHeader(block);
    if (!(header.size >= 0)) throw this.#error('corrupt', 'a header has no valid size', offset);
    return header;
  }

  /** Behind one zero block: a second one, the end, or garbage. Another member means that something was lost here. */
  async #end(offset: number): Promise<void> {
    const block = await this.#reader.read(BLOCK);
    if (block.length === BLOCK && !isZeroBlock(block) && hasMagic(block) && checksumHolds(block)) {
      throw this.#error('corrupt', 'a lone zero block between members', offset);
    }
  }

  async #extension(header: Header): Promise<Extension> {
    const offset = this.#reader.offset;
    if (header.size > MAX_EXTENDED_HEADER) {
      throw this.#error('corrupt', `an extended header of ${header.size} bytes`, offset);
    }
    // Like tarfile, the padding is looked at too: some writers count the closing NUL and some do not.
    const length = header.size + padding(header.size);
    const bytes = await this.#reader.read(length);
    if (bytes.length < length) throw this.#cut('inside an extended header');
    if (header.flag === 'L' || header.flag === 'K') {
      const nul = bytes.indexOf(0);
      const text = decodeName(nul < 0 ? bytes : bytes.subarray(0, nul));
      return header.flag === 'L' ? { path: text } : { linkpath: text };
    }
    try {
      const extension = parsePax(bytes);
      if (header.flag === 'g' && extension.size !== undefined)
        throw new RangeError('a global header sets a size');
      return extension;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw this.#error('corrupt', error.message, offset);
    }
  }

  /** The rest of an old GNU sparse map lies between header and data, one block at a time, each naming the next. */
  async #skipSparseMap(header: Header): Promise<void> {
    for (let more = header.sparseExtended; more; ) {
      const block = await this.#reader.read(BLOCK);
      if (block.length < BLOCK) throw this.#cut('inside a sparse map');
      more = block[SPARSE_MORE] !== 0;
    }
  }

  async #skip(length: number): Promise<void> {
    if (length > 0 && (await this.#reader.skip(length)) < length)
      throw this.#cut("inside a member's data or padding");
  }

  #badHeader(block: Uint8Array, offset: number): ShardError {
    if (offset === 0 && !hasMagic(block)) {
      return this.#error('not_a_tar', 'the file does not begin with a tar header', offset, lookalike(block));
    }
    return this.#error('corrupt', 'a header has a wrong checksum', offset);
  }

  #cut(where: string): ShardError {
    return this.#error('truncated', `the tar ends ${where}`, this.#reader.offset);
  }

  #error(problem: ShardProblem, message: string, offset: number, hint?: string): ShardError {
    return new ShardError(problem, message, { shard: this.#shard, offset, hint });
  }
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** Length of the name without the slashes that end it. */
function withoutSlashes(name: string): number {
  let end = name.length;
  while (name[end - 1] === '/') end -= 1;
  return end;
}
