import { inflateSync } from 'fflate';
import { MetadataError } from '../errors.ts';

/**
 * The zip under `.npz` and torch's `.pt`: its directory, and one member at a time, by ranged reads. Stored and
 * deflated members, zip64 where a file needs it.
 */

/** What `Folder.open` gives. */
export interface RangedFile {
  size: number;
  slice(start: number, end: number): Promise<Uint8Array>;
}

/** A member, as the directory tells it. */
export interface ZipEntry {
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
}

const END_RECORD = 0x06054b50;
const END_RECORD_64_LOCATOR = 0x07064b50;
const END_RECORD_64 = 0x06064b50;
const CENTRAL_RECORD = 0x02014b50;
const LOCAL_RECORD = 0x04034b50;
/** An end record may be followed by a comment of up to 65,535 bytes. */
const END_SEARCH_BYTES = 22 + 0xffff;
/** These files hold a handful of arrays; a longer directory is not theirs. */
const MAX_DIRECTORY_BYTES = 1 << 20;
/** Two million rows of 1,024 float32: more than one metadata file holds, and what one buffer can. */
const MAX_MEMBER_BYTES = 2 ** 33;

/**
 * The members by name. Throws `MetadataError` where the file is no zip: `not ${kind}: …`.
 */
export async function readDirectory(
  file: RangedFile,
  name: string,
  kind = 'an npz',
): Promise<Map<string, ZipEntry>> {
  const fail = (what: string) => new MetadataError(`not ${kind}: ${what}`, { file: name });
  const tailStart = Math.max(0, file.size - END_SEARCH_BYTES);
  const tail = await file.slice(tailStart, file.size);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let end = tail.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== END_RECORD) end--;
  if (end < 0) throw fail('no zip directory at its end');
  let count = view.getUint16(end + 10, true);
  let size = view.getUint32(end + 12, true);
  let offset = view.getUint32(end + 16, true);
  if (end >= 20 && view.getUint32(end - 20, true) === END_RECORD_64_LOCATOR) {
    const at = Number(view.getBigUint64(end - 12, true));
    if (at + 56 > file.size) throw fail('its zip64 directory lies past its end');
    const record = await file.slice(at, at + 56);
    const wide = new DataView(record.buffer, record.byteOffset, record.byteLength);
    if (wide.getUint32(0, true) !== END_RECORD_64) throw fail('its zip64 directory is damaged');
    count = Number(wide.getBigUint64(32, true));
    size = Number(wide.getBigUint64(40, true));
    offset = Number(wide.getBigUint64(48, true));
  }
  if (size > MAX_DIRECTORY_BYTES || offset + size > file.size)
    throw fail('its directory has no possible size');
  return parseDirectory(await file.slice(offset, offset + size), count, fail);
}

function parseDirectory(
  bytes: Uint8Array,
  count: number,
  fail: (what: string) => Error,
): Map<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL_RECORD)
      throw fail('its directory is damaged');
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw fail('its directory is damaged');
    const entry: ZipEntry = {
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    const extraStart = at + 46 + nameLength;
    widen(entry, new DataView(bytes.buffer, bytes.byteOffset + extraStart, extraLength));
    const member = new TextDecoder().decode(bytes.subarray(at + 46, extraStart));
    entries.set(member, entry);
    at = next;
  }
  return entries;
}

/** Takes 64-bit fields from the zip64 extra, where the 32-bit ones say that they do not fit. */
function widen(entry: ZipEntry, extra: DataView): void {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const length = extra.getUint16(at + 2, true);
    const end = Math.min(at + 4 + length, extra.byteLength);
    if (extra.getUint16(at, true) === 1) {
      let field = at + 4;
      for (const key of ['size', 'packed', 'offset'] as const) {
        if (entry[key] !== 0xffffffff || field + 8 > end) continue;
        entry[key] = Number(extra.getBigUint64(field, true));
        field += 8;
      }
    }
    at = end === at + 4 + length ? end : extra.byteLength;
  }
}

/** Where a member's bytes begin. */
export async function entryStart(
  file: RangedFile,
  entry: ZipEntry,
  name: string,
  kind = 'an npz',
): Promise<number> {
  const fail = (what: string) => new MetadataError(`not ${kind}: ${what}`, { file: name });
  if (entry.size > MAX_MEMBER_BYTES) throw fail(`a member of ${entry.size} bytes`);
  if (entry.offset + 30 > file.size) throw fail('a member lies past its end');
  const local = await file.slice(entry.offset, entry.offset + 30);
  const view = new DataView(local.buffer, local.byteOffset, local.byteLength);
  if (view.getUint32(0, true) !== LOCAL_RECORD) throw fail('a member is not where the directory says');
  const start = entry.offset + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + entry.packed > file.size) throw fail('a member lies past its end');
  return start;
}

/** True where a member's bytes lie in the file as they are. */
export function isStored(entry: ZipEntry): boolean {
  return entry.method === 0 && entry.packed === entry.size;
}

/** A whole member. Throws `MetadataError` where it is not what the directory says. */
export async function readEntry(
  file: RangedFile,
  entry: ZipEntry,
  name: string,
  kind = 'an npz',
): Promise<Uint8Array> {
  const fail = (what: string) => new MetadataError(`not ${kind}: ${what}`, { file: name });
  const start = await entryStart(file, entry, name, kind);
  const packed = await file.slice(start, start + entry.packed);
  if (isStored(entry)) return packed;
  if (entry.method !== 8) throw fail(`compression method ${entry.method} is not supported`);
  try {
    // One byte more than promised, so that a member that holds more is noticed.
    const out = inflateSync(packed, { out: new Uint8Array(entry.size + 1) });
    if (out.length === entry.size) return out;
  } catch (cause) {
    throw new MetadataError(`not ${kind}: a member cannot be inflated`, { file: name, cause });
  }
  throw fail('a member does not have the size that the directory says');
}
