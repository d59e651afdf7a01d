import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EXPORTED_PARTS, type ExportManifest } from '../../src/clip/export/manifest.ts';
import { encodeHead, readHead } from '../../src/safety/heads/file.ts';
import { cli } from '../helpers/cli.ts';
import { filesOf, scratch } from '../helpers/tmp.ts';

const folder = await scratch();
const env = { SHARDSIEVE_QUANTISED: join(folder, 'quantised') };
const out = join(folder, 'towers');
const command = ['models', 'export', 'demo', '--target', 'workers', '--out', out];

test('a model is exported for Workers: whole files, hashed, and only once', async () => {
  const first = await cli([...command, '--json'], { env });
  expect([first.code, first.stderr.includes('error')]).toEqual([0, false]);
  const manifest = JSON.parse(first.stdout) as ExportManifest & { reused: boolean };
  expect(manifest).toMatchObject({
    format: 'shardsieve-towers',
    name: 'demo',
    slug: 'demo_int8_accurate',
    precision: 'int8-accurate',
    dim: 128,
    context_length: 77,
    vocab_size: 49_408,
    image_size: 64,
    text_width: 128,
    reused: false,
    preprocess: { width: 64, interpolation: 'bicubic' },
    files: { table: { bytes: 2 * 49_408 * 128 } },
  });
  const files = await filesOf(out);
  expect([...files.keys()]).toEqual(['image.ort', 'manifest.json', 'table.f16', 'text.ort']);
  for (const part of EXPORTED_PARTS) {
    const { name, bytes, sha256 } = manifest.files[part];
    const content = files.get(name)!;
    expect(content.length).toBe(bytes);
    expect(createHash('sha256').update(content).digest('hex')).toBe(sha256);
  }

  const before = await stat(join(out, 'image.ort'));
  const again = await cli(command, { env });
  expect(again.stdout).toMatch(/^demo in int8-accurate: image\.ort .* \(as they were\)\n$/);
  expect((await stat(join(out, 'image.ort'))).mtimeMs).toBe(before.mtimeMs);

  const path = join(out, 'text.ort');
  await writeFile(path, (await readFile(path)).subarray(1));
  const made = await cli([...command, '--json'], { env });
  const anew = JSON.parse(made.stdout) as ExportManifest & { reused: boolean };
  // The runtime does not write the same bytes twice; what they compute is the same.
  expect(anew).toMatchObject({ fingerprint: manifest.fingerprint, reused: false });
  expect(
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  ).toBe(anew.files.text.sha256);
});

test('heads lie beside the towers, which stay when only the heads change; what is no head here is refused', async () => {
  const head = ['--head', 'concepts:demo/concepts.yaml'];
  const kept = JSON.parse((await cli([...command, '--json'], { env })).stdout) as ExportManifest;
  const made = await cli([...command, ...head, '--json'], { env });
  const manifest = JSON.parse(made.stdout) as ExportManifest & { reused: boolean };
  expect(manifest).toMatchObject({ files: kept.files, fingerprint: kept.fingerprint, reused: false });
  const [file] = manifest.heads;
  expect(file.name).toBe('heads/demo_concepts.safetensors');
  const content = await readFile(join(out, file.name));
  expect([content.length, createHash('sha256').update(content).digest('hex')]).toEqual([
    file.bytes,
    file.sha256,
  ]);
  // Its own file says the same as the concepts it was made of.
  const again = await cli([...command, '--head', `head:${join(out, file.name)}`], { env });
  expect(again.stdout).toMatch(/heads\/demo_concepts\.safetensors .* \(as they were\)\n$/);

  const copy = join(folder, 'copy.safetensors');
  await writeFile(copy, content);
  const twice = await cli([...command, ...head, '--head', `head:${copy}`], { env });
  expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('demo_concepts')]);
  const other = await cli([...command, '--head', 'nsfwjs'], { env });
  expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('--head nsfwjs')]);
  const foreign = await writeForeign(content);
  const elsewhere = await cli([...command, '--head', `head:${foreign}`], { env });
  expect([elsewhere.code, elsewhere.stderr]).toEqual([
    1,
    expect.stringContaining('is for embeddings of another'),
  ]);

  const without = await cli([...command, '--json'], { env });
  expect(JSON.parse(without.stdout)).toMatchObject({ files: kept.files, heads: [] });
  expect([...(await filesOf(out)).keys()]).not.toContain(file.name);
});

/** The same head, bound to weights that are not the model's. */
async function writeForeign(content: Uint8Array): Promise<string> {
  const path = join(folder, 'foreign.safetensors');
  const slice = async (start: number, end: number) => content.subarray(start, end);
  const { info, layers } = await readHead({ name: path, size: content.length, slice });
  const space = { ...info.space, name: 'another', weights_sha256: ['0'.repeat(64)], models: ['another'] };
  await writeFile(path, encodeHead({ info: { ...info, space }, layers }));
  return path;
}

test('what Workers cannot hold is refused, and so is another platform', async () => {
  const wide = await cli([...command, '--precision', 'fp32'], { env });
  expect([wide.code, wide.stderr]).toEqual([2, expect.stringContaining('int8-accurate')]);
  const other = await cli(['models', 'export', 'demo', '--target', 'phone', '--out', out], { env });
  expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('workers')]);
});
