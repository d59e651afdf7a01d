import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { scratch } from '../helpers/tmp.ts';

const run = promisify(execFile);
const folder = await scratch();
/** Cloudflare's own limits are 10 MB and, at the time of writing, a second. */
const MOST_BYTES = 10e6;
const MOST_MS = 400;

interface Profile {
  nodes: { id: number; callFrame: { functionName: string } }[];
  samples: number[];
  /** Microseconds. */
  timeDeltas: number[];
}

/** Milliseconds in which something ran. */
function busy({ nodes, samples, timeDeltas }: Profile): number {
  const idle = new Set(
    nodes
      .filter(({ callFrame }) => /^\((idle|program|root)\)$/.test(callFrame.functionName))
      .map(({ id }) => id),
  );
  return samples.reduce((sum, id, i) => sum + (idle.has(id) ? 0 : timeDeltas[i] / 1000), 0);
}

// The text tower's is the image tower's, but for its name.
test.each(['wrangler.toml', 'wrangler.image.toml'])(
  '%s makes a bundle that Cloudflare takes, and that starts at once',
  async (config) => {
    const [bundle, profile] = [join(folder, `${config}.bundle`), join(folder, `${config}.cpuprofile`)];
    const env = { ...process.env, WRANGLER_SEND_METRICS: 'false', CLOUDFLARE_CF_FETCH_ENABLED: 'false' };
    const { stdout } = await run('wrangler', ['deploy', '--dry-run', '-c', config, '--outfile', bundle], {
      env,
    });
    await run('wrangler', ['check', 'startup', '--worker', bundle, '--outfile', profile], { env });
    const [, kibibytes] = /gzip: ([\d.]+) KiB/.exec(stdout) ?? [];
    const ms = busy(JSON.parse(await readFile(profile, 'utf8')) as Profile);
    console.log(`${config}: ${kibibytes} KiB gzip, busy for ${Math.round(ms)} ms at start-up`);
    expect(1024 * Number(kibibytes)).toBeLessThan(MOST_BYTES);
    expect(1024 * Number(kibibytes)).toBeGreaterThan(1e6);
    expect(ms).toBeLessThan(MOST_MS);
  },
);
