/** `POST /v1/safety`: what classifiers say of pictures. */

import { describeModel, embedSeen, note, understand, withinTime } from './engine.ts';
import type { Form } from './form.ts';
import { canJudge, judge } from './judge.ts';
import type { PictureReader } from './pictures.ts';
import { Problem } from './problems.ts';
import { BODY_PROBLEMS, type Route } from './route.ts';
import { ANSWERS, type RequestSchemas, type SafetyAnswers } from './schemas.ts';
import type { Service } from './service.ts';

const FORM: Form = {
  fields: [
    { name: 'image', kind: 'file', required: true, repeated: true, description: 'A picture.' },
    { name: 'model', kind: 'text', description: 'Name or slug of the model whose heads are asked.' },
  ],
  toJson: (values) => ({ model: values.text('model'), images: values.images('image') }),
};

export function safetyRoute(service: Service, schemas: RequestSchemas, read: PictureReader): Route {
  const { limits, nsfw } = service;
  return {
    method: 'post',
    path: '/v1/safety',
    operationId: 'safety',
    summary: 'What classifiers say of pictures',
    description: 'The columns of `shardsieve score --safety`, and what they say together.',
    scope: 'score',
    curl: 'curl -H "Authorization: Bearer $KEY" -F image=@cat.jpg $URL/v1/safety',
    body: { 'application/json': schemas.safety, 'multipart/form-data': { form: FORM.fields } },
    answers: {
      200: { description: 'One judgement a picture.', content: { 'application/json': ANSWERS.safety } },
    },
    problems: [...BODY_PROBLEMS, 'not_implemented'],
    async handle(context) {
      const { request, parts, model, started } = await understand(context, service, schemas.safety, FORM);
      if (!canJudge(service, model)) throw new Problem('not_implemented', 'this server has no classifiers');
      const { images } = request;
      note(context, { images: images.length, captions: 0 });
      const { seen, safety } = await withinTime(context, limits, async (signal) => {
        const placed = images.map((source, i) => ({ source, path: ['images', i] }));
        // The tower runs for heads alone.
        const preprocess = model.heads.length > 0 ? model.preprocess : undefined;
        const seen = await read(placed, parts, { preprocess, nsfw: nsfw !== undefined }, signal);
        const embeddings =
          preprocess === undefined ? new Float32Array(0) : await embedSeen(model, seen, signal);
        return { seen, safety: await judge(service, model, seen, embeddings) };
      });
      const answer: SafetyAnswers = {
        model: describeModel(model, service),
        images: seen.map(({ header }, i) => ({ ...header, safety: safety[i] })),
        took_ms: performance.now() - started,
      };
      return context.json(answer);
    },
  };
}
