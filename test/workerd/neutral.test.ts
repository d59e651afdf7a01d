import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { loadMerges } from '../../cli/vocab.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type Described, describeShard } from './describe.ts';
import { startWorker } from './start.ts';

test('tar, samples, decoding, preprocess and tokens are the same in workerd and on Node, for a demo shard', async () => {
  const tar = new Uint8Array(await readFile('demo/shards/demo-00000.tar'));
  const node = await describeShard(memorySource('pool', tar).stream(), {
    shard: 'pool',
    decoder: createDecoder(),
    tokenizer: createTokenizer(await loadMerges()),
    preprocess: parsePreprocess(undefined, 64),
  });
  expect(node.length).toBeGreaterThan(50);
  expect(new Set(node.map(({ format }) => format))).toEqual(new Set(['jpeg', 'png', 'webp']));

  const worker = await startWorker('test/workerd/neutral.toml');
  try {
    const response = await worker.fetch('/', { method: 'POST', body: tar });
    expect(response.status).toBe(200);
    expect((await response.json()) as Described[]).toEqual(node);
  } finally {
    await worker.dispose();
  }
});
