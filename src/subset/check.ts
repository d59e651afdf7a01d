import { CancelledError, messageOf, ShardError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { Findings } from '../metadata/findings.ts';
import { parseJsonObject } from '../metadata/json.ts';
import { readSamples } from '../webdataset/samples.ts';
import type { ReshardedFolder } from './resharded.ts';
import { parseShardFormat } from './shard-names.ts';

const AGAIN = 'Run reshard again';
const CHUNK = 1 << 20;

/**
 * Checks a folder of resharded samples: its small files against each other and against the tars that are there.
 * `deep` reads every tar and counts its samples.
 */
export async function checkResharded(
  { folder, meta, sizes }: ReshardedFolder,
  findings: Findings,
  options: { deep?: boolean; signal?: AbortSignal } = {},
): Promise<{ shards: number; samples: number }> {
  const { label } = folder;
  const wrong = (message: string, file: string, detail: string) =>
    findings.add({
      ...{ code: 'output_samples', level: 'problem', folder: label, message, file, detail, hint: AGAIN },
    });
  const missing = (message: string, file: string) =>
    findings.add({
      ...{ code: 'output_missing', level: 'problem', folder: label },
      message,
      file,
      hint: AGAIN,
    });
  if (meta['complete'] !== true) {
    findings.add({
      ...{ code: 'output_incomplete', level: 'incomplete', folder: label, hint: AGAIN },
      message: 'an input failed, or the run was stopped',
    });
  }
  const samples = sizes.reduce((sum, [, count]) => sum + count, 0);
  const counts = [
    ['output_shard_count', sizes.length],
    ['output_count', samples],
  ] as const;
  for (const [field, count] of counts) {
    if (meta['complete'] === true && meta[field] !== count) {
      wrong('meta.json and sizes.json differ', 'meta.json', `${field} ${String(meta[field])}, ${count}`);
    }
  }
  const files = new Set(await folder.list());
  for (const [name, count] of sizes) {
    if (options.signal?.aborted) throw new CancelledError();
    if (!files.has(name)) missing('shards of sizes.json that are not there', name);
    const stats = name.replace(/\.tar$/, '_stats.json');
    const said = await successesOf(folder, stats);
    if (said !== count) wrong('sizes.json and stats differ', stats, `${said ?? 'no'} successes, ${count}`);
    if (options.deep !== true || !files.has(name)) continue;
    const found = await countSamples(folder, name, options.signal);
    if (found !== count)
      wrong('shards that hold other samples than sizes.json says', name, `${found}, ${count}`);
  }
  checkStrays(label, meta, sizes, files, findings);
  return { shards: sizes.length, samples };
}

/** A tar that is not in `sizes.json` is trained on by whoever lists the folder. */
function checkStrays(
  folder: string,
  meta: ReshardedFolder['meta'],
  sizes: ReshardedFolder['sizes'],
  files: ReadonlySet<string>,
  findings: Findings,
): void {
  const format = meta['output_shard_format'];
  if (typeof format !== 'string') return;
  const { matches } = parseShardFormat(format);
  const known = new Set(sizes.map(([name]) => name));
  for (const file of files) {
    if (!matches(file) || known.has(file)) continue;
    findings.add({
      ...{ code: 'stray_file', level: 'problem', folder, file },
      ...{ message: 'shards that sizes.json does not know', hint: 'Remove them, or run reshard again' },
    });
  }
}

async function successesOf(folder: Folder, file: string): Promise<number | undefined> {
  const bytes = await folder.read(file);
  if (bytes === undefined) return undefined;
  try {
    const { successes } = parseJsonObject(bytes, file);
    return typeof successes === 'number' ? successes : undefined;
  } catch {
    return undefined;
  }
}

async function countSamples(
  folder: Folder,
  name: string,
  signal: AbortSignal | undefined,
): Promise<number | string> {
  let count = 0;
  try {
    for await (const sample of readSamples(bytesOf(folder, name), { shard: name, signal })) {
      if (sample.problem !== undefined) return `damaged at ${sample.key}`;
      count++;
    }
    return count;
  } catch (error) {
    if (!(error instanceof ShardError)) throw error;
    return messageOf(error);
  }
}

async function* bytesOf(folder: Folder, name: string): AsyncGenerator<Uint8Array> {
  const file = await folder.open(name);
  for (let at = 0; at < file.size; at += CHUNK) yield file.slice(at, Math.min(at + CHUNK, file.size));
}
