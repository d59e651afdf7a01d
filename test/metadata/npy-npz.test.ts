import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MetadataError } from '../../src/errors.ts';
import { fromFloat16, toFloat16 } from '../../src/metadata/float16.ts';
import { npyHeader, parseNpyHeader } from '../../src/metadata/npy.ts';
import { openNpz, writeNpz } from '../../src/metadata/npz.ts';
import { fixture, fixtureJson } from '../helpers/fixtures.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';

const DESCR: { [dtype: string]: string } = { 'u8,u8': "[('f0', '<u8'), ('f1', '<u8')]" };
const headers = fixtureJson<{ dtype: string; shape: number[]; hex: string }[]>('subset/headers.json');

describe('npy headers', () => {
  it.each(headers)('are NumPy’s for $dtype $shape', ({ dtype, shape, hex }) => {
    const descr = DESCR[dtype] ?? `'${dtype}'`;
    const header = npyHeader(descr, shape);
    expect(Buffer.from(header).toString('hex')).toBe(hex);
    expect(parseNpyHeader(header, 'a.npy')).toMatchObject({
      shape,
      fortranOrder: false,
      offset: header.length,
    });
  });

  it('are read in version 2 too, and refused when cut, long or of an unknown version', () => {
    const one = npyHeader("'<f4'", [3]);
    const two = new Uint8Array(one.length + 2);
    two.set(one.subarray(0, 8));
    two[6] = 2;
    new DataView(two.buffer).setUint32(8, one.length - 10, true);
    two.set(one.subarray(10), 12);
    expect(parseNpyHeader(two, 'a.npy')).toMatchObject({ descr: '<f4', shape: [3], offset: two.length });
    new DataView(two.buffer).setUint32(8, 0xffffffff, true);
    for (const bad of [
      two,
      one.subarray(0, 40),
      one.subarray(0, 9),
      one.map((b, i) => (i === 6 ? 9 : b)),
      new Uint8Array(0),
    ]) {
      expect(() => parseNpyHeader(bad, 'a.npy')).toThrow(MetadataError);
    }
  });
});

const values = fixtureJson<{ [dtype: string]: number[] }>('metadata/npz.json');

describe('npz', () => {
  it.each(['stored.npz', 'deflated.npz'])('reads NumPy’s %s in every float type', async (name) => {
    const memory = new MemoryFolder('m', { [name]: fixture(`metadata/${name}`) });
    const npz = await openNpz(await memory.open(name), name);
    for (const dtype of ['f2', 'f4', 'f8']) {
      const { rows, dim, data } = await npz.matrix(dtype);
      expect([rows, dim]).toEqual([3, 5]);
      expect([...data]).toEqual(values[dtype]);
    }
    await expect(npz.matrix('other')).rejects.toThrow(/no array other, only f2, f4, f8/);
  });

  it('refuses what is no row-major matrix', async () => {
    const memory = new MemoryFolder('m', { a: fixture('metadata/deflated.npz') });
    const npz = await openNpz(await memory.open('a'), 'a');
    await expect(npz.matrix('fortran')).rejects.toThrow(/row-major/);
    await expect(npz.matrix('flat')).rejects.toThrow(/row-major/);
  });

  it('writes what it reads back, rounded to float16, the same bytes each time', async () => {
    const image = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i));
    const write = async () => {
      const folder = new MemoryFolder();
      const sink = await folder.create('a.npz');
      await writeNpz(sink, [
        { name: 'b32_img', dim: 4, values: image },
        { name: 'b32_txt', dim: 4, values: new Float32Array(0) },
      ]);
      await sink.commit();
      return folder;
    };
    const folder = await write();
    const npz = await openNpz(await folder.open('a.npz'), 'a.npz');
    expect(npz.names).toEqual(['b32_img', 'b32_txt']);
    expect((await npz.matrix('b32_img')).data).toEqual(fromFloat16(toFloat16(image)));
    expect(await npz.matrix('b32_txt')).toMatchObject({ rows: 0, dim: 4 });
    expect((await write()).files).toEqual(folder.files);
  });

  it('answers damage with a MetadataError, whatever the damage', async () => {
    const whole = fixture('metadata/deflated.npz');
    const change = fc.record({
      at: fc.nat(whole.length - 1),
      byte: fc.nat(255),
      cut: fc.option(fc.nat(whole.length)),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = whole.slice(0, changes[0].cut ?? whole.length);
        for (const { at, byte } of changes) if (at < bytes.length) bytes[at] = byte;
        const memory = new MemoryFolder('m', { a: bytes });
        try {
          const npz = await openNpz(await memory.open('a'), 'a');
          for (const name of npz.names) await npz.matrix(name);
        } catch (error) {
          expect(error).toBeInstanceOf(MetadataError);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});
