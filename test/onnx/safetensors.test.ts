import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isShardsieveError, ModelError } from '../../src/errors.ts';
import {
  MAX_HEADER_BYTES,
  parseSafetensorsHeader,
  type RangedBytes,
  readSafetensors,
} from '../../src/onnx/safetensors.ts';

function memory(bytes: Uint8Array, name = 'model.safetensors'): RangedBytes {
  return { name, size: bytes.length, slice: async (start, end) => bytes.slice(start, end) };
}

/** A file with this header (as JSON or as text) and so many bytes of tensors. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const tensor = (dtype: string, shape: unknown, start: unknown, end: unknown) => ({
  dtype,
  shape,
  data_offsets: [start, end],
});

describe('readSafetensors', () => {
  it('gives each tensor its absolute place in the file', async () => {
    const header = {
      __metadata__: { format: 'pt' },
      b: tensor('F16', [3], 24, 30),
      a: tensor('F32', [2, 3], 0, 24),
      scalar: tensor('BF16', [], 30, 32),
    };
    const text = `${JSON.stringify(header)}   `;
    const table = await readSafetensors(memory(file(text, 32)));
    const base = 8 + text.length;
    expect(table.metadata).toEqual({ format: 'pt' });
    expect(table.tensors.get('a')).toEqual({
      name: 'a',
      dtype: 'F32',
      shape: [2, 3],
      offset: base,
      length: 24,
    });
    expect(table.tensors.get('b')).toMatchObject({ offset: base + 24, length: 6 });
    expect(table.tensors.get('scalar')).toMatchObject({ shape: [], offset: base + 30, length: 2 });
  });

  it('is exact past 2 and 8 GiB', async () => {
    const big = 9 * 2 ** 30;
    const header = { huge: tensor('F32', [big / 4], 0, big), last: tensor('F32', [1], big, big + 4) };
    const json = new TextEncoder().encode(JSON.stringify(header));
    const table = parseSafetensorsHeader(json, 8 + json.length + big + 4, 'big');
    expect(table.tensors.get('last')?.offset).toBe(8 + json.length + big);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['an empty file', new Uint8Array(0), /no safetensors file/],
    [
      'a zip',
      Uint8Array.from([0x50, 0x4b, 3, 4, ...new Array(60).fill(0)]),
      /no safetensors file|ends inside/,
    ],
    ['a header that is too long', file('{}', 0).fill(255, 0, 8), new RegExp(`${MAX_HEADER_BYTES}`)],
    ['a cut header', file({ a: tensor('F32', [1], 0, 4) }, 4).slice(0, 20), /ends inside its header/],
    ['a header that is no JSON', file('{"a": ', 0), /not JSON/],
    ['a header that is no object', file('[1,2]', 0), /does not begin with \{/],
    ['a header that is not UTF-8', file('{"a":1}', 0).fill(0xff, 10, 12), /not JSON/],
    ['metadata that is no text', file({ __metadata__: { a: 1 } }, 0), /__metadata__/],
    ['an entry that is no object', file({ w: 3 }, 0), /not an object.*tensor w/],
    ['an unknown type', file({ w: tensor('Q4', [1], 0, 4) }, 4), /unknown type Q4.*tensor w/],
    ['an inherited type', file({ w: tensor('toString', [1], 0, 4) }, 4), /unknown type toString/],
    ['a negative shape', file({ w: tensor('F32', [-1], 0, 4) }, 4), /valid shape.*tensor w/],
    ['offsets that are texts', file({ w: tensor('F32', [1], '0', '4') }, 4), /data_offsets.*tensor w/],
    ['offsets that run backwards', file({ w: tensor('F32', [0], 4, 0) }, 4), /data_offsets/],
    ['a shape that does not fit', file({ w: tensor('F32', [2], 0, 4) }, 4), /4 bytes do not fit F32 \[2\]/],
    [
      'an overlap',
      file({ a: tensor('F32', [2], 0, 8), b: tensor('F32', [2], 4, 12) }, 12),
      /overlaps.*tensor b/,
    ],
    ['a hole', file({ a: tensor('F32', [1], 0, 4), b: tensor('F32', [1], 8, 12) }, 12), /hole.*tensor b/],
    ['cut tensors', file({ a: tensor('F32', [4], 0, 16) }, 7), /cut short/],
    ['bytes after the last tensor', file({ a: tensor('F32', [1], 0, 4) }, 9), /5 bytes after/],
  ])('refuses %s by name', async (_, bytes, message) => {
    const error = await readSafetensors(memory(bytes, 'bad.safetensors')).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as ModelError).message).toMatch(message);
    expect((error as ModelError).message).toContain('file bad.safetensors');
  });

  it('never throws anything untyped, and never invents a tensor outside the file', async () => {
    const json = fc.json().map((text) => file(text, 16));
    const entry = fc.record({
      dtype: fc.constantFrom('F32', 'F16', 'BF16', 'I64', 'F8'),
      shape: fc.oneof(fc.array(fc.integer({ min: -1, max: 5 }), { maxLength: 3 }), fc.jsonValue()),
      data_offsets: fc.oneof(fc.tuple(fc.integer({ min: -2, max: 40 }), fc.nat(40)), fc.jsonValue()),
    });
    const near = fc
      .tuple(fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue()), { maxKeys: 4 }), fc.nat(64))
      .map(([header, size]) => file(header, size));
    const noise = fc.uint8Array({ maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(noise, json, near), async (bytes) => {
        try {
          const { tensors } = await readSafetensors(memory(bytes));
          for (const { offset, length } of tensors.values()) {
            expect(offset).toBeGreaterThanOrEqual(8);
            expect(offset + length).toBeLessThanOrEqual(bytes.length);
          }
        } catch (error) {
          expect(isShardsieveError(error)).toBe(true);
        }
      }),
      { numRuns: 1500 },
    );
  });

  it('reads back any layout it should accept', async () => {
    const width = { F32: 4, F16: 2, BF16: 2, I64: 8 };
    const spec = fc.record({
      name: fc.string().filter((name) => name !== '__metadata__'),
      dtype: fc.constantFrom<keyof typeof width>('F32', 'F16', 'BF16', 'I64'),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(spec, { selector: (s) => s.name, maxLength: 8 }), async (specs) => {
        let end = 0;
        const entries = specs.map(({ name, dtype, shape }) => {
          const start = end;
          end += shape.reduce((a, b) => a * b, width[dtype]);
          return [name, tensor(dtype, shape, start, end)] as const;
        });
        // Members of an object come back in another order where names look like numbers; that must not matter.
        const text = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)}}`;
        const { tensors } = await readSafetensors(memory(file(text, end)));
        for (const { name, dtype, shape } of specs) {
          expect(tensors.get(name)).toMatchObject({ dtype, shape });
        }
        expect(tensors.size).toBe(specs.length);
      }),
      { numRuns: 300 },
    );
  });
});
