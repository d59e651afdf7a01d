/** What a running job tells whoever watches; the job itself never prints. */
export type RunEvent =
  | { type: 'plan'; shards: number; pending: number; reused: number; bytes: number | undefined }
  | { type: 'model'; slug: string; text: string }
  | { type: 'bytes'; bytes: number }
  | { type: 'sample'; outcome: 'scored' | 'skipped' | 'passed_over' }
  | { type: 'shard'; shard: string; state: 'done' | 'reused' | 'truncated' | 'failed'; message?: string }
  | { type: 'note'; text: string };

export type OnEvent = (event: RunEvent) => void;
