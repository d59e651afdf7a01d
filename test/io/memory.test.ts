import { expect, test } from 'vitest';
import { MetadataError, OutputError } from '../../src/errors.ts';
import { memoryFolder, memorySource } from '../../src/io/memory.ts';

test('a source streams, slices and names its bytes', async () => {
  const source = memorySource('a.tar', Uint8Array.of(1, 2, 3, 4, 5), 2);
  const chunks: number[][] = [];
  for await (const chunk of source.stream()) chunks.push([...chunk]);
  expect(chunks).toEqual([[1, 2], [3, 4], [5]]);
  expect(await source.identity()).toEqual({ name: 'a.tar', size: 5 });
  expect([...((await source.slice?.(1, 3)) ?? [])]).toEqual([2, 3]);
});

test('a folder shows what was committed and nothing else', async () => {
  const folder = memoryFolder();
  const kept = await folder.create('b.npz');
  const dropped = await folder.create('a.npz');
  const buffer = Uint8Array.of(1, 2);
  await kept.write(buffer);
  buffer[0] = 9;
  await kept.write(Uint8Array.of(3));
  await dropped.write(buffer);
  expect(await folder.list()).toEqual([]);
  await kept.commit();
  await dropped.abort();
  expect(await folder.list()).toEqual(['b.npz']);
  expect([...((await folder.read('b.npz')) ?? [])]).toEqual([1, 2, 3]);
  const { size, slice } = await folder.open('b.npz');
  expect([size, ...(await slice(1, 3))]).toEqual([3, 2, 3]);
  await expect(folder.open('a.npz')).rejects.toThrow(MetadataError);
  await expect(kept.write(buffer)).rejects.toThrow(OutputError);
  await folder.remove('b.npz');
  expect(await folder.has('b.npz')).toBe(false);
});
