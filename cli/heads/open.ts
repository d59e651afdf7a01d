/** Heads for models that are served or exported, each for the model whose embeddings it is bound to. */
import { ModelError, UsageError } from '../../src/errors.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { Head } from '../../src/safety/heads/head.ts';
import { checkSpace } from '../../src/safety/heads/space.ts';
import { type ModelChoice, wantModels } from '../jobs/models.ts';
import type { ResolveOptions } from '../models/resolve.ts';
import { embeddingModel } from '../safety/heads.ts';
import type { HeadSpec } from '../safety/specs.ts';
import { conceptsPath, headOfConcepts } from './concepts.ts';
import { openHead } from './store.ts';

/**
 * Heads by the slug of the model whose embeddings they are for; `choice` is what `wanted` was made of. Throws
 * `UsageError`, and `ModelError` for a head of another space.
 */
export async function openHeads(
  wanted: readonly WantedModel[],
  choice: Pick<ModelChoice, 'models' | 'threads'>,
  specs: readonly HeadSpec[],
  options: ResolveOptions,
): Promise<Map<string, Head[]>> {
  const found = new Map<string, Head[]>(wanted.map(({ slug }) => [slug, []]));
  for (const spec of specs) {
    if (spec.kind === 'concepts') {
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
      const { head } = await openHead(spec.kind === 'known' ? spec.alias : spec.file);
      found.get(modelFor(head, wanted, options).slug)?.push(head);
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
