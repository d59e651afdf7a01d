/**
 * What a head is made of. A head is a short chain of layers from image embeddings `[rows, dim]` to one value per
 * label, in `[0, 1]`. Nothing in a head is code: a layer that is not one of these is refused.
 */

export type Activation = 'linear' | 'relu' | 'sigmoid' | 'softmax';

/**
 * A component whose value is looked up as text: what AutoKeras makes of a column that it takes for a category. The
 * float32 is printed with six decimals, as C's `%f` does, and the table says which number stands for that text.
 */
export interface Lookup {
  /** Which component of the embedding. */
  column: number;
  /** The text as an integer number of millionths, ascending; a text of `-0.000000` is never among them. */
  keys: Int32Array;
  /** The number that replaces the component, for each key. */
  values: Int32Array;
  /** The number for every other text. */
  otherwise: number;
}

export type Layer =
  /** AutoKeras' MultiCategoryEncoding: lookups on some components, NaN to 0 on the others. */
  | { type: 'encode'; lookups: Lookup[] }
  /** `(x − mean) / scale`, then `· gamma + beta` where they are there: Keras' Normalization, torch's BatchNorm1d. */
  | {
      type: 'normalise';
      mean: Float32Array;
      scale: Float32Array;
      gamma?: Float32Array;
      beta?: Float32Array;
    }
  /** `activation(x · weight + bias)`; `weight` is `[inputs, outputs]`, row-major. */
  | {
      type: 'dense';
      inputs: number;
      outputs: number;
      weight: Float32Array;
      bias?: Float32Array;
      activation: Activation;
    }
  /** The logits are cosines with prompts: one probability per concept, see `concepts.ts`. */
  | { type: 'concepts'; scale: number; concepts: PromptRange[]; neutral: PromptRange }
  /** 1 where the largest input is the one at `index`, else 0; the first of equal ones counts, as in NumPy. */
  | { type: 'argmax'; index: number }
  /** The line through the points `(x, y)`, flat beyond its ends: isotonic calibration. Platt's is in the last weights. */
  | { type: 'isotonic'; x: Float32Array; y: Float32Array };

/** Prompts `[start, end)`. */
export interface PromptRange {
  start: number;
  end: number;
}

/** How many values a layer gives for `width` of them. */
export function outputWidth(layer: Layer, width: number): number {
  if (layer.type === 'dense') return layer.outputs;
  if (layer.type === 'concepts') return layer.concepts.length;
  return layer.type === 'argmax' ? 1 : width;
}
