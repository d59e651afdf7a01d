/** Cloudflare's own command line, as it is on this machine: in the project's node_modules, or on the PATH. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { $, which } from 'zx';
import { CancelledError, OutputError, UsageError } from '../../src/errors.ts';

export interface Wrangler {
  /** For messages: what a person would type. */
  readonly command: string;
  /** What it printed, both streams; `ok` where it ended with 0. Throws `CancelledError`. */
  run(args: readonly string[]): Promise<{ ok: boolean; output: string }>;
}

/** Throws `UsageError` where there is none. */
export async function findWrangler(signal?: AbortSignal): Promise<Wrangler> {
  const own = resolve('node_modules', '.bin', 'wrangler');
  const command = existsSync(own) ? own : await which('wrangler', { nothrow: true });
  if (command === null) {
    throw new UsageError('wrangler is not on this machine', {
      hint: 'Cloudflare’s command line deploys Workers: npm install --save-dev wrangler',
    });
  }
  return {
    command: 'wrangler',
    async run(args) {
      if (signal?.aborted) throw new CancelledError();
      const env = { ...process.env, WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false' };
      const done = await $({
        env,
        quiet: true,
        nothrow: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        signal,
      })`${command} ${args}`;
      if (signal?.aborted) throw new CancelledError();
      return { ok: done.exitCode === 0, output: done.stdall };
    },
  };
}

/** Whether somebody is logged in, and into which of their accounts. Throws `UsageError` where that is not plain. */
export async function checkLogin(wrangler: Wrangler, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const { ok, output } = await wrangler.run(['whoami']);
  if (!ok || /not authenticated/i.test(output)) {
    throw new UsageError('wrangler is not logged in', {
      hint: 'Run: wrangler login; or set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID',
    });
  }
  const accounts = [...new Set(output.match(/\b[0-9a-f]{32}\b/g) ?? [])];
  const chosen = env['CLOUDFLARE_ACCOUNT_ID'] ?? (accounts.length === 1 ? accounts[0] : undefined);
  if (chosen === undefined) {
    throw new UsageError(
      accounts.length === 0 ? 'wrangler names no account' : `wrangler knows ${accounts.length} accounts`,
      { hint: 'Set CLOUDFLARE_ACCOUNT_ID to one of those that wrangler whoami shows' },
    );
  }
  return chosen;
}

/** The last of what a failed command said, since wrangler ends with its error. */
export function failure(args: readonly string[], output: string): OutputError {
  const said = output.trim().slice(-600);
  return new OutputError(`wrangler ${args.join(' ')} failed${said === '' ? '' : `:\n${said}`}`);
}
