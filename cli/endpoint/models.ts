/**
 * Models that a server has, asked through the API. Shards are read, pictures decoded and captions tokenized here, so
 * rows, uids and reasons for skipping are those of a run without it; what is sent are the towers' inputs.
 */
import { type ModelsAnswer, ShardsieveClient } from '../../functions/client/client.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { preprocessFingerprint } from '../../src/image/preprocess-config.ts';
import type { Json } from '../../src/metadata/table.ts';
import { canonicalJson } from '../../src/run/fingerprint.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { ModelChoice } from '../jobs/models.ts';
import { loadMerges } from '../vocab.ts';
import { endpointEmbedder } from './embedder.ts';

/** The environment variable with the key: one on the command line is seen by everybody on the machine. */
export const KEY_VARIABLE = 'SHARDSIEVE_KEY';

/** What only makes sense where the towers run, or would make other numbers than the server's fingerprint says. */
const OF_THE_SERVER = {
  precision: '--precision',
  threads: '--threads',
  device: '--device',
  batch: '--batch',
  calibrate: '--calibrate',
  fastDecode: '--fast-decode',
} as const;

type Served = ModelsAnswer['models'][number];

/**
 * Throws `UsageError` for options that are the server's, `ModelError` for a model that it lacks or that prepares pictures
 * in a way unknown here, and where it has none ready, and what the client throws.
 */
export async function modelsAt(
  endpoint: string,
  choice: ModelChoice,
  { signal, env = process.env }: { signal?: AbortSignal; env?: NodeJS.ProcessEnv } = {},
): Promise<WantedModel[]> {
  const options = Object.keys(OF_THE_SERVER) as (keyof typeof OF_THE_SERVER)[];
  const there = options.find((option) => choice[option] && choice[option] !== 'fp32');
  if (there !== undefined) {
    throw new UsageError(`${OF_THE_SERVER[there]} is the server's matter, with --endpoint`, {
      hint: 'Say it where the server is started: shardsieve serve',
    });
  }
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new UsageError(`${JSON.stringify(endpoint)} is no address of a server`, {
      hint: 'For example --endpoint http://127.0.0.1:8787',
    });
  }
  const client = new ShardsieveClient({ endpoint, key: env[KEY_VARIABLE] });
  const { models, limits } = await client.models({ signal });
  if (models.length === 0) {
    throw new ModelError('the server has no model ready', { url: endpoint, hint: 'Try again in a moment' });
  }
  const asked = choice.models ?? [models[0].name];
  return asked.map((spec, i) => {
    const served = models.find(({ name, slug }) => name === spec || slug === spec);
    if (served === undefined) {
      throw new ModelError(`the server has no model ${spec}`, {
        url: endpoint,
        hint: `It has ${models.map(({ name }) => name).join(', ')}`,
      });
    }
    return wantedOf(client, served, limits, choice.slugs?.[i], choice);
  });
}

function wantedOf(
  client: ShardsieveClient,
  served: Served,
  limits: ModelsAnswer['limits'],
  slug = served.slug,
  { fit = 'open_clip' }: ModelChoice,
): WantedModel {
  const { name, preprocess, precision, provider, fingerprint } = served;
  if (preprocessFingerprint(preprocess, fit) !== served.preprocess_fingerprint) {
    throw new ModelError(`the server prepares pictures for ${name} otherwise than this version does`, {
      url: client.endpoint,
      hint: `Let both run the same version${fit === 'open_clip' ? '' : `, and the server with --fit ${fit}`}`,
    });
  }
  return {
    slug,
    entry: {
      ...{ name, precision, provider, fit, fingerprint },
      preprocess_fingerprint: served.preprocess_fingerprint,
      preprocess: JSON.parse(canonicalJson(preprocess)) as Json,
    },
    load: async () => ({
      slug,
      preprocess,
      tokenizer: createTokenizer(await loadMerges(), { contextLength: served.context_length }),
      clip: endpointEmbedder(client, served, limits),
    }),
  };
}
