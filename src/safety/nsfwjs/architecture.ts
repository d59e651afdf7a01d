/**
 * The network of NSFWJS's default model: Keras' MobileNetV2 (width 1, 224 pixels; Sandler and others, 2018, table 2)
 * and three dense layers. Layers have Keras' names; `tools/nsfwjs/convert.ts` compares this table with the topology
 * that the package ships.
 */

/** In the order of the model's output; NSFWJS writes them with a capital. */
export const NSFWJS_LABELS = ['drawing', 'hentai', 'neutral', 'porn', 'sexy'] as const;

/** Side of the input, pixels. */
export const NSFWJS_SIDE = 224;
/** Added to the variance by every batch normalisation. */
export const EPSILON = 0.001;
/** Filters of the first convolution, 3 × 3 with stride 2, and of the last, 1 × 1. */
export const FIRST = 32;
export const LAST = 1280;
/** Widths of the dense layers, the labels last. */
export const DENSE = [256, 128, NSFWJS_LABELS.length] as const;

/** An inverted residual: 1 × 1 up, 3 × 3 on each channel alone, 1 × 1 down. */
export interface Block {
  /** Before `_expand`, `_depthwise`, `_project` and their `_BN`. */
  readonly name: string;
  readonly input: number;
  /** Channels in the middle. */
  readonly middle: number;
  readonly output: number;
  readonly stride: 1 | 2;
  /** The first block widens nothing. */
  readonly expands: boolean;
  /** The input is added where nothing changes its shape. */
  readonly adds: boolean;
}

/** Widening, output channels, repeats, stride of the first of them. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

export const BLOCKS: readonly Block[] = blocks();

function blocks(): Block[] {
  const all: Block[] = [];
  let input = FIRST;
  for (const [factor, output, repeats, firstStride] of STAGES) {
    for (let i = 0; i < repeats; i++) {
      const stride = i === 0 ? firstStride : 1;
      all.push({
        name: all.length === 0 ? 'expanded_conv' : `block_${all.length}`,
        input,
        middle: input * factor,
        output,
        stride,
        expands: factor !== 1,
        adds: stride === 1 && input === output,
      });
      input = output;
    }
  }
  return all;
}
