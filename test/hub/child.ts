/** Run as a process of its own: downloads one file of org/name and prints what it got as JSON. */
import { downloadFile } from '../../cli/hub/download.ts';
import { isShardsieveError, messageOf } from '../../src/errors.ts';

const [file, revision] = process.argv.slice(2);
try {
  const got = await downloadFile({
    repo: 'org/name',
    file,
    revision,
    onProgress: ({ received }) => process.stderr.write(`${received}\n`),
  });
  process.stdout.write(JSON.stringify({ ok: true, ...got }));
} catch (error) {
  const code = isShardsieveError(error) ? error.code : 'untyped';
  process.stdout.write(JSON.stringify({ ok: false, code, message: messageOf(error) }));
}
