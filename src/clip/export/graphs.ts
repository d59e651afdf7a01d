/** A quantised checkpoint's towers as graphs for runtimes with little memory, of which each is loaded alone. */
import { type RangedBytes, readSafetensors } from '../../onnx/safetensors.ts';
import { widen } from '../../onnx/widen.ts';
import type { ClipConfig } from '../config.ts';
import { movedTable, readQuantised } from '../int8/file.ts';
import { int8Linear } from '../int8/linear.ts';
import type { QuantisedPrecision } from '../precision.ts';
import { imageTower } from '../towers/image.ts';
import { textTower } from '../towers/text.ts';
import { Weights } from '../towers/weights.ts';
import { halfFloats } from './table.ts';

export interface ExportedGraphs {
  readonly image: Uint8Array;
  /** Takes `rows`, the float32 `[n, t, width]` that the table has for `ids`, and looks at `ids` for their number only. */
  readonly text: Uint8Array;
  /** Half floats `[vocabulary, width]`. */
  readonly table: Uint16Array<ArrayBuffer>;
  readonly logitScale: number;
}

/**
 * Graphs over the quantised file, which they know by `location`, but for the table of token embeddings. Weights are handed over as signed bytes whatever the machine that exports: WebAssembly multiplies
 * them exactly. Throws `ModelError`.
 */
export async function exportedGraphs(parts: {
  config: ClipConfig;
  weights: RangedBytes;
  quantised: RangedBytes;
  precision: QuantisedPrecision;
  location: string;
}): Promise<ExportedGraphs> {
  const { config, weights: file, quantised, precision, location } = parts;
  const original = await readSafetensors(file);
  const own = new Weights(original);
  const moved = await readQuantised(quantised);
  const tensors = new Weights(movedTable(original, moved));
  const linear = int8Linear(moved, precision, 'signed');
  const floats = async (weight: ReturnType<Weights['get']>) =>
    widen(await file.slice(weight.offset, weight.offset + weight.length), weight.dtype);

  const { vocabSize, width } = config.text;
  const stored = own.get(`${own.textPrefix}token_embedding.weight`, [vocabSize, width]);
  const image = imageTower(config, tensors, linear, location);
  const text = textTower(config, tensors, linear, location, 'fused', (graph) =>
    graph.input('rows', 'float32', ['n', 't', width]),
  );
  tensors.logitScale();
  tensors.finish();
  const table = halfFloats(await floats(stored), stored.name);
  return { image, text, table, logitScale: Math.exp((await floats(own.logitScale()))[0]) };
}
