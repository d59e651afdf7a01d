/** Towers behind HTTP, as `protocol.ts` says: a Hono app over an `Embedder`, or over one tower of it. */
import { sha256 } from '@noble/hashes/sha2.js';
import { type Context, Hono } from 'hono';
import type { Embedder } from '../../src/clip/embedder.ts';
import { BusyError, messageOf } from '../../src/errors.ts';
import type { TowerInfo } from './info.ts';
import {
  decodePictures,
  decodeTexts,
  encodeRows,
  FINGERPRINT_HEADER,
  longestBody,
  OCTETS,
  type Tower,
} from './protocol.ts';

export interface TowerService {
  readonly info: TowerInfo;
  /** Loaded when it is first asked for; not asked for a tower that `info` does not name. */
  embedder(): Promise<Embedder>;
}

export interface TowerServerOptions {
  /** Whoever asks must bring it; anybody may where absent. */
  key?: string;
  /** Requests read or waited for at one time, each with its body in memory; more are answered 503. Default 8. */
  backlog?: number;
  /** Told what went wrong when 500 is answered; the asker is told only that it did. */
  onError?(message: string): void;
}

const BACKLOG = 8;
/** Seconds after which a full backlog is worth another try. */
const RETRY_AFTER = 1;

type Status = 400 | 401 | 404 | 405 | 409 | 413 | 422 | 500 | 503;

/** What is answered in place of rows. */
class Refusal extends Error {
  readonly status: Status;
  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
  }
}

/** `service` is asked at every request, so that what it reads first (a manifest, weights) may come late or again. */
export function towersApp(service: () => Promise<TowerService>, options: TowerServerOptions = {}): Hono {
  const { key, backlog = BACKLOG } = options;
  const wanted = key === undefined ? undefined : digest(`Bearer ${key}`);
  const app = new Hono();
  let atOnce = 0;

  app.use(async (context, next) => {
    if (wanted !== undefined && !same(wanted, digest(context.req.header('authorization') ?? ''))) {
      throw new Refusal(401, 'the key is missing or is not the one of these towers');
    }
    await next();
  });

  app.get('/', async (context) => context.json((await service()).info));

  const route = (path: string, tower: Tower, embed: Embed): void => {
    app.post(path, async (context) => {
      if (atOnce >= backlog) throw new Refusal(503, 'too many requests at once');
      atOnce++;
      try {
        const { info, embedder } = await service();
        if (!info.towers.includes(tower)) throw new Refusal(404, `the ${tower} tower is not here`);
        const meant = context.req.header(FINGERPRINT_HEADER);
        if (meant !== undefined && meant !== info.fingerprint) {
          throw new Refusal(409, `these towers are not ${meant}: they are ${info.fingerprint}`);
        }
        return await embed(context, info, embedder);
      } finally {
        atOnce--;
      }
    });
    app.all(path, () => {
      throw new Refusal(405, `${path} takes POST`);
    });
  };

  route('/pictures', 'image', async (context, info, embedder) => {
    const body = await readBody(context.req.raw, longestBody(info).pictures);
    const pictures = asked(() => decodePictures(body, info.image_size));
    return rows(context, await (await embedder()).embedPictures(pictures, context.req.raw.signal));
  });
  route('/texts', 'text', async (context, info, embedder) => {
    const body = await readBody(context.req.raw, longestBody(info).texts);
    const ids = asked(() => decodeTexts(body));
    if (ids.length > info.max_texts) throw new Refusal(413, `more than ${info.max_texts} captions`);
    for (const row of ids) checkIds(row, info);
    return rows(context, await (await embedder()).embedTexts(ids, context.req.raw.signal));
  });

  app.notFound((context) => problem(context, 404, `no route ${context.req.path}`));
  app.onError((error, context) => {
    if (error instanceof Refusal) return problem(context, error.status, error.message);
    if (error instanceof BusyError) return problem(context, 503, 'too much is waiting', error.retryAfter);
    options.onError?.(messageOf(error));
    return problem(context, 500, 'the towers failed; their own log says how');
  });
  return app;
}

type Embed = (context: Context, info: TowerInfo, embedder: TowerService['embedder']) => Promise<Response>;

/** What cannot be read is the asker's fault. */
function asked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Refusal(400, messageOf(error));
  }
}

function checkIds(row: Int32Array, { context_length, vocab_size }: TowerInfo): void {
  if (row.length > context_length) {
    throw new Refusal(422, `a caption has ${row.length} tokens; the model takes 1 to ${context_length}`);
  }
  const outside = row.find((id) => id < 0 || id >= vocab_size);
  if (outside !== undefined) {
    throw new Refusal(422, `the token id ${outside} lies outside the model's vocabulary of ${vocab_size}`);
  }
}

/** Reads no more than `limit` bytes, whatever the length that was announced. */
async function readBody(request: Request, limit: number): Promise<Uint8Array> {
  const tooLong = () => new Refusal(413, `the body is longer than ${limit} bytes`);
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLong();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = request.body?.getReader();
  for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
    length += part.value.length;
    if (length > limit) {
      await reader?.cancel();
      throw tooLong();
    }
    chunks.push(part.value);
  }
  if (chunks.length === 1) return chunks[0];
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

function rows(context: Context, values: Float32Array): Response {
  return context.body(encodeRows(values), 200, { 'content-type': OCTETS });
}

const TITLES: Record<Status, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

function problem(context: Context, status: Status, detail: string, after = RETRY_AFTER): Response {
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  if (status === 405) headers['allow'] = 'POST';
  if (status === 503) headers['retry-after'] = String(after);
  return context.json({ type: 'about:blank', title: TITLES[status], status, detail }, status, headers);
}

const digest = (text: string): Uint8Array => sha256(new TextEncoder().encode(text));

/** Takes as long for a key that is nearly right as for any other. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}
