/**
 * Towers over HTTP: what travels between who wants embeddings and who has the towers. Numbers are little-endian.
 *
 * | request | body | answer |
 * |---|---|---|
 * | `GET /` | | `TowerInfo` as JSON |
 * | `POST /pictures` | n pictures of `S · S · 3` bytes (8-bit RGB, after `preprocessBytes`), one behind the other | n rows of `dim` float32 |
 * | `POST /texts` | n (int32), the n captions' lengths (int32), their token ids (int32) one behind the other | n rows of `dim` float32 |
 *
 * Bodies and rows are `application/octet-stream`; rows have unit length and stand in the order of what was sent. A request
 * asks for 1 to `max_pictures` or `max_texts`. Where the towers are kept by a key, it comes as `authorization: Bearer KEY`.
 * Who knows which towers are to answer says their fingerprint (`shardsieve-fingerprint`): others do not answer for them.
 * Every other answer is a problem document (RFC 9457): 400 a body that is not what stands above, 401 a wrong key, 404 a
 * tower that is not here, 409 another fingerprint, 413 too much, 422 token ids that the model does not have, 500 the runtime failed, 503 too many
 * requests at once (with `retry-after`).
 */
import { ModelError } from '../../src/errors.ts';
import type { TowerInfo } from './info.ts';

export const TOWERS_PROTOCOL = 1;
export const TOWERS = ['image', 'text'] as const;
export type Tower = (typeof TOWERS)[number];
/** Header of a request: the fingerprint of the towers that are asked. */
export const FINGERPRINT_HEADER = 'shardsieve-fingerprint';
export const OCTETS = 'application/octet-stream';

/** Bytes of the longest body of each kind. */
export function longestBody({ image_size, context_length, max_pictures, max_texts }: TowerInfo) {
  return {
    pictures: max_pictures * pictureBytes(image_size),
    texts: 4 * (1 + max_texts * (1 + context_length)),
  };
}

export const pictureBytes = (side: number): number => 3 * side * side;

export function encodePictures(pictures: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(pictures.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const picture of pictures) {
    out.set(picture, at);
    at += picture.length;
  }
  return out;
}

/** Views of the body, one a picture. Throws `ModelError` for what is no whole number of pictures, or none. */
export function decodePictures(body: Uint8Array, side: number): Uint8Array[] {
  const length = pictureBytes(side);
  if (body.length === 0 || body.length % length !== 0) {
    throw new ModelError(`${body.length} bytes are no pictures of [${side}, ${side}, 3]`);
  }
  return Array.from({ length: body.length / length }, (_, i) => body.subarray(i * length, (i + 1) * length));
}

export function encodeTexts(ids: readonly Int32Array[]): Uint8Array<ArrayBuffer> {
  const total = ids.reduce((sum, { length }) => sum + length, 0);
  const out = new DataView(new ArrayBuffer(4 * (1 + ids.length + total)));
  let at = 0;
  const put = (value: number): void => {
    out.setInt32(at, value, true);
    at += 4;
  };
  put(ids.length);
  for (const { length } of ids) put(length);
  for (const row of ids) for (const id of row) put(id);
  return new Uint8Array(out.buffer);
}

/** Throws `ModelError` where the lengths and the body do not agree, or there is no caption. */
export function decodeTexts(body: Uint8Array): Int32Array[] {
  const words = body.length / 4;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const n = Number.isInteger(words) && words > 0 ? view.getInt32(0, true) : 0;
  if (n < 1 || n >= words) throw new ModelError(`${body.length} bytes are no captions' tokens`);
  const rows: Int32Array[] = [];
  let at = 1 + n;
  for (let i = 0; i < n; i++) {
    const length = view.getInt32(4 * (1 + i), true);
    if (length < 1 || at + length > words) {
      throw new ModelError(`caption ${i} is said to have ${length} tokens, which the body does not hold`);
    }
    const start = at;
    rows.push(Int32Array.from({ length }, (_, k) => view.getInt32(4 * (start + k), true)));
    at += length;
  }
  if (at !== words) throw new ModelError(`${words - at} tokens belong to no caption`);
  return rows;
}

export function encodeRows(rows: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new DataView(new ArrayBuffer(4 * rows.length));
  for (let i = 0; i < rows.length; i++) out.setFloat32(4 * i, rows[i], true);
  return new Uint8Array(out.buffer);
}

/** `count` float32. Throws `ModelError` for another number of bytes, or what is no finite number. */
export function decodeRows(body: Uint8Array, count: number): Float32Array {
  if (body.length !== 4 * count) {
    throw new ModelError(`the towers answered with ${body.length} bytes in place of ${4 * count}`);
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const rows = Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
  if (!rows.every(Number.isFinite)) throw new ModelError('the towers answered with what is no finite number');
  return rows;
}
