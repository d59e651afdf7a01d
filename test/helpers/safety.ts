import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { wantModels } from '../../cli/jobs/models.ts';
import { encodeHead } from '../../src/safety/heads/file.ts';
import { checkHead, type HeadInfo } from '../../src/safety/heads/head.ts';

/** Length of the demo model's embeddings. */
export const DEMO_DIM = 128;

/**
 * Writes a head over the demo model's embeddings, `sigmoid(40 · component)`, and returns its path. `weights` binds it to
 * another model.
 */
export async function writeHead(
  folder: string,
  name: string,
  component: number,
  more: { weights?: string; info?: Partial<HeadInfo> } = {},
): Promise<string> {
  const [demo] = await wantModels({ models: ['demo'] });
  const weight = new Float32Array(DEMO_DIM);
  weight[component] = 40;
  const info = {
    format: 1,
    name,
    title: `test head ${name}`,
    space: {
      name: more.weights === undefined ? 'demo' : 'Another CLIP',
      dim: DEMO_DIM,
      weights_sha256: [more.weights ?? String(demo.entry['weights_sha256'])],
      models: [],
    },
    preprocess_fingerprint: null,
    labels: [name],
    columns: [`safety_${name}`],
    thresholds: {},
    licence: 'none',
    source: 'a test',
    trained_on: 'nothing',
    limits: 'it means nothing',
    ...more.info,
  };
  const layers = [{ type: 'dense', inputs: DEMO_DIM, outputs: 1, weight, activation: 'sigmoid' } as const];
  const path = join(folder, `${name}.safetensors`);
  await writeFile(path, encodeHead(checkHead({ info, layers }, path)));
  return path;
}
