import type { OnEvent } from '../../src/run/events.ts';
import { bytes, count, plural } from '../ui/format.ts';
import { Progress } from '../ui/progress.ts';
import type { Terminal } from '../ui/terminal.ts';

export interface Watcher {
  onEvent: OnEvent;
  onDownload(progress: { file: string; received: number; total: number | undefined }): void;
  close(): void;
}

/** Turns a run's events into progress and notes on stderr. */
export function watchRun(terminal: Terminal): Watcher {
  let progress: Progress | undefined;
  let lastDownload = 0;
  const note = (text: string): void => {
    if (progress !== undefined) progress.note(text);
    else terminal.err(`${text}\n`);
  };
  return {
    onEvent(event) {
      switch (event.type) {
        case 'plan': {
          const reused = event.reused > 0 ? `, ${count(event.reused)} of them already done` : '';
          progress?.close();
          if (progress === undefined || event.reused > 0) note(`${plural(event.shards, 'shard')}${reused}`);
          progress = new Progress(terminal, event.pending, event.bytes);
          break;
        }
        case 'model':
          note(`model ${event.slug}: ${event.text}`);
          break;
        case 'bytes':
          progress?.addBytes(event.bytes);
          break;
        case 'sample':
          progress?.addSample(event.position, event.shard);
          break;
        case 'shard':
          if (event.state !== 'reused') progress?.shardDone(event.bytes, event.shard);
          if (event.state === 'failed') note(`${terminal.red('failed')} ${event.shard}: ${event.message}`);
          if (event.state === 'truncated')
            note(`${terminal.red('truncated')} ${event.shard}: ${event.message}`);
          break;
        case 'note':
          note(event.text);
          break;
      }
    },
    onDownload({ file, received, total }) {
      const now = performance.now();
      if (now - lastDownload < (terminal.live ? 200 : 10_000) && received !== total) return;
      lastDownload = now;
      const text = `${file}: ${bytes(received)}${total === undefined ? '' : ` of ${bytes(total)}`}`;
      terminal.err(terminal.live ? `\r\x1b[2K${text}${received === total ? '\n' : ''}` : `${text}\n`);
    },
    close() {
      progress?.close();
    },
  };
}
