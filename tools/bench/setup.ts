/** Makes what a benchmark needs and is not there: the Python interpreter, the weights, the pool. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { $, fs, glob } from 'zx';

export interface BenchOptions {
  rounds: number;
  count: number;
  pictures?: string[];
  python?: string;
  model?: string;
  shards?: string;
  only?: string;
  /** Of measuring each stage. */
  seconds: string;
  work: string;
}

export interface Bench extends Omit<BenchOptions, 'python'> {
  python: { path: string; versions: string };
  /** Folder in open_clip's layout. */
  modelFolder: string;
  modelName: string;
  shardPaths: string[];
  /** In words. */
  pool: string;
  /** Environment of every process: nothing is downloaded, quantised weights lie in the benchmark's own folder. */
  env: NodeJS.ProcessEnv;
}

const ARCHITECTURE = 'ViT-B-32-256';

/** Makes a folder whole or not at all, so that an interrupted run leaves nothing half. */
async function once(folder: string, make: (unfinished: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.unfinished`;
  await fs.remove(unfinished);
  await make(unfinished);
  await fs.move(unfinished, folder);
  return folder;
}

export async function prepare(options: BenchOptions): Promise<Bench> {
  $.verbose = false;
  const work = resolve(options.work);
  await fs.ensureDir(work);
  const path = options.python ?? (await interpreter(work));
  const about = await $`${path} -c ${VERSIONS}`;
  const modelFolder =
    options.model ??
    (await once(join(work, `${ARCHITECTURE}-seed-0`), async (out) => {
      console.error(`writing seeded weights of ${ARCHITECTURE}`);
      await $`${path} tools/oracle/clip_seeded.py ${ARCHITECTURE} ${out} --seed 0`;
    }));
  const { shardPaths, pool } = await poolOf(work, path, options);
  return {
    ...options,
    work,
    python: { path, versions: about.stdout.trim() },
    modelFolder: resolve(modelFolder),
    modelName: options.model ?? `${ARCHITECTURE}, full size, seeded weights`,
    shardPaths,
    pool,
    env: { ...process.env, SHARDSIEVE_QUANTISED: join(work, 'quantised'), HF_HUB_OFFLINE: '1' },
  };
}

const VERSIONS = `
import open_clip, PIL, platform, torch, torchvision, webdataset
print(f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
      f"open_clip {open_clip.__version__}, webdataset {webdataset.__version__}, Pillow {PIL.__version__}")`;

/** Built anew where the list of packages is another. Folders of a venv cannot be moved, so a stamp says it is whole. */
async function interpreter(work: string): Promise<string> {
  const venv = join(work, 'venv');
  const stamp = join(venv, 'requirements.txt');
  const wanted = await fs.readFile('tools/bench/requirements.txt', 'utf8');
  if (!existsSync(stamp) || (await fs.readFile(stamp, 'utf8')) !== wanted) {
    console.error('building the Python side: tools/bench/setup_python.sh');
    await fs.remove(venv);
    await $`tools/bench/setup_python.sh ${venv}`;
    await fs.writeFile(stamp, wanted);
  }
  return join(venv, 'bin', 'python');
}

async function poolOf(
  work: string,
  python: string,
  { shards, pictures = [], count }: BenchOptions,
): Promise<{ shardPaths: string[]; pool: string }> {
  if (shards !== undefined) return { shardPaths: shards.split(','), pool: shards };
  const name = ['pool', count, ...pictures.map((folder) => resolve(folder).replaceAll(/\W+/g, '_'))].join(
    '-',
  );
  const folder = await once(join(work, name), async (out) => {
    const from = pictures.flatMap((folder) => ['--pictures', folder]);
    const made = await $`${python} tools/bench/make_pool.py ${out} --count ${count} ${from}`;
    await fs.writeFile(join(out, 'pool.json'), made.stdout);
  });
  const made = await fs.readJson(join(folder, 'pool.json'));
  return {
    shardPaths: (await glob(join(folder, '*.tar'))).sort(),
    pool: `${made.count} pairs, parts of ${made.pictures} pictures of ${made.of}, ${made.side} px`,
  };
}
