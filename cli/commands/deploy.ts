import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import { deployWorkers } from '../jobs/deploy.ts';
import { SHARED } from '../options.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface Flags extends CommonFlags {
  name: string;
  var: string[];
  dryRun?: boolean;
}

export function deployCommand({ signal, done }: Context): Command {
  const workers = new Command('workers')
    .description('Upload exported towers and deploy the three Workers to Cloudflare (docs/edge.md).')
    .argument('<towers>', 'folder that models export --target workers wrote')
    .option(
      '--name <name>',
      'of the front Worker; names of the others, of buckets and queues begin with it',
      'shardsieve',
    )
    .option(
      '--var <[worker:]name=value>',
      'variable of the front, or of a tower (image:, text:); may be given several times',
      (one: string, before: string[]) => [...before, one],
      [],
    )
    .option('--dry-run', 'check the files and print every command; ask Cloudflare nothing')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Example:
  shardsieve models export datacomp-b32-256 --target workers --out towers
  shardsieve deploy workers towers --dry-run
  shardsieve deploy workers towers --var CORS_ORIGINS=https://page.example --var text:WASM_MIB=58

Variables stay until another value is given (TOWERS is bound unless said each time); one that is to go is
removed on Cloudflare's dashboard.
Wrangler is Cloudflare's command line: npm install --save-dev wrangler, and wrangler login. Nothing that is
there is deleted; a model that was deployed before stays in the bucket.`,
    )
    .action(async (towers: string, { name, var: vars, dryRun, quiet, json }: Flags) => {
      const terminal = openTerminal({ quiet: quiet ?? false });
      const deployed = await deployWorkers(
        { towers, name, vars, dryRun },
        {
          signal,
          onStep: (title, state) => {
            if (state !== 'begun' && quiet !== true) terminal.err(`${title}: ${state}\n`);
          },
        },
      );
      if (json) terminal.out(`${JSON.stringify({ ...deployed, dry_run: dryRun === true })}\n`);
      else if (dryRun) terminal.out(`${deployed.commands.join('\n')}\n`);
      else {
        terminal.out(
          `${deployed.model} is deployed${deployed.url === undefined ? '' : ` at ${deployed.url}`}\n`,
        );
        if (vars.includes('OPEN=yes')) terminal.out('It is open: whoever reaches it may use it\n');
        else
          terminal.out(
            `Nobody gets in without a key yet: shardsieve keys new NAME, then wrangler secret put API_KEYS --name ${name}\n`,
          );
      }
      done(EXIT.done);
    });
  return new Command('deploy').description('Put Shardsieve onto a hosted platform.').addCommand(workers);
}
