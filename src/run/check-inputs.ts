import { CancelledError, messageOf, ShardError } from '../errors.ts';
import type { SourceIdentity } from '../io/bytes.ts';
import type { CheckedFolder } from '../metadata/check.ts';
import type { Findings } from '../metadata/findings.ts';
import { readUnfinished } from '../metadata/outcome.ts';
import { sameInput } from '../metadata/stats.ts';
import type { Hasher, NamedSource } from './score-job.ts';

/**
 * Checks metadata against the shards it was made from: which are not in it, which of its shards are not among them,
 * and which changed since. With a hasher the bytes are read and decide; else size and time.
 */
export async function checkInputs(
  folders: readonly CheckedFolder[],
  sources: readonly NamedSource[],
  findings: Findings,
  options: { hasher?: () => Hasher; signal?: AbortSignal },
): Promise<void> {
  const own = folders.filter(({ kind }) => kind === 'shardsieve');
  if (own.length === 0) return;
  const failed = new Set<string>();
  for (const { folder } of own) {
    // A damaged record is told of elsewhere.
    const record = await readUnfinished(folder).catch(() => undefined);
    for (const { shard } of record?.failed ?? []) failed.add(shard);
  }
  const known = new Map(
    own.flatMap(({ folder, shards }) => shards.map(({ shard, stats }) => [shard, { folder, stats }])),
  );
  for (const { shard, source } of sources) {
    if (options.signal?.aborted) throw new CancelledError();
    const there = known.get(shard);
    known.delete(shard);
    if (there?.stats === undefined) {
      findings.add({
        ...{ code: 'shard_missing', level: 'incomplete', folder: own[0].folder.label, file: source.name },
        message: 'shards that are not in the metadata',
        detail: failed.has(shard) ? 'failed' : 'never scored',
        hint: 'Run score again',
      });
      continue;
    }
    const place = { folder: there.folder.label, file: source.name };
    try {
      const identity = await source.identity();
      if (options.hasher !== undefined)
        identity.sha256 = await hashOf(source, options.hasher(), options.signal);
      compare(there.stats.input, identity, place, findings);
    } catch (error) {
      if (!(error instanceof ShardError)) throw error;
      findings.add({
        ...{ ...place, code: 'input_unreadable', level: 'problem', detail: error.problem },
        ...{ message: 'shards that cannot be read', hint: 'Fetch them again' },
      });
    }
  }
  for (const [shard, { folder }] of known) {
    findings.add({
      ...{ code: 'shard_unknown', level: 'problem', folder: folder.label, file: shard },
      message: 'shards of the metadata that are not among those given',
      hint: 'What is selected of them will not be found: give all shards, or remove their files from the metadata',
    });
  }
}

function compare(
  before: SourceIdentity,
  now: SourceIdentity,
  place: { folder: string; file: string },
  findings: Findings,
): void {
  if (sameInput(before, now)) return;
  const bytes = before.sha256 !== undefined && now.sha256 !== undefined;
  const sameSize = before.size === now.size && before.size !== undefined;
  const details = bytes
    ? `sha256 ${before.sha256!.slice(0, 12)}… scored, ${now.sha256!.slice(0, 12)}… now`
    : `${before.size ?? 'unknown'} bytes scored, ${now.size ?? 'unknown'} now`;
  if (bytes || !sameSize) {
    findings.add({
      ...{ ...place, code: 'input_changed', level: 'problem', detail: details },
      ...{ message: 'shards that changed since they were scored', hint: 'Run score again' },
    });
    return;
  }
  findings.add({
    ...{ ...place, code: 'input_changed', level: 'note' },
    message: 'shards of the size scored and of another time, perhaps copies',
    hint: 'Add --deep to compare their bytes',
  });
}

async function hashOf(
  source: NamedSource['source'],
  hasher: Hasher,
  signal: AbortSignal | undefined,
): Promise<string> {
  try {
    for await (const chunk of source.stream({ signal })) hasher.update(chunk);
  } catch (error) {
    if (error instanceof ShardError || signal?.aborted) throw error;
    throw new ShardError('unreadable', messageOf(error), { shard: source.name, cause: error });
  }
  return hasher.digest();
}
