import { MetadataError } from '../errors.ts';

/**
 * NumPy's `.npy`: a magic string, a header that is a Python literal, then the values. Written as NumPy 2
 * writes it, byte for byte; read in versions 1 to 3. Rules: `numpy.lib.format`.
 */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** NumPy aligns the values to 64 bytes so that the file can be mapped. */
const ALIGNMENT = 64;
/** NumPy leaves room for the first axis to grow to a 64-bit count in place. */
const GROWTH_DIGITS = 21;
/** NumPy itself refuses longer headers (`max_header_size`), because it evaluates them. */
const MAX_HEADER_BYTES = 10_000;

export interface NpyHeader {
  /** As written in the header: `'<f2'`, or the list of fields of a structured type, without spaces. */
  descr: string;
  fortranOrder: boolean;
  shape: number[];
  /** Where the values begin, in bytes from the start of the file. */
  offset: number;
}

/** The bytes before the values. `descr` is Python text, quotes included: `"'<f2'"`. */
export function npyHeader(descr: string, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const spare = shape.length > 0 ? ' '.repeat(GROWTH_DIGITS - String(shape[0]).length) : '';
  const text = `{'descr': ${descr}, 'fortran_order': False, 'shape': (${axes}), }${spare}`;
  const length = text.length + 1;
  // Never zero: NumPy pads by a whole 64 where the header already fits.
  const padding = ALIGNMENT - ((MAGIC.length + 4 + length) % ALIGNMENT);
  const bytes = new Uint8Array(MAGIC.length + 4 + length + padding);
  bytes.set(MAGIC);
  bytes[6] = 1;
  new DataView(bytes.buffer).setUint16(8, length + padding, true);
  bytes.set(new TextEncoder().encode(`${text}${' '.repeat(padding)}\n`), 10);
  return bytes;
}

export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/** Reads a header. Throws `MetadataError` naming `file` where it is not one. */
export function parseNpyHeader(bytes: Uint8Array, file: string): NpyHeader {
  const fail = (what: string): never => {
    throw new MetadataError(`not a NumPy array file: ${what}`, { file });
  };
  if (!isNpy(bytes)) return fail('the first bytes are not \\x93NUMPY');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6];
  if (!(version >= 1 && version <= 3)) return fail(`format version ${version} is unknown`);
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) return fail('it ends inside the header');
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER_BYTES) return fail(`a header of ${length} bytes, more than ${MAX_HEADER_BYTES}`);
  if (start + length > bytes.length) return fail('it ends inside the header');
  const text = new TextDecoder().decode(bytes.subarray(start, start + length));
  const simple = /'descr':\s*('[^']*'|\[[^\]]*\])/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const axes = /'shape':\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (simple === undefined || order === undefined || axes === undefined) {
    return fail('its header lacks descr, fortran_order or shape');
  }
  const shape = axes
    .split(',')
    .map((axis) => axis.trim().replace(/L$/, ''))
    .filter((axis) => axis !== '')
    .map(Number);
  const count = shape.reduce((product, axis) => product * axis, 1);
  if (!Number.isSafeInteger(count)) return fail(`its shape (${axes}) is impossible`);
  return {
    descr: simple.startsWith('[') ? simple.replace(/\s/g, '') : simple.slice(1, -1),
    fortranOrder: order === 'True',
    shape,
    offset: start + length,
  };
}
