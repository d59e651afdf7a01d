/**
 * Whether memory stays flat over a long run: resident memory of a run over many small samples, quarter by quarter.
 *
 *   node tools/bench/memory.ts [--samples 200000] [--shard-size 10000] [--side 64]
 *
 * The towers are tiny (`tiny.ts`): what is held is what the pipeline holds.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { scoreShards } from '../../cli/jobs/score.ts';
import { makeTinyModel, makeTinyPool } from './tiny.ts';

const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '200000' },
    'shard-size': { type: 'string', default: '10000' },
    side: { type: 'string', default: '64' },
  },
});
const side = Number(values.side);
const size = Number(values['shard-size']);
const shards = Math.max(4, Math.round(Number(values.samples) / size));
const total = shards * size;
const root = await mkdtemp(join(tmpdir(), 'shardsieve-memory-'));
try {
  await makeTinyModel(join(root, 'model'), side);
  const paths = await makeTinyPool(join(root, 'pool'), { shards, samples: size, side });
  /** By quarter, bytes. */
  const most = [0, 0, 0, 0];
  let done = 0;
  const started = performance.now();
  await scoreShards({
    shards: paths,
    models: [`local-dir:${join(root, 'model')}`],
    out: join(root, 'metadata'),
    onEvent(event) {
      if (event.type !== 'sample' || done++ % 100 > 0) return;
      const quarter = Math.min(3, Math.floor((4 * done) / total));
      most[quarter] = Math.max(most[quarter], process.memoryUsage.rss());
    },
  });
  const seconds = (performance.now() - started) / 1000;
  process.stdout.write(
    `${JSON.stringify({
      samples: done,
      samples_per_second: Math.round(done / seconds),
      rss_mb_by_quarter: most.map((bytes) => Math.round(bytes / 1e6)),
      peak_mb: Math.round(process.resourceUsage().maxRSS / 1e3),
    })}\n`,
  );
} finally {
  await rm(root, { recursive: true });
}
