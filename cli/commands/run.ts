import { Command } from 'commander';
import { UsageError } from '../../src/errors.ts';
import type { Part } from '../../src/io/part.ts';
import type { MaxFailed } from '../../src/run/outcome.ts';
import type { Recipe } from '../../src/run/recipe.ts';
import type { ScoreTotals } from '../../src/run/totals.ts';
import { EXIT } from '../exit.ts';
import { filterPaths } from '../jobs/filter.ts';
import type { RunPlan } from '../jobs/plan.ts';
import { runRecipe } from '../jobs/recipe.ts';
import { type StepTotals, tooManyFailed } from '../jobs/steps.ts';
import { repeated, SHARED } from '../options.ts';
import { printRecipe, readRecipe } from '../recipes/file.ts';
import { duration } from '../ui/format.ts';
import { planLines, planSummary, savedLines } from '../ui/plan.ts';
import { refineLines, refineSummary } from '../ui/refine-report.ts';
import { scoreLines, scoreSummary, selectLines, selectSummary } from '../ui/report.ts';
import { reshardLines, reshardSummary } from '../ui/reshard-report.ts';
import { StepProgress } from '../ui/step-progress.ts';
import { openTerminal } from '../ui/terminal.ts';
import { annotateLines, annotateSummary } from './annotate.ts';
import type { CommonFlags, Context } from './context.ts';
import { reshardFailed } from './reshard.ts';
import { watchRun } from './watch.ts';

interface RunFlags extends CommonFlags {
  shards?: string[];
  metadata?: string[];
  out?: string;
  subset?: string;
  allowFailed?: boolean;
  allowTruncated?: boolean;
  shardIndex?: Part;
  retryFailed?: boolean;
  maxFailed?: MaxFailed;
  printRecipe?: boolean;
  fullMetadata?: boolean;
  explain?: boolean;
}

export function runCommand({ signal, done }: Context): Command {
  return new Command('run')
    .description('Do what a recipe says: score, select and reshard, as it has fields for.')
    .argument('<recipe>', 'a YAML file, or the name of one that comes with the package (basic_filter, …)')
    .option('--shards <shards>', "instead of the recipe's shards; repeatable", repeated)
    .option('--metadata <folder>', "instead of the recipe's metadata; repeatable", repeated)
    .option(
      '-o, --out <dir>',
      'write to DIR/metadata, DIR/subset.npy and DIR/shards, whatever the recipe says',
    )
    .option('--subset <subset.npy>', "instead of the recipe's subset file")
    .addOption(SHARED.fullMetadata())
    .addOption(SHARED.explain())
    .addOption(SHARED.allowFailed())
    .addOption(SHARED.allowTruncated())
    .addOption(SHARED.shardIndex())
    .addOption(SHARED.retryFailed())
    .addOption(SHARED.maxFailed())
    .option('--print-recipe', 'write nothing; print the recipe with these options in it')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve run recipe.yaml
  shardsieve run basic_filter --metadata metadata --subset basic.npy
  shardsieve run recipe.yaml --shards pool/ --out filtered

Paths are relative to where the command runs. Editors check a recipe against recipes/recipe.schema.json.`,
    )
    .action(async (file: string, flags: RunFlags) => {
      const recipe = withFlags(await readRecipe(file), flags);
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      if (flags.printRecipe) {
        terminal.out(printRecipe(recipe));
        return done(EXIT.done);
      }
      const watcher = watchRun(terminal);
      const steps = new StepProgress(terminal);
      const started = performance.now();
      const seconds = (): number => (performance.now() - started) / 1000;
      let scored: ScoreTotals | undefined;
      let plan: RunPlan | undefined;
      const { allowFailed, allowTruncated, retryFailed, maxFailed } = flags;
      try {
        const totals = await runRecipe({
          ...{ recipe, allowFailed, allowTruncated, retryFailed, maxFailed, signal },
          part: flags.shardIndex,
          onPlan: (made) => {
            plan = made;
            if (flags.explain && !flags.json) terminal.out(`${planLines(made).join('\n')}\n`);
          },
          onEvent: watcher.onEvent,
          onDownload: watcher.onDownload,
          onProgress: steps.onProgress,
          onScored: (score) => {
            scored = score;
          },
        }).finally(() => {
          watcher.close();
          steps.close();
        });
        report(totals, seconds());
        const goesOn = allowFailed || maxFailed !== undefined;
        const allowed = { allowFailed, allowTruncated: allowTruncated || goesOn, maxFailed };
        const unscored =
          totals.score !== undefined &&
          !allowFailed &&
          tooManyFailed(totals.score, { allowTruncated, maxFailed });
        const uncopied = totals.reshard !== undefined && reshardFailed(totals.reshard, allowed);
        done(unscored || uncopied ? EXIT.failed : EXIT.done);
      } catch (error) {
        if (scored !== undefined) report({ score: scored }, seconds());
        throw error;
      }

      function report(totals: StepTotals, seconds: number): void {
        const { score, annotate, refine, select, reshard } = totals;
        if (flags.json) {
          const summary = {
            ...(flags.explain && plan ? { plan: planSummary(plan) } : {}),
            ...(score ? { score: scoreSummary(score, seconds) } : {}),
            ...(annotate ? { annotate: annotate.map((one) => annotateSummary(one, seconds)) } : {}),
            ...refineSummary(refine),
            ...(select ? { select: selectSummary(select, seconds) } : {}),
            ...(reshard ? { reshard: reshardSummary(reshard, seconds) } : {}),
          };
          terminal.out(`${JSON.stringify(summary)}\n`);
          return;
        }
        const lines = [
          ...(score ? scoreLines(score, seconds, recipe.score) : []),
          ...(score && flags.explain ? savedLines(score) : []),
          ...(annotate ?? []).flatMap((one) => annotateLines(one, seconds)),
          ...(refine ?? []).flatMap(refineLines),
          ...(select ? selectLines(select) : []),
          ...(reshard ? reshardLines(reshard) : []),
          `done in ${duration(seconds)}`,
        ];
        terminal.out(`${lines.join('\n')}\n`);
      }
    });
}

function withFlags(recipe: Recipe, { shards, metadata, out, subset, fullMetadata }: RunFlags): Recipe {
  if (out !== undefined && (metadata !== undefined || subset !== undefined)) {
    throw new UsageError('--out says where metadata and subset go; leave --metadata and --subset out');
  }
  const paths = out === undefined ? undefined : filterPaths(out);
  const isScored = recipe.models !== undefined || recipe.score !== undefined;
  return {
    ...recipe,
    ...(fullMetadata && isScored ? { score: { ...recipe.score, full_metadata: true } } : {}),
    ...(shards === undefined ? {} : { shards }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(subset === undefined ? {} : { subset }),
    ...(paths === undefined ? {} : { metadata: paths.metadata, subset: paths.subset }),
    ...(paths === undefined || !recipe.reshard ? {} : { reshard: { ...recipe.reshard, out: paths.shards } }),
  };
}
