/** Matrices in files that people hand in (centroids, targets): `.npy`, `.npz`, and torch's `.pt`, known by content. */
import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { isNpy, npyHeader } from '../metadata/npy.ts';
import { matrixHeader, matrixValues } from '../metadata/npy-matrix.ts';
import { openNpz } from '../metadata/npz.ts';
import { type RangedFile, readDirectory } from '../metadata/zip.ts';
import { openTorch } from './torch-file.ts';
import type { Float32Matrix } from './types.ts';

export interface ArrayInfo {
  /** Its key in the file; '' where the file holds one without a name. */
  name: string;
  rows: number;
  dim: number;
}

/** An opened file: its matrices of floats are known, their values not yet read. */
export interface ArraySource {
  arrays: ArrayInfo[];
  /** All rows of one of them as float32, or a run of rows. Throws `MetadataError`. */
  read(name: string, rows?: { start: number; end: number }): Promise<Float32Matrix>;
}

/** Keys that are taken without asking where a file holds more than one matrix: DataComp's ImageNet features. */
const USUAL = ['image_features'];

/** Opens a file by what it holds, whatever its name. Throws `MetadataError` saying what is read. */
export async function openArrays(file: RangedFile, name: string): Promise<ArraySource> {
  const head = await file.slice(0, Math.min(file.size, 64));
  if (isNpy(head)) return openNpy(file, name);
  if (head[0] === 0x50 && head[1] === 0x4b) {
    const members = [...(await readDirectory(file, name, 'a file of arrays')).keys()];
    if (members.some((member) => /(^|\/)data\.pkl$/.test(member))) return openTorch(file, name);
    return openZip(file, name);
  }
  if (head[0] === 0x80) {
    throw new MetadataError('a bare pickle, or a torch file from before torch 1.6, is not read', {
      file: name,
      hint: 'Load it where you trust it and write the array with numpy.save',
    });
  }
  throw new MetadataError('neither .npy, .npz nor a .pt file of torch', { file: name });
}

/**
 * The matrix that is meant: the one asked for, the only one, or the one of a usual name. Throws `MetadataError`
 * listing what there is.
 */
export function chooseArray(source: ArraySource, file: string, asked?: string): ArrayInfo {
  const { arrays } = source;
  const found =
    asked !== undefined
      ? arrays.find(({ name }) => name === asked)
      : arrays.length === 1
        ? arrays[0]
        : arrays.find(({ name }) => USUAL.includes(name));
  if (found !== undefined) return found;
  const list = arrays
    .map(({ name, rows, dim }) => `${name || 'one without a name'} (${rows}, ${dim})`)
    .join(', ');
  throw new MetadataError(
    asked === undefined ? `${arrays.length} matrices of floats, not one` : `no matrix ${asked}`,
    { file, hint: `There is ${list || 'none'}` },
  );
}

/** A whole matrix of a file. Throws `MetadataError` at a NaN or an infinity. */
export async function readMatrix(file: RangedFile, name: string, asked?: string): Promise<Float32Matrix> {
  const source = await openArrays(file, name);
  return checkFinite(await source.read(chooseArray(source, name, asked).name), name, 0);
}

/** One target or centroid that is no number would be in every row's result: it would keep all rows, or none. */
function checkFinite(matrix: Float32Matrix, file: string, start: number): Float32Matrix {
  const { dim, data } = matrix;
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return matrix;
  throw new MetadataError(`row ${start + Math.floor(at / dim)} holds ${data[at]}`, {
    file,
    hint: 'Leave such rows out: targets and centroids are compared with every row of the pool',
  });
}

/** Rows a read of a target set: 200 MB at 768 values. */
const TARGET_ROWS = 65_536;

/** A matrix of each file, in parts that can be held: a target set. Throws as `readMatrix`. */
export async function* readTargets(
  files: readonly { file: RangedFile; name: string; array?: string }[],
): AsyncGenerator<Float32Matrix, void, undefined> {
  for (const { file, name, array } of files) {
    const source = await openArrays(file, name);
    const { name: key, rows } = chooseArray(source, name, array);
    for (let start = 0; start < rows; start += TARGET_ROWS) {
      const part = await source.read(key, { start, end: Math.min(start + TARGET_ROWS, rows) });
      yield checkFinite(part, name, start);
    }
  }
}

async function openNpy(file: RangedFile, name: string): Promise<ArraySource> {
  const head = await file.slice(0, Math.min(file.size, 10_100));
  const { rows, dim, width, offset } = matrixHeader(head, file.size, name);
  return {
    arrays: [{ name: '', rows, dim }],
    async read(_, { start, end } = { start: 0, end: rows }) {
      const stride = dim * width;
      const bytes = await file.slice(offset + start * stride, offset + end * stride);
      return { rows: end - start, dim, data: matrixValues(bytes, width) };
    },
  };
}

async function openZip(file: RangedFile, name: string): Promise<ArraySource> {
  const npz = await openNpz(file, name);
  const arrays: ArrayInfo[] = [];
  for (const array of npz.names) {
    // What is no matrix of floats (labels, names) may lie beside one that is.
    const shape = await npz.shape(array).catch((error: unknown) => {
      if (npz.names.length === 1) throw error;
      return undefined;
    });
    if (shape !== undefined) arrays.push({ name: array, rows: shape.rows, dim: shape.dim });
  }
  return { arrays, read: (array, rows) => npz.matrix(array, rows) };
}

/** Writes a matrix as NumPy's `np.save` writes it, float32. Throws `OutputError`. */
export function writeMatrix(folder: Folder, name: string, { rows, dim, data }: Float32Matrix): Promise<void> {
  return writeNpy(folder, name, npyHeader("'<f4'", [rows, dim]), [data.subarray(0, rows * dim)]);
}

/** Writes rows of halves (`toFloat16`), in parts, as one float16 matrix. Throws `OutputError`. */
export function writeHalves(
  folder: Folder,
  name: string,
  dim: number,
  parts: readonly Uint16Array[],
): Promise<void> {
  const values = parts.reduce((sum, part) => sum + part.length, 0);
  return writeNpy(folder, name, npyHeader("'<f2'", [values / dim, dim]), parts);
}

/** Bytes a write: the file is not built a second time in memory. */
const WRITE_BYTES = 1 << 22;

async function writeNpy(
  folder: Folder,
  name: string,
  header: Uint8Array,
  parts: readonly (Float32Array | Uint16Array)[],
): Promise<void> {
  const sink = await folder.create(name);
  try {
    await sink.write(header);
    for (const part of parts) {
      const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
      for (let at = 0; at < bytes.length; at += WRITE_BYTES)
        await sink.write(bytes.subarray(at, at + WRITE_BYTES));
    }
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
