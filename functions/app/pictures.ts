/** From what a request says of its pictures to what the towers and the classifiers are given. */
import { SampleError } from '../../src/errors.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import type { PreprocessConfig } from '../../src/image/preprocess-config.ts';
import { sniff, sniffFormat } from '../../src/image/sniff.ts';
import type { ImageFormat } from '../../src/image/types.ts';
import { NSFWJS_INPUT, nsfwjsInput } from '../../src/safety/nsfwjs/preprocess.ts';
import { Budget } from '../../src/score/ahead.ts';
import type { Parts } from './form.ts';
import { pointer } from './pointer.ts';
import { type FieldError, kindOfSample, Problem, type ProblemKind } from './problems.ts';
import type { ImageSource } from './schemas.ts';
import type { Service } from './service.ts';

/** A picture as the models see it: its pixels are gone. */
export interface Seen {
  /** What an answer says of it. */
  header: { format: ImageFormat; width: number; height: number };
  /** `preprocessBytes`, where a tower is to see it. */
  input?: Uint8Array;
  /** `nsfwjsInput`, where the classifier is. */
  nsfw?: Float32Array;
}

export interface Wanted {
  /** The model's, where a tower is to see the pictures. */
  preprocess?: PreprocessConfig;
  nsfw: boolean;
}

/** An image of a request, and where it stands there. */
export interface Placed {
  source: ImageSource;
  path: readonly (string | number)[];
}

export type PictureReader = (
  images: readonly Placed[],
  parts: Parts,
  wanted: Wanted,
  signal: AbortSignal,
) => Promise<Seen[]>;

/** A Worker has six connections a request; a picture's origin should not see more of us either. */
const FETCHES = 6;
/** Fetched or being fetched and not yet decoded, over all requests: each may have `imageBytes`, so 128 MiB, 32 at the edge. */
const FETCHED = 8;

/** What is wrong with one image, until all have been looked at. */
class ImageProblem extends Error {
  readonly kind: ProblemKind;
  readonly field: FieldError;
  constructor(kind: ProblemKind, field: FieldError) {
    super(field.detail);
    this.kind = kind;
    this.field = field;
  }
}

/**
 * Reads pictures for all requests of a server, so that what is fetched and what is decoded at any time is bounded over all of
 * them. Throws `Problem` that names every image that cannot be used: a client can leave them out and send the rest.
 */
export function pictureReader(service: Service): PictureReader {
  const { limits, decoder, fit = 'open_clip' } = service;
  const decoded = new Budget(limits.decodedPixels);
  const fetched = new Budget(FETCHED);

  const see = async (
    bytes: Uint8Array,
    path: Placed['path'],
    wanted: Wanted,
    signal: AbortSignal,
  ): Promise<Seen> => {
    const at = pointer(path);
    if (bytes.length > limits.imageBytes) {
      throw new ImageProblem('too_large', {
        pointer: at,
        detail: `the picture has ${bytes.length} bytes, more than ${limits.imageBytes}`,
        reason: 'image_too_large',
      });
    }
    try {
      const header = sniff(bytes);
      const { format, width, height } = header;
      const pixels = width * height;
      if (pixels > limits.imagePixels) {
        throw new SampleError(
          'image_too_large',
          `the picture has ${pixels} pixels, more than ${limits.imagePixels}`,
        );
      }
      return await decoded.use(pixels, async () => {
        signal.throwIfAborted();
        const picture = await decoder.decode(bytes, header, { fit, signal });
        const seen: Seen = { header: { format, width, height } };
        if (wanted.preprocess !== undefined) seen.input = preprocessBytes(picture, wanted.preprocess);
        if (wanted.nsfw) {
          seen.nsfw = new Float32Array(NSFWJS_INPUT);
          nsfwjsInput(picture, seen.nsfw);
        }
        return seen;
      });
    } catch (error) {
      if (!(error instanceof SampleError)) throw error;
      const isOther =
        error.reason === 'undecodable_image' && bytes.length > 0 && sniffFormat(bytes) === undefined;
      const kind = isOther ? 'unsupported_media_type' : kindOfSample(error);
      throw new ImageProblem(kind, { pointer: at, detail: error.message, reason: error.reason });
    }
  };

  return async (images, parts, wanted, signal) => {
    const fetches = new Budget(FETCHES);
    const settled = await Promise.allSettled(
      images.map(async ({ source, path }) => {
        const seen = async () => {
          signal.throwIfAborted();
          return see(await bytesOf(source, path, { service, parts, signal }), path, wanted, signal);
        };
        // Bytes that were fetched keep their place until they are decoded; those of a body are there anyway.
        return 'url' in source ? fetches.use(1, () => fetched.use(1, seen)) : seen();
      }),
    );
    const failed = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    const wrong = failed.filter((reason) => reason instanceof ImageProblem);
    if (wrong.length < failed.length) throw failed.find((reason) => !(reason instanceof ImageProblem));
    if (wrong.length > 0) throw together(wrong);
    return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  };
}

interface Reach {
  service: Service;
  parts: Parts;
  signal: AbortSignal;
}

async function bytesOf(source: ImageSource, path: Placed['path'], reach: Reach): Promise<Uint8Array> {
  const { service, parts, signal } = reach;
  if ('base64' in source) return fromBase64(source.base64);
  if ('part' in source) {
    const bytes = parts.get(source.part);
    if (bytes !== undefined) return bytes;
    throw new ImageProblem('invalid', {
      pointer: pointer([...path, 'part']),
      detail: 'the form has no file of this name',
      reason: 'no_image',
    });
  }
  const { fetchUrl, limits } = service;
  const at = pointer([...path, 'url']);
  if (fetchUrl === undefined) {
    throw new ImageProblem('forbidden', {
      pointer: at,
      detail: 'this server fetches no URLs: send the picture',
    });
  }
  try {
    return await fetchUrl(source.url, { maxBytes: limits.imageBytes, signal });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw new ImageProblem(error.kind, { pointer: at, detail: error.message });
  }
}

/** One problem of several images; of one kind where they all are. */
function together(wrong: readonly ImageProblem[]): Problem {
  const [{ kind, field }] = wrong;
  const more = wrong.length === 1 ? '' : `, and ${wrong.length - 1} more`;
  return new Problem(
    wrong.every((one) => one.kind === kind) ? kind : 'invalid',
    `${field.pointer}: ${field.detail}${more}`,
    { errors: wrong.map((one) => one.field) },
  );
}

/** The schema has seen that it is base64. */
function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
