/** The models a server answers with: loaded, run in batches over all requests, each with the heads that fit it. */
import type { ServedModel } from '../../functions/app/service.ts';
import { pooled } from '../../src/clip/pool.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { Head } from '../../src/safety/heads/head.ts';
import { checkSpace } from '../../src/safety/heads/space.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { conceptsPath, headOfConcepts } from '../heads/concepts.ts';
import { nodeHead } from '../heads/run.ts';
import { openHead } from '../heads/store.ts';
import { type ModelChoice, wantModels } from '../jobs/models.ts';
import type { ResolveOptions } from '../models/resolve.ts';
import { embeddingModel } from '../safety/heads.ts';
import type { SafetySpec } from '../safety/specs.ts';
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
    const heads = await openHeads(wanted, choice, safety, options);
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

/** Heads by the slug of the model whose embeddings they are for. Throws `UsageError`, `ModelError`. */
async function openHeads(
  wanted: readonly WantedModel[],
  choice: ModelChoice,
  safety: readonly SafetySpec[],
  options: ResolveOptions,
): Promise<Map<string, Head[]>> {
  const found = new Map<string, Head[]>(wanted.map(({ slug }) => [slug, []]));
  for (const spec of safety) {
    if (spec.kind === 'nsfwjs') continue;
    if (spec.kind === 'known' || spec.kind === 'head') {
      const { head } = await openHead(spec.kind === 'known' ? spec.alias : spec.file);
      found.get(modelFor(head, wanted, options).slug)?.push(head);
    } else if (spec.kind === 'concepts') {
      const [only, ...more] = wanted;
      if (more.length > 0) {
        throw new UsageError('concepts are looked for by one model, and several are served', {
          hint: 'Make a head of the file: shardsieve heads import FILE --model MODEL --out HEAD, then --safety head:HEAD',
        });
      }
      // Prompts are embedded in fp32 whatever is served, as `score --safety` does it.
      const [exact] =
        only.entry['precision'] === 'fp32'
          ? [only]
          : await wantModels({ models: choice.models, threads: choice.threads }, options);
      found.get(only.slug)?.push(await headOfConcepts(conceptsPath(spec.file), exact));
    } else {
      throw new UsageError(`serve has no --safety ${spec.kind}`, {
        hint: 'It judges pictures: nsfwjs, concepts, concepts:FILE, head:FILE and the published heads',
      });
    }
  }
  return found;
}

function modelFor(head: Head, wanted: readonly WantedModel[], { onNote }: ResolveOptions): WantedModel {
  let refusal: unknown;
  for (const candidate of wanted) {
    try {
      const space = { ...embeddingModel(candidate.entry), dim: head.info.space.dim };
      for (const note of checkSpace(head, space)) onNote?.(note);
      return candidate;
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      refusal = error;
    }
  }
  throw refusal;
}
