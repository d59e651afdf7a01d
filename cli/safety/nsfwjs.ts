/** NSFWJS's classifier, which ships with the package. */
import { join } from 'node:path';
import { loadNsfwjs, type Nsfwjs } from '../../src/safety/nsfwjs/model.ts';
import { modelFile } from '../onnx/files.ts';
import { type NodeSessionOptions, nodeSessions } from '../onnx/session.ts';
import { packageRoot } from '../package-root.ts';

const WEIGHTS = join('assets', 'nsfwjs', 'mobilenet_v2.safetensors');

/** Throws `ModelError` where the file is missing or broken. */
export async function openNsfwjs(options: NodeSessionOptions = {}): Promise<Nsfwjs> {
  const file = await modelFile(join(packageRoot(), WEIGHTS));
  return loadNsfwjs(await file.slice(0, file.size), nodeSessions(file, options), file.path);
}
