/** A thread that holds one detector and answers batches of captions. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../src/errors.ts';
import { type EngineSpec, openEngine } from './engines.ts';

/** The texts of one batch; answered in the order of asking. */
export type Request = readonly (string | null)[];

/** The first response says that the detector is loaded, and holds nothing. */
export interface Response {
  /** By row; a null text has a null here. */
  languages?: (string | null)[];
  probabilities?: Float32Array;
  /** The message of a `ModelError`. */
  error?: string;
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const reply = (response: Response): void => port.postMessage(response);
  try {
    const detect = await openEngine(workerData as EngineSpec);
    port.on('message', (texts: Request) => {
      try {
        const probabilities = new Float32Array(texts.length);
        const languages = texts.map((text, row) => {
          if (text === null) return null;
          const { language, probability } = detect(text);
          probabilities[row] = probability;
          return language;
        });
        reply({ languages, probabilities });
      } catch (error) {
        reply({ error: messageOf(error) });
      }
    });
    reply({});
  } catch (error) {
    reply({ error: messageOf(error) });
  }
}

await main();
