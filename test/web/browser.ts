import { type Browser, chromium } from 'playwright-core';
import { findChromium } from '../../tools/chromium.ts';

/** Why there is no browser to test in, or undefined. */
export const noBrowser: string | undefined =
  findChromium() === undefined
    ? 'no Chromium here: install it, or name it in SHARDSIEVE_CHROMIUM'
    : undefined;

export async function openBrowser(): Promise<Browser> {
  const found = findChromium();
  if (found === undefined) throw new Error(noBrowser);
  // Root has no sandbox.
  return chromium.launch({ executablePath: found.executable, args: ['--no-sandbox'] });
}

export type { Browser };
