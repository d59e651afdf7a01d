/**
 * Feeds changed and random tars to the readers for a while.
 *
 *     node tools/fuzz/tar.ts [--seed 1] [--seconds 60] [--count 1000000]
 *
 * Seeded and bounded by time and count. A case fails when anything but a ShardError or SampleError comes out, when it
 * takes more than a second of processor time, or when two splits of the same bytes, or the plain and the gzipped form, disagree. The seed of a
 * failing case is printed; `--seed S --count 1` repeats it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { gunzipNode } from '../../cli/io/gunzip.ts';
import { SampleError, ShardError } from '../../src/errors.ts';
import { gunzipAnywhere } from '../../src/io/gunzip.ts';
import { memberHeader } from '../../src/tar/writer.ts';
import { toPair, uidIfKnown } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    count: { type: 'string', default: '1000000' },
  },
});

/** A case is slower than this only if something is quadratic. */
const SLOW_MS = 1000;
const CAPS = { member: 64 * 1024, text: 16 * 1024, sample: 256 * 1024 };

const fixtures = new URL('../../test/fixtures/tar/', import.meta.url);
const corpus: Uint8Array[] = readdirSync(fixtures)
  .filter((name) => name.endsWith('.tar'))
  .map((name) => new Uint8Array(readFileSync(new URL(name, fixtures))));
corpus.push(pairTar());

const started = performance.now();
const outcomes = new Map<string, number>();
let cases = 0;
for (let seed = Number(values.seed); cases < Number(values.count); seed += 1, cases += 1) {
  if (performance.now() - started > Number(values.seconds) * 1000) break;
  const before = process.cpuUsage();
  try {
    await one(seed);
  } catch (error) {
    console.error(`seed ${seed}:`, error);
    process.exitCode = 1;
    break;
  }
  const { user, system } = process.cpuUsage(before);
  if ((user + system) / 1000 > SLOW_MS) {
    console.error(`seed ${seed}: ${Math.round((user + system) / 1000)} ms`);
    process.exitCode = 1;
  }
}
const seconds = Math.round((performance.now() - started) / 1000);
console.log(
  `${cases} cases in ${seconds} s, peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`,
);
for (const [outcome, count] of [...outcomes].sort((a, b) => b[1] - a[1])) console.log(`${count}\t${outcome}`);

async function one(seed: number): Promise<void> {
  const random = generator(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  let bytes: Uint8Array;
  if (below(20) === 0) bytes = Uint8Array.from({ length: below(4000) }, () => below(256));
  else bytes = changed(corpus[below(corpus.length)], below);
  const isPacked = below(3) === 0;
  let stored: Uint8Array = isPacked ? new Uint8Array(gzipSync(bytes, { level: below(10) })) : bytes;
  const isDamaged = isPacked && below(2) === 0;
  if (isDamaged) stored = changed(stored, below);
  const platforms = isPacked ? [gunzipAnywhere, gunzipNode] : [gunzipAnywhere];
  const plain = isDamaged ? undefined : await read(bytes, [1 << 20], gunzipAnywhere);
  for (const gunzip of platforms) {
    const whole = await read(stored, [1 << 20], gunzip);
    const split = await read(stored, [1 + below(700), below(5), 1 + below(9000)], gunzip);
    if (whole.digest !== split.digest) throw new Error(`splits disagree:\n${whole.digest}\n${split.digest}`);
    if (plain !== undefined && whole.digest !== plain.digest) {
      throw new Error(`packed and plain disagree:\n${whole.digest}\n${plain.digest}`);
    }
    outcomes.set(whole.end, (outcomes.get(whole.end) ?? 0) + 1);
    for (const reason of whole.reasons) outcomes.set(reason, (outcomes.get(reason) ?? 0) + 1);
  }
}

async function read(
  bytes: Uint8Array,
  sizes: readonly number[],
  gunzip: typeof gunzipAnywhere,
): Promise<{ digest: string; end: string; reasons: string[] }> {
  const seen: string[] = [];
  const reasons: string[] = [];
  let end = 'end';
  try {
    for await (const sample of readSamples(pieces(bytes, sizes), { shard: 'fuzz', caps: CAPS, gunzip })) {
      const held = sample.members.reduce((sum, member) => sum + member.bytes.length, 0);
      if (held > CAPS.sample) throw new Error(`a sample of ${held} bytes`);
      const options = {
        shardBase: 'fuzz',
        caps: { member: CAPS.member, text: CAPS.text },
        carry: ['exif', 'x'],
      };
      let reason = 'pair';
      try {
        toPair(sample, options);
      } catch (error) {
        if (!(error instanceof SampleError)) throw error;
        reason = error.reason;
      }
      reasons.push(reason);
      seen.push(`${sample.key} ${sample.offset} ${held} ${reason} ${uidIfKnown(sample, options)}`);
    }
  } catch (error) {
    if (!(error instanceof ShardError)) throw error;
    end = error.problem;
    // Where damaged gzip was noticed depends on how it was split, and so does what came out before.
    if (error.message.includes('gzip stream is damaged'))
      return { digest: 'damaged', end: 'corrupt (gzip)', reasons };
    seen.push(String(error));
  }
  return { digest: seen.join('\n'), end, reasons };
}

function changed(original: Uint8Array, below: (limit: number) => number): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let changes = below(5); changes > 0 && bytes.length > 0; changes -= 1) {
    const at = below(bytes.length);
    const block = at - (at % 512);
    const kind = below(7);
    if (kind === 0) bytes = bytes.slice(0, at);
    else if (kind === 1) bytes = joined(bytes.subarray(0, at), bytes.subarray(at + below(2000)));
    else if (kind === 2) bytes = joined(bytes.subarray(0, block), bytes.subarray(below(bytes.length)));
    else if (kind === 3) bytes[at] = below(256);
    else if (kind === 4) bytes.fill(below(3) === 0 ? 0xff : 0, at, at + below(600));
    else {
      // A header that is believed: size, type or name changed, checksum made right.
      const header = bytes.subarray(block, block + 512);
      if (header.length < 512) continue;
      const place = [124 + below(12), 156, below(100), 482, 257 + below(8), 345][below(6)];
      header[place] =
        below(2) === 0
          ? 0x30 + below(10)
          : [0, 0x20, 0x80, 0xff, 0x2f, 0x2e, 0x78, 0x67, 0x4c, 0x53][below(10)];
      header.fill(0x20, 148, 156);
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
    }
  }
  return bytes;
}

/** A shard of real pairs, so that what lies behind the tar is reached as well. */
function pairTar(): Uint8Array {
  const uid = '0123456789abcdef0123456789abcdef';
  const members: [string, Uint8Array][] = [
    ['0.jpg', Buffer.from('picture')],
    ['0.txt', Buffer.from('a caption')],
    ['0.json', Buffer.from(`{"uid":"${uid}","x":NaN,"exif":{"a":[1,2]},"original_width":3}`)],
    ['1.png', Buffer.from('picture')],
    ['1.json.gz', gzipSync(`{"caption":"packed","face_bboxes":[[0,0,1,1]]}`)],
    ['2.webp', Buffer.from('picture')],
    ['2.txt.gz', gzipSync('packed '.repeat(500))],
  ];
  const parts = members.flatMap(([name, bytes]) => [
    memberHeader(name, bytes.length),
    bytes,
    new Uint8Array((512 - (bytes.length % 512)) % 512),
  ]);
  return joined(...parts, new Uint8Array(1024));
}

async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length];
    yield bytes.slice(at, at + size);
    at += size;
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** mulberry32, public domain. */
function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b1) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
