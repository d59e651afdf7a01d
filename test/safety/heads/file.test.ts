import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ModelError } from '../../../src/errors.ts';
import type { RangedBytes } from '../../../src/onnx/safetensors.ts';
import { encodeSafetensors } from '../../../src/onnx/safetensors-write.ts';
import { encodeHead, readHead } from '../../../src/safety/heads/file.ts';
import { checkHead } from '../../../src/safety/heads/head.ts';
import type { Layer } from '../../../src/safety/heads/layers.ts';
import { checkSpace } from '../../../src/safety/heads/space.ts';
import { dense, infoOf, wholeHead } from './support.ts';

const ranged = (bytes: Uint8Array, name = 'head.safetensors'): RangedBytes => ({
  name,
  size: bytes.length,
  slice: async (start, end) => bytes.subarray(start, end),
});

/** The same file with another description. */
function edited(change: (json: Record<string, unknown>) => void): Uint8Array {
  const bytes = encodeHead(wholeHead());
  const view = new DataView(bytes.buffer);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const json = JSON.parse(header.__metadata__.shardsieve_head);
  change(json);
  header.__metadata__.shardsieve_head = JSON.stringify(json);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + bytes.length - 8 - length);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  out.set(bytes.subarray(8 + length), 8 + text.length);
  return out;
}

test('a head comes back from its file as it was, and gives the same bytes again', async () => {
  const head = wholeHead();
  const bytes = encodeHead(head);
  const back = await readHead(ranged(bytes));
  expect(back).toEqual(head);
  expect(encodeHead(back)).toEqual(bytes);
});

describe('a file that is no head', () => {
  test.each<[string, Uint8Array, RegExp]>([
    ['another safetensors', encodeSafetensors([]), /no head of Shardsieve’s.*heads import/],
    ['no safetensors', new TextEncoder().encode('not a head at all'), /the head is no safetensors file/],
    [
      'an unknown layer',
      edited((json) => ((json['layers'] as { type: string }[])[1].type = 'lambda')),
      /layers\.1/,
    ],
    ['a missing field', edited((json) => delete json['licence']), /licence/],
    ['a field too many', edited((json) => Object.assign(json, { run: 'rm' })), /Unrecognized key: "run"/],
    [
      'a column that is none',
      edited((json) => (json['columns'] = ['uid'])),
      /columns\.0: must begin with nsfw_ or safety_/,
    ],
    [
      'a name of our own columns',
      edited((json) => (json['name'] = 'punsafe')),
      /name: is a name of Shardsieve’s own columns/,
    ],
    [
      'a column of our own',
      edited((json) => (json['columns'] = ['nsfw_tag'])),
      /columns\.0: is a column of Shardsieve’s own/,
    ],
    ['labels and columns apart', edited((json) => (json['labels'] = ['a', 'b'])), /columns: must be as many/],
    [
      'another dimension',
      edited((json) => ((json['space'] as { dim: number }).dim = 9)),
      /layers\.1 needs 9 values in mean, not 8/,
    ],
    [
      'a tensor without a layer',
      edited((json) => (json['layers'] as unknown[]).pop()),
      /belongs to no layer.*layers\.4/,
    ],
  ])('%s', async (_, bytes, message) => {
    await expect(readHead(ranged(bytes))).rejects.toThrow(message);
    await expect(readHead(ranged(bytes))).rejects.toThrow(/head\.safetensors/);
  });

  test('NaN weights and a damaged length', async () => {
    const layers: Layer[] = [dense(2, 1, 1, 'sigmoid')];
    const [layer] = layers;
    if (layer.type === 'dense') layer.weight[1] = Number.NaN;
    const bad = () => checkHead({ info: infoOf(2, ['a']), layers }, 'nan.safetensors');
    expect(bad).toThrow(/layers\.0 has NaN among its weight \(file nan\.safetensors\)/);
    await expect(readHead(ranged(encodeHead(wholeHead()).subarray(0, -8)))).rejects.toThrow(/cut short/);
  });
});

describe('a head is bound to the model it was made for', () => {
  const head = wholeHead();
  const model = { name: 'org/other', dim: 8, weightsSha256: 'b'.repeat(64) };
  test('by the hash of the weights', () => {
    expect(checkSpace(head, { ...model, weightsSha256: 'a'.repeat(64) })).toEqual([]);
    expect(() => checkSpace(head, model)).toThrow(
      /test_head is for embeddings of a test model, and these are of org\/other: weights bbbbbbbbbbbb…, not aaaaaaaaaaaa…/,
    );
    expect(() => checkSpace(head, { ...model, dim: 512 })).toThrow(/512 components, the head takes 8/);
    expect(() => checkSpace(head, { name: 'foreign', dim: 8 })).toThrow(/nothing says which weights/);
  });

  test('by name only where no hash is known, and then it is said', () => {
    const space = { name: 'm', dim: 8, weights_sha256: [], models: ['org/other'], datacomp: 'b32' as const };
    const byName = { ...head, info: { ...head.info, space } };
    expect(checkSpace(byName, model)).toEqual([expect.stringContaining('by the name only')]);
    expect(() => checkSpace(byName, { ...model, name: 'org/another' })).toThrow(/not org\/other/);
    expect(checkSpace(byName, { name: 'x', dim: 8, datacomp: 'b32' })).toHaveLength(1);
    expect(() => checkSpace(byName, { name: 'x', dim: 8, datacomp: 'l14' })).toThrow(/test_head/);
  });
});

test('whatever is changed in a head file, it is a head or an error that names the file', async () => {
  const bytes = encodeHead(wholeHead());
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), async (at, value, end) => {
      const changed = bytes.slice(0, end % 3 === 0 ? end : bytes.length);
      if (at < changed.length) changed[at] = value;
      const error = await readHead(ranged(changed)).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) {
        expect(error).toBeInstanceOf(ModelError);
        expect(String(error)).toContain('head.safetensors');
      }
    }),
    { numRuns: 300 },
  );
});
