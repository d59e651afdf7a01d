/** `deploy workers`: exported towers and the Workers of the package, onto a Cloudflare account. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  type ExportManifest,
  exportedFiles,
  MANIFEST_FILE,
  parseManifest,
} from '../../src/clip/export/manifest.ts';
import { ModelError, UsageError } from '../../src/errors.ts';
import { type Bundles, bundlesFolder, readBundles, WORKERS } from '../deploy/bundles.ts';
import { type DeployPlan, planDeploy } from '../deploy/plan.ts';
import { parseVars } from '../deploy/vars.ts';
import { checkLogin, failure, findWrangler } from '../deploy/wrangler.ts';
import { sha256File } from '../onnx/files.ts';
import { packageRoot } from '../package-root.ts';

export interface DeployChoice {
  /** What `models export` wrote. */
  towers: string;
  /** Of the front Worker; all other names begin with it. Default `shardsieve`. */
  name?: string;
  /** Variables of the Workers: `NAME=VALUE` of the front, `image:NAME=VALUE`, `text:NAME=VALUE`. */
  vars?: readonly string[];
  /** Only says what would be done, after looking at the files. */
  dryRun?: boolean;
}

export interface Deployed {
  name: string;
  model: string;
  prefix: string;
  /** The commands, as a person would type them. */
  commands: string[];
  /** Where the front says that it answers. */
  url?: string;
}

export interface DeployWatch {
  signal?: AbortSignal;
  onStep?(title: string, state: 'begun' | 'there already' | 'done'): void;
}

/** Throws `UsageError`, `ModelError`, `OutputError` with wrangler's own words, `CancelledError`. */
export async function deployWorkers(
  choice: DeployChoice,
  { signal, onStep }: DeployWatch = {},
): Promise<Deployed> {
  const { name = 'shardsieve', dryRun = false } = choice;
  const vars = parseVars(choice.vars ?? []);
  const towers = resolve(choice.towers);
  const folder = bundlesFolder();
  const bundles = await readBundles(folder);
  const manifest = await checkedManifest(towers, signal);
  const work = dryRun ? 'WORKERS' : await mkdtemp(join(tmpdir(), 'shardsieve-deploy-'));
  try {
    const plan = planDeploy({
      ...{ bundles, manifest, name, towers, vars, web: join(packageRoot(), 'web') },
      configPath: (worker) => join(work, worker, 'wrangler.json'),
    });
    const deployed: Deployed = {
      name,
      model: manifest.name,
      prefix: plan.prefix,
      commands: plan.steps.map(({ command, unless }) => {
        const line = `wrangler ${command.join(' ')}`;
        return unless === undefined ? line : `wrangler ${unless.join(' ')} || ${line}`;
      }),
    };
    if (dryRun) return deployed;
    await writeWorkers(plan, bundles, folder, work);
    const url = await carryOut(plan, { signal, onStep });
    return url === undefined ? deployed : { ...deployed, url };
  } finally {
    if (!dryRun) await rm(work, { recursive: true, force: true });
  }
}

/** The manifest, of files that are what it says. */
async function checkedManifest(towers: string, signal: AbortSignal | undefined): Promise<ExportManifest> {
  const file = join(towers, MANIFEST_FILE);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError('the folder holds no exported towers', {
      file,
      cause,
      hint: 'Make them first: shardsieve models export MODEL --target workers --out DIR',
    });
  });
  const manifest = parseManifest(text, file);
  for (const { name, sha256 } of exportedFiles(manifest)) {
    const path = join(towers, name);
    if ((await sha256File(path, signal)) !== sha256) {
      throw new ModelError('the file is not the one that was exported', {
        file: path,
        hint: 'Export the model again',
      });
    }
  }
  return manifest;
}

/** Each Worker in a folder with its own modules only: wrangler uploads what it finds beside a script. */
async function writeWorkers(plan: DeployPlan, bundles: Bundles, from: string, to: string): Promise<void> {
  for (const worker of WORKERS) {
    const { main, modules } = bundles[worker];
    const folder = join(to, worker);
    await mkdir(folder, { recursive: true });
    for (const file of [main, ...modules]) await copyFile(join(from, file), join(folder, file));
    await writeFile(join(folder, 'wrangler.json'), JSON.stringify(plan.configs[worker], null, 2));
  }
}

async function carryOut({ steps }: DeployPlan, { signal, onStep }: DeployWatch): Promise<string | undefined> {
  const wrangler = await findWrangler(signal);
  onStep?.('log-in and account', 'begun');
  await checkLogin(wrangler);
  onStep?.('log-in and account', 'done');
  let url: string | undefined;
  for (const { title, unless, command } of steps) {
    onStep?.(title, 'begun');
    if (unless !== undefined && (await wrangler.run(unless)).ok) {
      onStep?.(title, 'there already');
      continue;
    }
    const { ok, output } = await wrangler.run(command);
    if (!ok) throw failure(command, output);
    url = /https:\/\/[\w.-]+\.workers\.dev/.exec(output)?.[0] ?? url;
    onStep?.(title, 'done');
  }
  return url;
}
