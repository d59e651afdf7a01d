import { expect, test } from 'vitest';
import { wantModels } from '../../cli/jobs/models.ts';
import { serve } from '../../cli/jobs/serve.ts';
import { remoteEmbedder } from '../../functions/towers/client.ts';

test('a server gives its towers to Workers elsewhere, by their key', async () => {
  const server = await serve({ models: ['demo'], threads: 1, port: 0, keys: 'open', towersKey: 'secret' });
  try {
    const place = { url: `${server.url}/towers`, key: 'secret' };
    const remote = await remoteEmbedder({ image: place, text: place });
    const [wanted] = await wantModels({ models: ['demo'], threads: 1 });
    const { clip, tokenizer } = await wanted.load();
    const pictures = [3, 5].map((step) =>
      Uint8Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * step) & 255),
    );
    const ids = ['a cat', 'a dog on a red sofa'].map((caption) => tokenizer.encode(caption).ids);
    expect(await remote.embedPictures(pictures)).toEqual(await clip.embedPictures(pictures));
    expect(await remote.embedTexts(ids)).toEqual(await clip.embedTexts(ids));
    expect(remote.info).toMatchObject({ name: 'demo', slug: 'demo', fingerprint: wanted.entry.fingerprint });
    await clip.release();
    const stranger = { url: `${server.url}/towers` };
    await expect(remoteEmbedder({ image: stranger, text: stranger })).rejects.toThrow(/401/);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${server.url}/towersx`)).status).toBe(404);
  } finally {
    await server.stop();
  }
});
