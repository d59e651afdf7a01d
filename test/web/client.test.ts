/** The typed client where there is no Node: its modules, as they are but for their types, in a browser. */
import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliServer, startServer } from '../serve/server.ts';
import { type Browser, noBrowser, openBrowser } from './browser.ts';

const ROOT = join(import.meta.dirname, '../..');

describe.skipIf(noBrowser !== undefined)(
  `the client in a browser${noBrowser === undefined ? '' : ` (${noBrowser})`}`,
  () => {
    let server: CliServer;
    let browser: Browser;
    beforeAll(async () => {
      server = await startServer(['--model', 'demo', '--open']);
      browser = await openBrowser();
    });
    afterAll(async () => {
      await browser?.close();
      await server?.stop();
    });

    it('reads a shard line by line', async () => {
      const page = await browser.newPage();
      await page.route('**/modules/**', async (route) => {
        const path = new URL(route.request().url()).pathname.replace('/modules/', '');
        const body = stripTypeScriptTypes(await readFile(join(ROOT, path), 'utf8'));
        await route.fulfill({ contentType: 'text/javascript', body });
      });
      await page.goto(server.url);
      const shard = (await readFile(join(ROOT, 'demo/shards/demo-00000.tar'))).toString('base64');
      // Text, not a function: what compiles these tests would rewrite its import.
      const counts = await page.evaluate(`(async () => {
      const endpoint = ${JSON.stringify(server.url)};
      const { ShardsieveClient } = await import(endpoint + '/modules/functions/client/client.ts');
      const client = new ShardsieveClient({ endpoint });
      const bytes = Uint8Array.from(atob(${JSON.stringify(shard)}), (letter) => letter.charCodeAt(0));
      const counts = {};
      for await (const { kind } of client.shard(bytes)) counts[kind] = (counts[kind] ?? 0) + 1;
      return { ...counts, models: (await client.models()).models.length };
    })()`);
      expect(counts).toEqual({ scored: expect.any(Number), end: 1, models: 1 });
    });
  },
);
