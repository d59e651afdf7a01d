import { InvalidArgumentError, Option } from 'commander';
import type { Batch } from '../src/clip/batch.ts';
import { PRECISIONS } from '../src/clip/precision.ts';
import { type Part, parsePart } from '../src/io/part.ts';
import type { MaxFailed } from '../src/run/outcome.ts';
import { SAFETY_NAMES } from './safety/specs.ts';

/** Pictures whose floats are some gigabytes. */
const MAX_BATCH = 1024;

/** Values of options, checked where they are typed, so that a wrong one is a usage error before anything runs. */

export function positiveInteger(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < 1) {
    throw new InvalidArgumentError('It must be a whole number above 0.');
  }
  return n;
}

export function wholeNumber(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n)) {
    throw new InvalidArgumentError('It must be a whole number, 0 or more.');
  }
  return n;
}

/** `1000`, `250MB`, `3GB`, `2GiB`. */
export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(k|M|G|T)?(i)?B?$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError('It must be a number of bytes such as 3000000000, 3GB or 2GiB.');
  const power = match[2] === undefined ? 0 : 'kMGT'.indexOf(match[2]) + 1;
  const bytes = Math.round(Number(match[1]) * (match[3] === undefined ? 1000 : 1024) ** power);
  if (bytes < 1 || !Number.isSafeInteger(bytes)) throw new InvalidArgumentError('It must be above 0.');
  return bytes;
}

export function share(text: string): number {
  const n = Number(text);
  if (text.trim() === '' || !(n > 0 && n <= 1)) {
    throw new InvalidArgumentError('It must be a number above 0 and at most 1, such as 0.3.');
  }
  return n;
}

export function finite(text: string): number {
  const n = Number(text);
  if (text.trim() === '' || !Number.isFinite(n))
    throw new InvalidArgumentError('It must be a number such as 0.28.');
  return n;
}

/** `2/8`: the third of eight parts. */
export function shardIndex(text: string): Part {
  const part = parsePart(text);
  if (part !== undefined) return part;
  throw new InvalidArgumentError('It must be i/n with i from 0 to n−1, such as 0/8 for the first of eight.');
}

/** `1%`, `0.5%`, or a number of shards such as `3`. */
export function failureBound(text: string): MaxFailed {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent !== null && Number(percent[1]) <= 100) return { share: Number(percent[1]) / 100 };
  if (/^\d{1,9}$/.test(text)) return { shards: Number(text) };
  throw new InvalidArgumentError('It must be a share such as 1%, or a number of shards such as 3.');
}

/** `32`, or `auto`. */
export function batchSize(text: string): Batch {
  if (text === 'auto') return text;
  const n = Number(text);
  if (/^\d+$/.test(text) && n >= 1 && n <= MAX_BATCH) return n;
  throw new InvalidArgumentError(`It must be auto or a whole number from 1 to ${MAX_BATCH}.`);
}

export function repeated(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** Options that several commands share, stated once. */
export const SHARED = {
  quiet: () => new Option('-q, --quiet', 'no progress and no notes on stderr'),
  json: () => new Option('--json', 'one machine-readable summary on stdout'),
  model: () =>
    new Option(
      '-m, --model <model>',
      'alias, hf-hub:org/name[@revision], local-dir:PATH or demo; repeat for several columns in one pass (default: datacomp-b32-256)',
    ).argParser(repeated),
  slug: () =>
    new Option(
      '--slug <slug>',
      'name of the model in columns ([a-z0-9_]+); repeat in the order of --model',
    ).argParser(repeated),
  name: () => new Option('--name <name>', 'shard name of a tar read from stdin (-)'),
  caption: () =>
    new Option('--caption <source>', "txt (the .txt member, else the JSON's caption) or json:FIELD").default(
      'txt',
    ),
  uid: () =>
    new Option('--uid <source>', "json (the JSON's uid, else from the key), json:FIELD or key").default(
      'json',
    ),
  carry: () =>
    new Option('--carry <json:FIELD>', 'copy a field of the JSON to a column; repeatable').argParser(
      repeated,
    ),
  noEmbeddings: () => new Option('--no-embeddings', 'write no npz of embeddings'),
  fit: () =>
    new Option('--fit <fit>', 'open_clip: pixels as open_clip sees them; visual: rotated by EXIF, on white')
      .choices(['open_clip', 'visual'])
      .default('open_clip'),
  fastDecode: () =>
    new Option(
      '--fast-decode',
      'decode large JPEGs at a half, a quarter or an eighth: quicker, scores move a little (docs/fidelity-images.md)',
    ),
  limit: () => new Option('--limit <n>', 'pilot: stop after this many samples').argParser(positiveInteger),
  sample: () =>
    new Option('--sample <p>', 'pilot: score a random share of the samples, the same on every run').argParser(
      share,
    ),
  threads: () =>
    new Option('--threads <n>', 'threads of the towers (default: all cores)').argParser(positiveInteger),
  endpoint: () =>
    new Option(
      '--endpoint <url>',
      'towers of a server that runs shardsieve’s API; its key in SHARDSIEVE_KEY',
    ),
  batch: () =>
    new Option(
      '--batch <n>',
      'pictures that a tower runs at once, or auto: measured first (default: a fixed number a device)',
    ).argParser(batchSize),
  trace: () =>
    new Option('--trace <file>', "write what was done when, in Chrome's trace format (docs/performance.md)"),
  device: () =>
    new Option(
      '--device <device>',
      'what runs the towers: cpu, webgpu, cuda, tensorrt, coreml or directml; a number says which (cuda:1); with commas or repeated, several of one kind share the shards (default: cpu)',
    ).argParser(repeated),
  precision: () =>
    new Option(
      '--precision <precision>',
      "fp32: open_clip's numbers; int8: several times faster on a CPU, scores move a little; int8-accurate: between them; fp16: for GPUs",
    )
      .choices(PRECISIONS)
      .default('fp32'),
  calibrate: () =>
    new Option('--calibrate <shard>', 'fix the scales of int8 by this shard (default: built-in pictures)'),
  refine: () =>
    new Option(
      '--refine',
      'with --precision int8: score again in fp32 what lies near the threshold, so that the subset is the one of fp32',
    ),
  verifyInput: () =>
    new Option('--verify-input', 'recognise finished shards by the SHA-256 of their bytes too'),
  lid: () =>
    new Option(
      '--lid <model>',
      "fastText's model: compressed (in the package), full (DataComp's lid.176.bin, downloaded once), or a file",
    ).default('compressed'),
  safety: () =>
    new Option('--safety <what>', `safety columns, with commas or repeated: ${SAFETY_NAMES}`).argParser(
      repeated,
    ),
  allowTruncated: () => new Option('--allow-truncated', 'a shard that ends early is no failure'),
  fullMetadata: () =>
    new Option(
      '--full-metadata',
      'score also the samples that filters are known to drop, so that the metadata is of the whole pool',
    ),
  explain: () =>
    new Option('--explain', 'print which filters run before pictures are decoded, and the work that saved'),
  allowFailed: () => new Option('--allow-failed', 'go on although a shard failed'),
  maxFailed: () =>
    new Option(
      '--max-failed <n>',
      'how many shards may fail, as 1% of them or a number; the run stops at one more',
    )
      .argParser(failureBound)
      .conflicts('allowFailed'),
  retryFailed: () =>
    new Option('--retry-failed', 'score only shards that failed or ended early in an earlier run'),
  shardIndex: () =>
    new Option(
      '--shard-index <i/n>',
      'do only part i of n of the inputs, i from 0 to n−1, neighbours in the order of the list; give every machine the same list',
    ).argParser(shardIndex),
  threshold: () =>
    new Option('--threshold <t>', "keep scores at or above this, compared in the column's own type")
      .argParser(finite)
      .conflicts('fraction'),
  fraction: () =>
    new Option('--fraction <f>', 'keep this share of the rows, the best first; ties at the edge stay')
      .argParser(share)
      .conflicts('threshold'),
  column: () =>
    new Option('--column <column>', 'the score to select by (default: the only clip_*_similarity_score)'),
  multiset: () => new Option('--multiset', 'keep repeated uids in the subset'),
  shardSize: () =>
    new Option('--shard-size <n>', 'samples an output shard').argParser(positiveInteger).default(10_000),
  shardBytes: () =>
    new Option('--shard-bytes <bytes>', 'size at which an output shard is closed')
      .argParser(byteCount)
      .default(3e9, '3GB'),
  shardFormat: () =>
    new Option('--shard-format <format>', 'name of output shards, with the place of the number').default(
      '{:08d}.tar',
    ),
  names: () =>
    new Option('--names <names>', "key: members keep their names; uid: DataComp's names")
      .choices(['key', 'uid'])
      .default('key'),
};
