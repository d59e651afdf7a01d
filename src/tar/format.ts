/**
 * The tar header and its fields: POSIX ustar and pax (IEEE Std 1003.1, "pax"), GNU's extensions (the GNU tar manual,
 * "Basic Tar Format"), and what Python's tarfile does where they are silent, since that is what reads and writes
 * WebDataset shards.
 */

export const BLOCK = 512;

/** Python's tarfile and GNU tar pad an archive to records of 20 blocks. */
export const RECORD = 20 * BLOCK;

/** `[start, end)` of the header's fields. */
export const FIELD = {
  name: [0, 100],
  mode: [100, 108],
  uid: [108, 116],
  gid: [116, 124],
  size: [124, 136],
  mtime: [136, 148],
  checksum: [148, 156],
  type: [156, 157],
  linkname: [157, 257],
  magic: [257, 263],
  version: [263, 265],
  prefix: [345, 500],
  /** Old GNU sparse files: more of the map follows in blocks of its own. */
  gnuIsExtended: [482, 483],
} as const;

/** Where a block of an old GNU sparse map says that another one follows. */
export const SPARSE_MORE = 504;

/** The largest size that eleven octal digits hold, plus one: 8 GiB. Larger ones are written as pax. */
export const USTAR_SIZE_LIMIT = 8 ** 11;

/**
 * Longest pax record block or GNU long name that is read into memory. A path is at most a few KiB on any file
 * system; pax blocks with extended attributes reach some tens of KiB.
 */
export const MAX_EXTENDED_HEADER = 1024 * 1024;

/** Longest path in bytes: sixteen times what Linux opens, and still nothing to a message or a hash. */
export const MAX_NAME = 64 * 1024;

/** Extended headers that may precede one member. Real ones have at most four (g, x, L, K). */
export const MAX_EXTENDED_CHAIN = 16;

export type TarType =
  | 'file'
  | 'hardlink'
  | 'symlink'
  | 'character-device'
  | 'block-device'
  | 'directory'
  | 'fifo'
  | 'sparse'
  | 'unknown';

const TYPES: { [flag: string]: TarType } = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
  S: 'sparse',
};

/** One header block, decoded. Sizes are exact; a field that does not parse is NaN. */
export interface Header {
  name: string;
  /** The type byte as a character: `0`, `x`, `L`, …. */
  flag: string;
  type: TarType;
  size: number;
  mode: number;
  mtime: number;
  linkname: string;
  sparseExtended: boolean;
}

export function isZeroBlock(block: Uint8Array): boolean {
  for (let i = 0; i < BLOCK; i += 1) if (block[i] !== 0) return false;
  return true;
}

/** Some old tars summed signed bytes, so both sums count (GNU tar manual). */
export function checksumHolds(block: Uint8Array): boolean {
  const [start, end] = FIELD.checksum;
  let sum = 0x20 * (end - start);
  for (let i = 0; i < start; i += 1) sum += block[i];
  for (let i = end; i < BLOCK; i += 1) sum += block[i];
  const said = readNumber(block, FIELD.checksum);
  if (said === sum) return true;
  let high = 0;
  for (let i = 0; i < BLOCK; i += 1) if (i < start || i >= end) high += block[i] >> 7;
  return said === sum - 256 * high;
}

const USTAR = 'ustar';

/** Whether the block carries ustar's or GNU's magic; V7 archives have none. */
export function hasMagic(block: Uint8Array): boolean {
  const at = FIELD.magic[0];
  for (let i = 0; i < USTAR.length; i += 1) if (block[at + i] !== USTAR.charCodeAt(i)) return false;
  return true;
}

export function readHeader(block: Uint8Array): Header {
  const flag = String.fromCharCode(block[FIELD.type[0]]);
  let name = readText(block, FIELD.name);
  let type = TYPES[flag] ?? 'unknown';
  // V7 has no type for directories: they are files whose names end in a slash.
  if (flag === '\0' && name.endsWith('/')) type = 'directory';
  // GNU keeps times where POSIX has the prefix, so only POSIX's magic says that there is one.
  const isPosix = hasMagic(block) && block[FIELD.magic[0] + 5] === 0;
  if (isPosix && block[FIELD.prefix[0]] !== 0 && !'LKS'.includes(flag)) {
    name = `${readText(block, FIELD.prefix)}/${name}`;
  }
  return {
    name,
    flag,
    type,
    size: readNumber(block, FIELD.size),
    mode: readNumber(block, FIELD.mode),
    mtime: readNumber(block, FIELD.mtime),
    linkname: readText(block, FIELD.linkname),
    sparseExtended: block[FIELD.gnuIsExtended[0]] !== 0,
  };
}

/** Only these have data behind their header, whatever size the others name (as in tarfile). */
export function hasData(type: TarType): boolean {
  return type === 'file' || type === 'sparse' || type === 'unknown';
}

export function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/**
 * A number field: octal digits among spaces and NULs, or GNU's base-256 with the top bit set, two's complement.
 * In plain arithmetic, not shifts: sizes pass 2^31 and 2^33. NaN where it is neither, or past 2^53.
 */
export function readNumber(block: Uint8Array, [start, end]: readonly [number, number]): number {
  if ((block[start] & 0x80) !== 0) {
    const isNegative = (block[start] & 0x40) !== 0;
    let value = block[start] & 0x3f;
    if (isNegative) value -= 0x40;
    for (let i = start + 1; i < end; i += 1) value = value * 256 + block[i];
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }
  let value = 0;
  let i = start;
  while (i < end && isBlank(block[i])) i += 1;
  for (; i < end && block[i] >= 0x30 && block[i] <= 0x37; i += 1) value = value * 8 + (block[i] - 0x30);
  // What follows the digits is blanks up to the field's end or its first NUL.
  while (i < end && isBlank(block[i])) i += 1;
  return i === end || block[i] === 0 ? value : Number.NaN;
}

/** A text field, up to its first NUL. */
export function readText(block: Uint8Array, [start, end]: readonly [number, number]): string {
  let stop = start;
  while (stop < end && block[stop] !== 0) stop += 1;
  return stop === start ? '' : decodeName(block.subarray(start, stop));
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Names are UTF-8; a byte that is not becomes the lone surrogate U+DC00 + byte, as Python's `surrogateescape` makes
 * it, so that names differ where their bytes differ and `encodeName` gives the very bytes back.
 */
export function decodeName(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    let name = '';
    let run = 0;
    for (let at = 0; at < bytes.length; ) {
      const length = sequenceLength(bytes, at);
      if (length === 0) {
        name += strict.decode(bytes.subarray(run, at)) + String.fromCharCode(0xdc00 + bytes[at]);
        run = at + 1;
      }
      at += Math.max(1, length);
    }
    return name + strict.decode(bytes.subarray(run));
  }
}

/** The bytes of a name that `decodeName` made. A lone surrogate of another kind becomes U+FFFD. */
export function encodeName(name: string): Uint8Array {
  if (name.isWellFormed()) return encoder.encode(name);
  const bytes: number[] = [];
  for (const character of name) {
    const code = character.codePointAt(0) ?? 0;
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encoder.encode(character));
  }
  return Uint8Array.from(bytes);
}

/** Length of the valid UTF-8 sequence at `at`, 0 where there is none (Unicode, table 3-7). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at];
  if (lead < 0x80) return 1;
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (bytes[at + 1] < low || bytes[at + 1] > high) return 0;
  for (let i = 2; i < length; i += 1) if ((bytes[at + i] & 0xc0) !== 0x80) return 0;
  return length;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

const MAGICS: [string, string][] = [
  ['BZh', 'It is packed with bzip2, which is not read'],
  ['\xfd7zXZ\0', 'It is packed with xz, which is not read'],
  ['\x28\xb5\x2f\xfd', 'It is packed with zstd, which is not read'],
  ['PK\x03\x04', 'It is a zip archive'],
  ['PAR1', 'It is a parquet file'],
  ['version https://git-lfs', 'It is a pointer of Git LFS: run git lfs pull'],
  ['<', 'It looks like a web page: the download went wrong'],
];

/** What a file that is no tar seems to be instead, as a hint. */
export function lookalike(start: Uint8Array): string | undefined {
  const text = latin(start, 0, Math.min(32, start.length));
  return MAGICS.find(([magic]) => text.startsWith(magic))?.[1];
}

/** A name for a message: quoted, and not longer than a line. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);
}

function latin(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i += 1) text += String.fromCharCode(bytes[i]);
  return text;
}
