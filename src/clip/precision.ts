/**
 * What the towers compute in.
 *
 * - `fp32`: open_clip's numbers, to its last digits
 * - `int8`: the matrices in 8 bits a number, their inputs too, on a scale fixed beforehand; the rest in float32
 * - `int8-accurate`: the same, but the inputs of two matrices in a block get a scale of their own in each token
 * - `fp16`: the matrices and their inputs in half floats, the rest in float32; for GPUs, a CPU gains nothing
 */
export const PRECISIONS = ['fp32', 'int8', 'int8-accurate', 'fp16'] as const;
export type Precision = (typeof PRECISIONS)[number];
export type QuantisedPrecision = Exclude<Precision, 'fp32' | 'fp16'>;
