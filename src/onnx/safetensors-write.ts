/** Writes safetensors files: small ones at once, the header of large ones; rules as in `safetensors.ts`. */
import type { TensorType } from './safetensors.ts';

export interface NamedTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array | Int32Array;
}

/** The tensors in the order given, little-endian; the header is padded so that they begin at a multiple of 8. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const header = safetensorsHeader(
    tensors.map(({ name, shape, data }) => {
      const dtype = data instanceof Float32Array ? 'F32' : 'I32';
      return { name, shape, dtype, length: data.byteLength };
    }),
    metadata,
  );
  const length = tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
  const bytes = new Uint8Array(header.length + length);
  bytes.set(header);
  let at = header.length;
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/** A tensor of a file that is still to be written. */
export interface TensorShape {
  readonly name: string;
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  /** Bytes. */
  readonly length: number;
}

/** All that stands before the tensors, which follow in this order; padded so that they begin at a multiple of 8. */
export function safetensorsHeader(
  tensors: readonly TensorShape[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, length } of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + length] };
    end += length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20, 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, 8);
  return bytes;
}
