import { Command } from 'commander';
import type { Part } from '../../src/io/part.ts';
import { type FindingLevel, formatFinding } from '../../src/metadata/findings.ts';
import type { VerifyReport } from '../../src/run/verify.ts';
import { EXIT } from '../exit.ts';
import { verifyFolders } from '../jobs/verify.ts';
import { repeated, SHARED } from '../options.ts';
import { count, plural } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface VerifyFlags extends CommonFlags {
  shards?: string[];
  shardIndex?: Part;
  deep?: boolean;
}

export function verifyCommand({ signal, done }: Context): Command {
  return new Command('verify')
    .description('Check metadata or resharded folders: counts, fingerprints, embeddings, uids, inputs.')
    .argument('<folders...>', 'folders of metadata, Shardsieve’s or others’, or of shards that reshard wrote')
    .option(
      '--shards <shards>',
      'check against the shards that the metadata was made from, given as for score; repeatable',
      repeated,
    )
    .option('--deep', 'read embeddings, the shards’ bytes (SHA-256) and resharded tars too')
    .addOption(SHARED.shardIndex())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve verify metadata
  shardsieve verify metadata --shards pool/ --deep
  shardsieve verify part-0 part-1 part-2            that no part is missing, and all were made alike
  shardsieve verify filtered/shards --deep

The exit code is 1 where anything is wrong or lacking; that other parts of a pool were not named is no failure.`,
    )
    .action(async (folders: string[], flags: VerifyFlags) => {
      const terminal = openTerminal({ quiet: false });
      const { shards, shardIndex: part, deep } = flags;
      const report = await verifyFolders({ folders, shards, part, deep, signal });
      terminal.out(flags.json ? `${JSON.stringify(report)}\n` : `${verifyLines(report).join('\n')}\n`);
      done(report.ok ? EXIT.done : EXIT.failed);
    });
}

const TITLES: { [level in FindingLevel]: string } = {
  problem: 'wrong:',
  incomplete: 'lacking:',
  note: 'worth knowing:',
};

function verifyLines({ ok, folders, rows, distinct, findings }: VerifyReport): string[] {
  const lines = folders.map(({ folder, kind, shards, rows: n }) => {
    const what = { shardsieve: '', foreign: 'not Shardsieve’s, ', resharded: 'resharded, ', none: '' }[kind];
    return `${folder}: ${what}${plural(shards, 'shard')}, ${plural(n, kind === 'resharded' ? 'sample' : 'row')}`;
  });
  if (rows > 0) lines.push(`${plural(rows, 'row')} with a uid, ${count(distinct)} different`);
  for (const level of ['problem', 'incomplete', 'note'] as const) {
    const found = findings.filter((finding) => finding.level === level);
    if (found.length > 0) lines.push(TITLES[level], ...found.map((finding) => `  ${formatFinding(finding)}`));
  }
  lines.push(ok ? 'everything is as it should be' : 'not everything is as it should be');
  return lines;
}
