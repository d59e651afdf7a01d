/** The page in a real browser, over a real server with the demo model. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ScoreAnswer } from '../../functions/app/schemas.ts';
import { memorySource } from '../../src/io/memory.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { type CliServer, startServer } from '../serve/server.ts';
import { noBrowser, openBrowser } from './browser.ts';

const SHARD = join(import.meta.dirname, '../../demo/shards/demo-00000.tar');
const CAPTIONS = ['clip art of a black dog', 'clip art of a strawberry, a fruit', '=a formula, "quoted"'];

describe.skipIf(noBrowser !== undefined)(
  `the page${noBrowser === undefined ? '' : ` (${noBrowser})`}`,
  () => {
    let server: CliServer;
    let browser: Browser;
    let pairs: Pair[];
    let page: Page;
    /** What the page asked for, and what went wrong in it. */
    let asked: string[];
    let complaints: string[];

    beforeAll(async () => {
      server = await startServer(['--model', 'demo', '--open', '--safety', 'nsfwjs']);
      browser = await openBrowser();
      pairs = [];
      const source = memorySource('pool', new Uint8Array(await readFile(SHARD)));
      for await (const sample of readSamples(source.stream(), { shard: 'demo-00000' })) {
        pairs.push(toPair(sample, { shardBase: 'demo-00000' }));
        if (pairs.length === 6) break;
      }
    });
    afterAll(async () => {
      await browser?.close();
      await server?.stop();
    });
    beforeEach(async () => {
      await page?.close();
      page = await browser.newPage();
      asked = [];
      complaints = [];
      page.on('request', (request) => asked.push(request.url()));
      page.on('console', (line) => {
        if (line.type() === 'error') complaints.push(line.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(server.url);
      await page.waitForFunction(() => document.querySelectorAll('#model option').length > 0);
    });

    /** Drops files where a hand would. */
    async function drop(files: readonly { name: string; bytes: Uint8Array }[]): Promise<void> {
      const data = await page.evaluateHandle(
        (given) => {
          const transfer = new DataTransfer();
          for (const { name, base64 } of given) {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: 'image/jpeg' }));
          }
          return transfer;
        },
        files.map(({ name, bytes }) => ({ name, base64: Buffer.from(bytes).toString('base64') })),
      );
      await page.dispatchEvent('#drop', 'drop', { dataTransfer: data });
    }

    async function fromApi({ image }: Pair): Promise<ScoreAnswer['items'][number]> {
      const form = new FormData();
      form.append('image', new Blob([image as Uint8Array<ArrayBuffer>]));
      for (const caption of CAPTIONS) form.append('caption', caption);
      const response = await fetch(`${server.url}/v1/score`, { method: 'POST', body: form });
      return ((await response.json()) as ScoreAnswer).items[0];
    }

    const done = () =>
      page.waitForFunction(() => /scored in/.test(document.getElementById('status')?.textContent ?? ''));

    it('scores a dropped picture as the API does, best caption first, and asks nobody else', async () => {
      await page.fill('#captions', CAPTIONS.join('\n'));
      await drop([{ name: 'one.jpg', bytes: pairs[0].image }]);
      await done();
      const answer = await fromApi(pairs[0]);
      const expected = CAPTIONS.map((caption, i) => ({ caption, score: answer.scores[i].similarity }))
        .sort((a, b) => b.score - a.score)
        .map(({ caption, score }) => `${caption} ${score.toFixed(4)}`);
      const shown = await page.$$eval('.scores .line', (lines) =>
        lines.map((line) => [...line.children].map(({ textContent }) => textContent).join(' ')),
      );
      expect(shown).toEqual(expected);
      const bars = await page.$$eval('.scores meter', (meters) =>
        meters.map((meter) => (meter as HTMLMeterElement).value),
      );
      expect(bars).toEqual([...bars].sort((a, b) => b - a));
      expect(await page.textContent('.tags')).toContain(`unsafe: ${answer.safety?.nsfw_tag?.toLowerCase()}`);
      expect(await page.textContent('.about')).toMatch(
        new RegExp(`${answer.image.width} × ${answer.image.height} pixels · demo · \\d+ ms`),
      );
      const hides = await page.$eval('.preview', (preview) => preview.classList.contains('hides'));
      expect(hides).toBe(answer.safety?.nsfw_tag !== 'UNLIKELY');
      expect(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith('blob:'))).toEqual([]);
      expect(complaints).toEqual([]);
    });

    it('hides what is unsafe until it is asked to show it', async () => {
      await page.route('**/v1/score', async (route) => {
        const response = await route.fetch();
        const answer = (await response.json()) as ScoreAnswer;
        answer.items[0].safety = { punsafe: 0.9, nsfw_tag: 'NSFW', columns: { nsfw_nsfwjs_porn: 0.9 } };
        await route.fulfill({ response, json: answer });
      });
      await page.fill('#captions', 'a dog');
      await drop([{ name: 'one.jpg', bytes: pairs[0].image }]);
      await done();
      expect(await page.$eval('.preview img', (image) => getComputedStyle(image).filter)).toContain('blur');
      expect(await page.textContent('.tags .unsafe')).toBe('unsafe: nsfw');
      await page.click('.preview button');
      expect(await page.$eval('.preview img', (image) => getComputedStyle(image).filter)).toBe('none');
    });

    it('makes a table of many, with the one that fails in it, and a CSV with all digits', async () => {
      await page.fill('#captions', CAPTIONS.join('\n'));
      const files = pairs.slice(0, 4).map(({ image }, i) => ({ name: `${i}.jpg`, bytes: image }));
      await drop([...files, { name: 'broken.jpg', bytes: new TextEncoder().encode('no picture') }]);
      await done();
      expect(await page.textContent('#status')).toMatch(/^4 pictures scored in .* s, 1 not: /);
      expect(await page.locator('#rows tr').count()).toBe(5);
      expect(await page.textContent('#rows tr:nth-child(5) .problem')).not.toBe('');
      const answer = await fromApi(pairs[1]);
      const cells = await page.$$eval('#rows tr:nth-child(2) td.number', (all) =>
        all.map((cell) => cell.textContent),
      );
      expect(cells.slice(0, 3)).toEqual(answer.scores.map(({ similarity }) => similarity.toFixed(4)));
      const downloading = page.waitForEvent('download');
      await page.click('#csv');
      const lines = (await readFile(await (await downloading).path(), 'utf8')).trimEnd().split('\r\n');
      expect(lines.length).toBe(1 + 5 * 3);
      expect(lines[4]).toMatch(`1.jpg,clip art of a black dog,${answer.scores[0].similarity},`);
      expect(lines[6]).toMatch(/^1\.jpg,"'=a formula, ""quoted""",/);
      expect(lines[13]).toMatch(/^broken\.jpg,clip art of a black dog,,,,,,./);
    });

    it('is worked by the keyboard alone', async () => {
      await page.keyboard.press('Tab');
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('files');
      await page.setInputFiles('#files', {
        name: 'one.jpg',
        mimeType: 'image/jpeg',
        buffer: Buffer.from(pairs[0].image),
      });
      expect(await page.textContent('#status')).toBe('Write a caption, and press Score.');
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('captions');
      await page.keyboard.type('a dog');
      await page.keyboard.press('Control+Enter');
      await done();
      expect(await page.locator('.scores li').count()).toBe(1);
      const order: string[] = [];
      for (let i = 0; i < 2; i++) {
        await page.keyboard.press('Tab');
        order.push(await page.evaluate(() => document.activeElement?.id ?? ''));
      }
      expect(order).toEqual(['model', 'score']);
    });

    it('takes a pasted picture', async () => {
      await page.fill('#captions', 'a dog');
      await page.evaluate((base64) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([bytes], 'pasted.jpg', { type: 'image/jpeg' }));
        document.dispatchEvent(
          new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }),
        );
      }, Buffer.from(pairs[0].image).toString('base64'));
      await done();
      expect(await page.getAttribute('.preview img', 'alt')).toBe('pasted.jpg');
    });

    it('fits a phone: nothing is wider than the screen, what is touched is large enough', async () => {
      await page.setViewportSize({ width: 360, height: 740 });
      await page.fill('#captions', CAPTIONS.join('\n'));
      await drop(pairs.slice(0, 3).map(({ image }, i) => ({ name: `${i}.jpg`, bytes: image })));
      await done();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(wide).toBeLessThanOrEqual(0);
      for (const id of ['score', 'csv', 'clear']) {
        expect((await page.locator(`#${id}`).boundingBox())?.height).toBeGreaterThanOrEqual(44);
      }
    });

    it('asks for a key where the server does, and says why it was refused', async () => {
      await page.route('**/v1/*', (route) =>
        route.request().headers()['authorization'] === 'Bearer right'
          ? route.continue()
          : route.fulfill({
              status: 401,
              contentType: 'application/problem+json',
              body: JSON.stringify({ type: 'about:blank', title: 'x', status: 401, detail: 'send a key' }),
            }),
      );
      await page.reload();
      await page.fill('#captions', 'a dog');
      await drop([{ name: 'one.jpg', bytes: pairs[0].image }]);
      await page.waitForSelector('#key', { state: 'visible' });
      expect(await page.textContent('#status')).toBe('This server asks for an API key.');
      await page.fill('#key', 'right');
      await page.keyboard.press('Tab');
      await done();
      expect(await page.locator('.scores li').count()).toBe(1);
    });
  },
);
