import { Command } from 'commander';
import type { SetOperation } from '../../src/subset/sets.ts';
import { EXIT } from '../exit.ts';
import { combineSubsets, describeSubsets, type SubsetsInfo } from '../jobs/subset.ts';
import { SHARED } from '../options.ts';
import { bytes, count, percent, plural } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface SetFlags extends CommonFlags {
  out: string;
  multiset?: boolean;
}

const OPERATIONS: { name: SetOperation; says: string; counted: string; example: string }[] = [
  {
    name: 'union',
    says: 'Uids that are in any of the files.',
    counted: 'the largest count of each uid',
    example: 'shardsieve subset union english.npy french.npy --out both.npy',
  },
  {
    name: 'intersect',
    says: 'Uids that are in all of the files.',
    counted: 'the smallest count of each uid',
    example: 'shardsieve subset intersect image_based.npy clip_score.npy --out mine.npy',
  },
  {
    name: 'minus',
    says: 'Uids of the first file that are in none of the others.',
    counted: "the first's count less the others'",
    example: 'shardsieve subset minus pool.npy blocked.npy --out rest.npy',
  },
  {
    name: 'sum',
    says: 'All entries of all files, repeats kept.',
    counted: 'all counts together, with or without this option',
    example: 'shardsieve subset sum part-*.npy --out all.npy',
  },
];

export function subsetCommand(context: Context): Command {
  const command = new Command('subset').description('Combine and describe subset files.');
  for (const operation of OPERATIONS) command.addCommand(setCommand(context, operation));
  return command.addCommand(infoCommand(context)).addHelpText(
    'after',
    `
Examples:
${OPERATIONS.map(({ example }) => `  ${example}`).join('\n')}
  shardsieve subset info mine.npy published.npy

Files may be unsorted or raw 16-byte records, as DataComp's resharder takes them. Results are sorted npy files.`,
  );
}

function setCommand({ signal, done }: Context, { name, says, counted, example }: (typeof OPERATIONS)[0]) {
  const multiset = SHARED.multiset();
  multiset.description = `count repeated uids: ${counted} (default: every uid once)`;
  return new Command(name)
    .description(says)
    .argument('<subsets...>', 'subset files')
    .requiredOption('-o, --out <subset.npy>', 'the subset file to write')
    .addOption(multiset)
    .addOption(SHARED.json())
    .addHelpText('after', `\nExample:\n  ${example}`)
    .action(async (subsets: string[], flags: SetFlags) => {
      const terminal = openTerminal({ quiet: false });
      const { out, multiset } = flags;
      const totals = await combineSubsets({ operation: name, subsets, out, multiset, signal });
      if (flags.json) terminal.out(`${JSON.stringify({ operation: name, ...totals })}\n`);
      else {
        const lines = totals.inputs.map(({ file, entries }) => `${file}: ${count(entries)}`);
        lines.push(`${name}: ${plural(totals.written, 'uid')}, ${count(totals.distinct)} different`);
        terminal.out(`${lines.join('\n')}\nwritten to ${out}\n`);
      }
      done(EXIT.done);
    });
}

function infoCommand({ signal, done }: Context): Command {
  return new Command('info')
    .description('What subset files hold, and what they share.')
    .argument('<subsets...>', 'subset files')
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve subset info mine.npy published.npy')
    .action(async (subsets: string[], flags: CommonFlags) => {
      const terminal = openTerminal({ quiet: false });
      const info = await describeSubsets(subsets, { signal });
      terminal.out(flags.json ? `${JSON.stringify(info)}\n` : `${infoLines(info).join('\n')}\n`);
      done(EXIT.done);
    });
}

function infoLines({ subsets, overlaps }: SubsetsInfo): string[] {
  const lines: string[] = [];
  for (const subset of subsets) {
    const { file, entries, distinct, repeats, sorted, first, last, sha256 } = subset;
    lines.push(
      `${file}: ${plural(entries, 'entry', 'entries')}, ${count(distinct)} different, ${plural(repeats, 'repeat')}, ${sorted ? 'sorted' : 'not sorted'}, ${bytes(subset.bytes)}`,
    );
    if (first !== undefined) lines.push(`  first ${first}`, `  last  ${last}`);
    lines.push(`  sha256 ${sha256}`);
  }
  for (const { first, second, both, either, jaccard, of_first, of_second } of overlaps) {
    lines.push(
      `${first} and ${second}: ${plural(both, 'uid')} in both of ${count(either)} in either (Jaccard ${jaccard.toFixed(4)})`,
      `  ${percent(of_first, 1)} of the first, ${percent(of_second, 1)} of the second`,
    );
  }
  return lines;
}
