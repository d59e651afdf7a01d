import { Command, Option } from 'commander';
import { EXIT } from '../exit.ts';
import { type CentroidsTotals, trainCentroids } from '../jobs/centroids.ts';
import { positiveInteger, SHARED, share, wholeNumber } from '../options.ts';
import { count, duration, plural } from '../ui/format.ts';
import { StepProgress } from '../ui/step-progress.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface Flags extends CommonFlags {
  k: number;
  slug?: string;
  method: 'lloyd' | 'minibatch';
  iterations?: number;
  seed: number;
  sample?: number;
  maxPoints?: number;
  spherical?: boolean;
  threads?: number;
  device?: string;
  out: string;
}

export function centroidsCommand({ signal, done }: Context): Command {
  return new Command('centroids')
    .description('Cluster the image embeddings of metadata by k-means; writes the centroids for image_based.')
    .argument(
      '<metadata...>',
      'folders of metadata with embeddings: Shardsieve’s, DataComp’s or dataset2metadata’s',
    )
    .requiredOption('-o, --out <centroids.npy>', 'the file to write: float32, a row a centroid')
    .addOption(
      new Option('-k, --k <n>', 'number of centroids; DataComp has 100,000')
        .argParser(positiveInteger)
        .makeOptionMandatory(),
    )
    .option('--slug <slug>', 'the model whose embeddings are used (default: the only one)')
    .addOption(
      new Option('--method <method>', 'lloyd: as faiss; minibatch: for pools that cannot be passed 20 times')
        .choices(['lloyd', 'minibatch'])
        .default('lloyd'),
    )
    .addOption(
      new Option('--iterations <n>', 'passes over the rows (default: lloyd 20, minibatch 3)').argParser(
        positiveInteger,
      ),
    )
    .addOption(
      new Option('--seed <n>', 'the same seed gives the same centroids').argParser(wholeNumber).default(0),
    )
    .addOption(new Option('--sample <p>', 'train on a random share of the rows').argParser(share))
    .addOption(
      new Option(
        '--max-points <n>',
        'train on at most this many rows a centroid, as faiss subsamples',
      ).argParser(positiveInteger),
    )
    .option('--spherical', 'centroids of unit length, rows assigned by cosine: for near_duplicates')
    .addOption(
      new Option('--threads <n>', 'threads of the products (default: all cores)').argParser(positiveInteger),
    )
    .option('--device <provider>', 'what multiplies: cpu (default), webgpu, cuda:0, …')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve centroids metadata --k 100000 --slug l14 --sample 0.3 --out centroids.npy
  shardsieve centroids metadata --k 50000 --spherical --out clusters.npy`,
    )
    .action(async (metadata: string[], flags: Flags) => {
      const { quiet, json, maxPoints: maxPointsPerCentroid, ...options } = flags;
      const terminal = openTerminal({ quiet: quiet ?? false });
      const progress = new StepProgress(terminal);
      const started = performance.now();
      const { onProgress } = progress;
      const totals = await trainCentroids({
        ...options,
        metadata,
        maxPointsPerCentroid,
        signal,
        onProgress,
      }).finally(() => progress.close());
      const seconds = (performance.now() - started) / 1000;
      for (const note of totals.notes) terminal.err(`${note}\n`);
      terminal.out(
        json ? `${JSON.stringify(summary(totals, seconds))}\n` : `${lines(totals, seconds).join('\n')}\n`,
      );
      done(EXIT.done);
    });
}

function summary(totals: CentroidsTotals, seconds: number) {
  const { notes: _, ...rest } = totals;
  return { ...rest, seconds: Math.round(seconds * 1000) / 1000 };
}

function lines(
  { slug, k, rows, unjudged, iterations, split, out }: CentroidsTotals,
  seconds: number,
): string[] {
  const passes = plural(iterations, 'pass', 'passes');
  return [
    `${plural(k, 'centroid')} of ${slug} from ${plural(rows, 'row')}, ${passes}; ${duration(seconds)}`,
    ...(split > 0 ? [`${plural(split, 'empty cluster')} refilled by splitting another`] : []),
    ...(unjudged > 0 ? [`${count(unjudged)} rows without a usable embedding passed over`] : []),
    `written to ${out}`,
  ];
}
