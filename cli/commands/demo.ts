import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import { DEMO_FRACTION, runDemo } from '../jobs/demo.ts';
import { SHARED, share } from '../options.ts';
import { count, duration, percent } from '../ui/format.ts';
import { funnelLines } from '../ui/funnel.ts';
import { filterSummary, scoreLines } from '../ui/report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

export function demoCommand({ signal, done }: Context): Command {
  return new Command('demo')
    .description('Run the main job on the small model and the shards that ship with Shardsieve.')
    .option('-o, --out <dir>', 'folder for what it writes', 'shardsieve-demo')
    .option('--fraction <f>', 'share of the pairs to keep', share, DEMO_FRACTION)
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve demo --out /tmp/demo')
    .action(async ({ out, fraction, quiet, json }: CommonFlags & { out: string; fraction: number }) => {
      const terminal = openTerminal({ quiet: quiet ?? false });
      const watcher = watchRun(terminal);
      const started = performance.now();
      const totals = await runDemo({ out, fraction, onEvent: watcher.onEvent, signal }).finally(() =>
        watcher.close(),
      );
      const seconds = (performance.now() - started) / 1000;
      const { own, exchanged, safe, paths, select, threshold } = totals;
      const width = Math.max(...Object.values(paths).map((path) => path.length));
      if (json) {
        terminal.out(
          `${JSON.stringify({ ...filterSummary(totals, seconds), own, exchanged, safe, paths })}\n`,
        );
      } else {
        const kept = (group: { total: number; kept: number }): string =>
          `${count(group.kept)} of ${count(group.total)} kept (${percent(group.kept, group.total)})`;
        terminal.out(
          [
            ...scoreLines(totals.score, seconds),
            '',
            `Of ${count(select.total)} drawings, ${count(exchanged.total)} carry another drawing's caption.`,
            `Near-duplicates were dropped and the best ${percent(fraction, 1)} by CLIP score kept (score ≥ ${threshold.toFixed(4)}):`,
            `  right captions      ${kept(own)}`,
            `  exchanged captions  ${kept(exchanged)}`,
            '',
            `The safe subset has ${count(safe.kept)} of ${count(safe.total)}. Nothing here is unsafe, so flags stand for what is unwanted. Dropped:`,
            ...Object.entries(safe.dropped).map(([head, n]) => `  by ${head.padEnd(16)} ${count(n)}`),
            '',
            `Written in ${duration(seconds)}:`,
            `  ${paths.metadata.padEnd(width)}  scores and embeddings, as DataComp's tools read them`,
            `  ${paths.subset.padEnd(width)}  the uids that were kept`,
            `  ${paths.shards.padEnd(width)}  the kept samples as new shards`,
            `  ${safe.out.padEnd(width)}  the uids of the safe subset`,
            '',
            'What each filter left:',
            ...funnelLines(select).map((line) => `  ${line}`),
            '',
            'The demo model is for trying and testing. The same with the real checkpoint:',
            '  shardsieve filter YOUR_SHARDS --fraction 0.3 --out filtered',
            '',
          ].join('\n'),
        );
      }
      done(EXIT.done);
    });
}
