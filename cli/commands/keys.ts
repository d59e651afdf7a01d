import { Command, Option } from 'commander';
import { SCOPES, type Scope } from '../../functions/app/keys.ts';
import { UsageError } from '../../src/errors.ts';
import { EXIT } from '../exit.ts';
import { addKey, readKeys, revokeKey } from '../jobs/keys.ts';
import { SHARED } from '../options.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface KeyFlags extends CommonFlags {
  file: string;
}

const fileOption = () => new Option('--file <keys>', 'the file of keys').default('keys.json');

export function keysCommand(context: Context): Command {
  return new Command('keys')
    .description('API keys of `shardsieve serve` and of Workers: make, list and revoke them.')
    .addCommand(newCommand(context))
    .addCommand(listCommand(context))
    .addCommand(revokeCommand(context))
    .addHelpText(
      'after',
      `
Examples:
  shardsieve keys new laptop
  shardsieve serve --keys keys.json
  shardsieve keys revoke laptop                       a running server sees it within a second
  wrangler secret put API_KEYS < keys.json            the same file for Workers

The file holds SHA-256 hashes: a key is shown once, when it is made.`,
    );
}

function newCommand({ done }: Context): Command {
  return new Command('new')
    .description('Make a key and print it: this is the only time it can be seen.')
    .argument('<name>', 'whose key it is; logs and rate limits know it by this')
    .addOption(fileOption())
    .option('--scope <scopes>', `what it is for: ${SCOPES.join(', ')}; default all`, scopesOf)
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve keys new prometheus --scope metrics')
    .action(async (name: string, flags: KeyFlags & { scope?: Scope[] }) => {
      const terminal = openTerminal({ quiet: false });
      const key = await addKey(flags.file, name, flags.scope);
      terminal.out(flags.json ? `${JSON.stringify({ name, key, file: flags.file })}\n` : `${key}\n`);
      terminal.err(`its hash is in ${flags.file}; the key itself is kept nowhere\n`);
      done(EXIT.done);
    });
}

function listCommand({ done }: Context): Command {
  return new Command('list')
    .description('Names of keys, what they are for, when they were made and revoked.')
    .addOption(fileOption())
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve keys list --file keys.json')
    .action(async (flags: KeyFlags) => {
      const terminal = openTerminal({ quiet: false });
      const rows = (await readKeys(flags.file)).map(({ name, scopes, created, revoked }) => ({
        ...{ name, scopes: scopes ?? [...SCOPES], created, revoked },
      }));
      if (flags.json) terminal.out(`${JSON.stringify(rows)}\n`);
      else {
        const width = Math.max(0, ...rows.map(({ name }) => name.length));
        for (const { name, scopes, created = '', revoked } of rows) {
          const state = revoked === undefined ? '' : `  revoked ${revoked}`;
          terminal.out(`${name.padEnd(width)}  ${created}  ${scopes.join(', ')}${state}\n`);
        }
      }
      done(EXIT.done);
    });
}

function revokeCommand({ done }: Context): Command {
  return new Command('revoke')
    .description('Refuse a key from now on.')
    .argument('<name>', 'its name')
    .addOption(fileOption())
    .addHelpText('after', '\nExample:\n  shardsieve keys revoke laptop')
    .action(async (name: string, flags: KeyFlags) => {
      await revokeKey(flags.file, name);
      openTerminal({ quiet: false }).err(`${name} is refused from now on\n`);
      done(EXIT.done);
    });
}

function scopesOf(text: string): Scope[] {
  return text.split(',').map((asked) => {
    const scope = SCOPES.find((one) => one === asked.trim());
    if (scope !== undefined) return scope;
    throw new UsageError(`a key is for ${SCOPES.join(', ')}, not for ${JSON.stringify(asked.slice(0, 100))}`);
  });
}
