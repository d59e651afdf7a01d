/**
 * Matrices in torch's `.pt` files, without torch: tensors (bare, or by name in a dict) and NumPy arrays that
 * `torch.save` pickled, as DataComp's centroids are. The zip format of torch 1.6 and later; a tensor's values are
 * read by range. Nothing of the pickle is run: `pickle.ts` and the allow-list of `torch-values.ts`.
 */
import { MetadataError } from '../errors.ts';
import { matrixValues } from '../metadata/npy-matrix.ts';
import {
  entryStart,
  isStored,
  type RangedFile,
  readDirectory,
  readEntry,
  type ZipEntry,
} from '../metadata/zip.ts';
import type { ArrayInfo, ArraySource } from './arrays.ts';
import { Made, type PickleValue, readPickle } from './pickle.ts';
import { type FloatKind, type NumpyArray, type TensorView, torchRules, WIDTHS } from './torch-values.ts';
import type { Float32Matrix } from './types.ts';

const KIND = 'a torch file';

/** A matrix that can be read: `element` gives the place of a value among those that `load` fetches. */
interface Readable extends ArrayInfo {
  kind: FloatKind;
  /** Strides in values. */
  strides: [number, number];
  load(start: number, end: number): Promise<Uint8Array>;
}

/** Opens the file and reads its pickle. Throws `MetadataError` where it is damaged or holds anything else. */
export async function openTorch(file: RangedFile, name: string): Promise<ArraySource> {
  const members = await readDirectory(file, name, KIND);
  const pickle = [...members.keys()].find((member) => /(^|\/)data\.pkl$/.test(member));
  if (pickle === undefined) throw new MetadataError(`not ${KIND}: it has no data.pkl`, { file: name });
  const root = pickle.slice(0, -'data.pkl'.length);
  const order = members.get(`${root}byteorder`);
  if (order !== undefined && new TextDecoder().decode(await member(file, order, name)) !== 'little') {
    throw new MetadataError('the tensors are big-endian, which is not read', { file: name });
  }
  const value = readPickle(await member(file, members.get(pickle)!, name), torchRules(name));
  const found = new Map<string, Readable>();
  for (const [key, inner] of value instanceof Map ? value : [['', value] as const]) {
    if (typeof key !== 'string') continue;
    const readable = await toReadable(key, inner, { file, name, members, root });
    if (readable !== undefined) found.set(key, readable);
  }
  return {
    arrays: [...found.values()].map(({ name: key, rows, dim }) => ({ name: key, rows, dim })),
    async read(key, rows) {
      const readable = found.get(key);
      if (readable === undefined) throw new MetadataError(`no matrix ${key}`, { file: name });
      return readRows(readable, rows ?? { start: 0, end: readable.rows });
    },
  };
}

interface Place {
  file: RangedFile;
  name: string;
  members: ReadonlyMap<string, ZipEntry>;
  root: string;
}

async function toReadable(key: string, value: PickleValue, place: Place): Promise<Readable | undefined> {
  const inner = value instanceof Made ? (value.value as TensorView | NumpyArray) : undefined;
  if (inner === undefined || (inner.what !== 'tensor' && inner.what !== 'array')) return undefined;
  const [rows, dim] = inner.shape;
  if (inner.shape.length !== 2) return undefined;
  return inner.what === 'tensor'
    ? tensor(key, inner, rows, dim, place)
    : numpy(key, inner, rows, dim, place.name);
}

async function tensor(
  key: string,
  view: TensorView,
  rows: number,
  dim: number,
  { file, name, members, root }: Place,
): Promise<Readable | undefined> {
  const { storage, offset } = view;
  const { kind } = storage;
  if (kind === undefined) return undefined;
  const fail = (what: string): never => {
    throw new MetadataError(`the tensor ${key} ${what}`, { file: name });
  };
  const [down, along] = view.strides;
  const span = rows * dim === 0 ? 0 : (rows - 1) * down + (dim - 1) * along + 1;
  // A view may not name a value twice: a small file could stand for any size.
  const isPlain = along >= 1 && (rows <= 1 || down >= dim * along);
  const isTurned = down >= 1 && (dim <= 1 || along >= rows * down);
  if (!(dim <= 1 || isPlain || isTurned) || (rows > 1 && down < 1)) return fail('has overlapping values');
  const entry = members.get(`${root}data/${storage.key}`) ?? fail('has no values in the file');
  const width = WIDTHS[kind];
  if (!isStored(entry)) return fail('is compressed');
  if (offset + span > storage.length || storage.length * width > entry.size)
    return fail('lies past its values');
  const start = await entryStart(file, entry, name, KIND);
  const load = (from: number, to: number) =>
    file.slice(start + (offset + from) * width, start + (offset + to) * width);
  return { name: key, rows, dim, kind, strides: [down, along], load };
}

function numpy(
  key: string,
  array: NumpyArray,
  rows: number,
  dim: number,
  file: string,
): Readable | undefined {
  const { kind, bytes, fortran } = array;
  if (kind === undefined) return undefined;
  const width = WIDTHS[kind];
  if (bytes.length !== rows * dim * width) {
    throw new MetadataError(`the array ${key} has ${bytes.length} bytes for ${rows} × ${dim} values`, {
      file,
    });
  }
  const load = async (from: number, to: number) => bytes.subarray(from * width, to * width);
  return { name: key, rows, dim, kind, strides: fortran ? [1, rows] : [dim, 1], load };
}

async function readRows(
  { rows, dim, kind, strides: [down, along], load }: Readable,
  { start, end }: { start: number; end: number },
): Promise<Float32Matrix> {
  const count = end - start;
  if (count === 0 || dim === 0) return { rows: count, dim, data: new Float32Array(0) };
  const from = start * down;
  const values = widen(await load(from, from + (count - 1) * down + (dim - 1) * along + 1), kind);
  if (along === 1 && (down === dim || count === 1)) return { rows: count, dim, data: values };
  const data = new Float32Array(count * dim);
  for (let i = 0; i < Math.min(count, rows); i++) {
    for (let d = 0; d < dim; d++) data[i * dim + d] = values[i * down + d * along];
  }
  return { rows: count, dim, data };
}

function widen(bytes: Uint8Array, kind: FloatKind): Float32Array {
  if (kind !== 'BF16') return matrixValues(bytes, WIDTHS[kind]);
  const halves = new Uint16Array(new Uint8Array(bytes).buffer);
  return new Float32Array(Uint32Array.from(halves, (half) => half * 65_536).buffer);
}

async function member(file: RangedFile, entry: ZipEntry, name: string): Promise<Uint8Array> {
  if (!isStored(entry)) throw new MetadataError(`not ${KIND}: its members are compressed`, { file: name });
  return readEntry(file, entry, name, KIND);
}
