import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { unzipSync, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { importHead } from '../../../cli/heads/import.ts';
import { nodeHead } from '../../../cli/heads/run.ts';
import { ModelError } from '../../../src/errors.ts';
import { millionths } from '../../../src/safety/heads/encode.ts';
import { importKerasZip } from '../../../src/safety/heads/keras/import.ts';
import { KNOWN_HEADS } from '../../../src/safety/heads/known.ts';
import { outputWidth } from '../../../src/safety/heads/layers.ts';
import { runLayer } from '../../../src/safety/heads/run.ts';
import { fixture, fixtureJson } from '../../helpers/fixtures.ts';
import { floatMatrix } from '../../helpers/npy.ts';

/** LAION's own files, which are not part of the project; see test/fixtures/heads/README.md. */
const ZIPS = new URL('../../../../shared/data/laion-nsfw/', import.meta.url);

function probabilities(zip: Uint8Array, rows: number, embeddings: Float32Array): number[] {
  const { layers, dim } = importKerasZip(zip, 'head.zip');
  let values = embeddings;
  let width = dim;
  for (const layer of layers) {
    values = runLayer(layer, values, rows, width);
    width = outputWidth(layer, width);
  }
  expect(width).toBe(1);
  return Array.from(values);
}

function worst(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i])));
}

describe.skipIf(!existsSync(ZIPS))("LAION's published zips (skipped: ../shared/data is not there)", () => {
  test.each([
    ['laion_l14', 'clip_autokeras_binary_nsfw.zip'],
    ['laion_b32', 'clip_autokeras_nsfw_b32.zip'],
  ])('%s gives what TensorFlow gives, lookups included', (name, file) => {
    const zip = new Uint8Array(readFileSync(new URL(file, ZIPS)));
    const { rows, data } = floatMatrix(`heads/${name}.npy`);
    const { probability } = fixtureJson<{ probability: number[] }>(`heads/${name}.json`);
    expect(worst(probabilities(zip, rows, data), probability)).toBeLessThan(1e-5);
  });
});

describe.skipIf(!existsSync(ZIPS))(
  'published files, as they are known (skipped: ../shared/data is not there)',
  () => {
    test.each(KNOWN_HEADS.map((known) => [known.alias, known] as const))('%s', async (_, known) => {
      const path = fileURLToPath(new URL(known.file, ZIPS));
      const bytes = readFileSync(path);
      expect([bytes.length, createHash('sha256').update(bytes).digest('hex')]).toEqual([
        known.size,
        known.sha256,
      ]);
      const head = await importHead(path, {}, { env: { HF_HUB_OFFLINE: '1', HF_HOME: '/nowhere' } });
      expect(head.info).toEqual(known.info);
      const { rows, data } = floatMatrix(`heads/laion_${known.info.space.datacomp}.npy`);
      const runner = await nodeHead(head);
      const found = Array.from(await runner.run(data, rows));
      await runner.release();
      if (known.kind === 'keras') {
        const golden = fixtureJson<{ probability: number[] }>(
          `heads/laion_${known.info.space.datacomp}.json`,
        );
        expect(worst(found, golden.probability)).toBeLessThan(1e-5);
        return;
      }
      // The two prompts' dot products, as clip-retrieval compares them.
      const prompts = new Float32Array(new Uint8Array(bytes.subarray(128)).buffer);
      const dim = head.info.space.dim;
      const dot = (row: number, p: number) =>
        data.subarray(row * dim, (row + 1) * dim).reduce((sum, x, k) => sum + x * prompts[p * dim + k], 0);
      expect(found).toEqual(found.map((__, row) => (dot(row, 1) > dot(row, 0) ? 1 : 0)));
      expect(new Set(found).size).toBe(2);
    });
  },
);

test('a small SavedModel gives what TensorFlow gives', () => {
  const golden = fixtureJson<{ rows: number[][]; probability: number[] }>('heads/tiny_keras.json');
  const embeddings = Float32Array.from(golden.rows.flat());
  const found = probabilities(fixture('heads/tiny_keras.zip'), golden.rows.length, embeddings);
  expect(worst(found, golden.probability)).toBeLessThan(1e-6);
});

test("a component is printed as C's %f does: ties to even, a sign on zero", () => {
  // Each is exactly halfway between two sixth decimals.
  expect([1, 3, 5, 7].map((m) => millionths(m / 128))).toEqual([7812, 23438, 39062, 54688]);
  expect([-1, -3].map((m) => millionths(m / 128))).toEqual([-7812, -23438]);
  expect(Object.is(millionths(-1e-9), -0)).toBe(true);
  expect(Object.is(millionths(-0), -0)).toBe(true);
  expect(Object.is(millionths(4e-7), 0)).toBe(true);
  expect(millionths(-6e-7)).toBe(-1);
});

function flip(bytes: Uint8Array, at: number): void {
  bytes[at < 0 ? bytes.length + at : at] ^= 1;
}

/** Replaces text by text of the same length. */
function replace(files: Record<string, Uint8Array>, name: string, from: string, to: string): void {
  const at = Buffer.from(files[name]).indexOf(from);
  expect(at).toBeGreaterThan(0);
  expect(to.length).toBe(from.length);
  files[name].set(new TextEncoder().encode(to), at);
}

describe('what is not a known head', () => {
  const tiny = (): Record<string, Uint8Array> => unzipSync(fixture('heads/tiny_keras.zip'));
  const DATA = 'variables/variables.data-00000-of-00001';

  test.each<[string, (files: Record<string, Uint8Array>) => void, RegExp]>([
    ['a missing member', (files) => delete files['tiny/saved_model.pb'], /it has no saved_model\.pb/],
    [
      'a second model',
      (files) => {
        files['other/saved_model.pb'] = new Uint8Array(3);
      },
      /more than one saved_model\.pb/,
    ],
    ['a damaged variable', (files) => flip(files[`tiny/${DATA}`], 100), /checksum differs/],
    [
      'a damaged index',
      (files) => flip(files['tiny/variables/variables.index'], 20),
      /checksum differs|damaged/,
    ],
    [
      'another kind of layer',
      (files) =>
        replace(files, 'tiny/keras_metadata.pb', '"class_name": "Dropout"', '"class_name": "Lambda1"'),
      /a layer Lambda1 is not known/,
    ],
    [
      'a graph that is none',
      (files) => {
        files['tiny/saved_model.pb'] = new TextEncoder().encode('import os; os.system("true")');
      },
      /not a known head/,
    ],
  ])('%s', (_, change, message) => {
    const files = tiny();
    change(files);
    expect(() => importKerasZip(zipSync(files), 'bad.zip')).toThrow(message);
    expect(() => importKerasZip(zipSync(files), 'bad.zip')).toThrow(/bad\.zip/);
  });

  test('no zip at all, and a member that is larger than the zip says', () => {
    expect(() => importKerasZip(new TextEncoder().encode('PK\u0003\u0004 no'), 'a.zip')).toThrow(
      /not a known head/,
    );
    const bomb = zipSync({ 'saved_model.pb': new Uint8Array(1 << 20) });
    // The size in the central directory, at 24 of its record: it is what would be allocated.
    const directory = bomb.lastIndexOf(0x50, bomb.length - 22 - 1);
    const view = new DataView(bomb.buffer);
    let at = directory;
    while (view.getUint32(at, true) !== 0x02014b50) at--;
    view.setUint32(at + 24, 2 ** 31, true);
    expect(() => importKerasZip(bomb, 'bomb.zip')).toThrow(/a member claims 2147483648 bytes/);
    view.setUint32(at + 24, 100, true);
    expect(() => importKerasZip(bomb, 'bomb.zip')).toThrow(/not a known head/);
  });
});

test('whatever is changed in a member, it is a head or an error that names the file', () => {
  const members = Object.keys(unzipSync(fixture('heads/tiny_keras.zip')));
  let refused = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...members),
      fc.array(fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255)), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (member, changes, kept) => {
        const files = unzipSync(fixture('heads/tiny_keras.zip'));
        const bytes = files[member].slice(0, Math.ceil(files[member].length * kept));
        for (const [place, value] of changes) bytes[Math.floor(place * bytes.length)] = value;
        try {
          importKerasZip(zipSync({ ...files, [member]: bytes }, { level: 0 }), 'changed.zip');
        } catch (error) {
          refused++;
          expect(error).toBeInstanceOf(ModelError);
          expect(String(error)).toContain('changed.zip');
        }
      },
    ),
    { numRuns: 150 },
  );
  expect(refused).toBeGreaterThan(50);
});
