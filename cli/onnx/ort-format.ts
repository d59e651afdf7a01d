/** Graphs as files in the runtime's own format, weights inside: read by onnxruntime-web without a second copy. */
import * as ort from 'onnxruntime-node';
import { ModelError, messageOf } from '../../src/errors.ts';

/**
 * Writes `graph`, whose external data lies in `folder`, to `path`. Optimised as far as is right on every machine: the
 * last level rearranges things for this one. Throws `ModelError` with the runtime's own words.
 */
export async function writeOrtFormat(graph: Uint8Array, folder: string, path: string): Promise<void> {
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'extended',
    intraOpNumThreads: 1,
    enableCpuMemArena: false,
    enableMemPattern: false,
    optimizedModelFilePath: path,
    extra: {
      session: {
        save_model_format: 'ORT',
        model_external_initializers_file_folder_path: folder,
        disable_prepacking: '1',
      },
    },
  };
  try {
    await (await ort.InferenceSession.create(graph, options)).release();
  } catch (cause) {
    throw new ModelError(`onnxruntime cannot write the model: ${messageOf(cause)}`, { file: path, cause });
  }
}
