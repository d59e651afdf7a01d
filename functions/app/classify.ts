/** `POST /v1/classify`: zero-shot classification, as open_clip does it (`zero_shot_classifier.py`, 3.3.0). */
import { cosine } from '../../src/clip/model.ts';
import { describeModel, embedCaptions, embedSeen, note, understand, withinTime } from './engine.ts';
import type { Form } from './form.ts';
import type { PictureReader } from './pictures.ts';
import { fieldProblem } from './problems.ts';
import { BODY_PROBLEMS, type Route } from './route.ts';
import { ANSWERS, type ClassifyAnswer, type RequestSchemas } from './schemas.ts';
import type { Service } from './service.ts';

const FORM: Form = {
  fields: [
    { name: 'image', kind: 'file', required: true, repeated: true, description: 'A picture.' },
    { name: 'label', kind: 'text', required: true, repeated: true, description: 'A label.' },
    { name: 'template', kind: 'text', repeated: true, description: 'A prompt with `{}` for the label.' },
    { name: 'model', kind: 'text', description: 'Name or slug of a model.' },
  ],
  toJson(values) {
    const templates = values.texts('template');
    return {
      model: values.text('model'),
      images: values.images('image'),
      labels: values.texts('label'),
      ...(templates.length === 0 ? {} : { templates }),
    };
  },
};

export function classifyRoute(service: Service, schemas: RequestSchemas, read: PictureReader): Route {
  const { limits } = service;
  return {
    method: 'post',
    path: '/v1/classify',
    operationId: 'classify',
    summary: 'The likeliest of labels that are given in words',
    description:
      'A label’s embedding is the normalised mean over the templates, as in open_clip; probabilities are the softmax of the cosines times the model’s logit scale.',
    scope: 'score',
    curl: `curl -H "Authorization: Bearer $KEY" -F image=@cat.jpg -F label=cat -F label=dog -F 'template=a photo of a {}.' $URL/v1/classify`,
    body: { 'application/json': schemas.classify, 'multipart/form-data': { form: FORM.fields } },
    answers: {
      200: { description: 'A probability a label.', content: { 'application/json': ANSWERS.classify } },
    },
    problems: BODY_PROBLEMS,
    async handle(context) {
      const { request, parts, model, started } = await understand(context, service, schemas.classify, FORM);
      const { images, labels, templates } = request;
      const count = labels.length * templates.length;
      if (count > limits.prompts) {
        throw fieldProblem('invalid', {
          pointer: '/labels',
          detail: `times templates are ${count} prompts, more than ${limits.prompts}`,
        });
      }
      const chars = promptChars(labels, templates);
      if (chars > limits.textChars) {
        throw fieldProblem('invalid', {
          pointer: '/labels',
          detail: `in the templates are ${chars} characters together, more than ${limits.textChars}`,
        });
      }
      note(context, { images: images.length, captions: count });
      const prompts = labels.flatMap((label) =>
        templates.map((template) => template.replaceAll('{}', () => label)),
      );
      const { dim, logitScale } = model.clip;
      const { seen, pictures, classes } = await withinTime(context, limits, async (signal) => {
        const placed = images.map((source, i) => ({ source, path: ['images', i] }));
        const seen = await read(placed, parts, { preprocess: model.preprocess, nsfw: false }, signal);
        const [pictures, { data, rows }] = await Promise.all([
          embedSeen(model, seen, signal),
          embedCaptions(model, prompts, limits, signal),
        ]);
        return { seen, pictures, classes: classRows(data, rows, labels.length, dim) };
      });
      const answer: ClassifyAnswer = {
        model: describeModel(model, service),
        images: seen.map(({ header }, i) => {
          const similarities = labels.map((_, k) => cosine(pictures, i, classes, k, dim));
          const probabilities = softmax(similarities.map((similarity) => similarity * logitScale));
          const best = probabilities.indexOf(Math.max(...probabilities));
          return {
            ...header,
            best: labels[best],
            labels: labels.map((label, k) => ({
              ...{ label, probability: probabilities[k], similarity: similarities[k] },
            })),
          };
        }),
        took_ms: performance.now() - started,
      };
      return context.json(answer);
    },
  };
}

/** UTF-16 units of all prompts, before they are made: a label may stand in a template thousands of times. */
function promptChars(labels: readonly string[], templates: readonly string[]): number {
  const each = labels.reduce((sum, { length }) => sum + length, 0);
  return templates.reduce((sum, template) => {
    const holes = template.split('{}').length - 1;
    return sum + labels.length * (template.length - 2 * holes) + holes * each;
  }, 0);
}

/** Unit rows `[labels, dim]`: the mean of each label's unit prompt embeddings, normalised; in float64, rounded once. */
function classRows(data: Float32Array, rows: readonly number[], labels: number, dim: number): Float32Array {
  const out = new Float32Array(labels * dim);
  const each = rows.length / labels;
  for (let label = 0; label < labels; label++) {
    const mean = new Float64Array(dim);
    for (const row of rows.slice(label * each, (label + 1) * each)) {
      for (let k = 0; k < dim; k++) mean[k] += data[row * dim + k] / each;
    }
    const norm = Math.hypot(...mean);
    for (let k = 0; k < dim; k++) out[label * dim + k] = norm === 0 ? 0 : mean[k] / norm;
  }
  return out;
}

function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits);
  const exponents = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponents.reduce((total, value) => total + value, 0);
  return exponents.map((value) => value / sum);
}
