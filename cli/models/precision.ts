/** Which precision goes with which device. */
import { PRECISIONS, type Precision } from '../../src/clip/precision.ts';
import { UsageError } from '../../src/errors.ts';
import type { DeviceKind } from '../devices/spec.ts';

/** Scores of another precision are other numbers: by default they stand beside fp32's, under a name of their own. */
export const SLUG_ENDINGS: Record<Precision, string> = {
  fp32: '',
  int8: '_int8',
  'int8-accurate': '_int8_accurate',
  fp16: '_fp16',
};

/** Throws `UsageError` for what a device gains nothing from or cannot run, and for what makes no sense. */
export function checkPrecision(
  { precision = 'fp32', calibrate }: { precision?: Precision; calibrate?: string },
  device: DeviceKind,
): Precision {
  if (!PRECISIONS.includes(precision)) {
    throw new UsageError(`no precision is called ${JSON.stringify(precision)}`, {
      hint: `There is ${PRECISIONS.join(', ')}`,
    });
  }
  if (precision === 'fp16' && device === 'cpu') {
    throw new UsageError('fp16 is for GPUs, and the towers run on the CPU here', {
      hint: 'A CPU widens half floats to compute with them: no faster than fp32, and less exact. Use fp32, or int8 for speed; or name a --device',
    });
  }
  const isQuantised = precision === 'int8' || precision === 'int8-accurate';
  if (isQuantised && device !== 'cpu') {
    throw new UsageError(`${precision} runs on the CPU only, and ${device} was named`, {
      hint: 'Its products of bytes (MatMulIntegerToFloat) have no kernel there, so the CPU would do the work. Use fp32, or fp16',
    });
  }
  if (calibrate !== undefined && !isQuantised) {
    throw new UsageError(`${precision} has no scales to calibrate`, { hint: 'Add --precision int8' });
  }
  return precision;
}
