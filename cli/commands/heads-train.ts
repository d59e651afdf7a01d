import { Command, Option } from 'commander';
import { EXIT } from '../exit.ts';
import { type TrainHeadOptions, trainHead } from '../jobs/train-head.ts';
import { finite, positiveInteger, SHARED } from '../options.ts';
import { plural } from '../ui/format.ts';
import { metricLines } from '../ui/head-report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

export function trainCommand({ signal, done }: Context): Command {
  return new Command('train')
    .description('Train a head on labelled embeddings, on the CPU: seeded, cross-validated, calibrated.')
    .requiredOption('--embeddings <metadata...>', 'metadata folders with embeddings')
    .requiredOption('--labels <csv>', 'a CSV with the columns uid and label (0 and 1, or names)')
    .requiredOption('--out <head>', 'the head to write (.safetensors)')
    .option('--name <name>', 'its name and column, [a-z0-9_]+ (default: from --out)')
    .option('--positive <label>', 'which of two names is looked for')
    .option('--slug <slug>', 'whose embeddings, where there are several')
    .addOption(
      new Option('--type <type>', 'linear, or one hidden layer').choices(['linear', 'mlp']).default('linear'),
    )
    .option('--hidden <n>', 'units of the hidden layer of an mlp', positiveInteger, 64)
    .addOption(
      new Option('--optimizer <name>', 'default: lbfgs for linear, adam for mlp').choices(['lbfgs', 'adam']),
    )
    .addOption(
      new Option('--class-weight <how>', 'give rare classes the weight of frequent ones').choices([
        'balanced',
      ]),
    )
    .option('--folds <k>', 'parts of the cross-validation', positiveInteger, 5)
    .option('--seed <n>', 'for folds, batches and first weights', finite, 0)
    .addOption(
      new Option('--calibrate <how>', 'default: platt for two classes, none for more').choices([
        'platt',
        'isotonic',
        'none',
      ]),
    )
    .option('--l2 <x>', "weight decay, the inverse of scikit-learn's C", finite, 1)
    .option('--max-iterations <n>', 'of L-BFGS, or epochs of Adam', positiveInteger, 1000)
    .option('--licence <text>', 'of the head, for its description')
    .option('--trained-on <text>', 'what the labelled samples are, in words, for its description')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve heads train --embeddings metadata --labels labels.csv --out weapons.safetensors
  shardsieve heads train --embeddings metadata --labels kinds.csv --positive weapon --class-weight balanced \\
    --calibrate isotonic --out weapons.safetensors`,
    )
    .action(async (flags: CommonFlags & TrainHeadOptions) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const { head, trained, rows, notes } = await trainHead({
        ...flags,
        signal,
        onProgress: (fits, of) => {
          if (terminal.live) terminal.err(`\rfit ${fits} of ${of}${fits === of ? '\n' : ''}`);
        },
      });
      for (const note of notes) terminal.err(`${note}\n`);
      if (flags.json) terminal.out(`${JSON.stringify({ ...head.info, file: flags.out })}\n`);
      else {
        const how = trained.converged ? plural(trained.iterations, 'iteration') : 'no optimum reached';
        terminal.out(`trained on ${plural(rows, 'labelled sample')}, ${how}\n`);
        for (const line of metricLines(head)) terminal.out(`${line}\n`);
        const thresholds = Object.entries(head.info.thresholds).map(
          ([label, t]) => `${label} ${t.toFixed(3)}`,
        );
        terminal.out(`\n${flags.out}: best F1 at ${thresholds.join(', ')}\n`);
      }
      done(EXIT.done);
    });
}
