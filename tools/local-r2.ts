/** An exported model in the R2 that wrangler keeps on this machine. */
import { getPlatformProxy } from 'wrangler';
import { fs, path } from 'zx';
import { type ExportManifest, exportedFiles, MANIFEST_FILE } from '../src/clip/export/manifest.ts';

interface Bucket {
  get(key: string): Promise<{ text(): Promise<string> } | null>;
  put(key: string, value: Uint8Array | string): Promise<unknown>;
}

/** Where it is not there already: the files of `folder` for the Worker of `config`, the manifest last; `persist` as wrangler's --persist-to. */
export async function uploadExport(
  folder: string,
  manifest: ExportManifest,
  { config, persist }: { config: string; persist: string },
): Promise<void> {
  const { env, dispose } = await getPlatformProxy<{ MODELS: Bucket; MODEL: string }>({
    configPath: config,
    persist: { path: path.join(persist, 'v3') },
  });
  try {
    const at = (name: string) => `${env.MODEL}/${name}`;
    const wanted = await fs.readFile(path.join(folder, MANIFEST_FILE), 'utf8');
    if ((await (await env.MODELS.get(at(MANIFEST_FILE)))?.text()) === wanted) return;
    for (const { name } of exportedFiles(manifest)) {
      await env.MODELS.put(at(name), await fs.readFile(path.join(folder, name)));
    }
    await env.MODELS.put(at(MANIFEST_FILE), wanted);
  } finally {
    await dispose();
  }
}
