import fc from 'fast-check';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { chooseArray, openArrays, readMatrix, readTargets } from '../../src/embeddings/arrays.ts';
import { MetadataError } from '../../src/errors.ts';
import { npyHeader } from '../../src/metadata/npy.ts';
import { fixture } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { largestDifference } from './support.ts';

const WANT = Float32Array.from({ length: 12 }, (_, i) => i / 8);
const open = (bytes: Uint8Array, name = 'x.pt') => new MemoryFolder('m', { [name]: bytes }).open(name);
const torch = async (name: string) => openArrays(await open(fixture(`torch/${name}.pt`)), `${name}.pt`);

describe('files that torch wrote', () => {
  it.each([
    ['half', ''],
    ['bfloat16', ''],
    ['double', ''],
    ['parameter', ''],
    ['transposed', ''],
    ['slice', ''],
    ['tail', ''],
    ['dict', 'image_features'],
    ['two', 'a'],
    ['two', 'b'],
    ['ordered', 'a'],
    ['numpy-2', ''],
    ['numpy-4', ''],
    ['numpy-5', ''],
    ['numpy-fortran', ''],
  ])('%s: the matrix %s, whole and by rows', async (name, key) => {
    const source = await torch(name);
    expect(source.arrays).toContainEqual({ name: key, rows: 3, dim: 4 });
    expect(await source.read(key)).toEqual({ rows: 3, dim: 4, data: WANT });
    expect(await source.read(key, { start: 1, end: 2 })).toEqual({ rows: 1, dim: 4, data: WANT.slice(4, 8) });
    expect(await source.read(key, { start: 2, end: 2 })).toMatchObject({ rows: 0 });
  });

  it('list only matrices of floats, and the usual name is found among others', async () => {
    expect((await torch('integers')).arrays).toEqual([]);
    expect((await torch('cube')).arrays).toEqual([]);
    expect((await torch('dict')).arrays.map(({ name }) => name)).toEqual(['image_features']);
    const two = await torch('two');
    expect(() => chooseArray(two, 'two.pt')).toThrow(/2 matrices of floats, not one.*a \(3, 4\), b \(3, 4\)/);
    expect(() => chooseArray(two, 'two.pt', 'c')).toThrow(/no matrix c/);
    expect(chooseArray(two, 'two.pt', 'b').name).toBe('b');
  });

  it.each([
    ['expanded', /overlapping values/],
    ['numpy-big-endian', /big-endian/],
    ['legacy', /before torch 1\.6.*numpy\.save/],
  ])('%s is refused with a reason', async (name, reason) => {
    await expect(torch(name)).rejects.toThrow(MetadataError);
    await expect(torch(name)).rejects.toThrow(reason);
  });
});

describe('NumPy’s files', () => {
  const npy = (shape: number[], data: Float32Array) => {
    const header = npyHeader("'<f4'", shape);
    const bytes = new Uint8Array(header.length + data.byteLength);
    bytes.set(header);
    bytes.set(new Uint8Array(data.buffer), header.length);
    return bytes;
  };

  it('are read alike: npy, and npz with other things beside the matrix', async () => {
    const bytes = npy([3, 4], WANT);
    expect(await readMatrix(await open(bytes), 'c')).toEqual({ rows: 3, dim: 4, data: WANT });
    const zip = zipSync({ 'image_features.npy': bytes, 'ids.npy': npy([12], WANT) }, { level: 0 });
    expect(await readMatrix(await open(zip), 'c')).toEqual({ rows: 3, dim: 4, data: WANT });
    await expect(readMatrix(await open(zipSync({ 'ids.npy': npy([12], WANT) })), 'c')).rejects.toThrow(
      /row-major/,
    );
    await expect(readMatrix(await open(npy([3, 5], WANT)), 'c')).rejects.toThrow(/do not fit/);
    for (const other of [new Uint8Array(0), new TextEncoder().encode('a,b\n1,2\n')]) {
      await expect(readMatrix(await open(other), 'c.csv')).rejects.toThrow(
        /neither \.npy, \.npz nor a \.pt.*c\.csv/,
      );
    }
  });

  it('are refused where a value is no number, which would be in every row’s result', async () => {
    const data = new Float32Array(2 * 70_000);
    data[2 * 69_999 + 1] = Number.NaN;
    const file = await open(npy([70_000, 2], data));
    await expect(readMatrix(file, 'c.npy')).rejects.toThrow(
      /row 69999 holds NaN \(file c\.npy\)\. Leave such rows out/,
    );
    const all = async () => {
      for await (const _ of readTargets([{ file, name: 't.npy' }]));
    };
    await expect(all()).rejects.toThrow(/row 69999 holds NaN \(file t\.npy\)/);
  });

  it('come as a target set, in parts', async () => {
    const rows = 70_000;
    const data = Float32Array.from({ length: rows * 2 }, (_, i) => i % 977);
    const files = [
      { file: await open(npy([rows, 2], data)), name: 'a' },
      { file: await open(fixture('torch/two.pt')), name: 'b', array: 'a' },
    ];
    const parts = [];
    for await (const part of readTargets(files)) parts.push(part);
    expect(parts.map((part) => [part.rows, part.dim])).toEqual([
      [65_536, 2],
      [4464, 2],
      [3, 4],
    ]);
    expect(largestDifference([...parts[0].data, ...parts[1].data], data)).toBe(0);
  });
});

/** A `.pt` around a pickle of one's own. */
const withPickle = (...parts: (string | number[])[]) =>
  zipSync(
    {
      'x/data.pkl': Uint8Array.from(
        parts.flatMap((part) => (typeof part === 'string' ? [...new TextEncoder().encode(part)] : part)),
      ),
      'x/data/0': new Uint8Array(48),
    },
    { level: 0 },
  );
const refused = async (bytes: Uint8Array, reason: RegExp) => {
  const opened = openArrays(await open(bytes), 'x.pt');
  await expect(opened).rejects.toThrow(MetadataError);
  await expect(opened).rejects.toThrow(reason);
};

describe('hostile pickles', () => {
  it.each(['os system', 'posix system', 'builtins eval', 'torch._utils _import_dotted_name', 'numpy load'])(
    'a call of %s is named and not made',
    async (name) => {
      const [module, attribute] = name.split(' ');
      const named = new RegExp(`asks for ${module}\\.${attribute}, which is not read.*numpy\\.save`);
      await refused(
        withPickle([0x80, 2], `c${module}\n${attribute}\n`, 'X', [4, 0, 0, 0], 'echo', [0x85], 'R.'),
        named,
      );
      const short = (text: string) => [0x8c, text.length, ...new TextEncoder().encode(text)];
      await refused(withPickle([0x80, 4], short(module), short(attribute), [0x93, 0x29], 'R.'), named);
    },
  );

  it('lengths that are not there, values that were never made, opcodes of other protocols', async () => {
    await refused(withPickle([0x80, 2], 'X', [255, 255, 255, 127], 'a.'), /a length of 2147483647 bytes/);
    await refused(withPickle([0x80, 4, 0x8e], [0, 0, 0, 0, 0, 0, 0, 64], '.'), /more than there are/);
    await refused(withPickle([0x80, 4, 0x95], [0, 0, 0, 0, 0, 0, 0, 64], '.'), /more than there are/);
    await refused(withPickle([0x80, 2], 'h', [7], '.'), /never noted/);
    await refused(withPickle([0x80, 2], 't.'), /not there/);
    await refused(withPickle([0x80, 2], ')R.'), /not there/);
    await refused(withPickle([0x80, 2], ')K', [1], 'R.'), /calls what is no function/);
    await refused(withPickle([0x80, 2], ']K', [1], 'K', [1], 's.'), /no dict/);
    await refused(withPickle([0x80, 2], 'K', [1]), /ends too early/);
    await refused(withPickle([0x80, 9], 'N.'), /protocol 9/);
    for (const op of ['i', 'o', 'I', 'S', 'd', '2', 'P', '\x81', '\x82', '\x92', '\x97']) {
      await refused(
        withPickle([0x80, 2], `N`, [op.charCodeAt(0)], '1\n.'),
        /opcode 0x.. at byte 3 is not allowed/,
      );
    }
  });

  it('bombs: a memo that doubles, deep nesting, a flood of values', async () => {
    // Each list holds the one before twice: 2^200 values, if anybody walked them.
    const doubling = Array.from({ length: 200 }, (_, i) => [
      0x5d,
      0x71,
      i + 1,
      0x68,
      i,
      0x61,
      0x68,
      i,
      0x61,
    ]).flat();
    expect(
      (await openArrays(await open(withPickle([0x80, 2], ']q', [0], doubling, '.')), 'x')).arrays,
    ).toEqual([]);
    const deep = Array.from({ length: 200_000 }, () => 0x85);
    expect((await openArrays(await open(withPickle([0x80, 2], 'N', deep, '.')), 'x')).arrays).toEqual([]);
    await refused(
      withPickle(
        [0x80, 2],
        Array.from({ length: 1_000_001 }, () => 0x7d),
        '.',
      ),
      /1000000 opcodes/,
    );
  });

  it('tensors that claim more than there is', async () => {
    const tensor = (storage: number, offset: number, shape: number[], strides: number[]) => {
      const ints = (values: number[]) => ['(', ...values.map((n) => [0x4d, n & 255, n >> 8]), 't'];
      return withPickle(
        ...[
          [0x80, 2],
          'ctorch._utils\n_rebuild_tensor_v2\n((X',
          [7, 0, 0, 0],
          'storagectorch\nFloatStorage\nX',
        ],
        ...[
          [1, 0, 0, 0],
          '0X',
          [3, 0, 0, 0],
          'cpuM',
          [storage & 255, storage >> 8],
          'tQM',
          [offset & 255, offset >> 8],
        ],
        ...ints(shape),
        ...ints(strides),
        ...[[0x89], 'ccollections\nOrderedDict\n)RtR.'],
      );
    };
    const good = await openArrays(await open(tensor(12, 0, [3, 4], [4, 1])), 'x');
    expect(good.arrays).toEqual([{ name: '', rows: 3, dim: 4 }]);
    await refused(tensor(13, 0, [3, 4], [4, 1]), /past its values/);
    await refused(tensor(12, 1, [3, 4], [4, 1]), /past its values/);
    await refused(tensor(12, 0, [3, 5], [4, 1]), /overlapping/);
    await refused(tensor(12, 0, [60_000, 60_000], [0, 0]), /overlapping/);
    await refused(tensor(12, 0, [60_000, 1], [0, 1]), /overlapping/);
    await refused(tensor(12, 0, [60_000, 4], [4, 1]), /past its values/);
  });

  it('a file cut anywhere is refused, or gives the matrix', async () => {
    const whole = fixture('torch/numpy-4.pt');
    for (let length = 0; length < whole.length; length += 13) {
      await expect(readMatrix(await open(whole.slice(0, length)), 'x')).rejects.toThrow(MetadataError);
    }
    const dict = fixture('torch/dict.pt');
    await fc.assert(
      fc.asyncProperty(fc.nat(dict.length - 1), fc.nat(255), async (at, byte) => {
        const bytes = dict.slice();
        bytes[at] = byte;
        const read = readMatrix(await open(bytes), 'x').catch((error: unknown) => error);
        const result = await read;
        expect(result instanceof MetadataError || (result instanceof Object && 'rows' in result)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});
