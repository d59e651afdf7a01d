/** What the scoring routes share: the model that is asked for, embeddings of what was sent, time that runs out. */

import type * as z from 'zod';
import { preprocessFingerprint } from '../../src/image/preprocess-config.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { checked, readSent } from './body.ts';
import type { Form, Parts } from './form.ts';
import type { Limits } from './limits.ts';
import type { Seen } from './pictures.ts';
import { fieldProblem, noModelYet, Problem } from './problems.ts';
import type { AppContext } from './route.ts';
import type { Encoding } from './schemas.ts';
import type { ServedModel, Service } from './service.ts';

/** The model of a name or a slug; without, the first. Throws `Problem`: 422, and 503 where there is none at all. */
export function modelOf({ models }: Pick<Service, 'models'>, asked: string | undefined): ServedModel {
  if (models.length === 0) throw noModelYet();
  const found =
    asked === undefined ? models[0] : models.find(({ name, slug }) => name === asked || slug === asked);
  if (found !== undefined) return found;
  const known = models.map(({ name }) => name).join(', ');
  throw fieldProblem('invalid', { pointer: '/model', detail: `is none of the models here: ${known}` });
}

/** A request understood: what its handler begins with. */
export interface Understood<Request> {
  request: Request;
  parts: Parts;
  model: ServedModel;
  /** For `took_ms`. */
  started: number;
}

/** Reads, checks and notes a request. Throws `Problem`. */
export async function understand<Schema extends z.ZodType<{ model?: string | undefined }>>(
  context: AppContext,
  service: Service,
  schema: Schema,
  form: Form,
): Promise<Understood<z.output<Schema>>> {
  const sent = await readSent(context.req.raw, form, service.limits);
  const started = performance.now();
  const request = checked(schema, sent.json);
  const model = modelOf(service, request.model);
  Object.assign(context.get('logged'), { model: model.slug, bytes: sent.bytes });
  return { request, parts: sent.parts, model, started };
}

/** What was asked for: for the log, and for the metrics if it is answered. */
export function note(context: AppContext, { images, captions }: { images: number; captions: number }): void {
  Object.assign(context.get('logged'), { images, captions });
}

/** What an answer says of the model that made it. */
export function describeModel(
  { name, slug, fingerprint, preprocess, clip }: ServedModel,
  { fit }: Pick<Service, 'fit'>,
) {
  return {
    ...{ name, slug, fingerprint },
    preprocess_fingerprint: preprocessFingerprint(preprocess, fit),
    precision: clip.precision,
    provider: clip.provider,
  };
}

/** Unit embeddings `[n, dim]` of pictures. */
export async function embedSeen(
  { clip }: ScoreModel,
  seen: readonly Seen[],
  signal: AbortSignal,
): Promise<Float32Array> {
  if (seen.length === 0) return new Float32Array(0);
  const inputs = seen.flatMap(({ input }) => (input === undefined ? [] : [input]));
  return clip.embedPictures(inputs, signal);
}

export interface Embedded {
  /** Unit embeddings `[distinct captions, dim]`. */
  data: Float32Array;
  /** The row of each caption: equal ones share theirs. */
  rows: number[];
  truncated: boolean[];
}

/** Throws `Problem` 422 where captions are too much together. */
export async function embedCaptions(
  { clip, tokenizer }: ScoreModel,
  captions: readonly string[],
  { textChars }: Limits,
  signal: AbortSignal,
): Promise<Embedded> {
  const chars = captions.reduce((sum, { length }) => sum + length, 0);
  if (chars > textChars) {
    throw new Problem('invalid', `the captions have ${chars} characters together, more than ${textChars}`);
  }
  const rowOf = new Map<string, number>();
  const rows = captions.map((caption) => {
    const row = rowOf.get(caption) ?? rowOf.size;
    rowOf.set(caption, row);
    return row;
  });
  const encoded = [...rowOf.keys()].map((caption) => tokenizer.encode(caption));
  const ids = encoded.map(({ ids }) => ids);
  return {
    data: ids.length === 0 ? new Float32Array(0) : await clip.embedTexts(ids, signal),
    rows,
    truncated: rows.map((row) => encoded[row].truncated),
  };
}

/** Row `row` of `[n, dim]`, as an answer holds it. */
export function encodeRow(
  data: Float32Array,
  row: number,
  dim: number,
  encoding: Encoding,
): number[] | string {
  const values = data.subarray(row * dim, (row + 1) * dim);
  if (encoding === 'float') return [...values];
  const bytes = new Uint8Array(4 * dim);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setFloat32(4 * i, value, true);
  });
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/**
 * Runs work until it is done, the time is up (503) or the client has gone; the signal tells the work. Work that does not
 * listen goes on behind, and its result is dropped.
 */
export async function withinTime<T>(
  context: AppContext,
  { requestMs }: Limits,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const client: AbortSignal | undefined = context.req.raw.signal;
  const time = AbortSignal.timeout(requestMs);
  const signal = client === undefined ? time : AbortSignal.any([client, time]);
  const stopped = (): Problem =>
    time.aborted
      ? new Problem('unavailable', `the answer was not ready within ${requestMs} ms`, { retryAfter: 5 })
      : new Problem('client_closed', 'the client went away');
  let stop = (): void => {};
  const stopping = new Promise<never>((_, reject) => {
    stop = () => reject(stopped());
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    if (signal.aborted) throw stopped();
    return await Promise.race([work(signal), stopping]);
  } catch (error) {
    // Whatever the work makes of the signal, this is why.
    throw signal.aborted ? stopped() : error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
