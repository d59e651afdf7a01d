/**
 * Each tower of the full-size architecture (ViT-B/32 256×256, seeded weights) in the real workerd, under the hard memory that
 * its Worker has: what it holds after the first requests and after a hundred more. Fails where that is more than it may be.
 * Two minutes on two idle cores, of which most are spent on making the model; it is kept for the next time.
 *
 *     node tools/edge-memory.ts [--requests 100]
 */
import { parseArgs } from 'node:util';
import { WebSocket } from 'undici';
import { unstable_startWorker } from 'wrangler';
import { os, path } from 'zx';
import { exportModel } from '../cli/jobs/export-model.ts';
import { encodeTexts } from '../functions/towers/protocol.ts';
import { seededModel } from '../test/helpers/seeded.ts';
import { uploadExport } from './local-r2.ts';

const MIB = 2 ** 20;
/** Of WebAssembly memory. */
const MOST = { image: 104 * MIB, text: 80 * MIB };
/** Of all that an isolate holds, JavaScript's heap included: Cloudflare's limit is 128 MB. */
const MOST_IN_ALL = 128e6;
/** Requests until allocations of all sizes have found their places. */
const SETTLED_AFTER = 20;
/** What may come and go between two looks at one state; a hundred requests that kept what one takes would be far more. */
const SLACK = MIB;
const SIDE = 256;
const CONTEXT = 77;

const { values } = parseArgs({ options: { requests: { type: 'string', default: '100' } } });

process.env['WRANGLER_SEND_METRICS'] = 'false';
process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false';
const cache = path.join(os.tmpdir(), 'shardsieve-full-size');
const model = await seededModel(path.join(cache, 'model'));
const towers = path.join(cache, 'towers');
const { manifest } = await exportModel(
  { model: `local-dir:${model}`, out: towers },
  { env: { ...process.env, SHARDSIEVE_QUANTISED: path.join(cache, 'quantised') } },
);
const persist = path.join(cache, 'state');
await uploadExport(towers, manifest, { config: 'wrangler.image.toml', persist });
for (const tower of ['image', 'text'] as const) await prove(tower);

/** What the tower's isolate holds, in bytes. */
interface Held {
  /** The hard size of WebAssembly memory, and the most of it that was ever in use. */
  wasm: number;
  touched: number;
  /** The table of token embeddings, an array of its own. */
  table: number;
  /** JavaScript's heap, in use and committed. */
  used: number;
  committed: number;
}

async function prove(tower: 'image' | 'text'): Promise<void> {
  const worker = await unstable_startWorker({
    config: `wrangler.${tower}.toml`,
    dev: {
      server: { hostname: '127.0.0.1', port: 0 },
      inspector: { hostname: '127.0.0.1', port: 0 },
      ...{ persist, watch: false, logLevel: 'error' as const },
    },
  });
  try {
    await worker.ready;
    const [url, inspector] = [await worker.url, await worker.inspectorUrl];
    if (inspector === undefined) throw new Error('workerd has no inspector');
    const ask = async (seed: number, tokens?: number): Promise<number> => {
      const route = tower === 'image' ? '/pictures' : '/texts';
      const body = question(tower, seed, tokens);
      const started = performance.now();
      const answer = await fetch(new URL(route, url), { method: 'POST', body });
      if (!answer.ok) throw new Error(`${route}: ${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
      return performance.now() - started;
    };
    const look = async (): Promise<Held> => ({
      ...((await (await fetch(new URL('/memory', url))).json()) as Pick<Held, 'wasm' | 'touched' | 'table'>),
      ...(await heap(inspector)),
    });
    let asked = 0;
    const askMore = async (count: number) => {
      for (const end = asked + count; asked < end; asked++) await ask(asked);
      const held = await look();
      report(`${tower} tower, after ${asked} request${asked === 1 ? '' : 's'}`, held);
      return held;
    };
    await askMore(1);
    const first = await askMore(SETTLED_AFTER);
    const last = await askMore(Number(values.requests));
    // What a request costs: of 15 tokens where it is a caption, since few are longer.
    const times: number[] = [];
    for (let i = 0; i < 20; i++) times.push(await ask(i, 15));
    times.sort((a, b) => a - b);
    console.log(`${tower} tower: ${times[10].toFixed(0)} ms a request (median of 20)`);
    const all = last.wasm + last.table + last.committed;
    const faults = [
      ...(last.wasm > MOST[tower] ? [`${last.wasm} bytes of WebAssembly memory are too many`] : []),
      ...(last.touched > first.touched + SLACK ? ['WebAssembly memory grows with requests'] : []),
      ...(last.used > first.used + 4 * SLACK ? ['JavaScript’s heap grows with requests'] : []),
      ...(all > MOST_IN_ALL ? [`${all} bytes in all do not fit into an isolate`] : []),
    ];
    if (faults.length > 0) throw new Error(`${tower} tower: ${faults.join('; ')}`);
  } finally {
    await worker.dispose();
  }
}

/** One picture, or one caption, as long as captions can be where nothing is said: each request another. */
function question(tower: 'image' | 'text', seed: number, tokens = CONTEXT): Uint8Array<ArrayBuffer> {
  if (tower === 'text') {
    const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 37 + seed * 101) % 40_000);
    ids[tokens - 1] = 49_407;
    return encodeTexts([ids]);
  }
  return Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, i) => (i * (2 * seed + 3) + (i >> 8) * seed) & 255);
}

/** Of the isolate, as its inspector tells it. */
function heap(inspector: URL): Promise<Pick<Held, 'used' | 'committed'>> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(inspector, { headers: { origin: 'http://localhost' } });
    socket.onerror = () => reject(new Error('the inspector cannot be reached'));
    socket.onopen = () => socket.send(JSON.stringify({ id: 1, method: 'Runtime.getHeapUsage' }));
    socket.onmessage = ({ data }) => {
      const { id, result } = JSON.parse(String(data)) as {
        id?: number;
        result?: { usedSize: number; totalSize: number };
      };
      if (id !== 1) return;
      socket.close();
      if (result === undefined) reject(new Error('the inspector does not tell the heap'));
      else resolve({ used: result.usedSize, committed: result.totalSize });
    };
  });
}

function report(when: string, { wasm, touched, table, used, committed }: Held): void {
  const mib = (bytes: number) => (bytes / MIB).toFixed(1);
  console.log(
    `${when}: WebAssembly ${mib(wasm)} MiB (${mib(touched)} in use), table ${mib(table)}, ` +
      `JavaScript ${mib(committed)} (${mib(used)} in use)`,
  );
}
