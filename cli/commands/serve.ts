import { Command, Option } from 'commander';
import { UsageError } from '../../src/errors.ts';
import { EXIT } from '../exit.ts';
import { serve } from '../jobs/serve.ts';
import { positiveInteger, SHARED } from '../options.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { Context } from './context.ts';
import type { ScoreFlags } from './score.ts';

interface ServeFlags
  extends Pick<
    ScoreFlags,
    'model' | 'slug' | 'precision' | 'device' | 'calibrate' | 'threads' | 'safety' | 'fit' | 'quiet'
  > {
  host: string;
  port: number;
  keys?: string;
  open?: boolean;
  towers?: boolean;
  rate?: number;
  cors?: string[];
  allowUrl?: string[];
  allowHttp?: boolean;
  allowNetwork?: string[];
  wait: number;
  backlog: number;
  linger: number;
  grace: number;
}

const list = (value: string, before: string[] = []): string[] => [...before, value];

/** Milliseconds or a port: 0 is a value. */
function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${JSON.stringify(text)} is no whole number`);
  return Number(text);
}

export function serveCommand({ signal, done }: Context): Command {
  return new Command('serve')
    .description('Answer the scoring API on this machine, and a page to try it.')
    .addOption(SHARED.model())
    .addOption(SHARED.slug())
    .addOption(SHARED.precision())
    .addOption(SHARED.calibrate())
    .addOption(SHARED.threads())
    .addOption(SHARED.device())
    .addOption(SHARED.safety())
    .addOption(SHARED.fit())
    .option('--host <address>', 'address to listen on; 0.0.0.0 for all of this machine’s', '127.0.0.1')
    .addOption(
      new Option('--port <n>', 'port to listen on; 0 for any that is free')
        .default(8787)
        .argParser(wholeNumber),
    )
    .option('--keys <file>', 'keys that may ask, made by: shardsieve keys new NAME')
    .option('--open', 'no keys: whoever reaches the server may use it')
    .option(
      '--towers',
      'the first model’s towers under /towers too, for Workers elsewhere; their key is in SHARDSIEVE_TOWERS_KEY',
    )
    .addOption(new Option('--rate <n>', 'requests a minute for each key').argParser(positiveInteger))
    .addOption(
      new Option('--cors <origin>', 'a page elsewhere that may call the API; repeatable').argParser(list),
    )
    .addOption(
      new Option(
        '--allow-url <origin>',
        'fetch pictures that requests name from there (https://images.example); repeatable; default none',
      ).argParser(list),
    )
    .option('--allow-http', 'let --allow-url name http: origins too')
    .addOption(
      new Option(
        '--allow-network <cidr>',
        'a private network in which such origins may lie; repeatable; default none',
      ).argParser(list),
    )
    .addOption(
      new Option('--wait <ms>', 'how long a lone request waits for others to be run with')
        .default(2)
        .argParser(wholeNumber),
    )
    .addOption(
      new Option('--backlog <n>', 'pictures, and captions, that may wait; beyond it the answer is 503')
        .default(512)
        .argParser(positiveInteger),
    )
    .addOption(
      new Option('--linger <ms>', 'when stopped: how long new requests are still taken')
        .default(0)
        .argParser(wholeNumber),
    )
    .addOption(
      new Option('--grace <ms>', 'when stopped: how long requests on their way may take')
        .default(30_000)
        .argParser(wholeNumber),
    )
    .addOption(SHARED.quiet())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve serve --model demo --open                     then open http://127.0.0.1:8787/
  shardsieve serve --keys keys.json --host 0.0.0.0 --safety nsfwjs,concepts
  curl -F image=@cat.jpg -F caption='a cat' http://127.0.0.1:8787/v1/score

Every request is a line of JSON on stderr, without captions, pictures or keys. Ctrl-C or SIGTERM: requests on
their way are answered, then it ends. docs/api.md has the routes.`,
    )
    .action(async (flags: ServeFlags) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const server = await serve({
        models: flags.model,
        slugs: flags.slug,
        precision: flags.precision,
        calibrate: flags.calibrate,
        threads: flags.threads,
        device: flags.device,
        safety: flags.safety,
        fit: flags.fit,
        host: flags.host,
        port: flags.port,
        keys: keysOf(flags),
        towersKey: towersKeyOf(flags),
        ratePerMinute: flags.rate,
        cors: flags.cors,
        urls: urlsOf(flags),
        waitMs: flags.wait,
        backlog: flags.backlog,
        lingerMs: flags.linger,
        graceMs: flags.grace,
        log: (line) => terminal.err(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`),
        onNote: (text) => terminal.err(`${text}\n`),
        signal,
      });
      for (const { name, precision, provider } of server.models) {
        terminal.out(`${name}, ${precision} on ${provider}\n`);
      }
      terminal.out(`listening on ${server.url}\n`);
      await aborted(signal);
      const cut = await server.stop();
      terminal.out(
        cut === 0
          ? 'stopped; every request was answered\n'
          : `stopped; ${cut} requests were cut off after ${flags.grace} ms\n`,
      );
      done(cut === 0 ? EXIT.done : EXIT.failed);
    });
}

function keysOf({ keys, open }: ServeFlags): string {
  if (open === true && keys !== undefined) throw new UsageError('--open and --keys exclude each other');
  if (open === true) return 'open';
  if (keys !== undefined) return keys;
  throw new UsageError('who may use the server?', {
    hint: 'Name a file of keys with --keys, or say --open where whoever reaches it may',
  });
}

function urlsOf({ allowUrl: origins, allowHttp: http, allowNetwork: networks }: ServeFlags) {
  if (origins !== undefined) return { origins, http, networks };
  if (http === undefined && networks === undefined) return undefined;
  throw new UsageError('--allow-http and --allow-network are about origins, and none is named', {
    hint: 'Name them with --allow-url',
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Throws `UsageError` where towers would be open by oversight. */
function towersKeyOf({ towers, open }: ServeFlags): string | undefined {
  if (towers !== true) return undefined;
  const key = process.env['SHARDSIEVE_TOWERS_KEY'] || (open === true ? 'open' : undefined);
  if (key !== undefined) return key;
  throw new UsageError('--towers needs a key', {
    hint: 'Set SHARDSIEVE_TOWERS_KEY, or --open for no keys at all',
  });
}
