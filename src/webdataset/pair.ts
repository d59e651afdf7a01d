/**
 * A sample as an image-caption pair: which member is the picture, where caption and uid come from, and what the JSON
 * says besides. The picture is not decoded here.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { messageOf, SampleError } from '../errors.ts';
import { gunzipMember } from '../io/gunzip.ts';
import { encodeName } from '../tar/format.ts';
import { fieldOf, isTooDeep, type Json, type JsonObject, parseJsonObject } from './json.ts';
import { DEFAULT_CAPS, type RawSample } from './samples.ts';

export interface PairOptions {
  /** The shard's base name (`shardBaseName`), part of a uid that the JSON does not give. */
  shardBase: string;
  /** `txt` (default): the `txt` member, else the JSON's `caption`; or `json:FIELD`, a path with dots. */
  caption?: string;
  /** `json` (default): the JSON's `uid`, else from the key; `key`: always from the key; or `json:FIELD`. */
  uid?: string;
  /** Fields of the JSON to carry along, as `FIELD` or `json:FIELD`. */
  carry?: readonly string[];
  /** Most bytes that a packed image (`.jpg.gz`) and packed text unpack to. */
  caps?: { member?: number; text?: number };
}

/** Field names are the metadata's (`metadata/table.ts`). */
export interface Pair {
  /** 32 lower-case hex digits. */
  uid: string;
  key: string;
  /** Not cleaned; a byte order mark stays. */
  caption: string;
  /** The picture's bytes as stored, and which member they are. */
  image: Uint8Array;
  imageExt: string;
  url: string | null;
  /** Pixels, from the JSON; `undefined` where it has no positive integer. */
  originalWidth: number | undefined;
  originalHeight: number | undefined;
  sha256: string | null;
  faceBboxes: number[][] | null;
  /** By FIELD; null where the JSON has none. */
  carried: { [field: string]: Json };
}

/** webdataset's usual `jpg;png;jpeg;webp` and gif: the first one there is taken. */
export const IMAGE_EXTENSIONS = ['jpg', 'png', 'jpeg', 'webp', 'gif'] as const;

/**
 * A character that is no whitespace as Python's `str.isspace` has it; JavaScript's `\s` lacks U+001C–1F and U+0085 and
 * has U+FEFF. A caption without one is empty.
 */
export const NO_SPACE = /[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/**
 * UTF-16 units of a caption. No alt text comes near it, 77 tokens are a hundredth of it, and ftfy's rules can be made to
 * take time that grows with the square of a caption's length.
 */
const MAX_CAPTION = 2 ** 16;

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Throws `SampleError` with one reason: the sample's own problem, else `bad_json`, `bad_uid`, `no_image`,
 * `no_caption`, `empty_caption`, `caption_too_long`, `caption_not_utf8`, or `bad_member` and `member_too_large` of a packed member.
 */
export function toPair(sample: RawSample, options: PairOptions): Pair {
  const { key } = sample;
  if (sample.problem !== undefined)
    throw new SampleError(sample.problem.reason, sample.problem.detail, { key });
  const json = jsonOf(sample, options);
  const uid = uidOf(sample, json, options);
  const found = pictureMember(sample);
  const caption = captionOf(sample, json, options);
  if (!NO_SPACE.test(caption)) throw new SampleError('empty_caption', 'the caption is empty', { key });
  if (caption.length > MAX_CAPTION) {
    throw new SampleError(
      'caption_too_long',
      `the caption has ${caption.length} characters, over ${MAX_CAPTION}`,
      { key },
    );
  }
  const image = unpacked(sample, found, options.caps?.member ?? DEFAULT_CAPS.member);
  return {
    uid,
    key,
    caption,
    image,
    imageExt: found.ext,
    url: stringOrNull(json?.['url']),
    originalWidth: positiveInteger(json?.['original_width']),
    originalHeight: positiveInteger(json?.['original_height']),
    sha256: stringOrNull(json?.['sha256']),
    faceBboxes: boxes(json?.['face_bboxes']),
    carried: carriedOf(json, options.carry ?? [], key),
  };
}

/**
 * The picture of a sample alone, for what needs no caption. Throws `SampleError`: the sample's own problem,
 * `no_image`, or `bad_member` and `member_too_large` of a packed member.
 */
export function pictureOf(sample: RawSample, cap = DEFAULT_CAPS.member): Uint8Array {
  const { key, problem } = sample;
  if (problem !== undefined) throw new SampleError(problem.reason, problem.detail, { key });
  return unpacked(sample, pictureMember(sample), cap);
}

function pictureMember(sample: RawSample): RawSample['members'][number] {
  const found = IMAGE_EXTENSIONS.map((ext) => memberNamed(sample, ext)).find(
    (member) => member !== undefined,
  );
  if (found !== undefined) return found;
  const there = sample.members.slice(0, 8).map((member) => member.ext);
  throw new SampleError('no_image', `none of ${IMAGE_EXTENSIONS.join(', ')} among ${there.join(', ')}`, {
    key: sample.key,
  });
}

/** The uid where it can be known, for the line that says why a sample was skipped. Never throws. */
export function uidIfKnown(sample: RawSample, options: PairOptions): string | undefined {
  try {
    return uidOf(sample, jsonOf(sample, options), options);
  } catch {
    return undefined;
  }
}

/** First 16 bytes, in hex, of SHA-256 of `<shard base>/<key>`, the key in the tar's own bytes. */
export function uidFromKey(shardBase: string, key: string): string {
  return bytesToHex(sha256(encodeName(`${shardBase}/${key}`)).subarray(0, 16));
}

function uidOf(sample: RawSample, json: JsonObject | undefined, options: PairOptions): string {
  const source = options.uid ?? 'json';
  const isAsked = source.startsWith('json:');
  const said =
    source === 'key' || json === undefined ? undefined : fieldOf(json, isAsked ? source.slice(5) : 'uid');
  if (said === undefined || said === null) {
    if (!isAsked) return uidFromKey(options.shardBase, sample.key);
    throw new SampleError('bad_uid', `the JSON has no ${source.slice(5)}`, { key: sample.key });
  }
  // DataComp reads a uid with `int(uid, 16)`, so upper case is the same uid; a subset file cannot tell them apart.
  if (typeof said !== 'string' || !/^[0-9a-fA-F]{32}$/.test(said)) {
    const shown = typeof said === 'string' ? JSON.stringify(said.slice(0, 64)) : kindOf(said);
    throw new SampleError('bad_uid', `the uid (${shown}) is not 32 hex digits`, { key: sample.key });
  }
  return said.toLowerCase();
}

function captionOf(sample: RawSample, json: JsonObject | undefined, options: PairOptions): string {
  const source = options.caption ?? 'txt';
  const { key } = sample;
  if (source === 'txt') {
    const member = memberNamed(sample, 'txt');
    if (member !== undefined) {
      const bytes = unpacked(sample, member, options.caps?.text ?? DEFAULT_CAPS.text);
      try {
        return text.decode(bytes);
      } catch (error) {
        throw new SampleError('caption_not_utf8', `${member.ext} is no UTF-8`, { key, cause: error });
      }
    }
  }
  const field = source.startsWith('json:') ? source.slice(5) : 'caption';
  const said = json === undefined ? undefined : fieldOf(json, field);
  if (typeof said === 'string') return said;
  const where = source === 'txt' ? 'no txt member, and ' : '';
  const why = json === undefined ? 'no JSON' : `the JSON's ${field} is ${kindOf(said)}`;
  throw new SampleError('no_caption', `${where}${why}`, { key });
}

/** The sample's JSON, `undefined` where it has none. Throws `SampleError` `bad_json`. */
export function jsonOf(sample: RawSample, options: Pick<PairOptions, 'caps'> = {}): JsonObject | undefined {
  const member = memberNamed(sample, 'json');
  if (member === undefined) return undefined;
  const bytes = unpacked(sample, member, options.caps?.text ?? DEFAULT_CAPS.text);
  try {
    return parseJsonObject(bytes);
  } catch (error) {
    throw new SampleError('bad_json', messageOf(error).slice(0, 200), { key: sample.key, cause: error });
  }
}

/** The member of that extension, plain before packed. */
function memberNamed(sample: RawSample, ext: string): RawSample['members'][number] | undefined {
  return (
    sample.members.find((member) => member.ext === ext) ??
    sample.members.find((member) => member.ext === `${ext}.gz`)
  );
}

function unpacked(sample: RawSample, member: RawSample['members'][number], cap: number): Uint8Array {
  if (!member.gz) return member.bytes;
  try {
    return gunzipMember(member.bytes, cap);
  } catch (error) {
    if (!(error instanceof SampleError)) throw error;
    throw new SampleError(error.reason, `${member.ext}: ${error.message}`, { key: sample.key, cause: error });
  }
}

function stringOrNull(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

function positiveInteger(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

/** DataComp's `[[x0, y0, x1, y1], …]`, whole or not at all. */
function boxes(value: Json | undefined): number[][] | null {
  if (!Array.isArray(value)) return null;
  const isBox = (box: Json): box is number[] =>
    Array.isArray(box) &&
    box.length === 4 &&
    box.every((side) => typeof side === 'number' && Number.isFinite(side));
  return value.every(isBox) ? value : null;
}

function carriedOf(
  json: JsonObject | undefined,
  fields: readonly string[],
  key: string,
): { [field: string]: Json } {
  const entries = fields.map((asked): [string, Json] => {
    const field = asked.startsWith('json:') ? asked.slice(5) : asked;
    const value = (json === undefined ? undefined : fieldOf(json, field)) ?? null;
    if (isTooDeep(value)) throw new SampleError('bad_json', `its ${field} is nested too deep`, { key });
    return [field, value];
  });
  return Object.fromEntries(entries);
}

function kindOf(value: Json | undefined): string {
  if (value === undefined) return 'not there';
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
