import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { drawn } from '../safety/drawn.ts';
import { startWorker } from './start.ts';

interface Golden {
  drawn: [kind: string, width: number, height: number, probabilities: number[]][];
}

test('NSFWJS’s classifier gives its own probabilities in workerd', async () => {
  const golden = JSON.parse(
    await readFile(new URL('../fixtures/nsfwjs/golden.json', import.meta.url), 'utf8'),
  ) as Golden;
  const cases = golden.drawn.filter(([kind, w]) => kind.startsWith('blobs:') || (kind === 'waves' && w > 1));
  expect(cases.length).toBeGreaterThan(8);
  const worker = await startWorker('test/workerd/nsfwjs.toml');
  try {
    for (const [kind, w, h, probabilities] of cases) {
      const body = new Uint8Array(drawn(kind, w, h).data);
      const response = await worker.fetch(`/?w=${w}&h=${h}`, { method: 'POST', body });
      expect([response.status, response.ok || (await response.text())]).toEqual([200, true]);
      const found = (await response.json()) as number[];
      for (const [i, value] of probabilities.entries()) expect(Math.abs(found[i] - value)).toBeLessThan(1e-5);
    }
  } finally {
    await worker.dispose();
  }
});
