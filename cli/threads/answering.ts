/** The other side of `AskedThread`. */
import { parentPort } from 'node:worker_threads';
import type { Answered, Asked } from './asking.ts';
import { plainError } from './plain-error.ts';

export interface Given<Answer> {
  answer: Answer;
  /** What goes over whole instead of being copied. */
  transfer?: ArrayBuffer[];
}

/** Answers for as long as the thread lives; `start` is done once, before anything is asked. */
export async function answerQuestions<Question, Answer>(
  start: () => Promise<(question: Question) => Promise<Given<Answer>>>,
): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const reply = (answered: Answered<Answer>, transfer: ArrayBuffer[] = []): void => {
    port.postMessage(answered, transfer);
  };
  try {
    const answering = await start();
    port.on('message', async ({ id, question }: Asked<Question>) => {
      try {
        const { answer, transfer } = await answering(question);
        reply({ id, answer }, transfer);
      } catch (error) {
        reply({ id, error: plainError(error) });
      }
    });
    reply({ id: 0 });
  } catch (error) {
    reply({ id: 0, error: plainError(error) });
  }
}
