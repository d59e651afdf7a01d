/** From MODEL arguments to what a run wants: each model known by its hash before anything is loaded. */
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Batch } from '../../src/clip/batch.ts';
import { type ClipConfig, parseClipConfig } from '../../src/clip/config.ts';
import { TOWERS_VERSION } from '../../src/clip/model.ts';
import type { Precision, QuantisedPrecision } from '../../src/clip/precision.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { fastDecodeSide } from '../../src/image/fast-decode.ts';
import {
  type PreprocessConfig,
  parsePreprocess,
  preprocessFingerprint,
} from '../../src/image/preprocess-config.ts';
import type { Fit } from '../../src/image/types.ts';
import type { Json } from '../../src/metadata/table.ts';
import { canonicalJson, fingerprint } from '../../src/run/fingerprint.ts';
import type { WantedModel } from '../../src/run/score-job.ts';
import type { ScoreModel } from '../../src/score/shard.ts';
import { requireDevice } from '../devices/available.ts';
import { type Device, nameOf, parseDevices } from '../devices/spec.ts';
import { modelsAt } from '../endpoint/models.ts';
import { DEFAULT_ALIAS } from '../models/aliases.ts';
import { calibrationInput, calibrationPairs } from '../models/calibration.ts';
import { checkPrecision, SLUG_ENDINGS } from '../models/precision.ts';
import { type Quantised, quantisedCheckpoint } from '../models/quantised.ts';
import { type ResolvedModel, type ResolveOptions, resolveModel } from '../models/resolve.ts';
import { defaultBatch, openEmbedder } from '../onnx/embedder.ts';
import { sha256File } from '../onnx/files.ts';
import { loadMerges } from '../vocab.ts';

export interface ModelChoice {
  /** MODEL arguments; the default is the checkpoint trained on DataComp-1B. */
  models?: readonly string[];
  /** Names of the models in columns, in their order; shorter or absent: derived. */
  slugs?: readonly string[];
  fit?: Fit;
  /** Decode large JPEGs reduced: quicker, with other pixels. A number is the shorter side to keep. Default false. */
  fastDecode?: boolean | number;
  /** Threads of one run of a tower. */
  threads?: number;
  /** Pictures a run; default a number that the device fixes. */
  batch?: Batch;
  /** What the towers compute in: `fp32` (default), `int8`, `int8-accurate`, and `fp16` on GPUs. */
  precision?: Precision;
  /** What runs the towers: `cpu` (default), `webgpu`, `cuda:1`, …; several of one kind hold a copy of the model each. */
  device?: readonly string[];
  /** A shard whose first pairs fix the scales of int8; default the built-in pictures and captions. */
  calibrate?: string;
  /** A server whose models they are, by its API; `models` are its names then, default its first. */
  endpoint?: string;
}

/** What a run wants of a model, and the files of one on this machine. */
export interface ReadyModel extends WantedModel {
  checkpoint?: {
    resolved: ResolvedModel;
    config: ClipConfig;
    preprocess: PreprocessConfig;
    /** Hashes of what decides its numbers. */
    made: { weights_sha256: string; model_cfg: string; preprocess_fingerprint: string };
    quantised?: Quantised & { precision: QuantisedPrecision };
  };
}

/**
 * Resolves, downloads where needed, and hashes each model. Throws `UsageError` for two models under one slug,
 * `DeviceError` where a device is lacking, `ModelError` and `DownloadError` as `resolveModel` does.
 */
export async function wantModels(choice: ModelChoice, options: ResolveOptions = {}): Promise<ReadyModel[]> {
  if (choice.endpoint !== undefined) return modelsAt(choice.endpoint, choice, options);
  const specs = choice.models ?? [DEFAULT_ALIAS];
  const devices = parseDevices(choice.device);
  const precision = checkPrecision(choice, devices[0].kind);
  for (const device of devices) await requireDevice(device);
  if ((choice.slugs?.length ?? 0) > specs.length) {
    throw new UsageError(`${choice.slugs?.length} slugs for ${specs.length} models`, {
      hint: 'Give one --slug a --model',
    });
  }
  const models: Described[] = [];
  for (const spec of specs) models.push(await describe(await resolveModel(spec, options)));
  const fastDecode =
    choice.fastDecode === true
      ? fastDecodeSide(models.map(({ preprocess }) => preprocess))
      : choice.fastDecode || undefined;
  const wanted: ReadyModel[] = [];
  for (const [i, model] of models.entries()) {
    const { resolved } = model;
    const slug = choice.slugs?.[i] ?? `${resolved.slug}${SLUG_ENDINGS[precision]}`;
    if (!/^[a-z0-9_]+$/.test(slug)) {
      throw new UsageError(`${JSON.stringify(slug)} cannot name a column`, {
        hint: 'A slug is made of a-z, 0-9 and _',
      });
    }
    if (wanted.some((other) => other.slug === slug)) {
      throw new UsageError(`two models would share the columns of ${slug}`, {
        hint: 'Name them apart with --slug',
      });
    }
    wanted.push(await want(model, slug, { ...choice, precision, devices, fastDecode }, options));
  }
  return wanted;
}

/** The side that `fastDecode` keeps in a run with this model; every model of a run has the same. */
export function fastDecodeOf(model: WantedModel | undefined): number | undefined {
  const side = model?.entry['fast_decode'];
  return typeof side === 'number' ? side : undefined;
}

/** A model and what its config says. */
interface Described {
  resolved: ResolvedModel;
  config: ClipConfig;
  preprocess: PreprocessConfig;
}

async function describe(resolved: ResolvedModel): Promise<Described> {
  const { configPath, configJson } = resolved;
  const config = parseClipConfig(await readFile(configPath, 'utf8'), configPath);
  const preprocess = parsePreprocess(configJson['preprocess_cfg'], config.vision.imageSize);
  const side = config.vision.imageSize;
  if (preprocess.width !== side || preprocess.height !== side) {
    throw new ModelError(
      `the preprocess makes ${preprocess.width} × ${preprocess.height} pictures for a model of ${side}`,
      {
        file: configPath,
      },
    );
  }
  return { resolved, config, preprocess };
}

async function want(
  { resolved, config, preprocess }: Described,
  slug: string,
  choice: Omit<ModelChoice, 'fastDecode'> & {
    precision: Precision;
    devices: readonly Device[];
    fastDecode: number | undefined;
  },
  options: ResolveOptions,
): Promise<ReadyModel> {
  const { configPath, weightsPath, configJson } = resolved;
  const { precision, devices, threads, batch, fit = 'open_clip', fastDecode } = choice;
  const made = {
    weights_sha256: await sha256File(weightsPath),
    model_cfg: fingerprint(configJson['model_cfg']),
    preprocess_fingerprint: preprocessFingerprint(preprocess, choice.fit, fastDecode),
  };
  const tokenizer = async () =>
    createTokenizer(await loadMerges(), { contextLength: config.text.contextLength });
  let quantised: (Quantised & { precision: QuantisedPrecision }) | undefined;
  if (precision === 'int8' || precision === 'int8-accurate') {
    const pairs = await calibrationPairs(choice.calibrate, options.signal);
    const file = await quantisedCheckpoint(
      {
        // Its pictures are decoded in full whatever the run does.
        from: {
          ...made,
          preprocess_fingerprint: preprocessFingerprint(preprocess, fit),
          calibration: pairs.sha256,
        },
        ...{ config, weightsPath, threads },
        input: async () => calibrationInput(pairs, { preprocess, tokenizer: await tokenizer(), fit }),
      },
      options,
    );
    quantised = { ...file, precision };
  }
  const decisive = {
    ...made,
    towers: TOWERS_VERSION,
    precision,
    ...(quantised === undefined ? {} : { quantised_sha256: quantised.sha256 }),
    provider: devices[0].kind,
    // On a CPU an embedding has the same bits in any batch.
    ...(devices[0].kind === 'cpu' ? {} : { batch: batch ?? defaultBatch(devices[0]) }),
  };
  return {
    slug,
    checkpoint: { resolved, config, preprocess, made, quantised },
    entry: {
      name: resolved.name,
      ...(resolved.revision === undefined ? {} : { revision: resolved.revision }),
      ...decisive,
      fit,
      ...(fastDecode === undefined ? {} : { fast_decode: fastDecode }),
      preprocess: JSON.parse(canonicalJson(preprocess)) as Json,
      fingerprint: fingerprint({ kind: 'clip', ...decisive }),
    },
    devices: devices.map(nameOf),
    load: async (copy = 0): Promise<ScoreModel> => ({
      slug,
      preprocess,
      tokenizer: await tokenizer(),
      clip: await openEmbedder(
        { config: configPath, weights: weightsPath, quantised, half: precision === 'fp16' },
        preprocess,
        { device: devices[copy], ...threadsOf(devices, threads), batch, onNote: options.onNote },
      ),
    }),
  };
}

/** Copies of a model on the CPU share its cores. */
function threadsOf(devices: readonly Device[], threads: number | undefined): { threads?: number } {
  if (threads !== undefined) return { threads };
  if (devices[0].kind !== 'cpu' || devices.length === 1) return {};
  return { threads: Math.max(1, Math.floor(availableParallelism() / devices.length)) };
}
