/** Jobs with what a server has: its models, its decoder, its classifier. */
import { hashesAnnotator, nsfwjsAnnotator } from '../../src/annotate/pictures.ts';
import { punsafeAnnotator } from '../../src/annotate/punsafe.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import { UsageError } from '../../src/errors.ts';
import { preprocessFingerprint } from '../../src/image/preprocess-config.ts';
import type { Json } from '../../src/metadata/table.ts';
import { canonicalJson } from '../../src/run/fingerprint.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { ServedModel, Service } from '../app/service.ts';
import type { JobEngine } from './engine.ts';

/** Models may come to the service later; those that are there then count. */
export function servedEngine(
  service: Pick<Service, 'models' | 'decoder' | 'fit' | 'nsfw' | 'gunzip'>,
): JobEngine {
  const { decoder, fit = 'open_clip', nsfw, gunzip } = service;
  const reading = { decoder, fit };
  const made = new WeakMap<ServedModel, WantedModel>();
  const wantedOf = (model: ServedModel): WantedModel => {
    const known = made.get(model);
    if (known !== undefined) return known;
    const wanted = { slug: model.slug, entry: entryOf(model, service), load: async () => model };
    made.set(model, wanted);
    return wanted;
  };
  const kinds: { [name: string]: () => Annotator } = {
    ...(nsfw === undefined ? {} : { nsfwjs: () => nsfwjsAnnotator(nsfw, reading) }),
    hashes: () => hashesAnnotator(reading),
  };
  return {
    get models() {
      return service.models.map(wantedOf);
    },
    async annotators(names) {
      const annotators = [...new Set(names)].map((name) => {
        if (Object.hasOwn(kinds, name)) return kinds[name]();
        throw new UsageError(`jobs make no safety columns called ${JSON.stringify(name)} here`, {
          hint: `There is ${Object.keys(kinds).join(', ')}`,
        });
      });
      const together = punsafeAnnotator(new Map(annotators.map(({ group, entry }) => [group, entry])));
      return together.of?.length === 0 ? annotators : [...annotators, together];
    },
    ...reading,
    ...(gunzip === undefined ? {} : { gunzip }),
  };
}

function entryOf(model: ServedModel, { fit = 'open_clip' }: Pick<Service, 'fit'>): WantedModel['entry'] {
  const { name, fingerprint, preprocess, clip } = model;
  return {
    name,
    precision: clip.precision,
    provider: clip.provider,
    fit,
    preprocess_fingerprint: preprocessFingerprint(preprocess, fit),
    preprocess: JSON.parse(canonicalJson(preprocess)) as Json,
    fingerprint,
  };
}
