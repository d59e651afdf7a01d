/**
 * A trained head beside the zero-shot concept head, on the same labelled drawings:
 *
 *     node tools/safety-demo/evaluate.ts METADATA LABELS
 *
 * METADATA is `shardsieve score drawings.tar --model demo --out METADATA`, LABELS the labels.csv of make_pool.py. The
 * trained head's figures are of held-out rows (5 folds); the concept head has seen no label, so its are of all rows.
 */
import { join } from 'node:path';
import { headOfConcepts } from '../../cli/heads/concepts.ts';
import { readLabelled } from '../../cli/heads/labelled.ts';
import { nodeHead } from '../../cli/heads/run.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { averagePrecision, type Estimate, rocAuc } from '../../src/safety/heads/train/metrics.ts';
import { type TrainOptions, train } from '../../src/safety/heads/train/train.ts';

const [metadata, labels] = process.argv.slice(2);
const { data } = await readLabelled({ folders: [metadata], labels });
const positives = data.labels.reduce((sum, label) => sum + label, 0);
console.log(`${data.rows} drawings, ${positives} of them labelled`);

const [wanted] = await wantModels({ models: ['demo'] });
const concepts = await nodeHead(await headOfConcepts(join(import.meta.dirname, 'concepts.yaml'), wanted));
const zeroShot = Float64Array.from(await concepts.run(data.embeddings, data.rows));
await concepts.release();
show('zero-shot concept', rocAuc(zeroShot, data.labels), averagePrecision(zeroShot, data.labels));

const plain: TrainOptions = {
  hidden: 0,
  optimizer: 'lbfgs',
  l2: 1,
  balanced: false,
  seed: 0,
  maxIterations: 1000,
  folds: 5,
  calibrate: 'platt',
};
const kinds: [string, Partial<TrainOptions>][] = [
  ['linear', {}],
  ['linear, balanced', { balanced: true }],
  ['linear, balanced, l2 10', { balanced: true, l2: 10 }],
  ['mlp, 64 hidden', { hidden: 64, optimizer: 'adam' }],
];
for (const [name, change] of kinds) {
  const [{ rocAuc: area, averagePrecision: precision }] = (await train(data, { ...plain, ...change }))
    .metrics;
  show(name, area, precision);
}

function show(name: string, area: Estimate, precision: Estimate): void {
  const text = ({ value, low, high }: Estimate) =>
    `${value.toFixed(3)} (${low.toFixed(3)}–${high.toFixed(3)})`;
  console.log(`${name.padEnd(26)} ROC-AUC ${text(area)}   average precision ${text(precision)}`);
}
