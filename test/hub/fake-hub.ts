/** A hub in memory that answers as the real one: HEAD with commit and tag, a store on another host, ranges. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';
export const STORE = 'https://store.example';

export interface FakeFile {
  bytes: Uint8Array;
  /** Kept in the store, behind a redirect, tagged with its SHA-256. */
  large: boolean;
}

export interface Seen {
  method: string;
  url: string;
  range: string | null;
  authorization: string | null;
}

type Answer = (request: Request) => Response | Promise<Response> | undefined;

export class FakeHub {
  readonly seen: Seen[] = [];
  readonly files = new Map<string, FakeFile>();
  commit = COMMIT;
  revisions = new Set(['main', 'v1', 'refs/pr/1']);
  repo = 'org/name';
  /** Where large files are: on the same host when undefined. */
  store: string | undefined = STORE;
  /** Answers to the next requests of a kind, in order, before the hub's own. */
  readonly faults: { method: string; answer: Answer }[] = [];

  add(name: string, bytes: Uint8Array | string, large = true): FakeFile {
    const file = { bytes: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes, large };
    this.files.set(name, file);
    return file;
  }

  /** The next request by this method gets this answer; `undefined` lets the hub answer after all. */
  next(method: 'GET' | 'HEAD', answer: Answer): void {
    this.faults.push({ method, answer });
  }

  urls(method: string): string[] {
    return this.seen.filter((one) => one.method === method).map((one) => one.url);
  }

  async handle(request: Request): Promise<Response> {
    const { method, url, headers } = request;
    this.seen.push({ method, url, range: headers.get('range'), authorization: headers.get('authorization') });
    const at = this.faults.findIndex((fault) => fault.method === method);
    const answer = at < 0 ? undefined : this.faults.splice(at, 1)[0].answer(request);
    return answer ?? this.answer(request);
  }

  private answer(request: Request): Response {
    const { pathname, origin } = new URL(request.url);
    if (this.store !== undefined && origin === new URL(this.store).origin) {
      return ranged(this.files.get(decodeURIComponent(pathname.slice(1)))!.bytes, request);
    }
    const parts = /\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
    if (parts === null || parts[1] !== this.repo) return refuse(401, 'RepoNotFound');
    const [, , revision, name] = parts.map(decodeURIComponent);
    if (!this.revisions.has(revision) && revision !== this.commit) return refuse(404, 'RevisionNotFound');
    const file = this.files.get(name);
    if (file === undefined) return refuse(404, 'EntryNotFound', { 'x-repo-commit': this.commit });
    const common = { 'x-repo-commit': this.commit };
    if (!file.large) {
      const tagged = { ...common, etag: `"${gitOid(file.bytes)}"` };
      return request.method === 'HEAD' ? headOf(file.bytes, tagged) : ranged(file.bytes, request, tagged);
    }
    const linked = {
      ...common,
      etag: '"the-redirect-itself"',
      'x-linked-etag': `"${sha256(file.bytes)}"`,
      'x-linked-size': String(file.bytes.length),
    };
    if (this.store === undefined) {
      return request.method === 'HEAD' ? headOf(file.bytes, linked) : ranged(file.bytes, request, linked);
    }
    const location = `${this.store}/${name}?X-Signature=secret`;
    return new Response(null, { status: 302, headers: { ...linked, location } });
  }
}

function headOf(bytes: Uint8Array, headers: Record<string, string>): Response {
  return new Response(null, { headers: { 'content-length': String(bytes.length), ...headers } });
}

export function ranged(bytes: Uint8Array, request: Request, headers: Record<string, string> = {}): Response {
  const range = /^bytes=(\d+)-$/.exec(request.headers.get('range') ?? '');
  if (range === null) return body(bytes, 200, { 'content-length': String(bytes.length), ...headers });
  const from = Number(range[1]);
  if (from >= bytes.length) {
    return new Response(null, { status: 416, headers: { 'content-range': `bytes */${bytes.length}` } });
  }
  return body(bytes.subarray(from), 206, {
    'content-length': String(bytes.length - from),
    'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
    ...headers,
  });
}

function body(bytes: Uint8Array, status: number, headers: Record<string, string>): Response {
  return new Response(new Uint8Array(bytes), { status, headers });
}

/** An answer whose connection breaks after `count` bytes. */
export function cutAfter(
  bytes: Uint8Array,
  count: number,
  status = 200,
  headers: Record<string, string> = {},
) {
  let sent = false;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (sent) {
        // What is still in the pipe when it breaks is lost; the test wants it to arrive.
        await new Promise((resolve) => setTimeout(resolve, 200));
        return controller.error(new TypeError('terminated'));
      }
      sent = true;
      controller.enqueue(bytes.slice(0, count));
    },
  });
  return new Response(stream, { status, headers: { 'content-length': String(bytes.length), ...headers } });
}

/** An answer that sends `count` bytes and then nothing. */
export function silentAfter(bytes: Uint8Array, count: number): Response {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.slice(0, count));
    },
  });
  return new Response(stream, { headers: { 'content-length': String(bytes.length) } });
}

export function refuse(status: number, code: string, headers: Record<string, string> = {}): Response {
  return new Response('no', {
    status,
    headers: code === '' ? headers : { 'x-error-code': code, ...headers },
  });
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function gitOid(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

/** Bytes that differ everywhere, so that a shifted copy shows. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** A real server over the fake; `writeBody` may cut or slow down an answer. */
export async function serve(
  hub: FakeHub,
  writeBody: (bytes: Buffer, write: (part: Buffer) => void, method: string) => Promise<'end' | 'cut'>,
): Promise<{ endpoint: string; close(): void; server: Server }> {
  const server = createServer(async (incoming, outgoing) => {
    const headers = new Headers();
    for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value));
    const method = incoming.method ?? 'GET';
    // Through a proxy the target comes in absolute form.
    const url = new URL(incoming.url ?? '/', `http://${incoming.headers.host}`).href;
    const response = await hub.handle(new Request(url, { method, headers }));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    const bytes = Buffer.from(await response.arrayBuffer());
    const ending = await writeBody(bytes, (part) => outgoing.write(part), method);
    if (ending === 'cut') outgoing.destroy();
    else outgoing.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { endpoint: `http://127.0.0.1:${port}`, close, server };
}

export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'shardsieve-hub-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
