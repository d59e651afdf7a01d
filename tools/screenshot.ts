/**
 * Pictures of the page for `docs/`: one picture scored, several in a table on a phone.
 *
 *   node tools/screenshot.ts [FOLDER]
 */
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { fileSource } from '../cli/io/file.ts';
import { serve } from '../cli/jobs/serve.ts';
import { toPair } from '../src/webdataset/pair.ts';
import { readSamples } from '../src/webdataset/samples.ts';
import { ensureChromium } from './chromium.ts';

const folder = process.argv[2] ?? 'docs';
const found = ensureChromium(console.log);
if (found === undefined) throw new Error('no Chromium');
const server = await serve({ models: ['demo'], keys: 'open', port: 0, safety: ['nsfwjs'] });
const browser = await chromium.launch({ executablePath: found.executable, args: ['--no-sandbox'] });
const files: { name: string; mimeType: string; buffer: Buffer }[] = [];
const captions: string[] = [];
for await (const sample of readSamples(fileSource('demo/shards/demo-00000.tar').stream(), {
  shard: 'demo-00000',
})) {
  const { key, image, caption } = toPair(sample, { shardBase: 'demo-00000' });
  if (!['000000057', '000000075', '000000012'].includes(key)) continue;
  files.push({ name: `${key}.jpg`, mimeType: 'image/jpeg', buffer: Buffer.from(image) });
  captions.push(caption);
}
for (const [name, viewport, count] of [
  ['page', { width: 900, height: 720 }, 1],
  ['page-many', { width: 390, height: 900 }, 3],
] as const) {
  const page = await browser.newPage({ viewport });
  await page.goto(server.url);
  await page.waitForSelector('#model option', { state: 'attached' });
  await page.fill('#captions', captions.join('\n'));
  await page.setInputFiles('#files', files.slice(-count));
  await page.waitForFunction(() => /scored in/.test(document.getElementById('status')?.textContent ?? ''));
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
await browser.close();
await server.stop();
