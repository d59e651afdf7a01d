/**
 * Scores shards in this process, for end-to-end.ts: node score_run.ts MODEL_DIR PRECISION OUT SHARD…
 *
 * Prints one JSON line. `seconds` is from the moment the model is loaded to the last byte written, metadata and embeddings
 * included: loading is counted apart, as the Python loop counts it.
 */
import { scoreShards } from '../../cli/jobs/score.ts';
import type { Precision } from '../../src/clip/precision.ts';

const [model, precision, out, ...shards] = process.argv.slice(2);
const started = performance.now();
let loaded = started;
let used = process.cpuUsage();
const totals = await scoreShards({
  ...{ shards, out, precision: precision as Precision },
  models: [`local-dir:${model}`],
  slugs: ['bench'],
  onEvent: (event) => {
    if (event.type !== 'model') return;
    loaded = performance.now();
    used = process.cpuUsage();
  },
});
const ended = performance.now();
const { user, system } = process.cpuUsage(used);
process.stdout.write(
  `${JSON.stringify({
    pairs: totals.scored,
    seconds: (ended - loaded) / 1000,
    load_seconds: (loaded - started) / 1000,
    cpu_seconds: (user + system) / 1e6,
  })}\n`,
);
