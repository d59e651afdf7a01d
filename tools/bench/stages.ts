/** Stage by stage beside Python's, each side in fresh processes, alternating; medians of the rounds. */
import { runJson } from './processes.ts';
import type { Bench } from './setup.ts';
import { markdown, median, short } from './tables.ts';

interface Rate {
  /** Items a second by the clock on the wall, all threads. */
  wall: number;
  /** Processor seconds an item. */
  cpu: number;
}

interface Said {
  /** MB a second. */
  tar: number;
  /** Of one core: pictures, pictures, captions a processor second. */
  decode: number;
  preprocess: number;
  tokenizer: number;
  /** Rows a second. */
  write: number;
  towers: { [precision: string]: { image: Rate; caption: Rate } };
}

export async function stages({
  rounds,
  python,
  modelFolder,
  shardPaths,
  env,
  seconds,
}: Bench): Promise<unknown> {
  const args = [modelFolder, ...shardPaths, '--seconds', seconds];
  const ours: Said[] = [];
  const theirs: Said[] = [];
  const node = async () => {
    ours.push((await runJson<Said>(process.execPath, ['tools/bench/stages_node.ts', ...args], env)).said);
  };
  const reference = async () => {
    theirs.push((await runJson<Said>(python.path, ['tools/bench/stages_python.py', ...args], env)).said);
  };
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? [node, reference] : [reference, node]) await side();
    console.error(`round ${round + 1} of ${rounds}`);
  }
  const row = (name: string, of: (said: Said) => number) => {
    const [a, b] = [median(ours.map(of)), median(theirs.map(of))];
    return [name, short(a), short(b), short(a / b)];
  };
  const both = (of: (said: Said) => number) => (said: Said) => 1 / (1 / said.decode + 1 / of(said));
  console.log(
    markdown(
      ['stage', 'Shardsieve', 'Python', 'ratio'],
      [
        row('tar to samples, MB/s', ({ tar }) => tar),
        row('decode JPEG, pictures a core and second', ({ decode }) => decode),
        row('resize and normalise, pictures a core and second', ({ preprocess }) => preprocess),
        row(
          'both together',
          both(({ preprocess }) => preprocess),
        ),
        row('tokenizer, captions a core and second', ({ tokenizer }) => tokenizer),
        row(
          'writing 10,000 rows with embeddings, rows/s (Shardsieve flushes to the disk)',
          ({ write }) => write,
        ),
      ],
    ),
  );
  const towers = (side: string, all: Said[]) =>
    Object.keys(all[0].towers).map((precision) => {
      const rate = (kind: 'image' | 'caption', of: keyof Rate) =>
        short(median(all.map((said) => said.towers[precision][kind][of])));
      return [
        `${side} ${precision}`,
        rate('image', 'wall'),
        rate('image', 'cpu'),
        rate('caption', 'wall'),
        rate('caption', 'cpu'),
      ];
    });
  const head = ['towers', 'images/s', 'processor s an image', 'captions/s', 'processor s a caption'];
  console.log(`\n${markdown(head, [...towers('Shardsieve', ours), ...towers('Python', theirs)])}`);
  return { shardsieve: ours, python: theirs };
}
