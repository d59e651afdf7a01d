/**
 * What the inputs of the quantised layers range over, found by running the towers in float32 on some pictures and
 * captions.
 */
import { CancelledError, ModelError } from '../../errors.ts';
import { type RangedBytes, readSafetensors } from '../../onnx/safetensors.ts';
import type { Session, SessionFactory, Tensor } from '../../onnx/session.ts';
import type { ClipConfig } from '../config.ts';
import { firstMaximum } from '../model.ts';
import { imageTower } from '../towers/image.ts';
import { fp32Linear, type Linear } from '../towers/linear.ts';
import { textTower } from '../towers/text.ts';
import { Weights } from '../towers/weights.ts';
import { isQuantised } from './layers.ts';

/** Least and greatest value of each channel of a layer's input, `[in]`. */
export interface ChannelRange {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

/** What was seen of a layer's input, channel by channel. */
export interface Seen extends ChannelRange {
  /** Tokens seen. */
  tokens: number;
  /** Over the tokens. */
  readonly sum: Float64Array;
  readonly squares: Float64Array;
}

/** By the layer's name. */
export type Ranges = ReadonlyMap<string, Seen>;

export interface CalibrationInput {
  /** Preprocessed pictures, each `[3, S, S]`. */
  readonly pixels: readonly Float32Array[];
  /** Token ids of captions, from start mark to end mark. */
  readonly tokens: readonly Int32Array[];
}

/** Pictures a run: what is kept is one range, so the batch only costs memory. */
const BATCH = 8;

/** Runs both towers over the input. `sessions` is bound to `file`. Throws `ModelError`, `CancelledError` on the signal. */
export async function calibrate(
  parts: { config: ClipConfig; file: RangedBytes; sessions: SessionFactory },
  input: CalibrationInput,
  signal?: AbortSignal,
): Promise<Ranges> {
  const { config, file, sessions } = parts;
  if (input.pixels.length === 0 || input.tokens.length === 0) {
    throw new ModelError('there is no picture, or no caption, to calibrate the model with');
  }
  const weights = new Weights(await readSafetensors(file));
  const ranges = new Map<string, Seen>();
  const side = config.vision.imageSize;
  await withSession(sessions, imageTower(config, weights, observed, sessions.location), async (session) => {
    for (let start = 0; start < input.pixels.length; start += BATCH) {
      if (signal?.aborted) throw new CancelledError();
      const batch = input.pixels.slice(start, start + BATCH);
      const data = new Float32Array(batch.length * batch[0].length);
      for (const [i, picture] of batch.entries()) data.set(picture, i * picture.length);
      const dims = [batch.length, 3, side, side];
      merge(ranges, await session.run({ pixels: { type: 'float32', dims, data } }));
    }
  });
  await withSession(sessions, textTower(config, weights, observed, sessions.location), async (session) => {
    // One at a time: what stands behind a caption's end in a batch is no caption.
    for (const row of input.tokens) {
      if (signal?.aborted) throw new CancelledError();
      const end = firstMaximum(row);
      const data = row.slice(0, end + 1);
      const feeds = {
        ids: { type: 'int32', dims: [1, data.length], data },
        end: { type: 'int32', dims: [1], data: Int32Array.of(end) },
      } as const;
      merge(ranges, await session.run(feeds));
    }
  });
  return ranges;
}

/** Outputs beside the embedding: what is reduced how, over the tokens, for each layer. */
const REDUCED = { min: 'ReduceMin', max: 'ReduceMax', sum: 'ReduceSum', squares: 'ReduceSumSquare' } as const;
type Kind = keyof typeof REDUCED;
const outputName = (kind: Kind | 'tokens', layer: string) => `${kind}:${layer}`;

/** A layer in float32 whose input is looked at. */
const observed: Linear = (graph, x, layer) => {
  if (isQuantised(layer)) {
    const width = layer.weight.shape[1];
    for (const [kind, op] of Object.entries(REDUCED) as [Kind, string][]) {
      const reduced = graph.node(op, [x, graph.ints([0])], { keepdims: 0 });
      graph.output(outputName(kind, layer.name), reduced, 'float32', [width]);
    }
    const tokens = graph.node('Shape', [x], { start: 0, end: 1 });
    graph.output(outputName('tokens', layer.name), tokens, 'int64', [1]);
  }
  return fp32Linear(graph, x, layer);
};

async function withSession(
  sessions: SessionFactory,
  graph: Uint8Array,
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const session = await sessions.create(graph);
  try {
    await use(session);
  } finally {
    await session.release();
  }
}

function merge(seen: Map<string, Seen>, answers: Record<string, Tensor>): void {
  const prefix = outputName('tokens', '');
  for (const [output, tokens] of Object.entries(answers)) {
    if (!output.startsWith(prefix)) continue;
    const name = output.slice(prefix.length);
    const [min, max, sum, squares] = (['min', 'max', 'sum', 'squares'] as const).map(
      (kind) => answers[outputName(kind, name)].data,
    );
    const width = min.length;
    const so = seen.get(name) ?? {
      tokens: 0,
      min: new Float32Array(width).fill(Number.POSITIVE_INFINITY),
      max: new Float32Array(width).fill(Number.NEGATIVE_INFINITY),
      sum: new Float64Array(width),
      squares: new Float64Array(width),
    };
    so.tokens += Number(tokens.data[0]);
    for (let j = 0; j < width; j++) {
      const square = Number(squares[j]);
      // One value that is no number, or too large, makes this sum so.
      if (!Number.isFinite(square)) {
        throw new ModelError('a layer gives values that are no finite numbers, so it cannot be quantised', {
          tensor: name,
        });
      }
      so.min[j] = Math.min(so.min[j], Number(min[j]));
      so.max[j] = Math.max(so.max[j], Number(max[j]));
      so.sum[j] += Number(sum[j]);
      so.squares[j] += square;
    }
    seen.set(name, so);
  }
}
