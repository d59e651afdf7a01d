/** What the allowed globals of a torch file make: tensors over storages, NumPy arrays over bytes. */
import { MetadataError } from '../errors.ts';
import { LongText, Made, type PickleRules, type PickleValue, Tuple } from './pickle.ts';

/** Floats that are read; other types may lie beside them. */
export const WIDTHS = { F16: 2, BF16: 2, F32: 4, F64: 8 } as const;
export type FloatKind = keyof typeof WIDTHS;

export interface Storage {
  what: 'storage';
  /** Absent for integers and the like. */
  kind: FloatKind | undefined;
  key: string;
  /** Values. */
  length: number;
}

/** A view of a storage; offset and strides in values. */
export interface TensorView {
  what: 'tensor';
  storage: Storage;
  offset: number;
  shape: number[];
  strides: number[];
}

export interface NumpyArray {
  what: 'array';
  kind: FloatKind | undefined;
  shape: number[];
  /** Column-major. */
  fortran: boolean;
  bytes: Uint8Array;
}

interface Dtype {
  what: 'dtype';
  code: string;
  order: string;
}

type Thing = Storage | TensorView | NumpyArray | Dtype;

const STORAGES: { [name: string]: FloatKind | undefined } = {
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  FloatStorage: 'F32',
  DoubleStorage: 'F64',
  LongStorage: undefined,
  IntStorage: undefined,
  ShortStorage: undefined,
  CharStorage: undefined,
  ByteStorage: undefined,
  BoolStorage: undefined,
};
const NUMPY_KINDS: { [code: string]: FloatKind | undefined } = { f2: 'F16', f4: 'F32', f8: 'F64' };

/** The rules by which a torch file's `data.pkl` is read: its whole allow-list. */
export function torchRules(file: string): PickleRules {
  const fail = (what: string): never => {
    throw new MetadataError(`the torch file cannot be read: ${what}`, { file });
  };
  const thing = <W extends Thing['what']>(value: PickleValue, what: W): Extract<Thing, { what: W }> => {
    const inner = value instanceof Made ? (value.value as Thing) : undefined;
    return inner?.what === what
      ? (inner as Extract<Thing, { what: W }>)
      : fail(`no ${what} where one must be`);
  };
  const sizes = (value: PickleValue): number[] => {
    const items = value instanceof Tuple ? value.items : fail('a shape that is no tuple');
    return items.map((item) => size(item));
  };
  const size = (item: PickleValue): number =>
    typeof item === 'number' && Number.isSafeInteger(item) && item >= 0 ? item : fail('an impossible size');
  const uncallable = () => fail('a type is called as a function');

  const globals = new Map<string, (args: readonly PickleValue[]) => PickleValue>([
    [
      'collections OrderedDict',
      (args) => (args.length === 0 ? new Map() : fail('an OrderedDict with arguments')),
    ],
    [
      'torch._utils _rebuild_tensor_v2',
      ([storage, offset, shape, strides]) =>
        new Made<TensorView>({
          what: 'tensor',
          storage: thing(storage, 'storage'),
          offset: size(offset),
          shape: sizes(shape),
          strides: sizes(strides),
        }),
    ],
    ['torch._utils _rebuild_parameter', ([tensor]) => tensor],
    [
      '_codecs encode',
      ([text, encoding]) => (encoding === 'latin1' ? latin1(text, fail) : fail('an odd encoding')),
    ],
    ['numpy ndarray', uncallable],
    ['numpy dtype', ([code]) => new Made<Dtype>({ what: 'dtype', code: String(code), order: '=' })],
  ]);
  for (const name of Object.keys(STORAGES)) globals.set(`torch ${name}`, uncallable);
  for (const core of ['numpy.core', 'numpy._core']) {
    globals.set(`${core}.multiarray _reconstruct`, () => {
      return new Made<NumpyArray>({
        what: 'array',
        kind: undefined,
        shape: [],
        fortran: false,
        bytes: new Uint8Array(0),
      });
    });
    globals.set(`${core}.numeric _frombuffer`, ([bytes, dtype, shape, order]) => {
      const state = { bytes, dtype: thing(dtype, 'dtype'), shape: sizes(shape), fortran: order === 'F' };
      return new Made<NumpyArray>(numpyArray(state, fail));
    });
  }
  return {
    file,
    globals,
    persistent(id) {
      const [tag, type, key, , length] = id instanceof Tuple ? id.items : [];
      const name = type !== null && typeof type === 'object' && 'name' in type ? type.name.split(' ')[1] : '';
      if (tag !== 'storage' || !(name in STORAGES) || typeof key !== 'string') return fail('an odd storage');
      return new Made<Storage>({ what: 'storage', kind: STORAGES[name], key, length: size(length) });
    },
    build(object, state) {
      // A state dict's `_metadata`.
      if (object instanceof Map) return;
      const inner = object instanceof Made ? (object.value as Thing) : undefined;
      const items = state instanceof Tuple ? state.items : fail('a state that is no tuple');
      if (inner?.what === 'dtype') {
        if (items.slice(2, 5).some((item) => item !== null)) fail('an array of records');
        inner.order = String(items[1]);
      } else if (inner?.what === 'array') {
        const [, shape, dtype, fortran, bytes] = items;
        Object.assign(
          inner,
          numpyArray(
            { bytes, dtype: thing(dtype, 'dtype'), shape: sizes(shape), fortran: fortran === true },
            fail,
          ),
        );
      } else fail('a state for what takes none');
    },
  };
}

function numpyArray(
  state: { bytes: PickleValue; dtype: Dtype; shape: number[]; fortran: boolean },
  fail: (what: string) => never,
): NumpyArray {
  const { bytes, dtype, shape, fortran } = state;
  if (!(bytes instanceof Uint8Array)) return fail('an array without bytes');
  if (dtype.order === '>') return fail('an array of big-endian numbers');
  return { what: 'array', kind: NUMPY_KINDS[dtype.code], shape, fortran, bytes };
}

/** Bytes that were written as text, a code point each. */
function latin1(text: PickleValue, fail: (what: string) => never): Uint8Array {
  const utf8 =
    text instanceof LongText
      ? text.utf8
      : typeof text === 'string'
        ? new TextEncoder().encode(text)
        : fail('no text');
  const bytes = new Uint8Array(utf8.length);
  let length = 0;
  for (let at = 0; at < utf8.length; at++) {
    const byte = utf8[at];
    if (byte < 0x80) bytes[length++] = byte;
    else if (byte === 0xc2 || byte === 0xc3) bytes[length++] = ((byte & 3) << 6) | (utf8[++at] & 0x3f);
    else return fail('text that is not Latin-1');
  }
  return bytes.subarray(0, length);
}
