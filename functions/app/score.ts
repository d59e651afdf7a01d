/** `POST /v1/score`: pictures and captions in, cosines out. */
import { cosine } from '../../src/clip/model.ts';
import {
  describeModel,
  embedCaptions,
  embedSeen,
  encodeRow,
  note,
  understand,
  withinTime,
} from './engine.ts';
import type { Form } from './form.ts';
import { canJudge, judge } from './judge.ts';
import type { PictureReader } from './pictures.ts';
import { fieldProblem } from './problems.ts';
import { BODY_PROBLEMS, type Route } from './route.ts';
import { ANSWERS, type RequestSchemas, type ScoreAnswer } from './schemas.ts';
import type { Service } from './service.ts';

const FORM: Form = {
  fields: [
    { name: 'image', kind: 'file', required: true, repeated: true, description: 'A picture.' },
    {
      name: 'caption',
      kind: 'text',
      required: true,
      repeated: true,
      description: 'A caption; each is scored with each picture.',
    },
    { name: 'model', kind: 'text', description: 'Name or slug of a model.' },
    { name: 'safety', kind: 'boolean', description: 'Judge the picture too.' },
    { name: 'embeddings', kind: 'text', description: '`float` or `base64`: give the embeddings too.' },
  ],
  toJson: (values) => ({
    model: values.text('model'),
    items: values.images('image').map((image) => ({ image, captions: values.texts('caption') })),
    safety: values.boolean('safety'),
    embeddings: values.text('embeddings'),
  }),
};

export function scoreRoute(service: Service, schemas: RequestSchemas, read: PictureReader): Route {
  const { limits } = service;
  return {
    method: 'post',
    path: '/v1/score',
    operationId: 'score',
    summary: 'Cosine of pictures and captions',
    description:
      'Each picture is embedded once and scored with each of its captions. The number is the one that `shardsieve score` gives for the same pair and model, and depends on nothing else in the request.',
    scope: 'score',
    curl: `curl -H "Authorization: Bearer $KEY" -F image=@cat.jpg -F 'caption=a cat' -F 'caption=a dog' $URL/v1/score`,
    body: { 'application/json': schemas.score, 'multipart/form-data': { form: FORM.fields } },
    answers: { 200: { description: 'The scores.', content: { 'application/json': ANSWERS.score } } },
    problems: BODY_PROBLEMS,
    async handle(context) {
      const { request, parts, model, started } = await understand(context, service, schemas.score, FORM);
      const { items, embeddings } = request;
      const captions = items.flatMap((item) => item.captions);
      note(context, { images: items.length, captions: captions.length });
      if (captions.length > limits.pairs) {
        throw fieldProblem('invalid', {
          pointer: '/items',
          detail: `has ${captions.length} pairs, more than ${limits.pairs}`,
        });
      }
      const isJudged = request.safety && canJudge(service, model);
      const found = await withinTime(context, limits, async (signal) => {
        const placed = items.map(({ image }, i) => ({ source: image, path: ['items', i, 'image'] }));
        const wanted = { preprocess: model.preprocess, nsfw: isJudged && service.nsfw !== undefined };
        const seen = await read(placed, parts, wanted, signal);
        const [images, texts] = await Promise.all([
          embedSeen(model, seen, signal),
          embedCaptions(model, captions, limits, signal),
        ]);
        return {
          seen,
          images,
          texts,
          safety: isJudged ? await judge(service, model, seen, images) : undefined,
        };
      });
      const { seen, images, texts, safety } = found;
      const { dim } = model.clip;
      let next = 0;
      const answer: ScoreAnswer = {
        model: describeModel(model, service),
        items: items.map((item, i) => ({
          image: {
            ...seen[i].header,
            ...(embeddings === undefined ? {} : { embedding: encodeRow(images, i, dim, embeddings) }),
          },
          scores: item.captions.map(() => {
            const at = next++;
            const row = texts.rows[at];
            return {
              similarity: cosine(images, i, texts.data, row, dim),
              truncated: texts.truncated[at],
              ...(embeddings === undefined ? {} : { embedding: encodeRow(texts.data, row, dim, embeddings) }),
            };
          }),
          ...(safety === undefined ? {} : { safety: safety[i] }),
        })),
        took_ms: performance.now() - started,
      };
      return context.json(answer);
    },
  };
}
