/** What deploying takes, as data: configs for wrangler, and its commands in their order. */

import { TOWER_MIB } from '../../functions/workers/memory.ts';
import type { ExportManifest } from '../../src/clip/export/manifest.ts';
import { exportedFiles, MANIFEST_FILE } from '../../src/clip/export/manifest.ts';
import { UsageError } from '../../src/errors.ts';
import { fingerprint } from '../../src/run/fingerprint.ts';
import type { Bundles, WorkerConfig, WorkerName } from './bundles.ts';
import { WORKERS } from './bundles.ts';
import type { WorkerVars } from './vars.ts';

export interface DeployPlan {
  /** By Worker: `wrangler.json` in a folder with its script and modules. */
  configs: Record<WorkerName, WorkerConfig & Record<string, unknown>>;
  /** Where in the bucket the towers will lie: another export lies elsewhere, so what runs is never half replaced. */
  prefix: string;
  steps: Step[];
}

/** One or two commands of wrangler. */
export interface Step {
  title: string;
  /** Where this one succeeds, nothing is left to do. */
  unless?: string[];
  command: string[];
}

export interface PlanParts {
  bundles: Bundles;
  manifest: ExportManifest;
  /** Of the front; the others' begin with it. */
  name: string;
  /** The folder that was exported. */
  towers: string;
  /** The folder `web` of the package. */
  web: string;
  /** Over those of the package's configs. */
  vars: WorkerVars;
  /** Where a Worker's config will be written. */
  configPath(worker: WorkerName): string;
}

/** What all names begin with in the package's configs. */
const OWN_NAME = 'shardsieve';
const NAME = /^[a-z][a-z0-9-]{0,40}$/;
const MIB = 2 ** 20;
/** What the runtime takes of a tower's memory. */
const RUNTIME_MIB = 14;

/** Throws `UsageError` for a name that Cloudflare would refuse, and for towers that do not fit. */
export function planDeploy(parts: PlanParts): DeployPlan {
  const { bundles, manifest, name, towers, web, vars, configPath } = parts;
  if (!NAME.test(name)) {
    throw new UsageError(`${JSON.stringify(name)} cannot name a Worker`, {
      hint: 'A name is made of a-z, 0-9 and -, begins with a letter and has at most 41 characters',
    });
  }
  for (const tower of ['image', 'text'] as const) {
    const needed = manifest.files[tower].bytes / MIB + RUNTIME_MIB;
    const memory = Number(vars[tower]['WASM_MIB'] ?? TOWER_MIB[tower]);
    if (needed <= memory) continue;
    throw new UsageError(
      `the ${tower} tower needs about ${Math.ceil(needed)} MiB, its Worker has ${memory}`,
      { hint: 'docs/edge.md says what to do if it does not fit' },
    );
  }
  const prefix = `models/${manifest.slug}/${manifest.fingerprint}${withHeads(manifest)}`;
  const renamed = (own: string) => (own.startsWith(OWN_NAME) ? name + own.slice(OWN_NAME.length) : own);
  const configs = {} as DeployPlan['configs'];
  for (const worker of WORKERS) configs[worker] = configOf(worker);
  const buckets = all((config) => config.r2_buckets?.map(({ bucket_name }) => bucket_name));
  const queues = all(({ queues }) => [
    ...(queues?.producers?.map(({ queue }) => queue) ?? []),
    ...(queues?.consumers?.flatMap((one) => [one.queue, one.dead_letter_queue]) ?? []),
  ]);
  const models = configs.image.r2_buckets?.find(({ binding }) => binding === 'MODELS')?.bucket_name;
  const put = (file: string): Step => ({
    title: `upload ${file}`,
    command: [
      'r2',
      'object',
      'put',
      `${models}/${prefix}/${file}`,
      '--file',
      `${towers}/${file}`,
      '--remote',
    ],
  });
  const steps: Step[] = [
    ...buckets.map((bucket) => ({
      title: `bucket ${bucket}`,
      unless: ['r2', 'bucket', 'info', bucket],
      command: ['r2', 'bucket', 'create', bucket],
    })),
    ...queues.map((queue) => ({
      title: `queue ${queue}`,
      unless: ['queues', 'info', queue],
      command: ['queues', 'create', queue],
    })),
    ...exportedFiles(manifest).map(({ name }) => put(name)),
    // Last: who finds it finds all of it.
    put(MANIFEST_FILE),
    ...WORKERS.map((worker) => ({
      title: `Worker ${configs[worker].name}`,
      command: ['deploy', '--no-bundle', '-c', configPath(worker)],
    })),
  ];
  return { configs, prefix, steps };

  function configOf(worker: WorkerName): WorkerConfig & Record<string, unknown> {
    const { main, config } = bundles[worker];
    const { assets, queues, ...rest } = config;
    return {
      ...rest,
      main,
      no_bundle: true,
      rules: [{ type: 'Data', globs: ['**/*.gz', '**/*.safetensors'], fallthrough: true }],
      name: renamed(config.name),
      vars: { ...config.vars, ...vars[worker], MODEL: prefix },
      // What was set on the dashboard, or by an earlier --var, stays.
      keep_vars: true,
      ...(assets === undefined ? {} : { assets: { ...assets, directory: web } }),
      services: config.services?.map((one) => ({ ...one, service: renamed(one.service) })),
      r2_buckets: config.r2_buckets?.map((one) => ({ ...one, bucket_name: renamed(one.bucket_name) })),
      queues: {
        producers: queues?.producers?.map((one) => ({ ...one, queue: renamed(one.queue) })),
        consumers: queues?.consumers?.map((one) => ({
          ...one,
          queue: renamed(one.queue),
          ...(one.dead_letter_queue === undefined
            ? {}
            : { dead_letter_queue: renamed(one.dead_letter_queue) }),
        })),
      },
    };
  }

  function all(pick: (config: WorkerConfig) => readonly (string | undefined)[] | undefined): string[] {
    const names = WORKERS.flatMap((worker) => pick(configs[worker]) ?? []);
    return [...new Set(names.filter((found) => found !== undefined))];
  }
}

/** Other heads are another export, though the towers' fingerprint stays. */
function withHeads({ heads }: ExportManifest): string {
  return heads.length === 0 ? '' : `-heads-${fingerprint(heads.map(({ sha256 }) => sha256))}`;
}
