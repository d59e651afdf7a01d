/** Whole shards in a request's body, scored as they arrive. */
import * as z from 'zod';
import { UsageError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { streamBytes } from '../../src/io/web.ts';
import { shardBaseName } from '../../src/webdataset/names.ts';
import { noModelYet, Problem } from './problems.ts';
import type { AppContext, Route } from './route.ts';
import { safetyAnnotators } from './safety-columns.ts';
import type { ServedModel, Service } from './service.ts';
import { type ShardLine, shardLines } from './shard-lines.ts';
import { shardLine } from './shard-schemas.ts';

export const NDJSON = 'application/x-ndjson';

const flag = z.enum(['true', 'false']).default('false');
const shardQuery = z.strictObject({
  model: z.string().optional(),
  name: z.string().min(1).max(255).default('shard'),
  caption: z
    .string()
    .regex(/^(txt|json:.{1,200})$/, 'is txt or json:FIELD')
    .default('txt'),
  uid: z
    .string()
    .regex(/^(json|key|json:.{1,200})$/, 'is json, key or json:FIELD')
    .default('json'),
  captions: flag,
  safety: flag,
});

const DESCRIPTIONS: { [field in keyof z.infer<typeof shardQuery>]: string } = {
  model: 'Names or slugs, with commas between; the server’s default model where absent.',
  name: 'The shard’s name: part of the uid of samples whose JSON has none.',
  caption: 'Where captions come from: `txt` (the `.txt` member, else the JSON’s `caption`) or `json:FIELD`.',
  uid: 'Where uids come from: `json`, `key` or `json:FIELD`.',
  captions: 'Say each caption in its line.',
  safety: 'Add the safety columns that this server has.',
};

const NAMED = { name: 'name', in: 'path', description: DESCRIPTIONS.name, required: true } as const;

/**
 * `POST` and `PUT` are the same: `curl -T shard.tar URL/v1/shards` puts, and with a slash at the end of its URL it adds
 * the file's name, which derived uids are made with.
 */
export function shardRoutes(service: Service): Route[] {
  let reading = 0;
  const parameters = Object.entries(shardQuery.shape).map(([name, schema]) => ({
    ...{ name, in: 'query' as const, schema },
    description: DESCRIPTIONS[name as keyof typeof DESCRIPTIONS] ?? '',
  }));
  const handle = async (context: AppContext): Promise<Response> => {
    if (reading >= service.limits.shardStreams) {
      throw new Problem('unavailable', 'this server reads as many shards as it can', { retryAfter: 10 });
    }
    reading++;
    return answer(service, context, () => {
      reading--;
    });
  };
  const route = (method: 'post' | 'put', isNamed: boolean): Route => ({
    method,
    path: isNamed ? '/v1/shards/{name}' : '/v1/shards',
    operationId: `${method}${isNamed ? 'Named' : ''}Shard`,
    summary: 'Score a shard as it arrives',
    description:
      'The body is a tar, or a tar in gzip, of any length. The answer begins before the upload ends: a line of JSON a sample as they are scored, and a last line of kind `end` with the accounting. An answer without an `end` was cut off.',
    scope: 'shards',
    parameters: isNamed
      ? [{ ...NAMED, schema: z.string() }, ...parameters.filter(({ name }) => name !== 'name')]
      : parameters,
    body: {
      'application/x-tar': 'binary',
      'application/gzip': 'binary',
      'application/octet-stream': 'binary',
    },
    answers: { 200: { description: 'Lines of JSON.', content: { [NDJSON]: shardLine } } },
    problems: ['bad_request', 'invalid', 'request_timeout', 'unavailable'],
    handle,
  });
  return [route('post', false), route('put', false), route('post', true), route('put', true)];
}

/** `done` is called once, when no more of the shard is read. */
async function answer(service: Service, context: AppContext, done: () => void): Promise<Response> {
  const stop = new AbortController();
  let lines: AsyncGenerator<ShardLine, void, undefined> | undefined;
  let ended: Promise<void> | undefined;
  // Leaving while a line is made ends it from two sides.
  const end = (): Promise<void> => {
    ended ??= (async () => {
      stop.abort();
      await lines?.return().catch(() => undefined);
      done();
    })();
    return ended;
  };
  try {
    const { signal } = context.req.raw;
    if (signal.aborted) stop.abort();
    else signal.addEventListener('abort', () => stop.abort(), { once: true });
    const query = queryOf(context);
    const models = modelsOf(service, query.model);
    context.set('logged', { model: models.map(({ slug }) => slug).join(',') });
    lines = shardLines(service, {
      ...{ models, shard: query.name, captions: query.captions === 'true', signal: stop.signal },
      source: bodySource(context.req.raw, query.name, service.limits.bodyMs),
      annotators: query.safety === 'true' ? safetyAnnotators(service, models) : [],
      pair: { caption: query.caption, uid: query.uid, carry: [] },
      onFailure: ({ message, cause }) =>
        service.log({
          ...{ level: 'error', message: 'a shard failed', requestId: context.get('requestId') },
          error: cause instanceof Error ? cause.message : message,
        }),
    });
    // What is no shard is answered with its own status, so the first line is waited for.
    const first = await lines.next();
    return context.body(toStream(lines, first, { end, idleMs: service.limits.bodyMs }), 200, {
      'content-type': NDJSON,
      'cache-control': 'no-store',
    });
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * Lines are made when the client has room for them. Where it has had none for `idleMs`, the answer breaks off: nobody
 * keeps a place by not reading. `end` may be called several times.
 */
function toStream(
  lines: AsyncGenerator<ShardLine, void, undefined>,
  first: IteratorResult<ShardLine, void>,
  { end, idleMs }: { end: () => Promise<void>; idleMs: number },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const text = new TextEncoder();
  let next: IteratorResult<ShardLine, void> | undefined = first;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new ReadableStream({
    async pull(controller) {
      clearTimeout(timer);
      try {
        const step = next ?? (await lines.next());
        next = undefined;
        if (step.done) {
          controller.close();
          await end();
        } else {
          controller.enqueue(text.encode(`${JSON.stringify(step.value)}\n`));
          timer = setTimeout(() => {
            const slow = new Problem('client_closed', `nothing was read for ${idleMs / 1000} s`);
            // What serves the stream prints the error, and where it was made is of no use to anybody.
            delete slow.stack;
            controller.error(slow);
            void end();
          }, idleMs);
        }
      } catch (error) {
        controller.error(error);
        await end();
      }
    },
    cancel() {
      clearTimeout(timer);
      return end();
    },
  });
}

function bodySource(request: Request, name: string, idleMs: number): ByteSource {
  const { body } = request;
  if (body === null) throw new Problem('bad_request', 'the body is empty, and should be a tar');
  const idle = {
    ms: idleMs,
    error: () => new Problem('request_timeout', `nothing more of the shard came for ${idleMs / 1000} s`),
  };
  return {
    name,
    identity: async () => ({ name }),
    stream: ({ signal } = {}) => streamBytes(body, signal, idle),
  };
}

function queryOf(context: AppContext): z.infer<typeof shardQuery> {
  const inPath = context.req.param('name');
  const parsed = shardQuery.safeParse({
    ...context.req.query(),
    ...(inPath === undefined ? {} : { name: inPath }),
  });
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0];
    throw new Problem('invalid', `in the query: ${path.length === 0 ? '' : `${path.join('.')} `}${message}`);
  }
  try {
    return { ...parsed.data, name: shardBaseName(parsed.data.name) };
  } catch (error) {
    if (error instanceof UsageError) throw new Problem('invalid', error.message, { cause: error });
    throw error;
  }
}

function modelsOf({ models }: Service, asked: string | undefined): ServedModel[] {
  if (models.length === 0) throw noModelYet();
  if (asked === undefined) return models.slice(0, 1);
  return [...new Set(asked.split(','))].map((wanted) => {
    const found = models.find(({ name, slug }) => name === wanted || slug === wanted);
    if (found !== undefined) return found;
    throw new Problem(
      'invalid',
      `no model ${JSON.stringify(wanted)} here; there is ${models.map(({ slug }) => slug).join(', ')}`,
    );
  });
}
