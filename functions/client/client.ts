/**
 * The API as functions: for browsers, Node, Workers, wherever there is `fetch`. Requests and answers are typed by the
 * schemas that the server checks them with; nothing of the server is loaded for it.
 *
 *   const client = new ShardsieveClient({ endpoint: 'https://scores.example', key });
 *   const [{ scores }] = await client.score(picture, ['a cat', 'a dog']);
 */

import { DownloadError } from '../../src/errors.ts';
import type { JobAsked, JobProgress } from '../app/job-schemas.ts';
import type {
  ClassifyAnswer,
  ClassifyRequest,
  EmbedAnswer,
  EmbedRequest,
  ModelsAnswer,
  ProblemDocument,
  SafetyAnswers,
  SafetyRequest,
  ScoreAnswer,
  ScoreRequest,
} from '../app/schemas.ts';
import type { EndLine, SampleLine, SkippedLine } from '../app/shard-schemas.ts';
import { type AskOptions, ask, type Fetcher } from '../towers/request.ts';
import { linesOf } from './lines.ts';

export type {
  ClassifyAnswer,
  ClassifyRequest,
  EmbedAnswer,
  EmbedRequest,
  EndLine,
  JobAsked,
  JobProgress,
  ModelsAnswer,
  ProblemDocument,
  SafetyAnswers,
  SafetyRequest,
  SampleLine,
  ScoreAnswer,
  ScoreRequest,
  SkippedLine,
};

/** A server takes 30 s for a body and 30 s more for its answer (`bodyMs`, `requestMs`): who gives up before asks it twice. */
const TIMEOUT_MS = 90_000;

export interface ClientOptions extends Pick<AskOptions, 'attempts'> {
  /** Milliseconds for one try, its answer's body included. Default 90,000. Shards take as long as they take. */
  timeoutMs?: number;
  /** Where the API is: `https://scores.example`, or with a path before `/v1`. */
  endpoint: string;
  /** `ssk_…`; absent where the server is open. */
  key?: string;
  /** Instead of the platform's. */
  fetch?: Fetcher;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** The bytes of a JPEG, PNG, WebP or GIF. */
export type Picture = Blob | Uint8Array<ArrayBuffer>;
/** A tar, or a tar in gzip. */
export type ShardBody = ReadableStream<Uint8Array> | Blob | Uint8Array<ArrayBuffer>;
export type ShardLine = SampleLine | SkippedLine | EndLine;

export interface ShardCall extends CallOptions {
  /** Names or slugs of models, with commas between. */
  model?: string;
  /** The shard's base name: part of derived uids. */
  name?: string;
  caption?: string;
  uid?: string;
  /** Say captions in their lines. */
  captions?: boolean;
  safety?: boolean;
}

/** A JSON request whose pictures are files beside it. */
type Beside<Request> = Omit<Request, 'images' | 'items'>;

/** The server refused: `status`, and its problem document where it sent one. */
export class ApiError extends DownloadError {
  readonly status: number;
  readonly problem: ProblemDocument | undefined;

  constructor(status: number, message: string, url: string, problem: ProblemDocument | undefined) {
    super(message, { url, hint: hintFor(status) });
    this.name = 'ApiError';
    this.status = status;
    this.problem = problem;
  }
}

/** All methods throw `ApiError` where the server refuses, `DownloadError` where it cannot be reached, `CancelledError`. */
export class ShardsieveClient {
  readonly endpoint: string;
  readonly #key: string | undefined;
  readonly #fetch: Fetcher;
  readonly #options: AskOptions;

  constructor({ endpoint, key, fetch: given, timeoutMs = TIMEOUT_MS, attempts }: ClientOptions) {
    this.endpoint = endpoint.replace(/\/+$/, '');
    this.#key = key;
    this.#fetch = given ?? ((request) => fetch(request));
    this.#options = { timeoutMs, attempts, who: 'the server', refusal };
  }

  models(options: CallOptions = {}): Promise<ModelsAnswer> {
    return this.#ask('GET', '/v1/models', undefined, options);
  }

  /** Whether requests should be sent there now. */
  async ready({ signal }: CallOptions = {}): Promise<boolean> {
    const request = new Request(`${this.endpoint}/readyz`, { signal });
    return this.#fetch(request).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  /** One picture against captions: cosines in their order. */
  async score(
    picture: Picture,
    captions: readonly string[],
    options: CallOptions & Pick<ScoreRequest, 'model' | 'safety' | 'embeddings'> = {},
  ): Promise<ScoreAnswer['items'][number]> {
    const { signal, ...rest } = options;
    const answer = await this.scoreMany([{ picture, captions }], { signal, ...rest });
    return answer.items[0];
  }

  /** Pictures, each against captions of its own. */
  scoreMany(
    items: readonly { picture: Picture; captions: readonly string[] }[],
    { signal, ...rest }: CallOptions & Beside<ScoreRequest> = {},
  ): Promise<ScoreAnswer> {
    const request: ScoreRequest = {
      ...rest,
      items: items.map(({ captions }, i) => ({ image: { part: partName(i) }, captions: [...captions] })),
    };
    const pictures = items.map(({ picture }) => picture);
    return this.#ask('POST', '/v1/score', formOf(request, pictures), { signal });
  }

  /** Unit embeddings. */
  embed(
    pictures: readonly Picture[],
    { signal, ...rest }: CallOptions & Beside<EmbedRequest> = {},
  ): Promise<EmbedAnswer> {
    const request: EmbedRequest = { ...rest, images: pictures.map((_, i) => ({ part: partName(i) })) };
    return this.#ask('POST', '/v1/embed', formOf(request, pictures), { signal });
  }

  /** Zero-shot: which of `labels` each picture shows. */
  classify(
    pictures: readonly Picture[],
    labels: readonly string[],
    { signal, ...rest }: CallOptions & Omit<Beside<ClassifyRequest>, 'labels'> = {},
  ): Promise<ClassifyAnswer> {
    const images = pictures.map((_, i) => ({ part: partName(i) }));
    const request: ClassifyRequest = { ...rest, labels: [...labels], images };
    return this.#ask('POST', '/v1/classify', formOf(request, pictures), { signal });
  }

  safety(
    pictures: readonly Picture[],
    { signal, ...rest }: CallOptions & Beside<SafetyRequest> = {},
  ): Promise<SafetyAnswers> {
    const request: SafetyRequest = { ...rest, images: pictures.map((_, i) => ({ part: partName(i) })) };
    return this.#ask('POST', '/v1/safety', formOf(request, pictures), { signal });
  }

  /**
   * A whole shard: lines as its samples are scored, the last of kind `end`. Throws `DownloadError` where the answer ends
   * without one; leaving the loop early stops the server.
   */
  async *shard(body: ShardBody, options: ShardCall = {}): AsyncGenerator<ShardLine, void, undefined> {
    const { signal, ...query } = options;
    const asked = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(asked.map(([name, value]) => [name, String(value)]));
    const url = `${this.endpoint}/v1/shards${asked.length === 0 ? '' : `?${search}`}`;
    // A stream goes up while lines come down.
    const duplex = body instanceof ReadableStream ? { duplex: 'half' } : {};
    const headers = { ...this.#authorised(), 'content-type': 'application/x-tar' };
    const response = await this.#fetch(
      new Request(url, { method: 'POST', body, headers, signal, ...duplex }),
    ).catch((cause: unknown) => {
      throw new DownloadError('the server cannot be reached', { url, cause });
    });
    if (!response.ok || response.body === null) {
      const text = await response.text();
      throw refusal(response.status, `the server answered ${response.status}`, url, text);
    }
    let ended = false;
    for await (const line of linesOf(response.body)) {
      const parsed = JSON.parse(line) as ShardLine;
      ended = parsed.kind === 'end';
      yield parsed;
    }
    if (!ended) throw new DownloadError('the answer broke off before its last line', { url });
  }

  /**
   * Has shards scored that lie in the server's bucket. Asked once, whatever comes of it: a second job of the same shards
   * finds what the first one has done.
   */
  createJob(request: JobAsked, options: CallOptions = {}): Promise<JobProgress> {
    return this.#ask('POST', '/v1/jobs', JSON.stringify(request), { ...options, attempts: 1 });
  }

  /** How far a job is. */
  job(id: string, options: CallOptions = {}): Promise<JobProgress> {
    return this.#ask('GET', `/v1/jobs/${encodeURIComponent(id)}`, undefined, options);
  }

  /** Text is sent as JSON. */
  async #ask<Answer>(
    method: 'GET' | 'POST',
    path: string,
    body: FormData | string | undefined,
    options: CallOptions & Pick<AskOptions, 'attempts'>,
  ): Promise<Answer> {
    const place = { url: this.endpoint, key: this.#key, fetch: this.#fetch };
    const type = typeof body === 'string' ? 'application/json' : undefined;
    const bytes = await ask(place, { method, path, body, type }, { ...this.#options, ...options });
    return JSON.parse(new TextDecoder().decode(bytes)) as Answer;
  }

  #authorised(): Record<string, string> {
    return this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` };
  }
}

const partName = (i: number): string => `picture-${i}`;

function formOf(request: unknown, pictures: readonly Picture[]): FormData {
  const form = new FormData();
  form.append('request', JSON.stringify(request));
  for (const [i, picture] of pictures.entries()) {
    form.append(partName(i), picture instanceof Blob ? picture : new Blob([picture]), partName(i));
  }
  return form;
}

function refusal(status: number, message: string, url: string, text: string): ApiError {
  try {
    const problem = JSON.parse(text) as ProblemDocument;
    const said = typeof problem.detail === 'string' && !message.includes(problem.detail);
    return new ApiError(status, said ? `${message}: ${problem.detail}` : message, url, problem);
  } catch {
    return new ApiError(status, message, url, undefined);
  }
}

function hintFor(status: number): string | undefined {
  if (status === 401 || status === 403) return 'Give a key that this server knows and that is for this';
  if (status === 404) return 'Check the endpoint: it is where /v1 begins';
  return undefined;
}
