/** The models a server answers with: loaded, run in batches over all requests, each with the heads that fit it. */
import type { ServedModel } from '../../functions/app/service.ts';
import { pooled } from '../../src/clip/pool.ts';
import { UsageError } from '../../src/errors.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { openHeads } from '../heads/open.ts';
import { nodeHead } from '../heads/run.ts';
import { type ModelChoice, wantModels } from '../jobs/models.ts';
import type { ResolveOptions } from '../models/resolve.ts';
import { type HeadSpec, isHead, type SafetySpec } from '../safety/specs.ts';
import { type BatchingEmbedder, type BatchingOptions, batching } from './batching.ts';

export type NodeModel = ServedModel & { clip: BatchingEmbedder };

/** Loads all of `choice`; whoever asks releases them. Throws what `wantModels` and loading throw, and `openHeads`. */
export async function openModels(
  choice: ModelChoice,
  safety: readonly SafetySpec[],
  options: ResolveOptions & { batching: BatchingOptions },
): Promise<NodeModel[]> {
  const wanted = await wantModels(choice, options);
  const models: NodeModel[] = [];
  try {
    const heads = await openHeads(wanted, choice, headsAmong(safety), options);
    for (const one of wanted) {
      const [loaded, ...others] = await loadAll(one);
      const clip = pooled([loaded, ...others].map((copy) => copy.clip));
      models.push({
        ...loaded,
        clip: batching(clip, options.batching),
        name: String(one.entry['name']),
        fingerprint: one.entry.fingerprint,
        heads: await Promise.all(
          (heads.get(one.slug) ?? []).map((head) => nodeHead(head, { threads: choice.threads })),
        ),
      });
    }
    return models;
  } catch (error) {
    await closeModels(models);
    throw error;
  }
}

/** A copy for each of its devices. */
async function loadAll(wanted: WantedModel): Promise<ScoreModel[]> {
  const copies = wanted.devices?.length ?? 1;
  const loaded = await Promise.allSettled(Array.from({ length: copies }, (_, copy) => wanted.load(copy)));
  const failed = loaded.find((result) => result.status === 'rejected');
  const made = loaded.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  if (failed === undefined) return made;
  await Promise.all(made.map(({ clip }) => clip.release()));
  throw failed.reason;
}

export async function closeModels(models: readonly NodeModel[]): Promise<void> {
  await Promise.all(
    models.flatMap(({ clip, heads }) => [clip.release(), ...heads.map((head) => head.release())]),
  );
}

function headsAmong(safety: readonly SafetySpec[]): HeadSpec[] {
  const other = safety.find((spec) => spec.kind !== 'nsfwjs' && !isHead(spec));
  if (other !== undefined) {
    throw new UsageError(`serve has no --safety ${other.kind}`, {
      hint: 'It judges pictures: nsfwjs, concepts, concepts:FILE, head:FILE and the published heads',
    });
  }
  return safety.filter(isHead);
}
