/** What a text classifier's `config.json` and `tokenizer_config.json` say about its labels, scores and length. */
import { ModelError } from '../../errors.ts';

/** How logits become scores. */
export type Activation = 'sigmoid' | 'softmax' | 'none';

export interface TextClassifierConfig {
  /** In the order of the logits. */
  readonly labels: readonly string[];
  readonly activation: Activation;
  /** Tokens a text may have, special ones included. */
  readonly maxTokens: number;
  readonly padId: number;
}

/** `tokenizer_config.json` writes 1e30 where nobody set a length. */
const UNSET_LENGTH = 1e6;
/** Captions are short; a longer input only costs time. */
const MAX_TOKENS = 512;
/** Positions of these begin after the padding's, which takes `pad_token_id + 1` of them. */
const SHIFTED = new Set([
  'roberta',
  'xlm-roberta',
  'xlm-roberta-xl',
  'camembert',
  'longformer',
  'xmod',
  'data2vec-text',
]);

/**
 * Rules of transformers 5 (`TextClassificationPipeline`): a sigmoid for `multi_label_classification` and for a single
 * label, a softmax for other sets of labels, nothing for `regression`. Throws `ModelError` naming file and field.
 */
export function parseTextConfig(
  config: unknown,
  tokenizerConfig: unknown,
  file = 'config.json',
): TextClassifierConfig {
  if (!isRecord(config)) throw new ModelError('the config is no JSON object', { file });
  const labels = labelsOf(config['id2label'], file);
  return {
    labels,
    activation: activationOf(config['problem_type'], labels.length, file),
    maxTokens: lengthOf(config, isRecord(tokenizerConfig) ? tokenizerConfig['model_max_length'] : undefined),
    padId: isCount(config['pad_token_id']) ? config['pad_token_id'] : 0,
  };
}

function labelsOf(value: unknown, file: string): string[] {
  const hint = 'The model must be a sequence classifier: config.json names its labels in id2label';
  if (!isRecord(value) || Object.keys(value).length === 0) {
    throw new ModelError('the config has no id2label', { file, hint });
  }
  return Object.keys(value).map((_, index) => {
    const label = value[String(index)];
    if (typeof label !== 'string' || label.trim() === '') {
      throw new ModelError(`the config has no label ${index} in id2label`, { file, hint });
    }
    return label;
  });
}

function activationOf(problem: unknown, labels: number, file: string): Activation {
  switch (problem) {
    case 'regression':
      return 'none';
    case 'multi_label_classification':
      return 'sigmoid';
    case 'single_label_classification':
    case undefined:
    case null:
      return labels === 1 ? 'sigmoid' : 'softmax';
    default:
      throw new ModelError(`the config has an unknown problem_type ${JSON.stringify(problem)}`, { file });
  }
}

function lengthOf(config: Record<string, unknown>, tokenizerLength: unknown): number {
  const lengths = [MAX_TOKENS];
  if (isCount(tokenizerLength) && tokenizerLength < UNSET_LENGTH) lengths.push(tokenizerLength);
  const positions = config['max_position_embeddings'];
  if (isCount(positions)) {
    const pad = isCount(config['pad_token_id']) ? config['pad_token_id'] : 1;
    lengths.push(SHIFTED.has(String(config['model_type'])) ? positions - pad - 1 : positions);
  }
  return Math.min(...lengths.filter((length) => length > 0));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}
