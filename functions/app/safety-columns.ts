/** Safety columns of whole shards: NSFWJS's, those of a model's heads, and what they say together. */
import { headAnnotator, labelsApart } from '../../src/annotate/heads.ts';
import { nsfwjsAnnotator } from '../../src/annotate/pictures.ts';
import { punsafeAnnotator } from '../../src/annotate/punsafe.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import type { ServedModel, Service } from './service.ts';

/** Annotators of what the server has, in the order in which their columns are said; empty where it has none. */
export function safetyAnnotators(service: Service, models: readonly ServedModel[]): Annotator[] {
  const { nsfw, decoder, fit = 'open_clip' } = service;
  const annotators: Annotator[] = nsfw === undefined ? [] : [nsfwjsAnnotator(nsfw, { decoder, fit })];
  for (const { slug, name, heads } of models) {
    for (const runner of heads) {
      const { head } = runner;
      const source = { info: head.info, apart: labelsApart(head), identity: null, about: {} };
      annotators.push(headAnnotator({ ...source, load: async () => runner }, slug, { name, weights: null }));
    }
  }
  const together = punsafeAnnotator(new Map(annotators.map(({ group, entry }) => [group, entry])));
  return together.of?.length === 0 ? annotators : [...annotators, together];
}
